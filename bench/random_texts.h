// What the benches of training learn from: random texts side by side, loss on every token.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "deskhand/train/random.h"

namespace deskhand {

struct Texts {
  std::vector<std::int32_t> tokens, bounds = {0}, rows, targets;
};

inline Texts random_texts(std::span<const std::int64_t> lengths, std::int64_t vocabulary, std::uint64_t seed) {
  Random random(seed);
  Texts texts;
  for (const std::int64_t length : lengths) {
    for (std::int64_t i = 0; i < length; ++i) {
      texts.tokens.push_back(static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(vocabulary))));
      if (i == 0) continue;
      texts.rows.push_back(static_cast<std::int32_t>(texts.tokens.size()) - 2);
      texts.targets.push_back(texts.tokens.back());
    }
    texts.bounds.push_back(static_cast<std::int32_t>(texts.tokens.size()));
  }
  return texts;
}

}  // namespace deskhand
