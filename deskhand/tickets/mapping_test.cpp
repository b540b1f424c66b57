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

TEST_CASE("dates are read day first, month first where the desk says so, and as what they can only be") {
  const auto read = [](std::string_view text, DateOrder order = DateOrder::kDayFirst) { return read_date(text, order).value_or("none"); };
  CHECK(read("03/04/2024") == "2024-04-03");
  CHECK(read("03/04/2024", DateOrder::kMonthFirst) == "2024-03-04");
  CHECK(read("03/14/2024 9:12 PM") == "2024-03-14T21:12:00");
  CHECK(read("14.3.24") == "2024-03-14");
  CHECK(read("14-Mar-2024 00:05") == "2024-03-14T00:05:00");
  CHECK(read("Thu, 14 March 2024 12:00:01 AM") == "2024-03-14T00:00:01");
  CHECK(read("Mar 14, 2024") == "2024-03-14");
  CHECK(read("20240314") == "2024-03-14");
  CHECK(read("2022-01-02 11:12:51+00:00") == "2022-01-02T11:12:51");
  CHECK(read("2024-01-01 00:30:00 +0200") == "2023-12-31T22:30:00");
  CHECK(read("2024-03-14T09:12:00.123Z") == "2024-03-14T09:12:00");
  for (const char* text :
       {"", "yesterday", "31/02/2024", "14/03/2024 25:00", "14/03/2024 later", "2024", "1/2", "99999999", "14/03/2024 09:12 +99:00"})
    CHECK(read(text) == "none");
}

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
