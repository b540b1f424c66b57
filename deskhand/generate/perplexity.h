// How well a model foretells a text: exp of the mean negative log likelihood, as llama.cpp's `perplexity` counts it. The text is cut into
// windows of `window` tokens that do not overlap; the first half of each is read for context, the tokens of the second half but the first
// are counted.
#pragma once
#include <cstdint>
#include <span>

#include "deskhand/model/decoder.h"

namespace deskhand {

struct PerplexitySettings {
  std::int32_t window = 512;
  std::int32_t bos = -1;          // >= 0: stands in place of each window's first token
  std::int32_t most_windows = 0;  // 0: all whole ones
};

struct Perplexity {
  double mean_nll = 0;  // natural logarithm
  std::int64_t tokens = 0;
  double value() const;  // exp(mean_nll)
};

// Throws Error(kBadInput) if the text has no whole window, Error(kTooLarge) if the buffers do not hold one.
Perplexity perplexity(const Decoder& decoder, const Backend& on, DecoderBuffers& buffers, std::span<const std::int32_t> tokens,
                      const PerplexitySettings& settings = {});

}  // namespace deskhand
