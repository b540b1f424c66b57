#include "deskhand/tickets/ticket_store.h"

#include <array>

#include "deskhand/base/error.h"
#include "deskhand/base/sha256.h"

namespace deskhand {
namespace {

constexpr std::int64_t kApplication = 0x4445534B;  // "DESK", PRAGMA application_id

constexpr const char* kSchema = R"(
CREATE TABLE tickets(
  id TEXT PRIMARY KEY, subject TEXT NOT NULL, problem TEXT NOT NULL, urgency INTEGER NOT NULL CHECK(urgency BETWEEN 0 AND 5),
  category TEXT NOT NULL, area TEXT NOT NULL, issue TEXT NOT NULL, query TEXT NOT NULL DEFAULT '', resolution TEXT NOT NULL DEFAULT '',
  solution TEXT NOT NULL, result TEXT NOT NULL, account_id TEXT NOT NULL, account TEXT NOT NULL, received TEXT NOT NULL,
  completed TEXT NOT NULL, clean_problem TEXT NOT NULL DEFAULT '', resolution_summary TEXT NOT NULL DEFAULT '');
CREATE INDEX tickets_by_date ON tickets(received, id);
CREATE TABLE activities(
  ticket_id TEXT NOT NULL REFERENCES tickets(id) ON DELETE CASCADE, sequence INTEGER NOT NULL, id TEXT NOT NULL, user TEXT NOT NULL,
  short_text TEXT NOT NULL, created TEXT NOT NULL, text TEXT NOT NULL, type_code TEXT NOT NULL, type TEXT NOT NULL,
  PRIMARY KEY(ticket_id, sequence));
CREATE TABLE splits(
  ticket_id TEXT PRIMARY KEY REFERENCES tickets(id) ON DELETE CASCADE, part TEXT NOT NULL CHECK(part IN ('train', 'test')));
CREATE TABLE split_made(only_one INTEGER PRIMARY KEY CHECK(only_one = 1), how TEXT NOT NULL);
CREATE TABLE imports(number INTEGER PRIMARY KEY, at TEXT NOT NULL, role TEXT NOT NULL, file TEXT NOT NULL, sha256 TEXT NOT NULL,
  rows INTEGER NOT NULL, counts TEXT NOT NULL);
)";

constexpr const char* kColumns =
    "t.id, t.subject, t.problem, t.urgency, t.category, t.area, t.issue, t.query, t.resolution, t.solution, t.result, t.account_id, "
    "t.account, "
    "t.received, t.completed, t.clean_problem, t.resolution_summary";

std::int64_t pragma(Database& database, const char* name) {
  auto query = database.prepare(fmt::format("PRAGMA {}", name));
  return query.step() ? query.integer(0) : 0;
}

std::string text(const Statement& row, int column) {
  return std::string(row.text(column));
}

Ticket ticket_of(const Statement& row) {
  return {.id = text(row, 0),
          .subject = text(row, 1),
          .problem = text(row, 2),
          .urgency = static_cast<int>(row.integer(3)),
          .category = text(row, 4),
          .area = text(row, 5),
          .issue = text(row, 6),
          .query = text(row, 7),
          .resolution = text(row, 8),
          .solution = text(row, 9),
          .result = text(row, 10),
          .account_id = text(row, 11),
          .account = text(row, 12),
          .received = text(row, 13),
          .completed = text(row, 14),
          .clean_problem = text(row, 15),
          .resolution_summary = text(row, 16),
          .activities = {}};
}

constexpr const char* kActivities =
    "SELECT id, user, short_text, created, text, type_code, type FROM activities WHERE ticket_id = ?1 ORDER BY created = '', "
    "substr(created, 1, 19), sequence";  // moment_of(created)

void read_activities(Statement& query, Ticket& ticket) {
  query.reset();
  query.bind(1, ticket.id);
  while (query.step()) {
    ticket.activities.push_back({.id = text(query, 0),
                                 .ticket_id = ticket.id,
                                 .user = text(query, 1),
                                 .short_text = text(query, 2),
                                 .created = text(query, 3),
                                 .text = text(query, 4),
                                 .type_code = text(query, 5),
                                 .type = text(query, 6)});
  }
}

std::string from_part(Part part) {
  switch (part) {
    case Part::kTrain:
      return " FROM tickets t JOIN splits s ON s.ticket_id = t.id AND s.part = 'train'";
    case Part::kTest:
      return " FROM tickets t JOIN splits s ON s.ticket_id = t.id AND s.part = 'test'";
    case Part::kNotTest:
      return " FROM tickets t WHERE NOT EXISTS (SELECT 1 FROM splits s WHERE s.ticket_id = t.id AND s.part = 'test')";
    case Part::kAll:
      break;
  }
  return " FROM tickets t";
}

Database& with_forgotten(Database& database) {
  database.execute("CREATE TABLE IF NOT EXISTS forgotten(id_hash TEXT PRIMARY KEY) WITHOUT ROWID");
  return database;
}
std::string forgotten_hash(std::string_view ticket_id) {
  return sha256(fmt::format("forgotten:{}", ticket_id));
}

constexpr const char* kOrder = " ORDER BY t.received, t.id";

}  // namespace

Database open_desk_database(const std::filesystem::path& path, Database::Mode mode) {
  Database database(path, mode);
  const auto version = pragma(database, "user_version");
  const auto application = pragma(database, "application_id");
  if (version > kDeskSchema) {
    throw Error(ExitCode::kBadInput, "database {}: written by a newer deskhand (schema {}, this one knows {}); install that version",
                path.string(), version, kDeskSchema);
  }
  auto tables = database.prepare("SELECT count(*) FROM sqlite_master");
  tables.step();
  const bool is_empty = tables.integer(0) == 0;
  tables.reset();
  if (application != kApplication && !is_empty)
    throw Error(ExitCode::kBadInput, "database {}: belongs to another program, not to a desk", path.string());
  if (version == kDeskSchema) return database;
  if (mode == Database::Mode::kReadOnly)
    throw Error(ExitCode::kBadInput, "database {}: holds no desk yet; run `deskhand prepare` first", path.string());
  Transaction transaction(database);
  if (pragma(database, "user_version") == 0) {  // another process may have been first
    database.execute(kSchema);
    database.execute(fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}", kApplication, kDeskSchema));
  }
  transaction.commit();
  return database;
}

void TicketStore::upsert(std::span<const Ticket> tickets) {
  Transaction transaction(database_);
  TicketWriter writer(database_);
  auto rewrite = database_.prepare("UPDATE tickets SET clean_problem = ?2, resolution_summary = ?3 WHERE id = ?1");
  for (const auto& ticket : tickets) {
    writer.put(ticket);
    writer.set_texts(ticket.id, ticket.query, ticket.resolution);
    if (!ticket.clean_problem.empty() || !ticket.resolution_summary.empty())
      rewrite.bind(1, ticket.id).bind(2, ticket.clean_problem).bind(3, ticket.resolution_summary).run();
    writer.drop_activities(ticket.id);
    std::int64_t sequence = 0;
    for (auto activity : ticket.activities) {
      activity.ticket_id = ticket.id;
      writer.put(activity, sequence++);
    }
  }
  transaction.commit();
}

std::int64_t TicketStore::count(Part part) {
  auto query = database_.prepare("SELECT count(*)" + from_part(part));
  query.step();
  return query.integer(0);
}

std::optional<Ticket> TicketStore::find(std::string_view id) {
  if (!find_) {
    find_ = database_.prepare(fmt::format("SELECT {} FROM tickets t WHERE t.id = ?1", kColumns));
    find_activities_ = database_.prepare(kActivities);
  }
  find_->reset();
  find_->bind(1, id);
  std::optional<Ticket> ticket;
  if (find_->step()) {
    ticket = ticket_of(*find_);
    read_activities(*find_activities_, *ticket);
    find_activities_->reset();
  }
  find_->reset();
  return ticket;
}

void TicketStore::each(Part part, bool with_activities, const std::function<void(const Ticket&)>& visit) {
  auto query = database_.prepare(fmt::format("SELECT {}{}{}", kColumns, from_part(part), kOrder));
  auto activities = database_.prepare(kActivities);
  while (query.step()) {
    auto ticket = ticket_of(query);
    if (with_activities) read_activities(activities, ticket);
    visit(ticket);
  }
}

std::vector<Ticket> TicketStore::all(Part part, bool with_activities) {
  std::vector<Ticket> tickets;
  each(part, with_activities, [&](const Ticket& ticket) { tickets.push_back(ticket); });
  return tickets;
}

std::vector<std::string> TicketStore::ids() {
  std::vector<std::string> ids;
  auto query = database_.prepare(std::string("SELECT t.id FROM tickets t") + kOrder);
  while (query.step()) ids.push_back(text(query, 0));
  return ids;
}

void TicketStore::set_rewriting(std::string_view id, std::string_view clean_problem, std::string_view resolution_summary) {
  database_.prepare("UPDATE tickets SET clean_problem = ?2, resolution_summary = ?3 WHERE id = ?1")
      .bind(1, id)
      .bind(2, clean_problem)
      .bind(3, resolution_summary)
      .run();
  if (database_.changes() == 0) throw Error(ExitCode::kNotFound, "no ticket {} in {}", id, database_.path().string());
}

void TicketStore::set_split(std::span<const std::string> train, std::span<const std::string> test, std::string_view how) {
  Transaction transaction(database_);
  database_.execute("DELETE FROM splits");
  TicketWriter writer(database_);
  auto put = database_.prepare("INSERT INTO splits(ticket_id, part) VALUES(?1, ?2)");
  for (const auto& [ids, part] : {std::pair{train, "train"}, std::pair{test, "test"}}) {
    for (const auto& id : ids) {
      if (!writer.has(id)) throw Error(ExitCode::kNotFound, "the split names ticket {}, which is not in {}", id, database_.path().string());
      put.bind(1, id).bind(2, part).run();
    }
  }
  database_.prepare("INSERT OR REPLACE INTO split_made(only_one, how) VALUES(1, ?1)").bind(1, how).run();
  transaction.commit();
}

std::string TicketStore::split_description() {
  auto query = database_.prepare("SELECT how FROM split_made");
  return query.step() ? text(query, 0) : std::string();
}

std::vector<ImportRecord> TicketStore::imports() {
  std::vector<ImportRecord> records;
  auto query = database_.prepare("SELECT at, role, file, sha256, rows, counts FROM imports ORDER BY number");
  while (query.step())
    records.push_back({.when = text(query, 0),
                       .role = text(query, 1),
                       .file = text(query, 2),
                       .sha256 = text(query, 3),
                       .rows = query.integer(4),
                       .counts = text(query, 5)});
  return records;
}

TicketWriter::TicketWriter(Database& database)
    : put_ticket_(with_forgotten(database).prepare(
          "INSERT INTO tickets(id, subject, problem, urgency, category, area, issue, solution, result, account_id, account, received, "
          "completed) "
          "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT(id) DO UPDATE SET subject = excluded.subject, "
          "problem = excluded.problem, urgency = excluded.urgency, category = excluded.category, area = excluded.area, issue = "
          "excluded.issue, "
          "solution = excluded.solution, result = excluded.result, account_id = excluded.account_id, account = excluded.account, "
          "received = excluded.received, completed = excluded.completed")),
      set_texts_(database.prepare(
          "UPDATE tickets SET clean_problem = CASE WHEN query = ?2 THEN clean_problem ELSE '' END, "
          "resolution_summary = CASE WHEN resolution = ?3 THEN resolution_summary ELSE '' END, query = ?2, resolution = ?3 WHERE id = ?1")),
      drop_(database.prepare("DELETE FROM activities WHERE ticket_id = ?1")),
      put_activity_(database.prepare("INSERT INTO activities(ticket_id, sequence, id, user, short_text, created, text, type_code, type) "
                                     "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")),
      has_(database.prepare("SELECT 1 FROM tickets WHERE id = ?1")),
      remove_(database.prepare("DELETE FROM tickets WHERE id = ?1")),
      log_(database.prepare("INSERT INTO imports(at, role, file, sha256, rows, counts) VALUES(?1, ?2, ?3, ?4, ?5, ?6)")),
      keep_away_(database.prepare("INSERT OR IGNORE INTO forgotten(id_hash) VALUES(?1)")),
      is_kept_away_(database.prepare("SELECT 1 FROM forgotten WHERE id_hash = ?1")) {}

void TicketWriter::put(const Ticket& t) {
  put_ticket_.bind(1, t.id).bind(2, t.subject).bind(3, t.problem).bind(4, t.urgency).bind(5, t.category).bind(6, t.area).bind(7, t.issue);
  put_ticket_.bind(8, t.solution)
      .bind(9, t.result)
      .bind(10, t.account_id)
      .bind(11, t.account)
      .bind(12, t.received)
      .bind(13, t.completed)
      .run();
}

void TicketWriter::set_texts(std::string_view ticket_id, std::string_view query, std::string_view resolution) {
  set_texts_.bind(1, ticket_id).bind(2, query).bind(3, resolution).run();
}

void TicketWriter::drop_activities(std::string_view ticket_id) {
  drop_.bind(1, ticket_id).run();
}

void TicketWriter::put(const Activity& a, std::int64_t sequence) {
  put_activity_.bind(1, a.ticket_id).bind(2, sequence).bind(3, a.id).bind(4, a.user).bind(5, a.short_text).bind(6, a.created);
  put_activity_.bind(7, a.text).bind(8, a.type_code).bind(9, a.type).run();
}

bool TicketWriter::has(std::string_view ticket_id) {
  has_.bind(1, ticket_id);
  const bool found = has_.step();
  has_.reset();
  return found;
}

void TicketWriter::remove(std::string_view ticket_id) {
  remove_.bind(1, ticket_id).run();
}

void TicketWriter::keep_away(std::string_view ticket_id) {
  keep_away_.bind(1, forgotten_hash(ticket_id)).run();
}

bool TicketWriter::is_kept_away(std::string_view ticket_id) {
  is_kept_away_.bind(1, forgotten_hash(ticket_id));
  const bool found = is_kept_away_.step();
  is_kept_away_.reset();
  return found;
}

void TicketWriter::log(const ImportRecord& r) {
  log_.bind(1, r.when).bind(2, r.role).bind(3, r.file).bind(4, r.sha256).bind(5, r.rows).bind(6, r.counts).run();
}

}  // namespace deskhand
