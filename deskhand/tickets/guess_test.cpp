#include "deskhand/tickets/guess.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "deskhand/tickets/explain.h"
#include "deskhand/tickets/test_data.h"
#include "tests/temporary_folder.h"

using namespace deskhand;
namespace fs = std::filesystem;

namespace {

// A German export of nobody's preset: semicolons, words for urgencies, a closing note that repeats the solution.
constexpr const char* kGerman =
    "Ticket-Nr;Kurzbeschreibung;Beschreibung;Priorität;Kategorie;Eingangsdatum;Erledigt am;Lösung;Interne Notiz;Mandant\n"
    "4711;Drucker;Der Drucker im zweiten Stock klemmt seit heute früh bei Seite 2;2 - Hoch;Hardware;14.03.2024 09:12;15.03.2024;Die Walzen "
    "wurden "
    "gereinigt und geprüft;zu: Die Walzen wurden gereinigt und geprüft;100\n"
    "4712;Anmeldung;Die Anmeldung am Portal schlägt nach dem Update fehl;1 - Kritisch;Zugang;15.03.2024 10:00;15.03.2024;Das Kennwort "
    "wurde neu "
    "gesetzt und verschickt;zu: Das Kennwort wurde neu gesetzt und verschickt;100\n"
    "4713;Export;Der Export der Lohndaten bricht mit Fehler 17 ab;4 - Niedrig;Finanzen;16.03.2024 11:30;20.03.2024;Der Dienst war nicht "
    "gestartet "
    "worden;zu: Der Dienst war nicht gestartet worden;100\n"
    "4714;Drucker;Es fehlt Papier und niemand weiß, wo neues liegt;3 - Mittel;Hardware;17.03.2024 08:00;17.03.2024;Papier liegt im Lager "
    "neben "
    "der Tür;zu: Papier liegt im Lager neben der Tür;100\n"
    "4715;Bildschirm;Der Bildschirm bleibt nach dem Start schwarz;2 - Hoch;Hardware;18.03.2024 08:00;18.03.2024;Das Kabel steckte nicht "
    "richtig "
    "im Gerät;zu: Das Kabel steckte nicht richtig im Gerät;100\n";

}  // namespace

TEST_CASE("columns of an unknown export are guessed by name and contents, and what repeats the solution is written at closing") {
  const TemporaryFolder folder;
  write_file_atomically(folder.path() / "t.csv", kGerman);
  const auto guess = guess_mapping(folder.path() / "t.csv", {});
  const auto& t = guess.mapping.tickets;
  CHECK(t.id == "Ticket-Nr");
  CHECK(t.subject == "Kurzbeschreibung");
  CHECK(t.problem == "Beschreibung");
  CHECK(t.urgency == "Priorität");
  CHECK(t.category == "Kategorie");
  CHECK(t.solution == "Lösung");
  CHECK(t.received == "Eingangsdatum");
  CHECK(t.completed == "Erledigt am");
  CHECK(guess.mapping.date_order == DateOrder::kDayFirst);
  const auto& closing = guess.mapping.written_at_closing;
  for (const char* name : {"Lösung", "Erledigt am", "Interne Notiz"})
    CHECK(std::find(closing.begin(), closing.end(), name) != closing.end());
  CHECK(guess.mapping.urgency_labels ==
        std::map<std::string, int>{{"1 - kritisch", 1}, {"2 - hoch", 2}, {"3 - mittel", 3}, {"4 - niedrig", 4}});
}

TEST_CASE("a column of closing time cannot be mapped to a problem") {
  const TemporaryFolder folder;
  write_file_atomically(folder.path() / "t.csv", kGerman);
  auto mapping = guess_mapping(folder.path() / "t.csv", {}).mapping;
  mapping.tickets.problem = "interne notiz";
  CHECK_THROWS_WITH_AS(check_mapping(mapping, TableRole::kTickets, open_table(folder.path() / "t.csv")->header(), "t.csv"),
                       doctest::Contains("is written when a ticket is closed, so it can't be its problem"), Error);
}

TEST_CASE("dates are month first where some can be nothing else") {
  const TemporaryFolder folder;
  write_file_atomically(folder.path() / "t.csv",
                        "Number,Short description,Description,Opened\n1,a b,printer jams at page two,03/14/2024\n2,c d,login fails since "
                        "the update,03/04/2024\n3,e f,export of payroll data fails,12/31/2023\n");
  const auto guess = guess_mapping(folder.path() / "t.csv", {});
  CHECK(guess.mapping.date_order == DateOrder::kMonthFirst);
  CHECK(guess.mapping.tickets.id == "Number");
  CHECK(guess.mapping.tickets.subject == "Short description");
}

TEST_CASE("the columns of a known export are its preset") {
  const auto sample = fs::path(DESKHAND_SOURCE_DIR) / "sample";
  const auto guess = guess_mapping(sample / "tickets.xlsx", sample / "history.xlsx");
  CHECK(guess.is_preset);
  CHECK(guess.mapping.name == "seed");
  GuessOptions without;
  without.presets = false;
  const auto fresh = guess_mapping(sample / "tickets.xlsx", sample / "history.xlsx", without).mapping;
  const auto seed = mapping_preset("seed");
  CHECK(mapped_columns(fresh, TableRole::kTickets) == mapped_columns(seed, TableRole::kTickets));
  CHECK(mapped_columns(fresh, TableRole::kHistory) == mapped_columns(seed, TableRole::kHistory));
}

TEST_CASE("guessed without a preset, real tickets keep their closing templates out of every query") {
  const auto data = shared_data("mendeley-helpdesk");
  if (data.empty()) return;
  GuessOptions without;
  without.presets = false;
  const auto guess = guess_mapping(data / "tickets.jsonl", {}, without);
  for (const auto& note : guess.notes) MESSAGE(note);
  const auto& mapping = guess.mapping;
  CHECK(mapping.tickets.problem == "description");
  CHECK(mapping.tickets.urgency == "priority");
  CHECK(mapping.tickets.solution == "resolution_text");
  CHECK(mapping.activities == "activities");
  CHECK(mapping.ignored_activity_types == std::vector<std::string>{"closing_template"});
  CHECK(mapping.urgency_labels == mapping_preset("mendeley").urgency_labels);
  const TemporaryFolder folder;
  PrepareSettings settings;
  settings.ticket_files = {data / "tickets.jsonl"};
  settings.mapping = mapping;
  settings.quiet = true;
  auto database = open_desk_database(folder.path() / "desk.db", Database::Mode::kCreate);
  CHECK(prepare(settings, database).tickets == 216);
  int solved = 0;
  TicketStore(database).each(Part::kAll, true, [&](const Ticket& ticket) {
    CHECK(ticket.query.find("did we resolve the problem and its symptoms") == std::string::npos);
    for (const auto& activity : ticket.activities) {  // nothing that closing wrote, and no later step, is in what triage is shown
      if (activity.type != "closing_template" || activity.text.size() < 40) continue;
      ++solved;
      CHECK(problem_text(ticket).find(activity.text.substr(0, 40)) == std::string::npos);
    }
    if (ticket.solution.size() > 40) CHECK(problem_text(ticket).find(ticket.solution.substr(0, 40)) == std::string::npos);
  });
  CHECK(solved > 50);
}

TEST_CASE("an explanation shows every column, three tickets before and after, and where the settings differ") {
  const TemporaryFolder folder;
  write_file_atomically(folder.path() / "t.csv", kGerman);
  PrepareSettings settings;
  settings.ticket_files = {folder.path() / "t.csv"};
  settings.mapping = guess_mapping(folder.path() / "t.csv", {}).mapping;
  settings.mapping.tickets.category.clear();
  const auto told = explain(settings);
  CHECK(told.fault.empty());
  CHECK(told.differences == std::vector<std::string>{"category: guessed \"Kategorie\", set \"\""});
  REQUIRE(told.tickets.size() == 3);
  CHECK(told.tickets[0].id == "4711");
  CHECK(told.tickets[2].id == "4715");
  const auto text = told.text();
  CHECK(text.find("delimiter ';'") != std::string::npos);
  CHECK(text.find("[written at closing: never part of a problem]") != std::string::npos);
  settings.mapping.tickets.category = "Nothing";
  CHECK(explain(settings).fault.find("no column \"Nothing\"") != std::string::npos);
}

TEST_CASE("an activity dated after the ticket's completion is no query") {
  const TemporaryFolder folder;
  write_file_atomically(
      folder.path() / "t.jsonl",
      R"({"id": "1", "text": "it jams", "done": "2024-03-15", "steps": [{"at": "2024-03-16", "what": "rollers cleaned"}]})"
      "\n"
      R"({"id": "2", "text": "it jams", "done": "2024-03-15", "steps": [{"at": "2024-03-15T10:00:00", "what": "it jams again"}]})"
      "\n");
  PrepareSettings settings;
  settings.ticket_files = {folder.path() / "t.jsonl"};
  settings.mapping.tickets = {.id = "id", .problem = "text", .completed = "done"};
  settings.mapping.activities = "steps";
  settings.mapping.history = {.created = "at", .text = "what"};
  settings.quiet = true;
  auto database = open_desk_database(folder.path() / "desk.db", Database::Mode::kCreate);
  prepare(settings, database);
  CHECK(TicketStore(database).find("1")->query == "it jams");
  CHECK(TicketStore(database).find("1")->resolution == "rollers cleaned");
  CHECK(TicketStore(database).find("2")->query == "it jams again");
}

TEST_CASE("a list as SAP prints it to a file, between bars and under a title, is guessed and prepared") {
  const TemporaryFolder folder;
  const std::string line(60, '-');
  std::string list = "12.03.2024                   Dynamic List Display                    1\n" + line +
                     "\n|Notifctn  |Description      |Created on|P|\n" + line + "\n";
  for (int i = 0; i < 30; ++i)
    list += fmt::format("|{}      |Printer {} jams again and nobody can print labels|{:02}.03.2024|{}|\n", 10004700 + i, i, i % 28 + 1,
                        i % 4 + 1);
  const auto file = folder.path() / "list.txt";
  write_file_atomically(file, list + line + "\n");
  const auto guess = guess_mapping(file, {});
  CHECK(guess.mapping.tickets.id == "Notifctn");
  CHECK(guess.mapping.tickets.problem == "Description");
  CHECK(guess.mapping.tickets.received == "Created on");
  PrepareSettings settings;
  settings.ticket_files = {file};
  settings.mapping = guess.mapping;
  settings.quiet = true;
  auto database = open_desk_database(folder.path() / "desk.db", Database::Mode::kCreate);
  const auto report = prepare(settings, database);
  CHECK(report.tickets == 30);
  CHECK(report.unread_dates == 0);
  CHECK(TicketStore(database).find("10004729")->received == "2024-03-02");
}
