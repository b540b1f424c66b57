// Cuts a text into the words inside which BPE merges: a sequence of regular expressions, each applied to the pieces of the one before.
// The expressions are those that models publish (Oniguruma's dialect), run by PCRE2's JIT; what does not match is a piece of its own.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace deskhand {

class PreTokenizer {
 public:
  struct Step {
    std::string pattern;        // "": no cut
    bool drop_matches = false;  // what matches is a separator and is lost
    bool drop_gaps = false;     // what does not match is lost
    bool prefix_space = false;  // before the cut, a piece that does not begin with a space gets one
  };

  // Throws Error(kBadInput, "{where}: ...") for an expression that PCRE2 refuses.
  PreTokenizer(const std::vector<Step>& steps, std::string_view where);
  ~PreTokenizer();
  PreTokenizer(PreTokenizer&&) noexcept;

  // `words` get views into `text`, or into `spare` where a space was put before. Throws Error(kBadInput) if an expression needs more than
  // its allowance of steps on this text.
  void cut(std::string_view text, std::vector<std::string_view>& words, std::vector<std::unique_ptr<std::string>>& spare) const;

 private:
  struct Pattern;
  std::vector<Pattern> patterns_;
};

// The expressions of the families, as their tokenizer.json spell them.
namespace patterns {
extern const char* const kGpt2;
extern const char* const kLlama3;
extern const char* const kQwen2;
extern const char* const kTekken;
extern const char* const kDigit;
extern const char* const kDigits;
}  // namespace patterns

}  // namespace deskhand
