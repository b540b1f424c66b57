// The way from files to the desk's database and out again: history, store, prepare, export.
#include "deskhand/tickets/prepare.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/tickets/export.h"
#include "deskhand/tickets/history.h"
#include "deskhand/tickets/split.h"
#include "deskhand/tickets/test_data.h"
#include "tests/temporary_folder.h"

using namespace deskhand;
using Mode = Database::Mode;

namespace {

constexpr const char* kTickets =
    "TICKETID,ALTERNATEKEYSUFFIX,AREA,CATEGORY,ISSUE,RECEIVEDDATE,COMPLETEDDATE,SUBJECT,URGENCYCODE,PROBLEM,SOLUTION,RESULTIONSUMMARY,"
    "ACCOUNTID,ACCOUNT\r\n"
    "1,,ERP,Printing,Defect,14/03/2024,15/04/2024,Jam,3,\"Hi, it jams\",Cleaned the rollers,ok,A1,Acme\r\n"
    "2,,ERP,Stock,Defect,01/02/2024,,,2,count is off,Recounted,,A1,Acme\r\n"
    ",,ERP,Stock,Defect,,,,1,no id,,,,\r\n"
    "3,,ERP,Stock,Defect,02/02/2024,,,1,,,,,\r\n"
    "2,,ERP,Stock,Defect,01/02/2024,,Count,2,count is off by 4,Recounted,,A1,Acme\r\n";
constexpr const char* kHistory =
    "TICKETID,TICKETACTIVITYID,USERID,SHORTDESC,CREATEDATE,ACTIVITYDESC,ACTIVITYTYPECODE,ACTIVITYTYPE\r\n"
    "1,13,M,done,12/04/2024 10:00,Rollers cleaned.,NT,Note\r\n"
    "1,11,C,in,11/04/2024 09:00,\"Hello,\nthe printer jams at page 2\",EI,E-mail in\r\n"
    "1,12,M,try,2024-04-11 09:30:00,Asked to restart.,NT,Note\r\n"
    "1,14,M,,,,NT,Note\r\n"
    "9,15,M,,01/01/2024,lost,NT,Note\r\n"
    "9,16,M,,01/01/2024,lost too,NT,Note\r\n";

PrepareSettings write_desk(const TemporaryFolder& folder, std::string_view tickets = kTickets, std::string_view history = kHistory) {
  write_file_atomically(folder.path() / "tickets.csv", tickets);
  write_file_atomically(folder.path() / "history.csv", history);
  PrepareSettings settings;
  settings.ticket_files = {folder.path() / "tickets.csv"};
  settings.history_files = {folder.path() / "history.csv"};
  settings.mapping = mapping_preset("seed");
  settings.quiet = true;
  return settings;
}

}  // namespace

TEST_CASE("the history is read by date with undated steps last; the first step is the query, the others the resolution") {
  Ticket ticket{.problem = "p", .solution = "s"};
  for (const auto& [created, text] :
       {std::pair{"", "undated"}, {"2024-02-01", "second"}, {"2024-01-31T23:59:00", "first"}, {"2024-02-01", "third"}, {"2024-02-02", " "}})
    ticket.activities.push_back({.created = created, .text = text});
  sort_history(ticket.activities);
  Cleaner cleaner;
  const auto joined = join_history(ticket, {}, cleaner);
  CHECK(ticket.query == "first");
  CHECK(ticket.resolution == "second || third || undated");
  CHECK(joined.empty_activities == 1);

  ticket.activities.clear();
  join_history(ticket, {}, cleaner);
  CHECK(ticket.query == "p");
  CHECK(ticket.resolution == "s");
}

TEST_CASE("ignored types and a first step of the wrong type never become the query") {
  Ticket ticket{.problem = "p", .solution = "s"};
  ticket.activities = {{.text = "the answer", .type = "closing_template"}, {.text = "later", .type = "comment"}};
  Cleaner cleaner;
  join_history(ticket, mapping_preset("mendeley"), cleaner);
  CHECK(ticket.query == "p");
  CHECK(ticket.resolution == "later");
}

TEST_CASE("prepare counts everything it saw and stores what it kept") {
  const TemporaryFolder folder;
  auto database = open_desk_database(folder.path() / "desk.db", Mode::kCreate);
  const auto report = prepare(write_desk(folder), database);
  CHECK(report.ticket_rows == 5);
  CHECK(report.history_rows == 6);
  CHECK(report.tickets == 2);
  CHECK(report.activities == 4);
  CHECK(report.empty_activities == 1);
  CHECK(report.unknown_tickets == 1);
  CHECK(report.skipped == std::map<std::string, std::int64_t>{{"ticket row without an id", 1},
                                                              {"ticket id that comes again (its last row counts)", 1},
                                                              {"history of an unknown ticket", 2},
                                                              {"ticket without subject, problem or history", 1}});
  CHECK(report.without_history == 1);
  CHECK(report.no_subject == 0);
  CHECK(report.categories == std::map<std::string, std::int64_t>{{"Printing", 1}, {"Stock", 1}});
  CHECK(parse_json(report.json(), "report")["urgencies"]["2"] == 1);
  CHECK(report.text().find("2 tickets with 4 activities") != std::string::npos);

  TicketStore store(database);
  const auto ticket = store.find("1");
  REQUIRE(ticket);
  CHECK(ticket->query == "the printer jams at page 2");
  CHECK(ticket->problem == "it jams");
  CHECK(ticket->resolution == "Asked to restart. || Rollers cleaned.");
  CHECK(ticket->received == "2024-03-14");
  CHECK(ticket->activities.size() == 4);
  CHECK(ticket->activities[0].text == "Hello,\nthe printer jams at page 2");
  CHECK(store.find("2")->query == "count is off by 4");
  CHECK(store.ids() == std::vector<std::string>{"2", "1"});
  const auto imports = store.imports();
  REQUIRE(imports.size() == 2);
  CHECK(imports[0].role == "tickets");
  CHECK(imports[0].sha256.size() == 64);
  CHECK(imports[1].rows == 6);
}

TEST_CASE("preparing twice changes nothing, and keeps split and rewriting") {
  const TemporaryFolder folder;
  auto database = open_desk_database(folder.path() / "desk.db", Mode::kCreate);
  const auto settings = write_desk(folder);
  prepare(settings, database);
  TicketStore store(database);
  store.set_split(std::vector<std::string>{"1"}, std::vector<std::string>{"2"}, "by hand");
  store.set_rewriting("1", "Printer jams", "Clean rollers");
  const auto report = prepare(settings, database);
  CHECK(report.activities == 4);
  CHECK(store.find("1")->activities.size() == 4);
  CHECK(store.find("1")->clean_problem == "Printer jams");
  CHECK(store.count(Part::kTest) == 1);

  auto changed = std::string(kHistory);
  changed.replace(changed.find("at page 2"), 9, "at page 7");
  prepare(write_desk(folder, kTickets, changed), database);
  CHECK(store.find("1")->query == "the printer jams at page 7");
  CHECK(store.find("1")->clean_problem == "");
  CHECK(store.find("1")->resolution_summary == "Clean rollers");
}

TEST_CASE("a second export adds, changes and, where told, removes by ticket id, and says so") {
  const TemporaryFolder folder;
  auto database = open_desk_database(folder.path() / "desk.db", Mode::kCreate);
  const auto first = prepare(write_desk(folder), database);
  CHECK(first.added == 2);
  CHECK(first.updated + first.unchanged + first.missing == 0);
  const auto again = prepare(write_desk(folder), database);
  CHECK(again.unchanged == 2);
  CHECK(again.added + again.updated == 0);

  const std::string header(kTickets, 0, std::string_view(kTickets).find('\n') + 1);
  const std::string later = header +
                            "1,,ERP,Printing,Defect,14/03/2024,15/04/2024,Jam,2,\"Hi, it jams\",Cleaned the rollers,ok,A1,Acme\r\n" +
                            "7,,ERP,Stock,Defect,01/02/2024,,New,2,a new one,Recounted,,A1,Acme\r\n";
  auto settings = write_desk(folder, later);
  const auto kept = prepare(settings, database);
  CHECK(kept.added == 1);
  CHECK(kept.updated == 1);  // its urgency
  CHECK(kept.missing == 1);
  CHECK(kept.removed == 0);
  CHECK(kept.text().find("1 new, 1 changed, 0 as they were\n1 tickets of earlier imports are not in these files and were kept") !=
        std::string::npos);
  TicketStore store(database);
  CHECK(store.find("1")->urgency == 2);
  CHECK(store.find("2").has_value());

  settings.missing = Missing::kRemove;
  const auto removed = prepare(settings, database);
  CHECK(removed.unchanged == 2);
  CHECK(removed.removed == 1);
  CHECK_FALSE(store.find("2").has_value());

  settings.ticket_files.clear();  // a history alone says nothing of which tickets there are
  CHECK(prepare(settings, database).removed == 0);
  CHECK(store.count() == 2);
}

TEST_CASE("what cleaning cut is nowhere in the database") {
  const TemporaryFolder folder;
  {
    auto database = open_desk_database(folder.path() / "desk.db", Mode::kCreate);
    auto tickets = std::string(kTickets);
    tickets.replace(tickets.find("Hi, it jams"), 11, "it jams\n\nKind regards\nZwentibold Quitzow\n+49 89 1234567");
    prepare(write_desk(folder, tickets), database);
    CHECK(TicketStore(database).find("1")->problem == "it jams");
  }
  for (const auto& file : std::filesystem::directory_iterator(folder.path()))
    if (file.path().string().find("desk.db") != std::string::npos)
      CHECK(read_text_file(file.path()).find("Zwentibold") == std::string::npos);
}

TEST_CASE("one thread and three prepare the same tickets and count the same") {
  std::string tickets =
      "TICKETID,ALTERNATEKEYSUFFIX,AREA,CATEGORY,ISSUE,RECEIVEDDATE,COMPLETEDDATE,SUBJECT,URGENCYCODE,PROBLEM,SOLUTION,"
      "RESULTIONSUMMARY,ACCOUNTID,ACCOUNT\r\n";
  for (int i = 0; i < 1000; ++i)
    tickets += fmt::format("{0},,ERP,Stock,Defect,14/03/2024,,s,{1},\"Hi all,\nprinter {0} jams\n\nRegards\nJo Doe\",cleaned,ok,A,A\r\n", i,
                           i % 5 + 1);
  const TemporaryFolder folder;
  std::string told[2];
  for (const int threads : {1, 3}) {
    auto settings = write_desk(folder, tickets);
    settings.threads = threads;
    std::filesystem::remove(folder.path() / "desk.db");
    auto database = open_desk_database(folder.path() / "desk.db", Mode::kCreate);
    auto& all = told[threads == 3];
    all = prepare(settings, database).json();
    TicketStore(database).each(Part::kAll, true,
                               [&](const Ticket& ticket) { all += ticket.id + ticket.query + "|" + ticket.resolution + "\n"; });
  }
  CHECK(told[0] == told[1]);
  CHECK(told[0].find("printer 999 jams") != std::string::npos);
}

TEST_CASE("an error half way leaves the database as it was") {
  const TemporaryFolder folder;
  auto database = open_desk_database(folder.path() / "desk.db", Mode::kCreate);
  CHECK_THROWS_AS(prepare(write_desk(folder, kTickets, std::string(kHistory) + "1,\"cut"), database), Error);
  CHECK(TicketStore(database).count() == 0);
  CHECK(TicketStore(database).imports().empty());
  prepare(write_desk(folder), database);
  CHECK_THROWS_AS(prepare(write_desk(folder, std::string(kTickets) + "4,,,,,,,x,9,y,,,,\r\n"), database), Error);
  CHECK(TicketStore(database).count() == 2);
  CHECK_THROWS_AS(prepare({}, database), Error);
}

TEST_CASE("a desk's database is told from others and from newer ones") {
  const TemporaryFolder folder;
  CHECK_THROWS_AS(open_desk_database(folder.path() / "none.db", Mode::kReadOnly), Error);
  { Database(folder.path() / "other.db", Mode::kCreate).execute("CREATE TABLE t(a)"); }
  CHECK_THROWS_WITH_AS(open_desk_database(folder.path() / "other.db", Mode::kReadWrite), doctest::Contains("belongs to another program"),
                       Error);
  { open_desk_database(folder.path() / "desk.db", Mode::kCreate).execute("CREATE TABLE cases(a)"); }
  { open_desk_database(folder.path() / "desk.db", Mode::kReadOnly); }
  { open_desk_database(folder.path() / "desk.db", Mode::kReadWrite).execute("PRAGMA user_version = 99"); }
  CHECK_THROWS_WITH_AS(open_desk_database(folder.path() / "desk.db", Mode::kReadWrite), doctest::Contains("newer deskhand"), Error);
}

TEST_CASE("the store gives back a ticket as it was put, and parts as they were split") {
  const TemporaryFolder folder;
  auto database = open_desk_database(folder.path() / "desk.db", Mode::kCreate);
  TicketStore store(database);
  std::vector<Ticket> tickets;
  for (int i = 0; i < 5; ++i) {
    tickets.push_back({.id = std::to_string(i),
                       .subject = "ü",
                       .problem = "p",
                       .urgency = i,
                       .category = "c",
                       .query = "q",
                       .resolution = "r",
                       .received = "2024",
                       .clean_problem = "cp"});
    tickets.back().activities = {{.id = "a", .text = "x\ny"}, {.text = "z"}};
  }
  store.upsert(tickets);
  tickets[1].subject = "new";
  store.upsert(std::span(tickets).subspan(1, 1));
  CHECK(store.count() == 5);
  CHECK(store.find("1")->subject == "new");
  CHECK(store.find("1")->activities.size() == 2);
  CHECK(store.find("1")->clean_problem == "cp");
  CHECK_FALSE(store.find("7"));
  CHECK(store.split_description() == "");
  store.set_split(std::vector<std::string>{"0", "3"}, std::vector<std::string>{"4"}, "random");
  CHECK(store.count(Part::kTrain) == 2);
  CHECK(store.all(Part::kTest)[0].id == "4");
  CHECK(store.all(Part::kTrain, true)[1].activities[0].text == "x\ny");
  CHECK(store.split_description() == "random");
  CHECK_THROWS_AS(store.set_split(std::vector<std::string>{"77"}, {}, "bad"), Error);
  CHECK(store.count(Part::kTrain) == 2);
  CHECK_THROWS_AS(store.set_rewriting("77", "", ""), Error);
}

TEST_CASE("training files hold the seed's texts to the letter and tickets without labels are left out") {
  const TemporaryFolder folder;
  const std::vector<Ticket> tickets = {
      {.id = "1", .urgency = 2, .category = "Printing", .query = "it\n \"jams\"", .solution = "cleaned,  it"},
      {.id = "2", .query = "x", .solution = "y"}};
  const auto done = write_training_files(folder.path() / "out", tickets, std::span(tickets).subspan(1));
  CHECK(done.train == 1);
  CHECK(done.test == 0);
  CHECK(done.left_out == 2);
  CHECK(read_text_file(folder.path() / "out/train.jsonl") ==
        "{\"instruction\":\"Classify and resolve this support ticket using the following details:\\n- Problem: it "
        "\\\"jams\\\"\",\"output\":\"- Urgency: 2\\n- Category: "
        "Printing\\n- Solution: cleaned, it\"}\n");
  const auto table = open_table(folder.path() / "out/train.csv");
  Row row;
  REQUIRE(table->next(row));
  CHECK(row.cells == std::vector<std::string>{training_instruction(tickets[0]), training_output(tickets[0])});
  CHECK_THROWS_WITH_AS(write_training_files(folder.path() / "out", tickets, {}), doctest::Contains("--force"), Error);
  CHECK(write_training_files(folder.path() / "out", tickets, {}, true).train == 1);
}

TEST_CASE("the real tickets are prepared whole, and no closing template reaches a query") {
  for (const auto& [name, rows] : {std::pair{"mendeley-helpdesk", 216}, {"thunderbird-aaq", 2406}, {"tobi-synthetic", 1167 + 2181}}) {
    CAPTURE(name);
    const auto data = shared_data(name);
    if (data.empty()) continue;
    const TemporaryFolder folder;
    PrepareSettings settings;
    settings.quiet = true;
    const std::string word(name);
    settings.mapping = mapping_preset(word.substr(0, word.find('-')));
    settings.ticket_files = {data / "tickets.jsonl"};
    if (word.starts_with("tobi")) settings.ticket_files = {data / "multi_lang3_4k_first1167.csv", data / "multi_lang_4_20k_first2181.csv"};
    auto database = open_desk_database(folder.path() / "desk.db", Mode::kCreate);
    const auto report = prepare(settings, database);
    MESSAGE(report.text());
    CHECK(report.tickets == rows);
    CHECK(report.unread_dates == 0);
    TicketStore(database).each(Part::kAll, true, [&](const Ticket& ticket) {
      CHECK_FALSE(ticket.query.empty());
      CHECK(ticket.query.find("did we resolve the problem and its symptoms") == std::string::npos);
      CHECK(ticket.query.find("<p>") == std::string::npos);
      if (word.starts_with("mendeley")) {
        CHECK(ticket.query == clean_text(ticket.activities.at(0).text));
        CHECK(ticket.activities.at(0).type == "description");
      }
    });
  }
}

TEST_CASE("what is left out is neither stored nor kept from an earlier import, and its history is not called unknown") {
  const TemporaryFolder folder;
  auto settings = write_desk(folder);
  Database database = open_desk_database(folder.path() / "desk.db", Mode::kCreate);
  prepare(settings, database);
  TicketStore store(database);
  REQUIRE(store.find("1").has_value());
  settings.mapping.excluded_categories = {"printing"};
  const auto report = prepare(settings, database);
  CHECK(!store.find("1").has_value());
  CHECK(store.find("2").has_value());
  CHECK(report.skipped.at("ticket left out by import.exclude") == 1);
  CHECK(report.skipped.at("history of a ticket that is left out") == 4);
  CHECK(report.unknown_tickets == 1);
  settings.mapping.excluded_categories.clear();
  CHECK(prepare(settings, database).added == 1);
  CHECK(store.find("1")->activities.size() == 4);
}

TEST_CASE("the history is ordered and the query found by moments, whatever zones its steps were written in") {
  const TemporaryFolder folder;
  auto database = open_desk_database(folder.path() / "desk.db", Mode::kCreate);
  auto tickets = std::string(kTickets);
  tickets.replace(tickets.find("14/03/2024,15/04/2024"), 21, "2024-03-14T08:00:00Z,2024-03-14T10:00:00+01:00");
  auto settings = write_desk(folder, tickets,
                             "TICKETID,TICKETACTIVITYID,USERID,SHORTDESC,CREATEDATE,ACTIVITYDESC,ACTIVITYTYPECODE,ACTIVITYTYPE\r\n"
                             "1,13,M,,2024-03-14T09:55:00+01:00,Rollers cleaned.,NT,Note\r\n"
                             "1,12,M,,2024-03-14T03:30:00-05:00,Asked to restart.,NT,Note\r\n"
                             "1,11,C,,2024-03-14T13:45:00+05:30,The printer jams.,EI,E-mail in\r\n"
                             "1,14,M,,2024-03-14T08:15:00Z,Noted at the same moment.,NT,Note\r\n");
  const auto report = prepare(settings, database);
  CHECK(report.unread_dates == 0);
  CHECK(report.completed_early == 0);
  const auto ticket = TicketStore(database).find("1");
  REQUIRE(ticket);
  CHECK(ticket->query == "The printer jams.");
  CHECK(ticket->resolution == "Noted at the same moment. || Asked to restart. || Rollers cleaned.");
  CHECK(ticket->activities[0].created == "2024-03-14T08:15:00Z[+05:30]");
  CHECK(ticket->completed == "2024-03-14T09:00:00Z[+01:00]");
  CHECK(ticket->activities[1].created == "2024-03-14T08:15:00Z");
  CHECK(prepare(settings, database).unchanged == 2);
}

TEST_CASE("a ticket completed before it was received is kept, counted and said, and no step of it is its query") {
  const TemporaryFolder folder;
  auto database = open_desk_database(folder.path() / "desk.db", Mode::kCreate);
  auto tickets = std::string(kTickets);
  tickets.replace(tickets.find("14/03/2024,15/04/2024"), 21, "14/03/2024,13/03/2024");
  const auto report = prepare(write_desk(folder, tickets), database);
  CHECK(report.completed_early == 1);
  CHECK(report.text().find("1 tickets were completed before they were received") != std::string::npos);
  CHECK(parse_json(report.json(), "report")["completed_before_received"] == 1);
  CHECK(TicketStore(database).find("1")->query == "it jams");
}

TEST_CASE("an id that comes again, with other blanks too, is one ticket: its last row counts, its history joins, and it is said") {
  const TemporaryFolder folder;
  auto database = open_desk_database(folder.path() / "desk.db", Mode::kCreate);
  const std::string header(kTickets, 0, std::string_view(kTickets).find('\n') + 1);
  const auto report =
      prepare(write_desk(folder,
                         header + "INC 1,,ERP,Stock,Defect,01/02/2024,,One,2,first,,,,\r\n\"\u00A0INC\u00A0 "
                                  "1\",,ERP,Stock,Defect,01/02/2024,,Two,2,second,,,,\r\n"
                                  "\"'); DROP TABLE tickets;--\",,ERP,Stock,Defect,01/02/2024,,Three,2,third,,,,\r\n",
                         "TICKETID,TICKETACTIVITYID,USERID,SHORTDESC,CREATEDATE,ACTIVITYDESC,ACTIVITYTYPECODE,ACTIVITYTYPE\r\n"
                         "INC  1\u200B,1,C,in,01/02/2024,the shelf is empty,EI,E\r\n\"'); DROP TABLE tickets;--\",2,C,in,01/02/2024,the "
                         "pallet is gone,EI,E\r\n"),
              database);
  CHECK(report.tickets == 2);
  CHECK(report.skipped == std::map<std::string, std::int64_t>{{"ticket id that comes again (its last row counts)", 1}});
  TicketStore store(database);
  REQUIRE(store.find("INC 1"));
  CHECK(store.find("INC 1")->subject == "Two");
  CHECK(store.find("INC 1")->query == "the shelf is empty");
  CHECK(store.find("'); DROP TABLE tickets;--")->query == "the pallet is gone");
}
