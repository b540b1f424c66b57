// From exported files to cleaned tickets in the desk's database. One transaction: an error or Ctrl-C leaves the database as it was.
// An export adds and updates by ticket id; what is as it was is not touched. Rows as exported lie in a temporary file until all of a
// ticket is there: what cleaning takes away never reaches the database.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "deskhand/tickets/clean.h"
#include "deskhand/tickets/mapping.h"
#include "deskhand/tickets/redact_vault.h"
#include "deskhand/tickets/table.h"
#include "deskhand/tickets/ticket_store.h"

namespace deskhand {

enum class Missing { kKeep, kRemove };  // tickets of earlier imports that the ticket files no longer hold

// How long a ticket may stay: days after it was completed (received, where that is not known). A ticket without either date stays.
struct Retention {
  int days = 0;  // 0: for ever
  enum class Since { kCompleted, kReceived } since = Since::kCompleted;
};
std::string today_utc();                                                         // "2026-11-28"
std::string first_day_to_keep(const Retention& rule, const std::string& today);  // ISO
bool is_expired(const Retention& rule, const Ticket& ticket, const std::string& first_day);

struct PrepareSettings {
  std::vector<std::filesystem::path> ticket_files, history_files;
  std::string ticket_sheet, history_sheet;  // empty: the first
  ColumnMapping mapping;
  CleanSettings clean;
  Missing missing = Missing::kKeep;
  Retention retention;                  // older ones are left out
  TableOptions table;                   // delimiter, encoding, limits
  RedactVault* vault = nullptr;         // borrowed: keeps what marks stand for; null: nobody does
  bool skip_bad_rows = false;           // a row that cannot be read is left out, not the end
  std::filesystem::path rejected_file;  // where such rows are written, with why; empty: nowhere
  int threads = 0;                      // that clean; 0: as many as this process may run on
  bool quiet = false;                   // no progress on stderr
};

struct PrepareReport {
  struct File {
    std::string file, description, sha256;
    std::int64_t rows = 0;
  };
  std::vector<File> files;
  std::int64_t ticket_rows = 0, history_rows = 0;
  std::int64_t tickets = 0;  // in the database afterwards, from this import
  std::int64_t added = 0, updated = 0, unchanged = 0;
  std::int64_t missing = 0, removed = 0;        // of earlier imports and not in these ticket files: all of them, and those taken away
  std::int64_t activities = 0;                  // stored
  std::map<std::string, std::int64_t> skipped;  // why -> rows: "ticket row without an id", "history of an unknown ticket", ...
  std::int64_t no_subject = 0, no_problem = 0, no_solution = 0, no_urgency = 0, no_category = 0;  // of `tickets`, before any fallback
  std::int64_t without_history = 0;                                          // query and resolution fell back to problem and solution
  std::int64_t empty_activities = 0, unread_dates = 0, unknown_tickets = 0;  // unknown_tickets: distinct ids in the history alone
  std::int64_t completed_early = 0;                                          // before they were received
  std::map<int, std::int64_t> urgencies;
  std::map<std::string, std::int64_t> categories;
  CleanCounts cleaning;
  RedactCounts redaction;
  std::int64_t rejected = 0;  // rows that could not be read and were left out

  std::string json() const;  // one line, for --json and the import log
  std::string text() const;  // lines for a person
};

PrepareReport prepare(const PrepareSettings& settings, Database& database);

}  // namespace deskhand
