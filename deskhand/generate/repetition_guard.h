// Keeps a free string from going round in circles. Greedy decoding of small models does: a sentence comes back, then all of them do, until
// the budget ends in the middle. Two rules, on what was written in this string alone: no run of eight tokens twice (as fairseq's
// no_repeat_ngram), and no sentence twice.
#pragma once
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace deskhand {

class RepetitionGuard {
 public:
  static constexpr std::size_t kRun = 8;  // tokens

  // One more token and what it wrote into the string (JSON escapes as they stand).
  void push(std::int32_t token, std::string_view bytes);
  void truncate(std::size_t tokens);
  std::size_t size() const noexcept { return tokens_.size(); }

  // The tokens that would complete a run of eight that is there already.
  std::vector<std::int32_t> banned() const;
  // If the last whole sentence was written before, or `at_end` the unfinished one too: how many tokens stand before it.
  std::optional<std::size_t> repeats_from(bool at_end = false) const;
  // The text ends with . ! or ? (a closing bracket or quote may follow), so a sentence may end here.
  bool at_sentence_end() const;
  // The most tokens that end with a sentence; nothing if no sentence has ended.
  std::optional<std::size_t> last_sentence_end() const;

 private:
  struct Sentence {
    std::size_t begin, end;  // bytes of text_
  };
  void read_sentences();
  std::size_t tokens_within(std::size_t bytes) const;  // tokens that end at or before that byte

  std::vector<std::int32_t> tokens_;
  std::vector<std::size_t> ends_;  // of each token in text_
  std::string text_;
  std::vector<Sentence> sentences_;    // whole ones
  std::size_t open_ = 0;               // where the unfinished one begins
  std::set<std::string> seen_;         // what whole sentences say
  std::optional<std::size_t> repeat_;  // byte where a sentence begins that was written before
};

}  // namespace deskhand
