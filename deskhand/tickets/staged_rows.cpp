#include "deskhand/tickets/staged_rows.h"

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

Database& with_tables(Database& database) {
  database.execute(R"(
    DROP TABLE IF EXISTS temp.staged_tickets;
    DROP TABLE IF EXISTS temp.staged_activities;
    CREATE TEMP TABLE staged_tickets(id TEXT PRIMARY KEY, subject TEXT, problem TEXT, urgency INTEGER, category TEXT, area TEXT, issue TEXT,
      solution TEXT, result TEXT, account_id TEXT, account TEXT, received TEXT, completed TEXT);
    CREATE TEMP TABLE staged_activities(ticket_id TEXT NOT NULL, sequence INTEGER NOT NULL, id TEXT, user TEXT, short_text TEXT, created TEXT,
      text TEXT, type_code TEXT, type TEXT, PRIMARY KEY(ticket_id, sequence)) WITHOUT ROWID;
  )");
  return database;
}

std::string text(const Statement& row, int column) {
  return std::string(row.text(column));
}

}  // namespace

StagedRows::StagedRows(Database& database)
    : database_(with_tables(database)),
      put_ticket_(
          database.prepare("INSERT OR REPLACE INTO temp.staged_tickets VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)")),
      put_activity_(database.prepare("INSERT INTO temp.staged_activities VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")),
      drop_(database.prepare("DELETE FROM temp.staged_activities WHERE ticket_id = ?1")),
      ticket_(
          database.prepare("SELECT id, subject, problem, urgency, category, area, issue, solution, result, account_id, account, received, "
                           "completed FROM temp.staged_tickets WHERE id = ?1")),
      activities_(
          database.prepare("SELECT id, user, short_text, created, text, type_code, type FROM temp.staged_activities WHERE ticket_id = "
                           "?1 ORDER BY created = '', substr(created, 1, 19), sequence")) {}  // moment_of(created)

StagedRows::~StagedRows() {
  for (Statement* statement : {&put_ticket_, &put_activity_, &drop_, &ticket_, &activities_}) statement->reset();
  try {
    database_.execute("DELETE FROM temp.staged_tickets; DELETE FROM temp.staged_activities");
  } catch (const Error&) {  // they go with the connection
  }
}

void StagedRows::put(const Ticket& t) {
  put_ticket_.bind(1, t.id).bind(2, t.subject).bind(3, t.problem).bind(4, t.urgency).bind(5, t.category).bind(6, t.area).bind(7, t.issue);
  put_ticket_.bind(8, t.solution).bind(9, t.result).bind(10, t.account_id).bind(11, t.account).bind(12, t.received).bind(13, t.completed);
  put_ticket_.run();
}

void StagedRows::put(const Activity& a, std::int64_t sequence) {
  put_activity_.bind(1, a.ticket_id).bind(2, sequence).bind(3, a.id).bind(4, a.user).bind(5, a.short_text).bind(6, a.created);
  put_activity_.bind(7, a.text).bind(8, a.type_code).bind(9, a.type).run();
}

void StagedRows::drop_activities(std::string_view ticket_id) {
  drop_.bind(1, ticket_id).run();
}

Ticket StagedRows::ticket(std::string_view id) {
  ticket_.bind(1, id);
  DESKHAND_ASSERT(ticket_.step(), "a ticket that was put");
  Ticket found{.id = text(ticket_, 0),
               .subject = text(ticket_, 1),
               .problem = text(ticket_, 2),
               .urgency = static_cast<int>(ticket_.integer(3)),
               .category = text(ticket_, 4),
               .area = text(ticket_, 5),
               .issue = text(ticket_, 6),
               .solution = text(ticket_, 7),
               .result = text(ticket_, 8),
               .account_id = text(ticket_, 9),
               .account = text(ticket_, 10),
               .received = text(ticket_, 11),
               .completed = text(ticket_, 12)};
  ticket_.reset();
  return found;
}

std::vector<Activity> StagedRows::activities(std::string_view ticket_id) {
  std::vector<Activity> found;
  activities_.bind(1, ticket_id);
  while (activities_.step())
    found.push_back({.id = text(activities_, 0),
                     .ticket_id = std::string(ticket_id),
                     .user = text(activities_, 1),
                     .short_text = text(activities_, 2),
                     .created = text(activities_, 3),
                     .text = text(activities_, 4),
                     .type_code = text(activities_, 5),
                     .type = text(activities_, 6)});
  activities_.reset();
  return found;
}

}  // namespace deskhand
