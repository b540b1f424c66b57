// What fine-tuning adds to a model, in memory and as PEFT keeps it: adapter_config.json and adapter_model.safetensors, both ways.
// Names are Hugging Face's whatever format the base has: "model.layers.0.self_attn.q_proj" for a linear layer, "model.norm.weight" for a
// tensor. Left out: DoRA, trained biases, embeddings as low-rank pairs, adapters for other architectures.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "deskhand/model/config.h"
#include "deskhand/model/weights.h"
#include "deskhand/tensor/tensor.h"
#include "deskhand/train/recipe.h"

namespace deskhand {

// out += scale * (x A^T) B^T
struct LoraPair {
  Tensor a;         // (R, I) f32
  Tensor b;         // (O, R) f32
  float scale = 1;  // alpha / R, or alpha / sqrt(R)
};

struct Adapter {
  std::string base_model;          // name or path, as the adapter's maker wrote it
  double alpha = 32, dropout = 0;  // dropout counts while training alone
  bool rank_stabilised = false;
  std::map<std::string, LoraPair> lora;    // by the linear layer's name
  std::map<std::string, Tensor> replaced;  // f32, instead of the base's: "lm_head.weight", "model.layers.0.input_layernorm.weight"

  std::int64_t parameters() const;
  Adapter copy_to(Device device) const;
};

std::string layer_part(std::int64_t layer, std::string_view part);  // (3, "mlp.up_proj"): "model.layers.3.mlp.up_proj"
std::string layer_of(std::string_view tensor);                      // "model.layers.3.mlp.up_proj" of its weight or bias
bool is_turned(std::string_view layer);                             // its outputs are turned by their positions: q_proj, k_proj

struct LinearShape {
  std::string name;  // "model.layers.3.mlp.down_proj"
  std::int64_t outputs = 0, inputs = 0;
};
// Every linear layer of the model, in the order of computation, the head last.
std::vector<LinearShape> linear_shapes(const DecoderConfig& config);
// Every tensor that may be trained as it is, by its name, with its shape: embedding, norms, matrices, biases, head. A tied head is listed
// too: trained, it is no longer the embedding.
std::map<std::string, Shape> tensor_shapes(const DecoderConfig& config);

// The base's tensors by the names of tensor_shapes, where they lie; a tied head is the embedding.
std::map<std::string, ConstView> named_tensors(const DecoderWeights& weights, const DecoderConfig& config);
// An f32 copy of the base's tensor, in Hugging Face's order of rows whatever file it lies in. linear: the layer it belongs to.
Tensor hugging_face_copy(const Backend& on, ConstView tensor, const std::string& linear, const DecoderConfig& config);

// A beginning: A uniform within 1 / sqrt(I), B zero (peft's own); for kHybrid head and norms copied from the base; for kFull every tensor
// of the base and no pair, a tied head staying the embedding. The same seed gives the same adapter on any machine. Throws Error(kUsage) for
// a target that the model does not have, with those it has.
Adapter new_adapter(const Backend& on, const DecoderWeights& weights, const DecoderConfig& config, Method method,
                    const LoraSettings& settings, std::uint64_t seed);

// Those of them that get a pair. Throws Error(kUsage) as new_adapter does.
std::vector<LinearShape> lora_layers(const DecoderConfig& config, const std::vector<std::string>& targets);
// This tensor is trained as it is: new_adapter copies it.
bool is_replaced(std::string_view tensor, Method method, const DecoderConfig& config);
// The new adapter's parameters(), without making it.
std::int64_t count_parameters(const DecoderConfig& config, Method method, const LoraSettings& settings);

// The parts fit this model, and every number is finite. Throws Error(kBadInput): the part, its shape and the one wanted. `where`: a file.
void check_adapter(const Adapter& adapter, const DecoderConfig& config, std::string_view where);

// A folder written by peft or by write_adapter. Throws Error(kNotFound), or Error(kBadInput) for what is left out (see above), a pair that
// lacks its other half, a rank that is not the configuration's, a NaN, or a pickle (adapter_model.bin) alone, which is never opened.
Adapter read_adapter(const std::filesystem::path& folder);

// Makes the folder if it is missing. `stored`: kF32, kF16 or kBF16. The same adapter gives the same bytes. Throws Error(kCannotWrite).
void write_adapter(const std::filesystem::path& folder, const Adapter& adapter, DType stored = DType::kF32);

// A GGUF of the Llama architecture keeps the rows of q and k so that pairs that turn together are neighbours; an adapter's B must follow.
// Row i of `out` (O, R) is the row of `in` that the base has at i. Blocks of head_width rows.
void reorder_to_neighbours(View out, ConstView in, std::int64_t head_width);
void reorder_to_halves(View out, ConstView in, std::int64_t head_width);

}  // namespace deskhand
