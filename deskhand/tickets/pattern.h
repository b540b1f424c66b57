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
  explicit Pattern(std::string_view expression);  // our own expressions: a bad one is an assertion
  std::optional<Match> find(std::string_view text, std::size_t from = 0) const;
  bool matches(std::string_view text) const { return find(text).has_value(); }
  bool replace_all(std::string& text, std::string_view with) const;  // true if anything was

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const noexcept;
  };
  std::unique_ptr<pcre2_real_code_8, Free> code_;
};

}  // namespace deskhand
