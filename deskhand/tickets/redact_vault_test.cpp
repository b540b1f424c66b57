// What marks stand for: sealed, openable with the key alone, erased without it.
#include "deskhand/tickets/redact_vault.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/tickets/prepare.h"
#include "tests/temporary_folder.h"

using namespace deskhand;

namespace {

int mode_of(const std::filesystem::path& path) {
  struct stat about {};
  REQUIRE(::stat(path.c_str(), &about) == 0);
  return about.st_mode & 0777;
}

}  // namespace

TEST_CASE("sealed marks open with their key, are nowhere in clear, and belong to their ticket and their owner alone") {
  const TemporaryFolder folder;
  const auto key = folder.path() / "desk.key", file = folder.path() / "redactions.db";
  RedactVault::make_key(key);
  CHECK(mode_of(key) == 0600);
  CHECK_THROWS_AS(RedactVault::make_key(key), Error);
  {
    RedactVault vault(file, key);
    vault.put("17", {{"NAME_1", {"Zwentibold Quitzow", "Quitzow"}}});
    vault.put("18", {{"IP_1", {"10.0.0.7"}}});
    vault.put("19", {{"IP_1", {"10.0.0.8"}}});
    vault.put("19", {});
    CHECK(vault.find("17")->at("NAME_1") == std::vector<std::string>{"Zwentibold Quitzow", "Quitzow"});
    CHECK_FALSE(vault.find("19").has_value());
  }
  CHECK(mode_of(file) == 0600);
  CHECK(read_text_file(file).find("Quitzow") == std::string::npos);

  const auto other = folder.path() / "other.key";
  RedactVault::make_key(other);
  CHECK_THROWS_WITH_AS(RedactVault(file, other), doctest::Contains("another key"), Error);
  CHECK_THROWS_WITH_AS(RedactVault(file, folder.path() / "none.key"), doctest::Contains("--make-key"), Error);
  write_file_atomically(folder.path() / "bad.key", "hello\n");
  ::chmod((folder.path() / "bad.key").c_str(), 0600);
  CHECK_THROWS_WITH_AS(RedactVault(file, folder.path() / "bad.key"), doctest::Contains("is no key"), Error);
  ::chmod(key.c_str(), 0644);
  CHECK_THROWS_WITH_AS(RedactVault(file, key), doctest::Contains("chmod 600"), Error);
  ::chmod(key.c_str(), 0600);

  {  // a record moved to another ticket does not open
    Database database(file, Database::Mode::kReadWrite);
    auto labels = database.prepare("SELECT group_concat(label, ' ') FROM marks");
    labels.step();
    const std::string two(labels.text(0));
    labels.reset();
    database.prepare("UPDATE marks SET sealed = (SELECT sealed FROM marks WHERE label = ?1) WHERE label = ?2")
        .bind(1, two.substr(0, 64))
        .bind(2, two.substr(65))
        .run();
  }
  RedactVault vault(file, key);
  int opened = 0;
  for (const char* id : {"17", "18"}) try {
      opened += vault.find(id).has_value();
    } catch (const Error&) {}
  CHECK(opened == 1);
  CHECK(RedactVault::forget(file, std::vector<std::string>{"17", "18", "99"}) == 2);
  CHECK_FALSE(vault.find("17").has_value());
  CHECK(RedactVault::forget(folder.path() / "none.db", std::vector<std::string>{"17"}) == 0);
}

TEST_CASE("a prepared desk holds marks alone; the query reads as it would by itself; the vault knows the rest") {
  const TemporaryFolder folder;
  const std::string header =
      "TICKETID,ALTERNATEKEYSUFFIX,AREA,CATEGORY,ISSUE,RECEIVEDDATE,COMPLETEDDATE,SUBJECT,URGENCYCODE,PROBLEM,SOLUTION,"
      "RESULTIONSUMMARY,ACCOUNTID,ACCOUNT\n";
  write_file_atomically(
      folder.path() / "tickets.csv",
      header + "1,,ERP,Printing,Defect,14/03/2024,15/04/2024,Mr Quitzow's printer,3,Quitzow: it jams,Told Mr Quitzow,ok,A1,Acme\n");
  const std::string query = "Hello,\nmy printer 4711 jams, host 10.1.2.3.\n\nKind regards\nZwentibold Quitzow\n+49 89 1234567";
  write_file_atomically(
      folder.path() / "history.csv",
      "TICKETID,TICKETACTIVITYID,USERID,SHORTDESC,CREATEDATE,ACTIVITYDESC,ACTIVITYTYPECODE,ACTIVITYTYPE\n1,11,C,in,11/04/2024,\"" + query +
          "\",EI,E\n1,12,M,out,12/04/2024,\"<p>Dear Mr Qu&#105;tzow, roller of 10.1.2.3 cleaned.</p>\",EO,E\n");
  PrepareSettings settings;
  settings.ticket_files = {folder.path() / "tickets.csv"};
  settings.history_files = {folder.path() / "history.csv"};
  settings.mapping = mapping_preset("seed");
  settings.quiet = true;
  settings.clean.redact = RedactSettings::all();
  RedactVault::make_key(folder.path() / "key");
  RedactVault vault(folder.path() / "vault.db", folder.path() / "key");
  settings.vault = &vault;
  std::filesystem::create_directory(folder.path() / "desk");
  {
    auto database = open_desk_database(folder.path() / "desk/desk.db", Database::Mode::kCreate);
    const auto report = prepare(settings, database);
    CHECK(report.redaction.places[static_cast<std::size_t>(PersonalKind::kName)] >= 4);
    const auto ticket = TicketStore(database).find("1");
    REQUIRE(ticket);
    CHECK(ticket->query == "my printer 4711 jams, host [IP_1].");
    CHECK(ticket->query == Cleaner(settings.clean).clean(query));
    CHECK(ticket->subject == "Mr [NAME_1]'s printer");
    CHECK(ticket->problem == "[NAME_1]: it jams");
    CHECK(ticket->resolution == "roller of [IP_1] cleaned.");
    CHECK(ticket->activities[0].text.find("[NAME_1]\n[PHONE_1]") != std::string::npos);
    CHECK(vault.find("1")->at("PHONE_1") == std::vector<std::string>{"+49 89 1234567"});
    CHECK(prepare(settings, database).unchanged == 1);

    TicketWriter(database).keep_away("1");
    const auto kept_away = prepare(settings, database);
    CHECK(kept_away.tickets == 0);
    CHECK(kept_away.skipped.at("ticket that was forgotten") == 1);
  }
  for (const auto& file : std::filesystem::directory_iterator(folder.path() / "desk")) {
    const auto bytes = read_text_file(file.path());
    for (const char* secret : {"Quitzow", "Zwentibold", "1234567", "10.1.2.3"}) CHECK(bytes.find(secret) == std::string::npos);
  }
}

TEST_CASE("a retention rule counts days from completion, or from receipt where that is all there is") {
  const Retention rule{.days = 30};
  const auto first = first_day_to_keep(rule, "2024-03-15");
  CHECK(first == "2024-02-14");
  CHECK(is_expired(rule, {.received = "2024-01-01", .completed = "2024-02-13T23:59:59"}, first));
  CHECK_FALSE(is_expired(rule, {.received = "2024-01-01", .completed = "2024-02-14"}, first));
  CHECK(is_expired(rule, {.received = "2024-01-01"}, first));
  CHECK_FALSE(is_expired(rule, {}, first));
  CHECK_FALSE(is_expired({.days = 0}, {.received = "1999-01-01"}, first));
  CHECK(is_expired({.days = 30, .since = Retention::Since::kReceived}, {.received = "2024-01-01", .completed = "2024-03-01"}, first));
}
