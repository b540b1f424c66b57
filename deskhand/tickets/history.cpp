#include "deskhand/tickets/history.h"

#include <algorithm>

namespace deskhand {

void sort_history(std::vector<Activity>& activities) {
  std::stable_sort(activities.begin(), activities.end(), [](const Activity& a, const Activity& b) {
    if (a.created.empty() != b.created.empty()) return b.created.empty();
    return moment_of(a.created) < moment_of(b.created);
  });
}

JoinedHistory join_history(Ticket& ticket, const ColumnMapping& mapping, Cleaner& cleaner) {
  JoinedHistory joined;
  ticket.query.clear();
  ticket.resolution.clear();
  bool first = true;
  for (const auto& activity : ticket.activities) {
    const auto& ignored = mapping.ignored_activity_types;
    if (std::find(ignored.begin(), ignored.end(), activity.type) != ignored.end()) continue;
    const auto text = cleaner.clean_part(activity.text);
    if (text.empty()) {
      ++joined.empty_activities;
      continue;
    }
    const bool is_query = first && mapping.first_activity_is_query && (mapping.query_type.empty() || activity.type == mapping.query_type) &&
                          !is_after(activity.created, ticket.completed);
    first = false;
    if (is_query) {
      ticket.query = text;
      joined.query_from_history = true;
      continue;
    }
    if (!ticket.resolution.empty()) ticket.resolution += kActivitySeparator;
    ticket.resolution += one_line(text);
    joined.resolution_from_history = true;
  }
  if (ticket.query.empty()) ticket.query = ticket.problem;
  if (ticket.resolution.empty()) ticket.resolution = ticket.solution;
  return joined;
}

}  // namespace deskhand
