#include "deskhand/text/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "deskhand/base/error.h"

namespace deskhand {
namespace patterns {

const char* const kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
const char* const kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const char* const kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const char* const kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const char* const kDigit = R"(\p{N})";
const char* const kDigits = R"(\p{N}+)";

}  // namespace patterns

namespace {

constexpr uint32_t kMatchLimit = 20'000'000;  // steps of one match; the families' patterns need a few hundred a kilobyte

// Oniguruma's \s is Unicode's White_Space; PCRE2's has the Mongolian vowel separator on top, so the class is written out.
std::string translate(std::string_view pattern) {
  constexpr std::string_view kSpaces = R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
  std::string out;
  bool in_class = false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char escape = pattern[++i];
      if (escape == 's')
        out.append(in_class ? "" : "[").append(kSpaces).append(in_class ? "" : "]");
      else if (escape == 'S' && !in_class)
        out.append("[^").append(kSpaces).append("]");
      else
        out.append({'\\', escape});
    } else {
      if (c == '[') in_class = true;
      if (c == ']') in_class = false;
      out += c;
    }
  }
  return out;
}

struct FreeCode {
  void operator()(pcre2_code* code) const noexcept { pcre2_code_free(code); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const noexcept { pcre2_match_context_free(context); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* data) const noexcept { pcre2_match_data_free(data); }
};

}  // namespace

struct PreTokenizer::Pattern {
  Step step;
  std::unique_ptr<pcre2_code, FreeCode> code;
  std::unique_ptr<pcre2_match_context, FreeContext> limits;  // not changed after construction: shared by threads
  bool jit = false;
};

PreTokenizer::PreTokenizer(const std::vector<Step>& steps, std::string_view where) {
  for (const Step& step : steps) {
    Pattern pattern{step, nullptr, nullptr};
    if (!step.pattern.empty()) {
      const std::string text = translate(step.pattern);
      int error = 0;
      PCRE2_SIZE offset = 0;
      pattern.code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                       PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr));
      if (!pattern.code) {
        PCRE2_UCHAR reason[256] = {};
        pcre2_get_error_message(error, reason, sizeof reason);
        throw Error(ExitCode::kBadInput, "{}: the pre-tokenizer's expression {} cannot be used: {}", where, step.pattern,
                    reinterpret_cast<const char*>(reason));
      }
      pattern.limits.reset(pcre2_match_context_create(nullptr));
      pcre2_set_match_limit(pattern.limits.get(), kMatchLimit);
      pattern.jit = pcre2_jit_compile(pattern.code.get(), PCRE2_JIT_COMPLETE) == 0;  // where a system forbids it, the interpreter does
    }
    patterns_.push_back(std::move(pattern));
  }
}

PreTokenizer::~PreTokenizer() = default;
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;

void PreTokenizer::cut(std::string_view text, std::vector<std::string_view>& words,
                       std::vector<std::unique_ptr<std::string>>& spare) const {
  words.assign(1, text);
  std::vector<std::string_view> pieces;
  for (const Pattern& pattern : patterns_) {
    if (pattern.step.prefix_space) {
      for (std::string_view& word : words) {
        if (word.starts_with(' ')) continue;
        spare.push_back(std::make_unique<std::string>(" " + std::string(word)));
        word = *spare.back();
      }
    }
    if (!pattern.code) continue;
    std::swap(pieces, words);
    words.clear();
    const std::unique_ptr<pcre2_match_data, FreeMatch> match(pcre2_match_data_create(1, nullptr));
    const PCRE2_SIZE* span = pcre2_get_ovector_pointer(match.get());
    const auto run = pattern.jit ? &pcre2_jit_match : &pcre2_match;
    for (const std::string_view piece : pieces) {
      std::size_t at = 0, done = 0;  // everything before `done` is in words
      while (at < piece.size()) {
        int found = run(pattern.code.get(), reinterpret_cast<PCRE2_SPTR>(piece.data()), piece.size(), at, PCRE2_NO_UTF_CHECK, match.get(),
                        pattern.limits.get());
        if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
          found = pcre2_match(pattern.code.get(), reinterpret_cast<PCRE2_SPTR>(piece.data()), piece.size(), at,
                              PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, match.get(), pattern.limits.get());
        }
        if (found == PCRE2_ERROR_NOMATCH) break;
        if (found < 0) {
          throw Error(ExitCode::kBadInput, "the pre-tokenizer's expression {} takes too long on a text of {} bytes (PCRE2 error {})",
                      pattern.step.pattern, piece.size(), found);
        }
        const std::size_t begin = span[0], end = span[1];
        if (begin == end) {  // an empty match cuts nothing
          do ++at;
          while (at < piece.size() && (static_cast<unsigned char>(piece[at]) & 0xC0) == 0x80);
          continue;
        }
        if (begin > done && !pattern.step.drop_gaps) words.push_back(piece.substr(done, begin - done));
        if (!pattern.step.drop_matches) words.push_back(piece.substr(begin, end - begin));
        at = done = end;
      }
      if (done < piece.size() && !pattern.step.drop_gaps) words.push_back(piece.substr(done));
    }
  }
}

}  // namespace deskhand
