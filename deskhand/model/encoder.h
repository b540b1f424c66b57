// BERT as sentence-transformers uses it (Devlin et al., 2018; Reimers and Gurevych, 2019): word, position and type embeddings, L layers
// with the norm behind each part, then the mean of the tokens at unit length. Texts are packed: no padding is ever computed.
#pragma once
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "deskhand/model/config.h"
#include "deskhand/model/weights.h"

namespace deskhand {

// All that a pass writes besides its result; made once for the largest one.
struct EncoderBuffers {
  EncoderBuffers(const EncoderConfig& config, std::int64_t tokens, Placement at = {});
  Tensor x, delta;  // (N, C)       the stream; what is added to it
  Tensor qkv;       // (3 N, H, D)  q, k and v, one behind the other
  Tensor attended;  // (N, H, D)
  Tensor widened;   // (N, F)
  std::vector<std::int32_t> positions;
};

class Encoder {
 public:
  // A folder with config.json and model.safetensors. Throws Error(kNotFound) or Error(kBadInput) as the readers do.
  static Encoder load(const std::filesystem::path& folder);

  // Of parts that are no file's.
  Encoder(EncoderConfig config, EncoderWeights weights) : config_(config), weights_(std::move(weights)) {}

  // Its weights lie there from now on, ready for activations of that type, and so do its buffers.
  void place(Placement at);

  // Keeps the layers' matrices in 8 bits (q8_0) from now on: products take a third of the time and memory where the processor has integer
  // ones, and vectors deviate a little.
  void quantise(const Backend& on);

  const EncoderConfig& config() const { return config_; }
  Device device() const { return at_.device; }
  const EncoderWeights& weights() const { return weights_; }
  EncoderBuffers make_buffers(std::int64_t tokens) const { return {config_, tokens, at_}; }

  // out (B, C) f32 on the host or where the encoder is, unit length: text i is tokens [bounds[i], bounds[i + 1]) with its special tokens,
  // at least one and at most max_positions. Throws Error(kBadInput) for a token outside the vocabulary, Error(kTooLarge) for too long a
  // text or batch.
  void embed(const Backend& on, EncoderBuffers& buffers, std::span<const std::int32_t> tokens, std::span<const std::int32_t> bounds,
             View out) const;

  // The last layer's vectors (N, C) of the same texts, activations, special tokens too, not yet of unit length; embed is their mean. They
  // lie in `buffers` until its next pass.
  ConstView token_vectors(const Backend& on, EncoderBuffers& buffers, std::span<const std::int32_t> tokens,
                          std::span<const std::int32_t> bounds) const;

 private:
  Encoder(Safetensors file, EncoderConfig config, EncoderWeights weights)
      : file_(std::move(file)), config_(config), weights_(std::move(weights)) {}

  std::optional<Safetensors> file_;
  EncoderConfig config_;
  EncoderWeights weights_;
  Placement at_;
};

}  // namespace deskhand
