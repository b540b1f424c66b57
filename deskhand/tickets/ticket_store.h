// The desk's database: tickets, their history, the split, and a log of what was imported. Texts are stored cleaned, activities as exported.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/base/sqlite.h"
#include "deskhand/tickets/ticket.h"

namespace deskhand {

inline constexpr int kDeskSchema = 1;  // PRAGMA user_version

// Opens a desk's database and makes or upgrades this room's tables (not when read-only). Other rooms add theirs with CREATE TABLE IF NOT
// EXISTS. Throws Error(kBadInput) if a newer program wrote it or it is some other program's database.
Database open_desk_database(const std::filesystem::path& path, Database::Mode mode);

enum class Part { kAll, kTrain, kTest, kNotTest };  // kNotTest: to learn from, those that came after the split included

struct ImportRecord {
  std::string when;  // ISO, UTC
  std::string role;  // "tickets" or "history"
  std::string file, sha256;
  std::int64_t rows = 0;
  std::string counts;  // JSON
};

class TicketStore {
 public:
  explicit TicketStore(Database& database) : database_(database) {}  // borrows

  // Inserts or replaces by id, with the activities (those of a replaced ticket go). One transaction: all or none.
  void upsert(std::span<const Ticket> tickets);
  std::int64_t count(Part part = Part::kAll);
  std::optional<Ticket> find(std::string_view id);  // with activities
  // In the order of (received, id). `with_activities` false leaves them empty. The store must not be written to meanwhile.
  void each(Part part, bool with_activities, const std::function<void(const Ticket&)>& visit);
  std::vector<Ticket> all(Part part = Part::kAll, bool with_activities = false);
  std::vector<std::string> ids();  // in the order of each()

  // Rewritten texts of one ticket; either may be empty. Throws Error(kNotFound).
  void set_rewriting(std::string_view id, std::string_view clean_problem, std::string_view resolution_summary);

  // Replaces the split. Tickets in neither list belong to no part. `how`: "random, 5 %, seed 42". Throws Error(kNotFound) for an unknown
  // id.
  void set_split(std::span<const std::string> train, std::span<const std::string> test, std::string_view how);
  std::string split_description();  // empty: not split yet

  std::vector<ImportRecord> imports();  // oldest first

 private:
  Database& database_;
  std::optional<Statement> find_, find_activities_;  // kept between calls of find()
};

// For a writer that has its own transaction (prepare): statements are kept between calls. A replaced ticket keeps its place in the split
// and, as long as query and resolution stay what they were, their rewriting.
class TicketWriter {
 public:
  explicit TicketWriter(Database& database);
  void put(const Ticket& ticket);  // all but query, resolution, their rewriting and the activities
  void set_texts(std::string_view ticket_id, std::string_view query, std::string_view resolution);
  void drop_activities(std::string_view ticket_id);
  void put(const Activity& activity, std::int64_t sequence);  // sequence: the order among those of one date
  bool has(std::string_view ticket_id);
  void remove(std::string_view ticket_id);  // with activities and split
  void log(const ImportRecord& record);
  void keep_away(std::string_view ticket_id);  // forgotten: known by a hash alone, so that a later import leaves it out
  bool is_kept_away(std::string_view ticket_id);

 private:
  Statement put_ticket_, set_texts_, drop_, put_activity_, has_, remove_, log_, keep_away_, is_kept_away_;
};

}  // namespace deskhand
