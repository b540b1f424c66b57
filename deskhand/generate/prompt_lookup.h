// Drafts from the text itself (Saxena, 2023, "Prompt lookup decoding"): where the last tokens stood before, what followed them then is
// proposed as what comes now. Answers quote past resolutions, so it is often right. A draft is only a guess: the model verifies it in one
// pass.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace deskhand {

struct DraftSettings {
  std::int32_t most = 8;         // tokens of a draft; 0: no drafts
  std::int32_t least_match = 3;  // tokens that must have stood before
};

class PromptLookup {
 public:
  PromptLookup(std::span<const std::int32_t> prompt, DraftSettings settings) : text_(prompt.begin(), prompt.end()), settings_(settings) {}

  void push(std::int32_t token) { text_.push_back(token); }
  void pop(std::size_t tokens) { text_.resize(text_.size() - tokens); }
  // What followed the longest match of the last tokens; of equally long ones the latest. Drafts grow while they come true and shrink
  // when they do not.
  std::vector<std::int32_t> draft() const;
  void judge(std::size_t proposed, std::size_t accepted);

 private:
  std::vector<std::int32_t> text_;  // prompt and answer
  DraftSettings settings_;
  std::int32_t length_ = 4;
};

}  // namespace deskhand
