// Replaces what names a person or opens a door by typed marks: "Anna Schmidt" and "Frau Schmidt" of one ticket are both [NAME_1], in every
// one of its texts. Numbers that carry a check digit are believed only if it is right. Rules and lists, no model: docs/privacy.md has what
// they find and what they miss.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace deskhand {

enum class PersonalKind {
  kEmail,
  kPhone,
  kIban,
  kCard,
  kIp,  // v4 and v6; loopback, masks and multicast name nobody and stay
  kMac,
  kCredential,  // user:password@ and keys in URLs, Password=... of connection strings
  kVat,         // of the EU and the United Kingdom
  kNationalId,  // national insurance: UK, DE, FR; with a word that says so AT, NL; also BE, IT, ES identity numbers
  kAddress,
  kName,
  kCustom,  // the desk's own patterns
  kCount
};
inline constexpr std::size_t kPersonalKinds = static_cast<std::size_t>(PersonalKind::kCount);
std::string_view name_of(PersonalKind kind);     // "email"
std::string_view mark_of(PersonalKind kind);     // "EMAIL"
std::vector<std::string> personal_kind_names();  // all but custom

struct RedactSettings {
  std::array<bool, kPersonalKinds> kinds = {};                // none: nothing is redacted
  std::vector<std::string> names;                             // people, "Anna Schmidt"
  std::vector<std::string> keep;                              // words that are no names here
  std::vector<std::pair<std::string, std::string>> patterns;  // mark, expression: {"CUSTOMER", "\\bC-\\d{6}\\b"}

  static RedactSettings all();  // every kind
  bool any() const;
};

struct RedactCounts {
  std::int64_t texts = 0;                                // that something was replaced in
  std::array<std::int64_t, kPersonalKinds> places = {};  // replaced

  RedactCounts& operator+=(const RedactCounts& other) {
    texts += other.texts;
    for (std::size_t i = 0; i < kPersonalKinds; ++i) places[i] += other.places[i];
    return *this;
  }
};

struct PersonalPlace {
  std::size_t begin, end;
  PersonalKind kind;
  std::string key;          // what makes two places the same: digits alone, small letters
  std::size_t pattern = 0;  // of kCustom
};

// Holds what one ticket has shown. One thread at a time; what is compiled is shared between copies.
class Redactor {
 public:
  // Throws Error(kUsage) for a pattern that is no expression, or a mark that is not of capital letters and '_'.
  explicit Redactor(RedactSettings settings);
  ~Redactor();
  Redactor(Redactor&&) noexcept;
  Redactor& operator=(Redactor&&) noexcept;

  void begin_ticket();                // marks count from 1, names are forgotten
  void learn(std::string_view text);  // names in a text of this ticket: found in its other texts too. Marks that stand in it stay unused
  std::string redact(std::string_view text);
  const std::vector<PersonalPlace>& find(std::string_view text);  // in order, apart; as redact() would replace. Until the next call

  // Mark without brackets and the texts it replaced in this ticket, the first first.
  const std::map<std::string, std::vector<std::string>>& marks() const { return marks_; }
  const RedactCounts& counts() const { return counts_; }

 private:
  struct Rules;
  struct Known;
  std::vector<PersonalPlace> search(std::string_view text) const;
  std::string mark_for(const PersonalPlace& place, std::string_view value);
  void know(const std::string& word);

  std::shared_ptr<const Rules> rules_;
  std::unique_ptr<Known> known_;
  std::map<std::string, std::vector<std::string>> marks_;
  RedactCounts counts_;
};

}  // namespace deskhand
