// Whether urgencies are given out as they always were: months against urgencies, and each month against all others.
#include <algorithm>
#include <map>
#include <numeric>

#include "deskhand/audit/audit.h"

namespace deskhand {
namespace {

constexpr std::int64_t kLeast = 20;  // tickets of a month that is looked at by itself
constexpr int kRounds = 2000;
constexpr double kLevel = 0.05;

double p_of(const CountTable& table, std::uint32_t seed, bool& by_permutation) {
  const auto test = chi_square_test(table);
  if (!test) return 1;
  by_permutation = !test->is_sound();
  return by_permutation ? permutation_p(table, kRounds, seed) : test->p;
}

// Holm 1979: the smallest p times the number of tests, the next times one less, and never below one before it.
void correct(std::vector<MonthAudit*>& months) {
  std::stable_sort(months.begin(), months.end(), [](const auto* a, const auto* b) { return a->p < b->p; });
  double floor = 0;
  for (std::size_t i = 0; i < months.size(); ++i)
    floor = months[i]->p = std::min(1.0, std::max(floor, months[i]->p * static_cast<double>(months.size() - i)));
}

}  // namespace

DriftAudit audit_drift(std::span<const Ticket> tickets, const AuditSettings& settings) {
  DriftAudit audit;
  std::map<std::string, std::vector<std::int64_t>> months;
  std::vector<std::int64_t> all(kMaxUrgency);
  for (const Ticket& ticket : tickets) {
    if (ticket.urgency == 0) continue;
    if (ticket.received.size() < 7) {
      ++audit.undated;
      continue;
    }
    auto& counts = months.try_emplace(local_date(ticket.received).substr(0, 7), std::vector<std::int64_t>(kMaxUrgency)).first->second;
    const auto place = static_cast<std::size_t>(ticket.urgency - kMinUrgency);
    ++counts[place], ++all[place];
  }
  CountTable table;
  for (auto& [month, counts] : months) {
    audit.months.push_back(
        {.month = month, .urgencies = counts, .tickets = std::accumulate(counts.begin(), counts.end(), std::int64_t{0})});
    table.push_back(counts);
  }
  audit.test = chi_square_test(table);
  if (!audit.test) {
    audit.missing = months.empty()       ? "no ticket has a date and an urgency"
                    : months.size() == 1 ? "all tickets are of one month"
                                         : "all tickets have the same urgency";
    return audit;
  }
  audit.test->p = p_of(table, settings.seed, audit.by_permutation);
  std::vector<MonthAudit*> looked_at;
  const auto total = std::accumulate(all.begin(), all.end(), std::int64_t{0});
  for (MonthAudit& month : audit.months) {
    std::vector<std::int64_t> others;
    double furthest = -1;
    for (std::size_t u = 0; u < all.size(); ++u) {
      others.push_back(all[u] - month.urgencies[u]);
      const double share = static_cast<double>(month.urgencies[u]) / static_cast<double>(month.tickets);
      const double elsewhere = total > month.tickets ? static_cast<double>(others[u]) / static_cast<double>(total - month.tickets) : 0;
      if (std::abs(share - elsewhere) <= furthest) continue;
      furthest = std::abs(share - elsewhere);
      month.urgency = static_cast<int>(u) + kMinUrgency, month.share = share, month.elsewhere = elsewhere;
    }
    if (month.tickets < kLeast || audit.months.size() < 3) continue;
    bool unused = false;
    month.p = p_of({month.urgencies, others}, settings.seed, unused);
    looked_at.push_back(&month);
  }
  correct(looked_at);
  for (MonthAudit* month : looked_at) month->stands_out = audit.test->p < kLevel && month->p < kLevel;
  return audit;
}

}  // namespace deskhand
