// Tickets that stand in the desk twice, problems that come again, and problems that came again under another label.
#include <algorithm>
#include <map>
#include <unordered_map>

#include "deskhand/audit/audit.h"
#include "deskhand/base/sha256.h"
#include "deskhand/tickets/clean.h"
#include "deskhand/tickets/near_copies.h"

namespace deskhand {
namespace {

constexpr std::int64_t kAgree = 3;  // tickets that must have a label before the others are called wrong

// What a monitor sends every night is no copy: its day differs.
std::string key_of(const Ticket& ticket) {
  Sha256 hash;
  for (const std::string& text : {one_line(problem_text(ticket)), one_line(resolution_text(ticket)), ticket.category,
                                  std::to_string(ticket.urgency), ticket.account_id, ticket.received.substr(0, 10)})
    hash.update(text + '\0');
  return hash.finish();
}

std::map<std::int64_t, std::vector<std::size_t>> groups_of(std::span<const Ticket> tickets, double threshold, ThreadPool& pool) {
  std::vector<std::string_view> texts;
  for (const Ticket& ticket : tickets) texts.push_back(problem_text(ticket));
  const auto numbers = near_copy_groups(texts, pool, {.threshold = threshold});
  std::map<std::int64_t, std::vector<std::size_t>> members;
  for (std::size_t i = 0; i < numbers.size(); ++i) members[numbers[i]].push_back(i);
  std::erase_if(members, [](const auto& group) { return group.second.size() < 2; });
  return members;
}

std::optional<Conflict> conflict_of(std::span<const Ticket> tickets, const std::vector<std::size_t>& group, LabelField field) {
  Conflict conflict{.field = field, .problem = problem_text(tickets[group.front()])};
  std::map<std::string, std::int64_t> counts;
  for (const std::size_t i : group) {
    const std::string label = label_of(tickets[i], field);
    if (label.empty()) continue;
    ++counts[label];
    conflict.tickets.emplace_back(tickets[i].id, label);
  }
  if (counts.size() < 2) return std::nullopt;
  const auto most = std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most->second >= kAgree && most->second * 3 >= std::ssize(conflict.tickets) * 2) conflict.majority = most->first;
  return conflict;
}

}  // namespace

CopyAudit audit_copies(std::span<const Ticket> tickets, const AuditSettings& settings, ThreadPool& pool) {
  CopyAudit audit;
  std::unordered_map<std::string, std::size_t> first_of;
  std::map<std::size_t, Copies> copies;
  for (std::size_t i = 0; i < tickets.size(); ++i) {
    const auto [at, is_new] = first_of.try_emplace(key_of(tickets[i]), i);
    if (is_new) continue;
    Copies& own = copies[at->second];
    if (own.ids.empty()) own.ids.push_back(tickets[at->second].id);
    own.ids.push_back(tickets[i].id);
  }
  for (auto& [first, own] : copies) audit.duplicates.push_back(std::move(own));
  std::stable_sort(audit.duplicates.begin(), audit.duplicates.end(),
                   [](const Copies& a, const Copies& b) { return a.ids.size() > b.ids.size(); });

  for (const auto& [number, group] : groups_of(tickets, NearCopySettings{}.threshold, pool)) {
    ++audit.groups;
    audit.repeats += std::ssize(group);
    if (std::ssize(group) <= audit.largest) continue;
    audit.largest = std::ssize(group);
    audit.largest_problem = problem_text(tickets[group.front()]);
  }
  for (const auto& [number, group] : groups_of(tickets, settings.near_identical, pool)) {
    for (const std::size_t i : group) audit.compared += !tickets[i].category.empty();
    for (const LabelField field : kLabelFields)
      if (auto conflict = conflict_of(tickets, group, field)) audit.conflicts.push_back(std::move(*conflict));
  }
  std::stable_sort(audit.conflicts.begin(), audit.conflicts.end(),
                   [](const Conflict& a, const Conflict& b) { return a.tickets.size() > b.tickets.size(); });
  return audit;
}

}  // namespace deskhand
