#include "deskhand/generate/repetition_guard.h"

#include <algorithm>

namespace deskhand {
namespace {

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || static_cast<unsigned char>(c) >= 0x80;
}
bool ends_sentence(char c) {
  return c == '.' || c == '!' || c == '?';
}
bool closes(char c) {
  return c == ')' || c == ']' || c == '\'' || c == '"' || c == '\\';  // a quote stands escaped
}

bool is_whole(std::string_view text) {
  while (!text.empty() && closes(text.back())) text.remove_suffix(1);
  return !text.empty() && ends_sentence(text.back());
}

// Small letters, single spaces, no signs at either end: what makes two sentences the same. Empty for fewer than two words: "1.", "OK.".
std::string essence(std::string_view sentence) {
  std::string out;
  int words = 0;
  bool in_word = false;
  for (const char c : sentence) {
    const bool part = is_letter(c) || (c >= '0' && c <= '9');
    if (part && !in_word) {
      if (!out.empty()) out += ' ';
      words += is_letter(c);
    }
    if (part) out += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    in_word = part;
  }
  return words < 2 ? std::string() : out;
}

}  // namespace

void RepetitionGuard::push(std::int32_t token, std::string_view bytes) {
  tokens_.push_back(token);
  text_ += bytes;
  ends_.push_back(text_.size());
  read_sentences();
}

void RepetitionGuard::truncate(std::size_t tokens) {
  if (tokens >= tokens_.size()) return;
  tokens_.resize(tokens);
  ends_.resize(tokens);
  text_.resize(tokens == 0 ? 0 : ends_.back());
  sentences_.clear();
  seen_.clear();
  open_ = 0;
  repeat_.reset();
  read_sentences();
}

// A sentence ends at . ! or ? before a space, or at a line break, which JSON writes as \n.
void RepetitionGuard::read_sentences() {
  for (std::size_t i = open_; i < text_.size(); ++i) {
    std::size_t next = 0;
    if (text_[i] == '\\') {
      if (i + 1 == text_.size()) return;
      if (text_[i + 1] == 'n')
        next = i + 2;
      else
        ++i;
    } else if (text_[i] == ' ' && i > open_) {
      if (is_whole(std::string_view(text_).substr(open_, i - open_))) next = i + 1;
    }
    if (next == 0) continue;
    const std::string text = essence(std::string_view(text_).substr(open_, i - open_));
    if (!text.empty() && !seen_.insert(text).second && !repeat_) repeat_ = open_;
    if (i > open_) sentences_.push_back({open_, i});
    open_ = next;
    i = next - 1;
  }
}

std::vector<std::int32_t> RepetitionGuard::banned() const {
  std::vector<std::int32_t> out;
  constexpr auto kBefore = static_cast<std::ptrdiff_t>(kRun) - 1;
  if (tokens_.size() < kRun) return out;
  const auto tail = tokens_.end() - kBefore;
  for (auto at = tokens_.begin(); at + kBefore < tokens_.end(); ++at)
    if (std::equal(tail, tokens_.end(), at)) out.push_back(at[kBefore]);
  return out;
}

std::size_t RepetitionGuard::tokens_within(std::size_t bytes) const {
  return static_cast<std::size_t>(std::upper_bound(ends_.begin(), ends_.end(), bytes) - ends_.begin());
}

std::optional<std::size_t> RepetitionGuard::repeats_from(bool at_end) const {
  std::optional<std::size_t> begin = repeat_;
  if (!begin && at_end) {
    const std::string text = essence(std::string_view(text_).substr(open_));
    if (!text.empty() && seen_.count(text) > 0) begin = open_;
  }
  if (!begin) return std::nullopt;
  // Up to the end of the sentence before; the space behind it is left out where a token ends between the two.
  const auto before = std::find_if(sentences_.rbegin(), sentences_.rend(), [&](const Sentence& one) { return one.end <= *begin; });
  if (before != sentences_.rend()) {
    const std::size_t tokens = tokens_within(before->end);
    if (tokens > 0 && ends_[tokens - 1] == before->end) return tokens;
  }
  return tokens_within(*begin);
}

bool RepetitionGuard::at_sentence_end() const {
  return is_whole(text_);
}

std::optional<std::size_t> RepetitionGuard::last_sentence_end() const {
  if (at_sentence_end()) return tokens_.size();
  for (auto sentence = sentences_.rbegin(); sentence != sentences_.rend(); ++sentence) {
    const std::size_t tokens = tokens_within(sentence->end);
    if (tokens > 0 && ends_[tokens - 1] == sentence->end && is_whole(std::string_view(text_).substr(0, sentence->end))) return tokens;
  }
  return std::nullopt;
}

}  // namespace deskhand
