// One text to learn from, as tokens.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace deskhand {

struct Example {
  std::vector<std::int32_t> ids;  // beginning-of-text token (where the model has one), prompt, answer, end of turn
  std::int32_t answer_begin = 0;  // ids[answer_begin ..] are the answer; 0 for a text that is no prompt and answer
  bool answer_only = true;        // loss on the answer alone; false: on every token but the first, which nothing predicts
  std::vector<float> weights;     // how much each token of the answer counts; empty: 1 each

  std::int32_t size() const { return static_cast<std::int32_t>(ids.size()); }
  // ids[loss_begin() ..] are to be predicted.
  std::int32_t loss_begin() const { return answer_only && answer_begin > 1 ? answer_begin : 1; }
  float weight(std::int32_t token) const {
    return weights.empty() || token < answer_begin ? 1 : weights[static_cast<std::size_t>(token - answer_begin)];
  }
};

// SHA-256 over all examples in their order: tokens, where answers begin, what the loss is on, weights. A run's "data".
std::string hash_of(std::span<const Example> examples);

}  // namespace deskhand
