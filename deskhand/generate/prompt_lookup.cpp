#include "deskhand/generate/prompt_lookup.h"

#include <algorithm>

namespace deskhand {

std::vector<std::int32_t> PromptLookup::draft() const {
  constexpr std::ptrdiff_t kLongestMatch = 16;
  const auto size = static_cast<std::ptrdiff_t>(text_.size());
  std::ptrdiff_t best = settings_.least_match - 1, found = -1;
  for (std::ptrdiff_t end = size - 1; end > 0 && best < kLongestMatch; --end) {  // text_[..end) is compared with the whole text's end
    std::ptrdiff_t match = 0;
    while (match < kLongestMatch && match < end &&
           text_[static_cast<std::size_t>(end - 1 - match)] == text_[static_cast<std::size_t>(size - 1 - match)])
      ++match;
    if (match > best) {
      best = match;
      found = end;
    }
  }
  if (found < 0) return {};
  const std::ptrdiff_t count = std::min<std::ptrdiff_t>(std::min(length_, settings_.most), size - found);
  return {text_.begin() + found, text_.begin() + found + count};
}

void PromptLookup::judge(std::size_t proposed, std::size_t accepted) {
  if (proposed == 0) return;
  if (accepted == proposed)
    length_ = std::min(2 * length_, std::max(1, settings_.most));
  else if (2 * accepted < proposed)
    length_ = std::max(2, length_ / 2);
}

}  // namespace deskhand
