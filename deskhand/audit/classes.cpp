// How many tickets a label has, which categories are one that is written in two ways, and which are too rare to be learnt.
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <map>

#include "deskhand/audit/audit.h"

namespace deskhand {
namespace {

// Categories that are common both, and differ by letters, may be two things.
constexpr double kSlip = 0.2;                        // a slip of the pen has at most this share of the tickets of what was meant
constexpr std::size_t kOneEdit = 5, kTwoEdits = 10;  // letters of the shorter name from which so many edits are a slip

enum class Folding { kCase, kBlanks, kPunctuation };

std::string folded(const std::string& label, Folding folding) {
  icu::UnicodeString text = icu::UnicodeString::fromUTF8(label), out;
  text.foldCase();
  for (std::int32_t at = 0; at < text.length(); at = text.moveIndex32(at, 1)) {
    const UChar32 c = text.char32At(at);
    const bool is_blank = u_isUWhiteSpace(c) || u_charType(c) == U_FORMAT_CHAR;
    const bool is_mark = u_ispunct(c) || is_blank;
    if (c == '&' && folding == Folding::kPunctuation)
      out.append(u"and");
    else if (folding == Folding::kCase || (folding == Folding::kBlanks ? !is_blank : !is_mark))
      out.append(c);
  }
  std::string bytes;
  out.toUTF8String(bytes);
  return bytes;
}

std::vector<UChar32> letters_of(const std::string& label) {
  const auto text = icu::UnicodeString::fromUTF8(folded(label, Folding::kPunctuation));
  std::vector<UChar32> letters;
  for (std::int32_t at = 0; at < text.length(); at = text.moveIndex32(at, 1)) letters.push_back(text.char32At(at));
  return letters;
}

// Insertions, deletions, substitutions and swaps of neighbours; characters, not bytes.
std::size_t edits(const std::vector<UChar32>& a, const std::vector<UChar32>& b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i)
    for (std::size_t j = 1; j <= b.size(); ++j) {
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  return d[a.size()][b.size()];
}

std::vector<UChar32> digits_of(const std::vector<UChar32>& letters) {
  std::vector<UChar32> digits;
  for (const UChar32 c : letters)
    if (u_isdigit(c)) digits.push_back(c);
  return digits;
}

// How two labels differ, if they are one: "" if they are not.
std::string difference(const std::string& a, const std::string& b) {
  if (folded(a, Folding::kCase) == folded(b, Folding::kCase)) return "case";
  if (folded(a, Folding::kBlanks) == folded(b, Folding::kBlanks)) return "blanks";
  if (folded(a, Folding::kPunctuation) == folded(b, Folding::kPunctuation)) return "punctuation";
  const auto of_a = letters_of(a), of_b = letters_of(b);
  if (digits_of(of_a) != digits_of(of_b)) return "";  // "Level 1" and "Level 2"
  const std::size_t shorter = std::min(of_a.size(), of_b.size()), longer = std::max(of_a.size(), of_b.size());
  const std::size_t allowed = shorter >= kTwoEdits ? 2 : shorter >= kOneEdit ? 1 : 0;
  return longer - shorter <= allowed && edits(of_a, of_b) <= allowed ? "spelling" : "";
}

}  // namespace

std::string_view name_of(LabelField field) {
  return field == LabelField::kCategory ? "category" : "urgency";
}

std::string label_of(const Ticket& ticket, LabelField field) {
  if (field == LabelField::kCategory) return ticket.category;
  return ticket.urgency == 0 ? "" : std::to_string(ticket.urgency);
}

ClassAudit audit_classes(std::span<const Ticket> tickets, LabelField field, const AuditSettings& settings) {
  ClassAudit audit{.field = field};
  std::map<std::string, std::int64_t> counts;
  for (const Ticket& ticket : tickets) {
    const std::string label = label_of(ticket, field);
    label.empty() ? ++audit.missing : ++counts[label];
  }
  for (const auto& [label, count] : counts) audit.classes.push_back({label, count});
  const auto shouts = [](const std::string& label) {
    return std::none_of(label.begin(), label.end(), [](char c) { return c >= 'a' && c <= 'z'; });
  };
  std::stable_sort(audit.classes.begin(), audit.classes.end(), [&](const auto& a, const auto& b) {
    return a.tickets != b.tickets ? a.tickets > b.tickets : shouts(a.label) < shouts(b.label);  // of equals, "Printing" before "PRINTING"
  });
  std::map<std::string, std::int64_t> after = counts;
  if (field == LabelField::kCategory) {
    std::set<std::string> merged;
    for (std::size_t keep = 0; keep < audit.classes.size(); ++keep) {
      if (merged.contains(audit.classes[keep].label)) continue;
      for (std::size_t merge = keep + 1; merge < audit.classes.size(); ++merge) {
        const ClassCount &a = audit.classes[keep], &b = audit.classes[merge];
        if (merged.contains(b.label)) continue;
        const std::string differ = difference(a.label, b.label);
        if (differ.empty()) continue;
        const bool is_slip = static_cast<double>(b.tickets) <= kSlip * static_cast<double>(a.tickets);
        audit.similar.push_back({.keep = a, .merge = b, .differ = differ, .is_certain = differ != "spelling" || is_slip});
        if (!audit.similar.back().is_certain) continue;
        merged.insert(b.label);
        after[a.label] += b.tickets;
        after.erase(b.label);
      }
    }
  }
  for (const ClassCount& one : audit.classes)
    if (const auto found = after.find(one.label); found != after.end() && found->second < settings.rare)
      audit.rare.push_back({one.label, found->second});
  return audit;
}

}  // namespace deskhand
