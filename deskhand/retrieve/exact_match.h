// Error codes, screen names and versions: what two tickets about the same fault share letter by letter, and what an encoder blurs
// (CVN-1042 and CVN-1043 lie side by side). Found by patterns, compared folded and without hyphens, weighed by rarity.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "deskhand/retrieve/vector_index.h"

namespace deskhand {

enum class IdentifierKind : std::uint8_t {
  kError,    // CVN-1042, ORA-00942, 0x80070005, KB5034441
  kCustom,   // found by one of the desk's own patterns
  kScreen,   // SOP310
  kVersion,  // 2023.2 SP1, 115.6.0
};

struct Identifier {
  std::string key;  // folded: "cvn1042", "2023.2 sp1"
  IdentifierKind kind = IdentifierKind::kError;
  friend bool operator==(const Identifier&, const Identifier&) = default;
};

class IdentifierFinder {
 public:
  // extra: the desk's own regular expressions (PCRE2, case does not matter, the whole match counts). Throws Error(kUsage) with the place
  // where one is wrong, or if it matches the empty text.
  explicit IdentifierFinder(std::span<const std::string> extra = {});
  ~IdentifierFinder();
  IdentifierFinder(IdentifierFinder&&) noexcept;
  IdentifierFinder& operator=(IdentifierFinder&&) noexcept;

  // The distinct identifiers of a text, sorted by key. A version with a service pack counts as itself and as the version without it. Any
  // bytes will do; a pattern that backtracks beyond its limit gives up on the rest of this text. Safe from several threads.
  std::vector<Identifier> find(std::string_view text) const;

 private:
  struct Pattern;
  std::vector<Pattern> patterns_;
};

struct ExactMatches {
  std::vector<Scored> cases;  // best first, ties by item; score: sum of ln(1 + (N - n + .5) / (n + .5)) over shared identifiers, above 0
  bool shares_error = false;  // one of them shares an error code or a custom identifier, not merely a screen or a version
};

class ExactIndex {
 public:
  // Items are numbered from 0 in the order they are added.
  void add(std::span<const Identifier> identifiers);
  std::int64_t size() const noexcept { return count_; }
  // may_find: false for items that are left out; empty: all may.
  ExactMatches search(std::span<const Identifier> query, const std::function<bool(std::uint32_t)>& may_find = {}) const;

 private:
  std::int64_t count_ = 0;
  std::unordered_map<std::string, std::vector<std::uint32_t>> postings_;
};

}  // namespace deskhand
