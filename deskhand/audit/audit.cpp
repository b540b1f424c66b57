#include "deskhand/audit/audit.h"

#include <algorithm>
#include <map>

#include "deskhand/audit/language.h"
#include "deskhand/base/interrupt.h"
#include "deskhand/classify/tf_idf.h"

namespace deskhand {
namespace {

constexpr std::size_t kShort = 4, kShortBytes = 40;  // fewer words and bytes: a problem says too little. Some scripts write without blanks

}  // namespace

std::string_view name_of(Severity severity) {
  return severity == Severity::kMend ? "mend" : severity == Severity::kLook ? "look" : "note";
}

std::vector<LanguageCount> audit_languages(std::span<const Ticket> tickets, ThreadPool& pool) {
  std::vector<std::string> found(tickets.size());
  pool.parallel_for(std::ssize(tickets), 64, [&](std::int64_t begin, std::int64_t end, int) {
    check_interrupt();
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i)
      if (!problem_text(tickets[i]).empty()) found[i] = language_of(problem_text(tickets[i]));
  });
  std::map<std::string, std::int64_t> counts;
  for (const std::string& code : found)
    if (!code.empty()) ++counts[code];
  std::vector<LanguageCount> languages;
  for (const auto& [code, count] : counts) languages.push_back({code, count});
  std::stable_sort(languages.begin(), languages.end(), [](const auto& a, const auto& b) { return a.tickets > b.tickets; });
  return languages;
}

Audit audit_desk(std::span<const Ticket> tickets, const PrepareSettings& import, const AuditSettings& settings, ThreadPool& pool) {
  Audit audit{.tickets = std::ssize(tickets)};
  for (const Ticket& ticket : tickets) {
    const std::string& problem = problem_text(ticket);
    audit.without_problem += problem.empty();
    audit.short_problems += !problem.empty() && problem.size() < kShortBytes && tf_idf_words(problem).size() < kShort;
  }
  for (const LabelField field : kLabelFields) audit.classes.push_back(audit_classes(tickets, field, settings));
  audit.columns = audit_columns(import, audit.warnings, settings.quiet);
  audit.copies = audit_copies(tickets, settings, pool);
  audit.drift = audit_drift(tickets, settings);
  audit.languages = audit_languages(tickets, pool);
  for (const LabelField field : kLabelFields) audit.predictions.push_back(audit_prediction(tickets, field, settings, pool));
  find(audit, import, settings);
  return audit;
}

}  // namespace deskhand
