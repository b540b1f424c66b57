// The next token from a row of logits: the likeliest, or drawn at random. The random number depends on the seed and the step alone, so a
// seed gives the same answer on any number of threads, with drafts or without.
#pragma once
#include <cstdint>
#include <span>

#include "deskhand/generate/token_mask.h"

namespace deskhand {

struct SamplerSettings {
  float temperature = 0;   // 0: always the likeliest
  float top_p = 1;         // the fewest tokens that together have this probability, Holtzman et al., 2019
  std::int32_t top_k = 0;  // 0: all
  std::uint64_t seed = 0;
};

void check(const SamplerSettings& settings);  // Error(kUsage) with the range

// -1 if the mask, without `banned`, leaves nothing. Of equals the smallest id wins. mask null: every token.
// Throws Error(kBadInput) if the row holds a NaN where it is read.
std::int32_t pick_token(std::span<const float> logits, const TokenMask* mask, std::span<const std::int32_t> banned,
                        const SamplerSettings& settings, std::uint64_t step);

// A number in [0, 1) from (seed, step): SplitMix64 (Steele et al., 2014).
double uniform(std::uint64_t seed, std::uint64_t step);

}  // namespace deskhand
