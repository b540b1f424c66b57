// A compiled PCRE2 pattern over UTF-8, Unicode-aware, without case, ^ and $ at every line. Bounded: a text on which it would backtrack
// without end counts as not matching.
#pragma once
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct pcre2_real_code_8;

namespace deskhand {

struct Match {
  std::size_t begin, end;
};

class Pattern {
 public:
  explicit Pattern(std::string_view expression);  // a bad one is an assertion: ask pattern_fault of those that are not our own
  std::optional<Match> find(std::string_view text, std::size_t from = 0) const;
  std::optional<Match> match_at(std::string_view text, std::size_t place) const;  // only what begins there
  bool matches(std::string_view text) const { return find(text).has_value(); }
  bool replace_all(std::string& text, std::string_view with) const;  // true if anything was

 private:
  std::optional<Match> search(std::string_view text, std::size_t from, unsigned options) const;
  struct Free {
    void operator()(pcre2_real_code_8* code) const noexcept;
  };
  std::unique_ptr<pcre2_real_code_8, Free> code_;
};

std::string pattern_fault(std::string_view expression);  // why it does not compile; empty: it does

}  // namespace deskhand
