// Takes out of a text what is not the problem: markup, quoted mail, signatures, legal notices, greetings. Rules are applied in the order of
// CleanRule; a text that had words keeps some: where the rules would leave nothing, milder ones are used. What is personal in the rest is
// replaced by marks (redact.h), before anything is cut: a signature says who else is named.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "deskhand/tickets/redact.h"

namespace deskhand {

enum class CleanRule {
  kEscapes,      // a literal \n, as double-encoded exports have, becomes a line end
  kHtml,         // tags and entities become text
  kDeskMarks,    // "DESCRIPTION:", "TICKET RECEIVED: ...", "TO: ..." lines
  kQuotedMail,   // "> ...", "From: ... Sent: ...", "On ... wrote:" and the German and French forms
  kSignature,    // "-- ", "Kind regards", "Mit freundlichen Grüßen", "Cordialement" and what follows
  kLegalNotice,  // company registration, confidentiality, "sent from my phone"
  kGreeting,     // at the start: "Hi all,", "Sehr geehrte ...", "I hope this finds you well."
  kRedaction,    // [REDACTED_NAME]
  kSpace,        // runs of white space, invisible and control characters
  kMilder,       // the rules would have left nothing
  kCount
};
inline constexpr std::size_t kCleanRules = static_cast<std::size_t>(CleanRule::kCount);
std::string_view name_of(CleanRule rule);  // "quoted mail"

struct CleanCounts {
  std::int64_t texts = 0;                              // that were not empty
  std::array<std::int64_t, kCleanRules> changed = {};  // texts that the rule changed

  CleanCounts& operator+=(const CleanCounts& other) {
    texts += other.texts;
    for (std::size_t i = 0; i < kCleanRules; ++i) changed[i] += other.changed[i];
    return *this;
  }
};

enum class CleanStyle {
  kFull,  // every rule; lines are kept
  kSeed,  // what the ERP scripts did: desk marks, redactions and white space; one line
};

// What is done to a text before anything learns from it or answers it: the same for a ticket's cases and for a new query.
struct CleanSettings {
  CleanStyle style = CleanStyle::kFull;
  RedactSettings redact;  // nothing, unless told

  CleanSettings(CleanStyle kind = CleanStyle::kFull, RedactSettings what = {}) : style(kind), redact(std::move(what)) {}
};
std::string identity_of(const CleanSettings& settings);  // differs where a text may be cleaned differently

// Holds compiled patterns and counts. One thread at a time.
class Cleaner {
 public:
  explicit Cleaner(CleanSettings settings = {});
  ~Cleaner();
  Cleaner(Cleaner&&) noexcept;
  Cleaner& operator=(Cleaner&&) noexcept;

  std::string clean(std::string_view text);  // by itself, as a new ticket's query

  // The texts of one ticket: a name that a signature shows is replaced in all of them, by the same mark. learn() each, then clean_part()
  // each, the query first: its marks then count as they would in a query by itself.
  void begin_ticket();
  void learn(std::string_view text);
  std::string clean_part(std::string_view text);
  std::string redact(
      std::string_view text);  // markup becomes text, what is personal a mark; nothing is cut. Unchanged where nothing is redacted

  const CleanCounts& counts() const { return counts_; }
  const Redactor* redactor() const { return redactor_ ? &*redactor_ : nullptr; }  // null: nothing is redacted

 private:
  struct Patterns;
  std::string seed(std::string_view text);
  std::string full(std::string_view text);
  std::string plain(std::string_view text) const;

  CleanStyle style_;
  std::optional<Redactor> redactor_;
  std::unique_ptr<Patterns> patterns_;
  CleanCounts counts_;
};

std::string clean_text(std::string_view text);  // Cleaner(kFull), for a single text
std::string seed_clean(std::string_view text);
std::string one_line(std::string_view text);  // every run of white space is one space, none at the ends

}  // namespace deskhand
