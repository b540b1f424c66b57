#include "deskhand/tickets/mapping.h"

#include <doctest/doctest.h>

#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "tests/temporary_folder.h"

using namespace deskhand;

namespace {

std::vector<Ticket> read_tickets(const TemporaryFolder& folder, std::string_view text, const ColumnMapping& mapping) {
  write_file_atomically(folder.path() / "export.csv", text);
  const auto table = open_table(folder.path() / "export.csv");
  RowMapper mapper(mapping, TableRole::kTickets, *table);
  std::vector<Ticket> tickets;
  for (Row row; table->next(row);) tickets.push_back(mapper.ticket(row));
  return tickets;
}

ColumnMapping small_mapping() {
  ColumnMapping mapping;
  mapping.tickets = {.id = "id", .problem = "text", .urgency = "urgency", .category = "kind", .received = "date"};
  return mapping;
}

}  // namespace

TEST_CASE("the edit distance counts insertions, deletions, substitutions and swaps, without case") {
  CHECK(edit_distance("URGENCYCODE", "urgencycode ") == 0);
  CHECK(edit_distance("PROBLEM", "PRBOLEM") == 1);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("", "abc") == 3);
}

TEST_CASE("a missing column is answered with what was found, the nearest and the line for desk.toml") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(read_tickets(folder, "id,text,urgncy,kind,date\n", small_mapping()),
                       doctest::Contains("no column \"urgency\" (wanted as urgency); found \"id\", \"text\", \"urgncy\", \"kind\", "
                                         "\"date\"; the nearest is \"urgncy\": if that is it, "
                                         "write [mapping.tickets] urgency = \"urgncy\" into desk.toml"),
                       Error);
  CHECK_THROWS_WITH_AS(read_tickets(folder, "id,text,text,urgency,kind,date\n", small_mapping()),
                       doctest::Contains("2 columns are named \"text\""), Error);
  CHECK_THROWS_AS(read_tickets(folder, "id\n", ColumnMapping{}), Error);
}

TEST_CASE("column names match whatever their case and outer space, in any order") {
  const TemporaryFolder folder;
  const auto tickets = read_tickets(folder, " Kind ,DATE,Text,ID,URGENCY\nPrinting,14/03/2024,jam, 7 ,2\n", small_mapping());
  REQUIRE(tickets.size() == 1);
  CHECK(tickets[0].id == "7");
  CHECK(tickets[0].category == "Printing");
  CHECK(tickets[0].urgency == 2);
  CHECK(tickets[0].received == "2024-03-14");
}

TEST_CASE("an urgency or category that the mapping lacks names row, column and value") {
  const TemporaryFolder folder;
  auto mapping = small_mapping();
  CHECK_THROWS_WITH_AS(read_tickets(folder, "id,text,urgency,kind,date\n1,a,3.0,x,\n2,b,7,x,\n", mapping),
                       doctest::Contains("row 3, column \"urgency\": \"7\" is no urgency; wanted 1 to 5"), Error);
  CHECK_THROWS_AS(read_tickets(folder, "id,text,urgency,kind,date\n1,a,2.5,x,\n", mapping), Error);
  CHECK_THROWS_AS(read_tickets(folder, "id,text,urgency,kind,date\n1,a,nan,x,\n", mapping), Error);
  mapping.urgency_labels = {{"blocker", 1}, {"low", 4}};
  CHECK(read_tickets(folder, "id,text,urgency,kind,date\n1,a, Blocker ,x,\n2,b,,x,\n", mapping)[0].urgency == 1);
  CHECK_THROWS_WITH_AS(read_tickets(folder, "id,text,urgency,kind,date\n1,a,high,x,\n", mapping),
                       doctest::Contains("the urgency \"high\" is not in the mapping, which knows \"blocker\", \"low\""), Error);
  mapping.category_labels = {{"x", "Printing"}};
  CHECK(read_tickets(folder, "id,text,urgency,kind,date\n1,a,low,X,\n", mapping)[0].category == "Printing");
  CHECK_THROWS_WITH_AS(read_tickets(folder, "id,text,urgency,kind,date\n1,a,low,y,\n", mapping),
                       doctest::Contains("row 2, column \"kind\": the category \"y\""), Error);
}

TEST_CASE("activities inside a ticket that are no list of objects are refused with their row") {
  const TemporaryFolder folder;
  ColumnMapping mapping;
  mapping.tickets = {.id = "id", .problem = "text"};
  mapping.activities = "acts";
  for (const char* cell : {"{}", "\"[1]\"", "[{]"}) {
    CAPTURE(cell);
    CHECK_THROWS_WITH_AS(read_tickets(folder, std::string("id,text,acts\n1,a,") + cell + "\n", mapping),
                         doctest::Contains("row 2, column \"acts\""), Error);
  }
}

TEST_CASE("no preset maps what is known at closing alone to a ticket's problem") {
  const auto names = mapping_preset_names();
  for (const auto& name : names) CHECK(mapping_preset(name).name == name);
  const auto mendeley = mapping_preset("mendeley");
  CHECK(mendeley.ignored_activity_types == std::vector<std::string>{"closing_template"});
  for (const auto& column :
       {mendeley.tickets.subject, mendeley.tickets.problem, mendeley.tickets.category, mendeley.tickets.area, mendeley.tickets.issue})
    for (const char* leak :
         {"resolved_at", "processing_steps", "resolution_code", "resolution_text", "technician_problem", "investigation"})
      CHECK(column != leak);
  CHECK_THROWS_WITH_AS(mapping_preset("sap"), doctest::Contains("\"seed\", \"mendeley\", \"thunderbird\", \"tobi\""), Error);
}

TEST_CASE("categories are merged without case and only where they are named; single labels are put right by the ticket's id") {
  const TemporaryFolder folder;
  write_file_atomically(folder.path() / "t.csv",
                        "TICKETID,ALTERNATEKEYSUFFIX,AREA,CATEGORY,ISSUE,RECEIVEDDATE,COMPLETEDDATE,SUBJECT,URGENCYCODE,PROBLEM,SOLUTION,"
                        "RESULTIONSUMMARY,ACCOUNTID,ACCOUNT\n1,,,PRINTNG,,,,,3,p,,,,\n2,,,Stock,,,,,3,p,,,,\n3,,,stock,,,,,1,p,,,,\n");
  ColumnMapping mapping = mapping_preset("seed");
  mapping.merged_categories = {{"printng", "Printing"}};
  mapping.category_of = {{"3", "Printing"}};
  mapping.urgency_of = {{"3", 4}};
  mapping.excluded_categories = {"stock"};
  mapping.excluded_tickets = {"1"};
  const auto table = open_table(folder.path() / "t.csv");
  RowMapper mapper(mapping, TableRole::kTickets, *table);
  std::vector<Ticket> tickets;
  for (Row row; table->next(row);) tickets.push_back(mapper.ticket(row));
  REQUIRE(tickets.size() == 3);
  CHECK(tickets[0].category == "Printing");
  CHECK(tickets[1].category == "Stock");
  CHECK(tickets[2].category == "Printing");
  CHECK(tickets[2].urgency == 4);
  CHECK(mapper.is_excluded(tickets[0]));
  CHECK(mapper.is_excluded(tickets[1]));
  CHECK_FALSE(mapper.is_excluded(tickets[2]));
}

TEST_CASE("one id is one ticket, whichever blanks a program put around or into it; nothing invisible tells two apart") {
  CHECK(bare_id(" 4711\u00A0\r\n") == "4711");
  CHECK(bare_id("\uFEFFINC\u00A0 1\u200B") == "INC 1");
  CHECK(bare_id("a\tb\n\u2003c") == "a b c");
  CHECK(bare_id(std::string_view("a\0\x01\x7F\u00ADb", 7)) == "ab");
  CHECK(bare_id("Größe-ﬀ-票") == "Größe-ﬀ-票");
  CHECK(bare_id("\xE2\x80") == "\xE2\x80");  // cut inside a character
  CHECK(bare_id(" \u3000 ").empty());
}

TEST_CASE("an id without measure spoils its row; absurd ones stay what they are") {
  const TemporaryFolder folder;
  const auto tickets =
      read_tickets(folder, "id,text,urgency,kind,date\n1e308,a,1,,\n../../x,b,1,,\n=1+1,c,1,,\n\"a\nb\",d,1,,\n", small_mapping());
  REQUIRE(tickets.size() == 4);
  CHECK(tickets[0].id == "1e308");
  CHECK(tickets[1].id == "../../x");
  CHECK(tickets[2].id == "=1+1");
  CHECK(tickets[3].id == "a b");
  CHECK_THROWS_WITH_AS(read_tickets(folder, "id,text,urgency,kind,date\n" + std::string(400, '7') + ",a,1,,\n", small_mapping()),
                       doctest::Contains("row 2, column \"id\": an id of 400 bytes; wanted 200 at most"), RowError);
}

TEST_CASE("a date no ticket can have is none, and is counted") {
  const TemporaryFolder folder;
  const std::vector<std::string> dates = {"31.02.2024", "00.00.0000", "0001-01-01", "1900-01-01", "1970-01-01T00:00:00Z",
                                          "31.12.9999", "-1",         "2958466",    "99991231",   "0000-01-01 00:00:00",
                                          "29.02.2023", "2024-13-01"};
  std::string text = "id,text,urgency,kind,date\n1,a,1,,29.02.2024\n";
  for (const auto& date : dates) text += "2,b,1,," + date + "\n";
  write_file_atomically(folder.path() / "export.csv", text);
  const auto table = open_table(folder.path() / "export.csv");
  RowMapper mapper(small_mapping(), TableRole::kTickets, *table);
  Row row;
  REQUIRE(table->next(row));
  CHECK(mapper.ticket(row).received == "2024-02-29");
  for (const auto& date : dates) {
    REQUIRE(table->next(row));
    CHECK_MESSAGE(mapper.ticket(row).received == "", date);
  }
  CHECK(mapper.unread_dates() == dates.size());
}
