// A Llama-like decoder: embedding, L layers of attention and gated feed-forward, each behind an RMS norm, a last norm and the head. One
// class for every family and format: config says what it is, weights where it lies. Left out: sliding windows, experts.
#pragma once
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "deskhand/model/config.h"
#include "deskhand/model/weights.h"
#include "deskhand/ops/paged_attention.h"
#include "deskhand/ops/repeat.h"
#include "deskhand/ops/rope.h"

namespace deskhand {

// The largest pass that buffers are made for.
struct DecoderLimits {
  std::int64_t tokens = 512;      // N of one pass; a longer prompt comes in chunks
  std::int64_t positions = 4096;  // tokens of the longest sequence; never more than the model's max_positions
};

enum class KeepFor : std::uint8_t { kAnswering, kBackward };

// What a layer computes on its way. Answering uses one of these for all layers; training gives each layer its own and backward reads from
// it: both norms' rstd, q, k, v and the logsumexp (attention), attended, gate and up (swiglu; the product is computed again), and the
// residual stream between the layer's halves. Frozen weights need no inputs kept, so the normed stream is computed again where LoRA wants
// it.
struct LayerActivations {
  LayerActivations(const DecoderConfig& config, std::int64_t tokens, KeepFor keep = KeepFor::kAnswering, Placement at = {});
  Tensor q;         // (N, H, D)  after rotation
  Tensor k, v;      // (N, G, D)  k after rotation
  Tensor attended;  // (N, H, D)
  Tensor gate, up;  // (N, F)     answering writes silu(gate) * up over gate
  // For backward alone, else empty.
  Tensor middle;                             // (N, C)
  Tensor attention_rstd, feed_forward_rstd;  // (N)        f32
  Tensor logsumexp;                          // (N, H)     f32
};

// Cosines and sines of every position that a pass may have.
struct RopeAngles {
  // factors: DecoderWeights::rope_factors.
  RopeAngles(const DecoderConfig& config, std::span<const float> factors, std::int64_t positions, Device device = Device::kCpu);
  RopeTable table() const { return {cosine, sine, pairs}; }

  Tensor cosine, sine;  // (positions, D / 2) f32
  RopePairs pairs;
};

// All that a pass writes besides its results; made once for the largest pass. One for each thread of callers.
struct DecoderBuffers {
  DecoderBuffers(const DecoderConfig& config, std::span<const float> rope_factors, DecoderLimits limits, Placement at = {});

  DecoderLimits limits;
  Tensor x, normed;  // (N, C)  the residual stream; a norm's output, then what is added to x
  LayerActivations layer;
  RopeAngles angles;
  std::vector<std::int32_t> positions;  // of a packed pass
  RepeatedPasses steps;
};

// Throws Error(kBadInput) for a token outside the vocabulary.
void check_tokens(std::span<const std::int32_t> tokens, const DecoderConfig& config);
// Positions (N) of texts side by side, each from 0: text i is rows [bounds[i], bounds[i + 1]).
void count_positions(std::span<std::int32_t> positions, std::span<const std::int32_t> bounds);

class Decoder {
 public:
  // New tokens of several sequences, one after the other. Sequence i's rows are [bounds[i], bounds[i + 1]).
  struct Batch {
    std::span<const std::int32_t> tokens, positions;  // (N)
    std::span<const std::int32_t> bounds;             // sequences + 1
    std::span<const KvSequence> sequences;
    std::span<const std::int32_t> logit_rows;  // rows whose logits are wanted, ascending; may be none (the start of a prompt)
  };

  // A .gguf file, a folder with config.json and safetensors, or a folder with one .gguf file. Weights stay where they lie in the mapped
  // file. Throws Error(kNotFound) or Error(kBadInput) as the readers do.
  static Decoder load(const std::filesystem::path& folder_or_gguf);
  // Of parts that are no file's.
  Decoder(DecoderConfig config, DecoderWeights weights) : Decoder(std::monostate(), std::move(config), std::move(weights)) {}

  const DecoderConfig& config() const { return config_; }
  const DecoderWeights& weights() const { return weights_; }
  // Computes with these from now on: views of this decoder's own weights and of tensors that `changed` owns.
  void replace_weights(DecoderWeights changed);
  // Weights, the adapter's too, are copied to the device, on a GPU in the layout that answers fastest (ops/tiled.h), and computed with there
  // from now on: to be called last. Throws Error(kTooLarge).
  void place(Device device);
  Device device() const { return weights_.embedding.device(); }  // of weights, buffers and pages, and of the backend
  // Hint: the file's pages that were read stop counting as this process's memory; what is needed again is read again.
  void release_file() const;
  const Gguf* gguf() const { return std::get_if<Gguf>(&file_); }  // null for safetensors; the tokenizer lies in it
  // Activations of this type, where the weights are.
  DecoderBuffers make_buffers(DecoderLimits limits, DType activations = DType::kF32) const;

  // Reads and extends the pages, one KvPages a layer. logits (logit_rows, V) f32 and hidden (logit_rows, C), activations, the last norm's
  // output, are each written if given, to the host or to the decoder's device. Throws Error(kBadInput) for a token outside the vocabulary,
  // Error(kTooLarge) for a position or a batch beyond the buffers' limits.
  void forward(const Backend& on, DecoderBuffers& buffers, const Batch& batch, std::span<const KvPages> pages, View logits,
               View hidden = {}) const;

  // The same without a cache: whole sequences, each from position 0, that do not see one another. For perplexity and training.
  void forward_packed(const Backend& on, DecoderBuffers& buffers, std::span<const std::int32_t> tokens,
                      std::span<const std::int32_t> bounds, std::span<const std::int32_t> logit_rows, View logits, View hidden = {}) const;

  // logits (R, V) of hidden (R, C): for callers that want few of many rows' logits at a time.
  void head(const Backend& on, View logits, ConstView hidden) const;

 private:
  // Turns q and k, which need not stay as they are, and attends.
  using Attend = std::function<void(std::size_t layer, View out, View q, View k, ConstView v)>;
  struct Pass {
    std::span<const std::int32_t> tokens, positions, logit_rows;
    View logits, hidden;
  };

  Decoder(std::variant<std::monostate, Safetensors, Gguf> file, DecoderConfig config, DecoderWeights weights)
      : file_(std::move(file)), config_(std::move(config)), weights_(std::move(weights)) {}
  void check(const DecoderBuffers& buffers, const Pass& pass) const;
  void run(const Backend& on, DecoderBuffers& buffers, const Pass& pass, const Attend& attend) const;
  void write_head(const Backend& on, View logits, ConstView hidden) const;

  std::variant<std::monostate, Safetensors, Gguf> file_;
  DecoderConfig config_;
  DecoderWeights weights_;
  std::int64_t weights_version_ = 0;  // counts replacements
};

}  // namespace deskhand
