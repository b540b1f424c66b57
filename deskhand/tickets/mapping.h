// Which column of an export is which field of a ticket. The structs are plain: the desk's settings file is read elsewhere and fills them.
// Columns that are written at closing (a closing template, later comments, a resolution code) belong to the resolution or nowhere: a
// mapping has no field by which they could reach a ticket's problem or query.
#pragma once
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "deskhand/tickets/date.h"
#include "deskhand/tickets/table.h"
#include "deskhand/tickets/ticket.h"

namespace deskhand {

// Column names as the header has them, compared without case and outer space. Empty: the export has no such column.
struct TicketColumns {
  std::string id;  // empty: file stem and row number, "export:17"; of several sheets "export:March:17" from the second on
  std::string subject, problem, urgency, category, area, issue, solution, result, account_id, account, received, completed;
};
struct HistoryColumns {
  std::string ticket_id, id, user, short_text, created, text, type_code, type;
};

struct ColumnMapping {
  std::string name;  // of the preset, for messages
  TicketColumns tickets;
  HistoryColumns history;                     // columns of the history file, or keys of the objects in `activities`
  std::string activities;                     // the column that holds the history as a JSON array; empty: the history is a file of its own
  std::map<std::string, int> urgency_labels;  // in lower case, "blocker" = 1; empty: the cells hold 1..5
  std::map<std::string, std::string> category_labels;  // in lower case, the name to use; empty: categories are taken as they are
  // What an audit of the desk proposes, or a person decides. Keys as category_labels', but categories that are not named stay as they are.
  std::map<std::string, std::string> merged_categories;         // in lower case, the category it becomes
  std::map<std::string, std::string> category_of;               // by ticket id: labels put right
  std::map<std::string, int> urgency_of;                        // as category_of
  std::set<std::string> excluded_categories, excluded_tickets;  // after merging, in lower case; ids
  DateOrder date_order = DateOrder::kDayFirst;
  bool first_activity_is_query = true;              // false: the history holds answers alone, the query is `problem`
  std::string query_type;                           // the first activity is the query only if its type is this; empty: any type
  std::vector<std::string> ignored_activity_types;  // activities of these types are left out altogether
  // Columns that are written when a ticket is closed: check_mapping refuses them as anything but solution, result and completed.
  std::vector<std::string> written_at_closing;
};

// "seed" (two Excel files of an ERP), "mendeley", "thunderbird", "tobi", "mail" (an mbox, .eml files), "own" (no column is named). Throws
// Error(kUsage) with the names there are.
ColumnMapping mapping_preset(std::string_view name);
std::vector<std::string> mapping_preset_names();

enum class TableRole { kTickets, kHistory };
// The fields that the mapping reads from this table, with their columns.
std::vector<std::pair<std::string, std::string>> mapped_columns(const ColumnMapping& mapping, TableRole role);
// Throws Error(kBadInput) for the first mapped column that the header lacks or has twice: file, column wanted, columns found, the nearest
// of them by edit distance and the line for desk.toml.
void check_mapping(const ColumnMapping& mapping, TableRole role, const std::vector<std::string>& header, const std::string& file);

// The field that a column of the export is read as, "urgency"; "activities" for the JSON column; empty: nothing reads it.
std::string field_of(const ColumnMapping& mapping, TableRole role, std::string_view column);

// An id as all tables must have it to be the same: no blanks at its ends, one space for several inside, whichever of Unicode's they are;
// nothing invisible.
std::string bare_id(std::string_view text);
inline constexpr std::size_t kMostIdBytes = 200;

// Reads rows of one table by a mapping. Positions are looked up once; check_mapping is part of the constructor.
class RowMapper {
 public:
  RowMapper(const ColumnMapping& mapping, TableRole role, const TableReader& table);  // borrows the table
  // Fields as exported, not cleaned; urgency and category through their labels, dates as ISO, activities from the JSON column if there is
  // one. Throws Error(kBadInput) naming file, row, column and value for a label that is not in the map. Dates that cannot be read are left
  // empty and counted.
  Ticket ticket(const Row& row);
  std::string ticket_id(std::span<const std::string> cells) const;  // of a row that cannot be read, as far as it shows one; else empty
  Activity activity(const Row& row);
  bool is_excluded(const Ticket& ticket) const;  // by the mapping: its category or its id
  std::size_t unread_dates() const { return unread_dates_; }

 private:
  std::string where() const;  // file and sheet
  std::string id_of_place(const Row& row) const;
  std::string id_in(const Row& row, const char* field, const std::string& column) const;  // throws RowError for one without measure
  const std::string& cell(const Row& row, const char* field) const;
  std::string date(const std::string& text);
  void read_activities(const Row& row, Ticket& ticket);

  ColumnMapping mapping_;
  TableRole role_;
  const TableReader& table_;
  std::string stem_;                      // of the file
  std::map<std::string, int> positions_;  // field name to column
  std::size_t unread_dates_ = 0;
};

// Insertions, deletions, substitutions and swaps of neighbours, each 1; over bytes, without case.
std::size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace deskhand
