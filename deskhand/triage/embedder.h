// Texts to vectors: tokenised by WordPiece, packed by length into batches, run through the encoder. Cases and queries go through the same
// object, so that they lie in the same space.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "deskhand/model/encoder.h"
#include "deskhand/retrieve/case_store.h"
#include "deskhand/text/wordpiece.h"

namespace deskhand {

// What retrieval asks of an encoder. One thread at a time.
class TextEmbedder {
 public:
  virtual ~TextEmbedder() = default;
  virtual std::int64_t width() const = 0;
  // (texts, width) row-major, unit length. An empty text is embedded as the encoder sees it. Throws Error(kInterrupted) on Ctrl-C.
  virtual std::vector<float> embed(std::span<const std::string> texts) = 0;
};

// A text as the encoder read it, with all that it made of it.
struct EncodedText {
  std::span<const std::int32_t> tokens;  // (T): [CLS], pieces, [SEP]
  ConstView vectors;                     // (T, C) of the last layer, not of unit length
  std::span<const float> pooled;         // (C): their mean at unit length; what embed gives for a text of these tokens
};

struct EmbedderSettings {
  std::int32_t max_pieces = 256;     // of one text, longer ones are cut, as sentence-transformers does; lowered to what the encoder takes
  std::int64_t batch_tokens = 1024;  // of one pass, so that what it writes stays near the processor; raised to hold the longest text, and
                                     // for the GPU
};

class EncoderEmbedder final : public TextEmbedder {
 public:
  // Borrows encoder, tokenizer and what the backend names.
  EncoderEmbedder(const Encoder& encoder, const WordPiece& tokenizer, const Backend& on, EmbedderSettings settings = {});
  std::int64_t width() const override { return encoder_.config().width; }
  std::vector<float> embed(std::span<const std::string> texts) override;

  // Every text's token vectors, one batch of them in memory at a time: take(i, text i) once for each i, in the order of batches. What it
  // gets is valid until it returns. Texts are cut at max_pieces, whatever the settings say, or at what the encoder takes if that is less.
  void read(std::span<const std::string> texts, std::int32_t max_pieces, const std::function<void(std::size_t, const EncodedText&)>& take);

  const EmbedderSettings& settings() const { return settings_; }  // as they are in force

 private:
  void read(std::span<const std::string> texts, std::int32_t max_pieces, bool with_vectors,
            const std::function<void(std::size_t, const EncodedText&)>& take);
  ConstView on_host(ConstView vectors);

  const Encoder& encoder_;
  const WordPiece& tokenizer_;
  Backend on_;
  EmbedderSettings settings_;
  EncoderBuffers buffers_;
  Tensor out_;      // (texts of the largest batch, C)
  Tensor vectors_;  // (tokens of the largest batch, C), of an encoder on the GPU
};

// Names the vectors that an encoder folder makes: SHA-256 over its weights, configuration, vocabulary and the settings that change a
// vector.
// `quantised`: by Encoder::quantise.
EncoderId identify_encoder(const std::filesystem::path& folder, std::string name, const EmbedderSettings& settings = {},
                           bool quantised = false);

}  // namespace deskhand
