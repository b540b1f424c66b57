// From a ticket and its activities to what the customer asked and how it was resolved.
#pragma once
#include <vector>

#include "deskhand/tickets/clean.h"
#include "deskhand/tickets/mapping.h"
#include "deskhand/tickets/ticket.h"

namespace deskhand {

inline constexpr const char* kActivitySeparator = " || ";

// By date, those without one last, otherwise in the order they had.
void sort_history(std::vector<Activity>& activities);

struct JoinedHistory {
  bool query_from_history = false, resolution_from_history = false;
  int empty_activities = 0;
};
// Expects sorted activities, and a cleaner that has begun the ticket. Fills `query` with the first activity that has text and `resolution`
// with the others, each cleaned and on one line; falls back to `problem` and `solution`. The query never holds anything but the first
// activity: later ones were written after it, and one dated after the ticket's completion is no query.
JoinedHistory join_history(Ticket& ticket, const ColumnMapping& mapping, Cleaner& cleaner);

}  // namespace deskhand
