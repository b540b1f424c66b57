#include "deskhand/retrieve/exact_match.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <cmath>

#include "deskhand/base/error.h"
#include "deskhand/retrieve/words.h"

namespace deskhand {
namespace {

struct BuiltIn {
  IdentifierKind kind;
  const char* pattern;
};

// Case does not matter in any of them. Dates, amounts and "mid-2023" have the same shapes and are kept out by the look-aheads.
constexpr BuiltIn kBuiltIn[] = {
    {IdentifierKind::kError,
     R"((?<![-\w])(?!(?:mid|pre|post|early|late|since|from|until|till|end|year|fy|ye|)"
     R"(jan\w*|feb\w*|mar\w*|apr\w*|may|june?|july?|aug\w*|sep\w*|oct\w*|nov\w*|dec\w*)[-\x{2010}-\x{2013}](?:19|20)[0-9]{2}\b))"
     R"([A-Z]{2,8}[-\x{2010}-\x{2013}][0-9]{3,7}\b)"},
    {IdentifierKind::kError, R"(\b0x[0-9A-F]{4,16}\b)"},
    {IdentifierKind::kError, R"(\bKB[0-9]{6,7}\b)"},
    {IdentifierKind::kScreen, R"((?<![-\w.])[A-Z]{2,6}[0-9]{2,5}\b(?!\.[0-9]))"},
    {IdentifierKind::kVersion, R"((?<![\w.,£$€-])(?!(?:19|20)[0-9]{2}\.(?:0[1-9]|1[0-2])\.(?:[0-2][0-9]|3[01])\b))"
                               R"((?:19|20)[0-9]{2}\.[0-9]{1,2}(?:\.[0-9]{1,5})*(?:\s{0,3}SP\s?[0-9]{1,2})?(?!\w|[.,][0-9]))"},
    {IdentifierKind::kVersion,
     R"((?<![\w.,£$€-])(?![0-9]{1,2}\.[0-9]{1,2}\.(?:[0-9]{2}|[0-9]{4})(?![\w.]))(?![0-9]{1,3}(?:\.[0-9]{3})+(?![\w.])))"
     R"((?!(?:19|20)[0-9]{2}\.)v?[0-9]{1,5}(?:\.[0-9]{1,6}){2,4}(?!\w|[.,][0-9]))"},
    {IdentifierKind::kVersion, R"(\b(?:v|ver\.?|version|release)\s?\K[0-9]{1,4}\.[0-9]{1,5}(?!\w|[.,][0-9]))"},
};

constexpr std::uint32_t kMatchLimit = 200000;  // steps of one attempt; a pattern that needs more is a trap

// What two spellings of one identifier have in common: no case, no hyphens, single spaces, no leading v.
std::string key_of(std::string_view match, IdentifierKind kind) {
  const std::string folded = fold_case(match);
  std::string key;
  for (std::size_t i = 0; i < folded.size(); ++i) {
    const char c = folded[i];
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      if (!key.empty() && key.back() != ' ') key += ' ';
    } else if (kind != IdentifierKind::kCustom && c == '-') {
      continue;
    } else if (kind == IdentifierKind::kError && folded.compare(i, 2, "\xE2\x80") == 0) {
      i += 2;  // U+2010..2013, three bytes
    } else {
      key += c;
    }
  }
  if (kind == IdentifierKind::kVersion) {
    if (key.starts_with('v')) key.erase(0, 1);
    if (const std::size_t pack = key.find("sp"); pack != std::string::npos) {  // "2023.2sp 1" is "2023.2 sp1"
      std::string digits = key.substr(pack + 2);
      std::erase(digits, ' ');
      key = key.substr(0, key.find_last_not_of(' ', pack - 1) + 1) + " sp" + digits;
    }
  }
  return key;
}

struct FreeCode {
  void operator()(pcre2_code* code) const noexcept { pcre2_code_free(code); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* data) const noexcept { pcre2_match_data_free(data); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const noexcept { pcre2_match_context_free(context); }
};

}  // namespace

struct IdentifierFinder::Pattern {
  IdentifierKind kind;
  std::unique_ptr<pcre2_code, FreeCode> code;
  std::unique_ptr<pcre2_match_context, FreeContext> context;

  Pattern(IdentifierKind kind, std::string_view text) : kind(kind) {
    int error = 0;
    PCRE2_SIZE place = 0;
    code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                             PCRE2_CASELESS | PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C, &error, &place,
                             nullptr));
    if (!code) {
      char reason[256] = "";
      pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(reason), sizeof reason);
      throw Error(ExitCode::kUsage, "identifier pattern '{}': {} at byte {}; write it as a PCRE2 regular expression", text, reason, place);
    }
    std::uint32_t matches_empty = 0;
    pcre2_pattern_info(code.get(), PCRE2_INFO_MATCHEMPTY, &matches_empty);
    if (matches_empty) throw Error(ExitCode::kUsage, "identifier pattern '{}' matches the empty text; make one part of it necessary", text);
    pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);  // where it fails, the interpreter does the same
    context.reset(pcre2_match_context_create(nullptr));
    if (!context) throw Error(ExitCode::kTooLarge, "out of memory for an identifier pattern");
    pcre2_set_match_limit(context.get(), kMatchLimit);
    pcre2_set_depth_limit(context.get(), kMatchLimit);
  }

  // Calls found(match) for every match in the text.
  template <class Found>
  void each_match(std::string_view text, const Found& found) const {
    const std::unique_ptr<pcre2_match_data, FreeMatch> data(pcre2_match_data_create_from_pattern(code.get(), nullptr));
    if (!data) throw Error(ExitCode::kTooLarge, "out of memory while looking for identifiers");
    for (std::size_t at = 0; at < text.size();) {
      if (pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at, 0, data.get(), context.get()) < 0) return;
      const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data.get());
      if (bounds[1] <= at || bounds[0] >= bounds[1]) return;  // \K in a look-ahead: no progress
      found(text.substr(bounds[0], bounds[1] - bounds[0]));
      at = bounds[1];
    }
  }
};

IdentifierFinder::IdentifierFinder(std::span<const std::string> extra) {
  for (const BuiltIn& known : kBuiltIn) patterns_.emplace_back(known.kind, known.pattern);
  for (const std::string& pattern : extra) patterns_.emplace_back(IdentifierKind::kCustom, pattern);
}
IdentifierFinder::~IdentifierFinder() = default;
IdentifierFinder::IdentifierFinder(IdentifierFinder&&) noexcept = default;
IdentifierFinder& IdentifierFinder::operator=(IdentifierFinder&&) noexcept = default;

std::vector<Identifier> IdentifierFinder::find(std::string_view text) const {
  std::vector<Identifier> found;
  for (const Pattern& pattern : patterns_) {
    pattern.each_match(text, [&](std::string_view match) {
      Identifier identifier{key_of(match, pattern.kind), pattern.kind};
      if (identifier.key.empty()) return;
      if (const std::size_t pack = identifier.key.find(" sp"); pattern.kind == IdentifierKind::kVersion && pack != std::string::npos)
        found.push_back({identifier.key.substr(0, pack), pattern.kind});
      found.push_back(std::move(identifier));
    });
  }
  std::sort(found.begin(), found.end(),
            [](const Identifier& a, const Identifier& b) { return a.key != b.key ? a.key < b.key : a.kind < b.kind; });
  found.erase(std::unique(found.begin(), found.end(), [](const Identifier& a, const Identifier& b) { return a.key == b.key; }),
              found.end());
  return found;
}

void ExactIndex::add(std::span<const Identifier> identifiers) {
  for (const Identifier& identifier : identifiers) {
    auto& items = postings_[identifier.key];
    if (items.empty() || items.back() != count_) items.push_back(static_cast<std::uint32_t>(count_));
  }
  ++count_;
}

ExactMatches ExactIndex::search(std::span<const Identifier> query, const std::function<bool(std::uint32_t)>& may_find) const {
  ExactMatches matches;
  std::unordered_map<std::uint32_t, double> scores;
  for (const Identifier& identifier : query) {
    const auto posting = postings_.find(identifier.key);
    if (posting == postings_.end()) continue;
    const double n = static_cast<double>(posting->second.size());
    const double rarity = std::log(1 + (static_cast<double>(count_) - n + 0.5) / (n + 0.5));
    for (const std::uint32_t item : posting->second) {
      if (may_find && !may_find(item)) continue;
      scores[item] += rarity;
      if (identifier.kind == IdentifierKind::kError || identifier.kind == IdentifierKind::kCustom) matches.shares_error = true;
    }
  }
  matches.cases.reserve(scores.size());
  for (const auto& [item, score] : scores) matches.cases.push_back({item, score});
  std::sort(matches.cases.begin(), matches.cases.end(),
            [](const Scored& a, const Scored& b) { return a.score != b.score ? a.score > b.score : a.item < b.item; });
  return matches;
}

}  // namespace deskhand
