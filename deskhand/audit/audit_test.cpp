// Desks of a few invented tickets, each with one thing wrong.
#include "deskhand/audit/audit.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "deskhand/audit/language.h"
#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "tests/temporary_folder.h"

using namespace deskhand;

namespace {

// Problems that are near copies of none other.
std::string words(int seed) {
  std::string text;
  for (int i = 0; i < 12; ++i) text += fmt::format("w{} ", (seed * 7919 + i * 104729 + seed * i * 31) % 99991);
  return text;
}

std::vector<Ticket> desk(int count) {
  std::vector<Ticket> tickets;
  for (int i = 0; i < count; ++i)
    tickets.push_back({.id = fmt::format("T{}", i),
                       .problem = words(i),
                       .urgency = i % 3 + 1,
                       .category = i % 2 ? "Printing" : "Stock",
                       .solution = fmt::format("did {}", i),
                       .received = fmt::format("2024-{:02}-10", i % 12 + 1)});
  return tickets;
}

const Finding* find_id(const Audit& audit, std::string_view id) {
  const auto found = std::find_if(audit.findings.begin(), audit.findings.end(), [&](const Finding& f) { return f.id == id; });
  return found == audit.findings.end() ? nullptr : &*found;
}

Audit audited(std::span<const Ticket> tickets, const PrepareSettings& import = {}) {
  ThreadPool pool(2);
  return audit_desk(tickets, import, {.bootstrap = {.resamples = 200}, .quiet = true}, pool);
}

}  // namespace

TEST_CASE("categories that differ by case, blanks, marks or a slip of the pen are one; numbers and common names are not") {
  std::vector<Ticket> tickets;
  const auto add = [&](const std::string& category, int count) {
    for (int i = 0; i < count; ++i) tickets.push_back({.id = std::to_string(tickets.size()), .problem = "p", .category = category});
  };
  add("Printing", 50), add("PRINTING", 20), add("Print ing", 12), add("Printnig", 2);
  add("User & Access", 30), add("User and access", 30);
  add("Level 1", 40), add("Level 2", 5);
  add("Import", 30), add("Export", 30), add("Sales", 40), add("Sale", 30), add("Größe", 20), add("GRÖSSE", 15);
  const auto audit = audit_classes(tickets, LabelField::kCategory, {});
  std::vector<std::string> found;
  for (const auto& pair : audit.similar)
    found.push_back(fmt::format("{}<{} {} {}", pair.keep.label, pair.merge.label, pair.differ, pair.is_certain));
  std::sort(found.begin(), found.end());
  // "Sale" has four letters: too short to say anything.
  CHECK(found == std::vector<std::string>{"Größe<GRÖSSE case true", "Printing<PRINTING case true", "Printing<Print ing blanks true",
                                          "Printing<Printnig spelling true", "User & Access<User and access punctuation true"});
  CHECK(audit.rare.size() == 1);
  CHECK(audit.rare.front().label == "Level 2");
}

TEST_CASE("two common categories that are spelt alike are shown and not merged") {
  std::vector<Ticket> tickets;
  for (int i = 0; i < 60; ++i) tickets.push_back({.id = std::to_string(i), .problem = words(i), .category = i % 2 ? "Billing" : "Milling"});
  const auto audit = audited(tickets);
  REQUIRE(find_id(audit, "alike-classes"));
  CHECK(find_id(audit, "alike-classes")->severity == Severity::kLook);
  CHECK(find_id(audit, "similar-classes") == nullptr);
  CHECK(fixes_toml(audit, {}).empty());
}

TEST_CASE("a problem that came again under another label is a conflict, and two thirds decide") {
  auto tickets = desk(40);
  for (int i = 0; i < 4; ++i)
    tickets.push_back({.id = fmt::format("C{}", i),
                       .problem = fmt::format("the nightly backup of server alpha beta gamma delta stopped with a write error again {}", i),
                       .urgency = 2,
                       .category = i == 3 ? "Stock" : "Printing",
                       .solution = fmt::format("s{}", i)});
  const auto audit = audited(tickets);
  REQUIRE(audit.copies.conflicts.size() == 1);
  CHECK(audit.copies.conflicts[0].majority == "Printing");
  CHECK(audit.copies.conflicts[0].tickets.size() == 4);
  REQUIRE(find_id(audit, "conflicting-labels"));
  CHECK(find_id(audit, "conflicting-labels")->severity == Severity::kMend);
  CHECK(fixes_toml(audit, {}).find("[import.category_of]") != std::string::npos);
  CHECK(fixes_toml(audit, {}).find("\"C3\" = \"Printing\"") != std::string::npos);
  tickets[42].category = "Stock";  // two against two: nobody decides
  CHECK(audited(tickets).copies.conflicts[0].majority.empty());
}

TEST_CASE("a ticket is a copy only if problem, resolution, labels, account and day are the same") {
  auto tickets = desk(3);
  tickets.push_back(tickets[0]);
  tickets.back().id = "again";
  tickets.push_back(tickets[0]);
  tickets.back().id = "next-night", tickets.back().received = "2024-01-11T02:00:00";
  const auto audit = audited(tickets);
  REQUIRE(audit.copies.duplicates.size() == 1);
  CHECK(audit.copies.duplicates[0].ids == std::vector<std::string>{"T0", "again"});
  CHECK(audit.copies.repeats == 3);
  PrepareSettings import;
  import.mapping.excluded_tickets = {"old"};
  CHECK(fixes_toml(audited(tickets, import), {}).find("tickets = [\"old\", \"again\"]") != std::string::npos);
}

TEST_CASE("a label that stands in the text is predicted, one that does not is not") {
  auto tickets = desk(120);
  for (std::size_t i = 0; i < tickets.size(); ++i) {
    tickets[i].problem += i % 2 ? " printer paper jam toner" : " stock count item warehouse";
    tickets[i].urgency = static_cast<int>(i * i * 13 / 7 % 3) + 1;
  }
  const auto audit = audited(tickets);
  const auto& category = audit.predictions[0];
  CHECK(category.verdict == Verdict::kPredicts);
  CHECK(*category.accuracy.value > 0.95);
  CHECK(category.difference.low > 0.2);
  CHECK(*category.gain.value > 0.3);
  CHECK(audit.predictions[1].verdict == Verdict::kCannot);
  CHECK(find_id(audit, "prediction-urgency")->severity == Severity::kLook);
  CHECK(find_id(audit, "prediction-category")->severity == Severity::kNote);
  CHECK(audit.summary.find("the text says the category") != std::string::npos);
  CHECK(audit.summary.find("does not say the urgency") != std::string::npos);
}

TEST_CASE("a label that only near copies share is not called predictable") {
  std::vector<Ticket> tickets;
  for (int i = 0; i < 60; ++i)
    tickets.push_back(
        {.id = std::to_string(i), .problem = words(i / 2) + "tail " + words(i / 2), .urgency = 3, .category = i / 2 % 2 ? "A1" : "B2"});
  ThreadPool pool(1);
  const auto audit = audit_prediction(tickets, LabelField::kCategory, {.bootstrap = {.resamples = 200}, .quiet = true}, pool);
  CHECK(audit.verdict != Verdict::kPredicts);
  CHECK(*audit.accuracy.value < 0.7);
}

TEST_CASE("months in which urgencies are given out otherwise are named, and chance is not") {
  std::vector<Ticket> tickets;
  for (int month = 1; month <= 12; ++month)
    for (int i = 0; i < 40; ++i)
      tickets.push_back({.id = fmt::format("{}-{}", month, i),
                         .problem = "p",
                         .urgency = month == 8 && i < 30 ? 1 : i % 4 + 2,
                         .received = fmt::format("2024-{:02}-{:02}T09:00:00", month, i % 28 + 1)});
  const auto audit = audit_drift(tickets, {});
  REQUIRE(audit.test.has_value());
  CHECK(audit.test->p < 1e-6);
  std::vector<std::string> named;
  for (const auto& month : audit.months)
    if (month.stands_out) named.push_back(month.month);
  CHECK(named == std::vector<std::string>{"2024-08"});
  CHECK(audit.months[7].urgency == 1);
  CHECK(audit.months[7].share == doctest::Approx(0.75));
  CHECK(audit.months[7].elsewhere == 0);
  for (auto& ticket : tickets)
    if (ticket.urgency == 1) ticket.urgency = 3;
  for (int i = 0; i < std::ssize(tickets); ++i) tickets[static_cast<std::size_t>(i)].urgency = i % 4 + 1;
  const auto even = audit_drift(tickets, {});
  CHECK(even.test->p > 0.5);
  CHECK(std::none_of(even.months.begin(), even.months.end(), [](const auto& month) { return month.stands_out; }));
  CHECK_FALSE(audit_drift(std::span(tickets).first(30), {}).test.has_value());
  Ticket late{.id = "late", .urgency = 3};
  late.received = "2024-03-31T22:30:00Z[+02:00]";  // April where it was written
  CHECK(audit_drift(std::span(&late, 1), {}).months.at(0).month == "2024-04");
}

TEST_CASE("languages are told, and what is too short or no text is not guessed") {
  CHECK(language_of("The printer on the second floor does not print since this morning, please help") == "en");
  CHECK(language_of("Der Drucker im zweiten Stock druckt seit heute Morgen nicht mehr, bitte um Hilfe") == "de");
  CHECK(language_of("L'imprimante du deuxième étage n'imprime plus depuis ce matin, merci de nous aider") == "fr");
  CHECK(language_of("") == "unknown");
  CHECK(language_of("0x80070005 17:32") == "unknown");
  CHECK(language_of("\xff\xfe broken bytes in a text") == "unknown");
  std::string long_text;
  while (long_text.size() < 25000) long_text += "Größenänderung wird nicht übernommen und wir können nicht buchen, bitte prüfen. ";
  for (std::size_t cut = 0; cut < 4; ++cut) CHECK(language_of(std::string(cut, ' ') + long_text) == "de");
  CHECK(language_name("de") == "German");
  CHECK(language_name("unknown") == "unknown");
}

TEST_CASE("columns that are empty or always the same are found in the export, read or not") {
  const TemporaryFolder folder;
  write_file_atomically(folder.path() / "t.csv",
                        "TICKETID,ALTERNATEKEYSUFFIX,AREA,CATEGORY,ISSUE,RECEIVEDDATE,COMPLETEDDATE,SUBJECT,URGENCYCODE,PROBLEM,SOLUTION,"
                        "RESULTIONSUMMARY,ACCOUNTID,ACCOUNT\n1,,ERP,A,x,,,s,3,p one,,,a,A\n2,,ERP,B,y,,,t,3,p two,,,b,B\n");
  PrepareSettings import;
  import.mapping = mapping_preset("seed");
  import.ticket_files = {folder.path() / "t.csv", folder.path() / "gone.csv"};
  std::vector<std::string> warnings;
  const auto columns = audit_columns(import, warnings);
  CHECK(warnings.size() == 1);
  REQUIRE(columns.size() == 14);
  CHECK(columns[1].is_empty());
  CHECK(columns[1].field.empty());
  CHECK(columns[2].is_constant());
  CHECK(columns[2].value == "ERP");
  CHECK(columns[8].field == "urgency");
  CHECK_FALSE(columns[9].is_constant());
  const auto audit = audited(desk(40), import);
  CHECK(find_id(audit, "empty-columns")->severity == Severity::kMend);  // all have one urgency
  const auto fixes = fixes_toml(audit, {});
  CHECK(fixes.find("[import.columns]\n") != std::string::npos);
  CHECK(fixes.find("result = \"\"") != std::string::npos);
  CHECK(fixes.find("area") == std::string::npos);
}

TEST_CASE("lines for a section that desk.toml has are comments that say so, the others can be appended") {
  auto tickets = desk(60);
  tickets[0].category = "Prin\"ting\\", tickets[1].category = "printing", tickets[2].category = "stock";
  const auto audit = audited(tickets);
  const auto fresh = fixes_toml(audit, {});
  CHECK(fresh.find("\n[import.merge_categories]\n") != std::string::npos);
  CHECK(fresh.find("\n\"printing\" = \"Printing\"") != std::string::npos);
  CHECK(fresh.find("\"Prin\\\"ting\\\\\"") != std::string::npos);
  const auto again = fixes_toml(audit, {"import", "import.merge_categories"});
  CHECK(again.find("\n[import.merge_categories]\n") == std::string::npos);
  CHECK(again.find("\n# \"printing\" = \"Printing\"") != std::string::npos);
}

TEST_CASE("an audit of one ticket, and of tickets without anything, ends with a sentence") {
  const std::vector<Ticket> bare(3);
  CHECK(audited(bare).summary.find("3 tickets") != std::string::npos);
  CHECK(audited(desk(1)).summary.find("1 ticket") != std::string::npos);
}
