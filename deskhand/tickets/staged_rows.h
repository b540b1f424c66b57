// Rows of an import as they were exported, until all of a ticket is there: temporary tables of the connection, in a file that has no name
// and is gone when the connection closes. Nothing of them becomes part of the database.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/base/sqlite.h"
#include "deskhand/tickets/ticket.h"

namespace deskhand {

class StagedRows {
 public:
  explicit StagedRows(Database& database);  // borrows; empties what an earlier one left
  ~StagedRows();
  StagedRows(const StagedRows&) = delete;
  StagedRows& operator=(const StagedRows&) = delete;

  void put(const Ticket& ticket);                             // replaces the row of the same id; activities are not looked at
  void put(const Activity& activity, std::int64_t sequence);  // sequence: the order among those of one date
  void drop_activities(std::string_view ticket_id);
  Ticket ticket(std::string_view id);                            // one that was put
  std::vector<Activity> activities(std::string_view ticket_id);  // by date, those without one last

 private:
  Database& database_;
  Statement put_ticket_, put_activity_, drop_, ticket_, activities_;
};

}  // namespace deskhand
