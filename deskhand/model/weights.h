// From tensors by name to the parts of a model: every shape is checked against the configuration, what is missing is named, what nobody
// asked for is listed. Matrices are views of the mapped file; norms and biases are f32 and copied where the file has them otherwise.
#pragma once
#include <array>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/model/config.h"
#include "deskhand/model/gguf.h"
#include "deskhand/model/safetensors.h"
#include "deskhand/ops/backend.h"
#include "deskhand/ops/fp8.h"
#include "deskhand/ops/fused.h"
#include "deskhand/ops/lora.h"
#include "deskhand/tensor/tensor.h"

namespace deskhand {

// One linear layer, whatever it is made of: a model multiplies by it and never asks whether it is dense, quantised, biased or adapted.
struct Linear {
  ConstView weight;  // (O, I), any dtype
  ConstView bias;    // (O) f32, or empty
  LoraWeights lora;  // of an adapter; a is empty where there is none
  ConstFp8Rows fp8;  // a training's frozen matrix (O, I) in FP8: weight is then fp8.values, and nobody reads it but for its shape
};

struct LinearCall {
  const Linear* layer = nullptr;
  View out;                     // (N, O)
  View low{};                   // (N, R): what lora leaves for backward; empty: nobody wants it
  ConstView add{};              // (N, O): what the result is added to; empty: nothing. May not overlap out
  std::int64_t head_width = 0;  // of the heads that `turn` turns the result by; 0: it does not
};

// All layers of one input in one pass; at most four.
void apply(const Backend& on, std::span<const LinearCall> calls, ConstView x, const Turn& turn = {});
// The same of layers in FP8. `narrow` is x (N, I) in it; x itself may be empty where no layer has an adapter.
void apply(const Backend& on, std::span<const LinearCall> calls, ConstView x, const ConstFp8Rows& narrow, const Turn& turn = {});
inline void apply(const Backend& on, const Linear& layer, View out, ConstView x) {
  const LinearCall call{&layer, out};
  apply(on, {&call, 1}, x);
}

// The same behind an rms_norm, and the other two shapes of a layer's halves (ops/fused.h).
void apply(const Backend& on, std::span<const LinearCall> calls, const NormedInput& in);
void apply_gate_up(const Backend& on, const Linear& gate, const Linear& up, View out, const NormedInput& in, View room);
void apply_add(const Backend& on, const Linear& layer, View x, ConstView in, View room);

struct DecoderLayer {
  ConstView attention_norm;     // (C) f32
  Linear q, k, v;               // (H D, C), (G D, C), (G D, C)
  Linear attention_out;         // (C, H D)
  ConstView feed_forward_norm;  // (C) f32
  Linear gate, up, down;        // (F, C), (F, C), (C, F)

  // Where they are in FP8, turned copies for backward, (I, O): the tensor cores want both factors along their depth. Layers of one input
  // side by side are one.
  struct Turned {
    ConstFp8Rows qkv, attention_out, gate_up, down;
  } turned;
};

struct DecoderWeights {
  ConstView embedding;  // (V, C)
  std::vector<DecoderLayer> layers;
  ConstView final_norm;             // (C) f32
  Linear head;                      // (V, C); the embedding itself where it is tied
  std::vector<float> rope_factors;  // (D / 2), each divides its pair's frequency; empty: all 1. GGUF's rope_freqs.weight
  std::vector<std::string> unused;  // tensors of the file that no part asked for
  std::vector<Tensor> owned;        // what had to be widened or moved to a proper address

  DecoderWeights views() const;  // the same parts, borrowed: this one has to live as long
};

// Where gradients of a decoder's trained parts are added to; an empty view is a part that stays as it is. Shapes are the parts' own, f32.
struct LinearGradients {
  View weight, bias;    // (O, I), (O)
  View lora_a, lora_b;  // (R, I), (O, R)
};
struct LayerGradients {
  View attention_norm;  // (C)
  LinearGradients q, k, v, attention_out;
  View feed_forward_norm;  // (C)
  LinearGradients gate, up, down;
};
struct DecoderGradients {
  View embedding;  // (V, C)
  std::vector<LayerGradients> layers;
  View final_norm;       // (C)
  LinearGradients head;  // its weight alone; where it is tied, embedding's and head's may be one
};

// A layer's linears in the order of computation, by their names in Hugging Face's files.
struct LayerLinear {
  std::string_view name;
  Linear DecoderLayer::*linear;
  LinearGradients LayerGradients::*gradients;
};
inline constexpr std::array<LayerLinear, 7> kLayerLinears = {{
    {"self_attn.q_proj", &DecoderLayer::q, &LayerGradients::q},
    {"self_attn.k_proj", &DecoderLayer::k, &LayerGradients::k},
    {"self_attn.v_proj", &DecoderLayer::v, &LayerGradients::v},
    {"self_attn.o_proj", &DecoderLayer::attention_out, &LayerGradients::attention_out},
    {"mlp.gate_proj", &DecoderLayer::gate, &LayerGradients::gate},
    {"mlp.up_proj", &DecoderLayer::up, &LayerGradients::up},
    {"mlp.down_proj", &DecoderLayer::down, &LayerGradients::down},
}};

struct EncoderLayer {
  Linear q, k, v, attention_out;                               // (C, C)
  ConstView attention_norm_weight, attention_norm_bias;        // (C) f32
  Linear up, down;                                             // (F, C), (C, F)
  ConstView feed_forward_norm_weight, feed_forward_norm_bias;  // (C) f32
};

struct EncoderWeights {
  ConstView words;                   // (V, C)
  Tensor positions;                  // (max positions, C) f32: position and type 0 in one, since the type never changes
  ConstView norm_weight, norm_bias;  // (C) f32
  std::vector<EncoderLayer> layers;
  std::vector<std::string> unused;
  std::vector<Tensor> owned;
};

// How a GGUF file calls a decoder's tensor ("blk.3.ffn_up.weight") or layer ("blk.3.ffn_up") by Hugging Face's name for it
// ("model.layers.3.mlp.up_proj"), and back; empty for what is no part of a decoder.
std::string gguf_name(std::string_view hugging_face);
std::string hugging_face_name(std::string_view gguf);

// `where` names the file in messages. Throw Error(kBadInput): the tensor, what it is and what config asks for; or all missing ones.
DecoderWeights map_hugging_face(const StoredTensors& tensors, const DecoderConfig& config, const std::string& where);
DecoderWeights map_gguf(const StoredTensors& tensors, const DecoderConfig& config, const std::string& where);
EncoderWeights map_bert(const StoredTensors& tensors, const EncoderConfig& config, const std::string& where);

}  // namespace deskhand
