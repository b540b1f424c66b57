// Exports as desks really have them: spreadsheets with titles and merged names, mails, and rows that cannot be read.
#include <doctest/doctest.h>

#include <algorithm>

#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/tickets/guess.h"
#include "deskhand/tickets/mail.h"
#include "deskhand/tickets/prepare.h"
#include "deskhand/tickets/rejected_rows.h"
#include "deskhand/tickets/test_zip.h"
#include "tests/temporary_folder.h"

using namespace deskhand;
namespace fs = std::filesystem;
using Cells = std::vector<std::string>;

namespace {

const fs::path kGolden = fs::path(DESKHAND_SOURCE_DIR) / "tests/golden/tickets";

std::unique_ptr<TableReader> open_text(const TemporaryFolder& folder, std::string_view text, const TableOptions& options = {}) {
  write_file_atomically(folder.path() / "export", text);
  return open_table(folder.path() / "export", options);
}

std::vector<Row> read_all(TableReader& table) {
  std::vector<Row> rows;
  for (Row row; table.next(row);) rows.push_back(row);
  return rows;
}

}  // namespace

TEST_CASE("spreadsheets of odfpy and XlsxWriter give the cells that calamine reads, and one line of names under title and merged cells") {
  const auto golden = parse_json(read_text_file(kGolden / "sheets.json"), "sheets.json");
  for (const std::string name : {"odfpy.ods", "xlsxwriter.xlsx"}) {
    CAPTURE(name);
    const auto table = open_table(kGolden / name);  // the first sheet has but one cell or none
    CHECK(table->sheet() == "Tickets");
    CHECK(table->header() == Cells{"No", "Customer Name", "Customer City", "Received", "Problem"});
    const auto rows = read_all(*table);
    CHECK(table->description().find("hidden rows read too") != std::string::npos);
    std::size_t at = 0;
    for (const auto& line : golden.at(name)) {
      if (line.at("number").get<int>() <= 5 && line.at("cells").at(4) != "line one\nline two") continue;  // title and names
      REQUIRE(at < rows.size());
      CHECK(rows[at].number == line.at("number").get<std::int64_t>());
      auto cells = line.at("cells").get<Cells>();
      if (cells[4] == "two  spacestabnext") cells[4] = "two  spaces\ttab\nnext";  // calamine drops tabs and line breaks
      CHECK(rows[at++].cells == cells);
    }
    CHECK(at == rows.size());
  }
}

TEST_CASE("the sheet with the wanted columns is taken, whatever stands before it") {
  TableOptions options;
  options.columns = {"nothing HERE"};
  CHECK(open_table(kGolden / "xlsxwriter.xlsx", options)->sheet() == "Read me");
  options.columns = {"PROBLEM", "no"};
  CHECK(open_table(kGolden / "odfpy.ods", options)->sheet() == "Tickets");
  CHECK_THROWS_WITH_AS(open_table(kGolden / "odfpy.ods", {.sheet = "x"}), doctest::Contains("the workbook has \"Read me\", \"Tickets\""),
                       Error);
}

namespace {

struct OneSheet {
  std::string name;
  std::vector<Cells> rows;
  bool is_hidden = false;
};

void write_xlsx(const fs::path& path, const std::vector<OneSheet>& sheets) {
  std::string list, relations;
  std::vector<std::pair<std::string, std::string>> parts;
  for (std::size_t i = 0; i < sheets.size(); ++i) {
    list += fmt::format("<sheet name='{}' {}r:id='r{}'/>", sheets[i].name, sheets[i].is_hidden ? "state='hidden' " : "", i);
    relations += fmt::format("<Relationship Id='r{}' Type='t/worksheet' Target='s{}.xml'/>", i, i);
    std::string rows;
    for (const auto& row : sheets[i].rows) {
      rows += "<row>";
      for (const auto& cell : row) rows += "<c t='inlineStr'><is><t>" + cell + "</t></is></c>";
      rows += "</row>";
    }
    parts.emplace_back(fmt::format("xl/s{}.xml", i), "<worksheet><sheetData>" + rows + "</sheetData></worksheet>");
  }
  parts.emplace_back("xl/workbook.xml", "<workbook xmlns:r='r'><sheets>" + list + "</sheets></workbook>");
  parts.emplace_back("xl/_rels/workbook.xml.rels", "<Relationships>" + relations + "</Relationships>");
  write_zip(path, parts);
}

void write_ods(const fs::path& path, const std::vector<OneSheet>& sheets) {
  std::string tables;
  for (const auto& sheet : sheets) {
    tables += fmt::format("<table:table table:name='{}' table:style-name='ta{}'>", sheet.name, sheet.is_hidden ? 2 : 1);
    for (const auto& row : sheet.rows) {
      tables += "<table:table-row>";
      for (const auto& cell : row)
        tables += "<table:table-cell office:value-type='string'><text:p>" + cell + "</text:p></table:table-cell>";
      tables += "</table:table-row>";
    }
    tables += "</table:table>";
  }
  write_zip(
      path,
      {{"content.xml",
        "<office:document-content xmlns:office='o' xmlns:table='t' xmlns:text='x' xmlns:style='s'><office:automatic-styles><style:style "
        "style:name='ta1' style:family='table'><style:table-properties table:display='true'/></style:style><style:style style:name='ta2' "
        "style:family='table'><style:table-properties table:display='false'/></style:style></office:automatic-styles><office:body>"
        "<office:spreadsheet>" +
            tables + "</office:spreadsheet></office:body></office:document-content>"}});
}

}  // namespace

TEST_CASE("sheets with the same columns are one table, in whatever order the columns stand; others, and hidden ones, are named") {
  const std::vector<OneSheet> sheets = {{"Read me", {{"Exported by hand"}}},
                                        {"January", {{"id", "text", "kind"}, {"1", "a", "x"}, {"2", "b", "y"}}},
                                        {"February", {{"Report of February"}, {"KIND", "id ", "Text"}, {"z", "3", "c"}}},
                                        {"Old", {{"id", "text", "kind"}, {"9", "old", "x"}}, true},
                                        {"March", {{"id", "text", "kind", "mood"}, {"4", "d", "x", "good"}}},
                                        {"April", {{"id", "text", "kind"}, {"5", "e", "y"}}}};
  const TemporaryFolder folder;
  write_xlsx(folder.path() / "book.xlsx", sheets);
  write_ods(folder.path() / "book.ods", sheets);
  for (const std::string name : {"book.xlsx", "book.ods"}) {
    CAPTURE(name);
    TableOptions options;
    options.columns = {"ID", "text"};
    const auto table = open_table(folder.path() / name, options);
    CHECK(table->header() == Cells{"id", "text", "kind"});
    std::string seen;
    double share = 0;
    for (Row row; table->next(row);) {
      seen += fmt::format("{}{}{}{}@{} ", row.sheet, row.cells[0], row.cells[1], row.cells[2], row.number);
      CHECK(table->share_read() >= share);
      share = table->share_read();
    }
    CHECK(seen == "1ax@2 2by@3 February3cz@3 April5ey@2 ");
    CHECK(table->description().find(
              "sheets \"January\", \"February\", \"April\" of 6 as one table, not read since hidden: \"Old\", not read since "
              "other columns stand beside those wanted: \"March\"") != std::string::npos);
    CHECK(read_all(*open_table(folder.path() / name, {.sheet = "Old"})).at(0).cells == Cells{"9", "old", "x"});
    CHECK(read_all(*open_table(folder.path() / name, {.sheet = "January"})).size() == 2);
  }
}

TEST_CASE("a hidden sheet is read where no visible one has the columns") {
  const TemporaryFolder folder;
  const std::vector<OneSheet> sheets = {{"Pivot", {{"month", "count", "share"}, {"1", "2", "3"}}},
                                        {"Data", {{"id", "text", "kind"}, {"1", "a", "x"}}, true}};
  write_xlsx(folder.path() / "book.xlsx", sheets);
  write_ods(folder.path() / "book.ods", sheets);
  for (const std::string name : {"book.xlsx", "book.ods"}) {
    TableOptions options;
    CHECK(open_table(folder.path() / name, options)->sheet() == "Pivot");
    options.columns = {"text"};
    CHECK(open_table(folder.path() / name, options)->sheet() == "Data");
  }
}

TEST_CASE("tickets and history on sheets of one workbook are told apart when columns are guessed, and joined") {
  const TemporaryFolder folder;
  OneSheet tickets{"Tickets", {{"Number", "Description", "Category"}}},
      history{"Comments", {{"Number", "Created", "Created by", "Comments"}}}, more{"Tickets 2023", {{"Number", "Description", "Category"}}};
  for (int i = 0; i < 30; ++i) {
    auto& sheet = i % 2 ? tickets : more;
    sheet.rows.push_back({fmt::format("INC{:04}", i), fmt::format("The printer of hall {} stands still since the update", i),
                          i % 3 ? "Hardware" : "Access"});
    history.rows.push_back(
        {fmt::format("INC{:04}", i), "2024-03-14 09:12", "jdoe", fmt::format("Called the hall {} about the fault of its printer", i)});
  }
  const auto book = folder.path() / "book.xlsx";
  write_xlsx(book, {tickets, history, more});
  const auto guess = guess_mapping(book, book);
  CHECK(guess.mapping.tickets.problem == "Description");
  CHECK(guess.mapping.history.text == "Comments");
  CHECK(guess.mapping.history.created == "Created");
  PrepareSettings settings;
  settings.ticket_files = {book};
  settings.history_files = {book};
  settings.mapping = guess.mapping;
  settings.quiet = true;
  auto database = open_desk_database(folder.path() / "desk.db", Database::Mode::kCreate);
  const auto report = prepare(settings, database);
  CHECK(report.tickets == 30);
  CHECK(report.activities == 30);
  CHECK(report.without_history == 0);
}

TEST_CASE("sheets of megabytes, each unpacked ahead by a thread of its own, are read one behind the other") {
  const TemporaryFolder folder;
  const std::string text(3000, 'x');
  std::vector<OneSheet> sheets;
  for (const std::string name : {"A", "B", "C"}) {
    sheets.push_back({name, {{"id", "text", "kind"}}});
    for (int i = 0; i < 1600; ++i) sheets.back().rows.push_back({name + std::to_string(i), text, "k"});
  }
  write_xlsx(folder.path() / "book.xlsx", sheets);
  const auto table = open_table(folder.path() / "book.xlsx");
  std::size_t count = 0;
  for (Row row; table->next(row); ++count) {
    REQUIRE(row.cells[0] == sheets[count / 1600].name + std::to_string(count % 1600));
    REQUIRE(row.cells[1] == text);
  }
  CHECK(count == 4800);
}

TEST_CASE("of hundreds of sheets the first hundred are looked at, and it is said") {
  const TemporaryFolder folder;
  std::vector<OneSheet> sheets;
  for (int i = 0; i < 300; ++i) sheets.push_back({"S" + std::to_string(i), {{"id", "text", "kind"}, {std::to_string(i), "a", "b"}}});
  write_xlsx(folder.path() / "book.xlsx", sheets);
  const auto table = open_table(folder.path() / "book.xlsx");
  CHECK(read_all(*table).size() == 100);
  CHECK(table->description().ends_with(" of 300 as one table, the first 100 looked at"));
}

TEST_CASE("tickets without ids of their own are told apart by file, sheet and row, and a bad cell is named with its sheet") {
  const TemporaryFolder folder;
  write_xlsx(folder.path() / "book.xlsx", {{"A", {{"text", "urgency", "kind"}, {"one", "1", "x"}}},
                                           {"B", {{"text", "urgency", "kind"}, {"two", "2", "x"}, {"three", "high", "x"}}}});
  ColumnMapping mapping;
  mapping.tickets = {.problem = "text", .urgency = "urgency"};
  const auto table = open_table(folder.path() / "book.xlsx");
  RowMapper mapper(mapping, TableRole::kTickets, *table);
  Row row;
  REQUIRE(table->next(row));
  CHECK(mapper.ticket(row).id == "book:2");
  REQUIRE(table->next(row));
  CHECK(mapper.ticket(row).id == "book:B:2");
  REQUIRE(table->next(row));
  CHECK_THROWS_WITH_AS(mapper.ticket(row), doctest::Contains("sheet \"B\": row 3, column \"urgency\": \"high\""), RowError);
}

TEST_CASE("column names of CSV are found under lines of a title") {
  const TemporaryFolder folder;
  const auto table = open_text(folder, "Tickets of March\n\nexported on;14/03/2024\nid;text;kind\n1;a;b\n2;\"c;\nd\";e\n");
  CHECK(table->header() == Cells{"id", "text", "kind"});
  CHECK(table->description() == "CSV, UTF-8, delimiter ';', column names in row 4");
  const auto rows = read_all(*table);
  REQUIRE(rows.size() == 2);
  CHECK(rows[1].cells == Cells{"2", "c;\nd", "e"});
  CHECK(rows[1].number == 6);
}

TEST_CASE("a row that cannot be read is an error of its own, and reading goes on behind it") {
  const TemporaryFolder folder;
  const auto after_faults = [&](std::string_view text) {
    const auto table = open_text(folder, text);
    std::string ids;
    for (Row row;;) {
      try {
        if (!table->next(row)) break;
        ids += row.cells[0];
      } catch (const RowError& error) {
        ids += fmt::format("({})", error.row());
      }
    }
    return ids;
  };
  CHECK(after_faults("id,text\n1,a\n2,b,c,d\n3,e\n") == "1(3)3");
  CHECK(after_faults("id,text\n1,a\n2,\"b\n3,e\n4,f\n") == "1(3)34");  // a quote that never closes costs its line alone
  CHECK(after_faults("{\"id\": 1}\n{\"id\": \n[2]\n{\"id\": 3}\n") == "1(2)(3)3");
  std::string deep = "{\"id\": 1}\n{\"id\": ";
  deep.append(1'000'000, '[');
  CHECK(after_faults(deep + "\n{\"id\": 2}\n") == "1(2)2");
}

TEST_CASE("NULs inside a CSV file vanish from its cells") {
  const TemporaryFolder folder;
  std::string text = "id,text\n";
  for (int i = 0; i < 1000; ++i) text += fmt::format("{},fine\n", i);
  const auto table = open_text(folder, text + std::string("7,a\0b\n", 6));
  CHECK(read_all(*table).back().cells == Cells{"7", "ab"});
}

TEST_CASE("bad rows are skipped when asked, and written to a file with the reason and without a formula") {
  const TemporaryFolder folder;
  write_file_atomically(folder.path() / "t.csv", "id,text,urgency\n1,fine,3\n2,=cmd|' /C calc'!A0,9\n3,too,many,cells\n4,fine,1\n");
  PrepareSettings settings;
  settings.ticket_files = {folder.path() / "t.csv"};
  settings.mapping.tickets = {.id = "id", .problem = "text", .urgency = "urgency"};
  settings.quiet = true;
  auto database = open_desk_database(folder.path() / "desk.db", Database::Mode::kCreate);
  CHECK_THROWS_WITH_AS(prepare(settings, database), doctest::Contains("row 3, column \"urgency\": \"9\" is no urgency"), RowError);
  CHECK(TicketStore(database).count() == 0);
  settings.skip_bad_rows = true;
  settings.rejected_file = folder.path() / "rejected.csv";
  const auto report = prepare(settings, database);
  CHECK(report.tickets == 2);
  CHECK(report.rejected == 2);
  CHECK(report.text().find("2 rows could not be read and were left out") != std::string::npos);
  const auto rejected = read_text_file(settings.rejected_file);
  CHECK(rejected.find(",3,") != std::string::npos);
  CHECK(rejected.find("'=cmd|") != std::string::npos);
  CHECK(rejected.find("has 4 fields, the header 3") != std::string::npos);
}

TEST_CASE(
    "what is written of bad rows names nobody, and can be forgotten by the ticket's id; a forgotten ticket's row is not written again") {
  const TemporaryFolder folder;
  write_file_atomically(folder.path() / "t.csv",
                        "id,text,urgency\n1,fine,3\n2,\"Regards, Zwentibold "
                        "Quitzow\",zwentibold@quitzow.example\n3,zibbelquark,too,many\n4,\"ticket 3 again\",9\n"
                        "33,other,too,many\n");
  PrepareSettings settings;
  settings.ticket_files = {folder.path() / "t.csv"};
  settings.mapping.tickets = {.id = "id", .problem = "text", .urgency = "urgency"};
  settings.clean.redact = RedactSettings::all();
  settings.quiet = true;
  settings.skip_bad_rows = true;
  settings.rejected_file = folder.path() / "rejected.csv";
  auto database = open_desk_database(folder.path() / "desk.db", Database::Mode::kCreate);
  CHECK(prepare(settings, database).rejected == 4);
  const auto written = read_text_file(settings.rejected_file);
  CHECK(written.find("Quitzow") == std::string::npos);
  CHECK(written.find("quitzow") == std::string::npos);
  CHECK(written.find("[NAME_1]") != std::string::npos);
  CHECK(written.find("\"[EMAIL_1]\"\" is no urgency") != std::string::npos);

  using Found = std::map<std::string, std::int64_t>;
  CHECK(drop_rejected(settings.rejected_file, Cells{"3", "5"}, true) == Found{{"3", 1}});
  CHECK(read_text_file(settings.rejected_file) == written);
  CHECK(drop_rejected(settings.rejected_file, Cells{"3", "5"}, false) == Found{{"3", 1}});
  const auto left = read_text_file(settings.rejected_file);
  CHECK(left.find("zibbelquark") == std::string::npos);
  CHECK(left.find("33 | other") != std::string::npos);
  CHECK(left.find("ticket 3 again") != std::string::npos);  // another ticket's row
  CHECK(drop_rejected(settings.rejected_file, Cells{"3"}, false).empty());
  CHECK(drop_rejected(folder.path() / "none.csv", Cells{"3"}, false).empty());
  CHECK(drop_rejected(folder.path() / "t.csv", Cells{"3"}, false).empty());  // none of ours

  TicketWriter(database).keep_away("3");
  const auto again = prepare(settings, database);
  CHECK(again.rejected == 3);
  CHECK(again.skipped.at("ticket that was forgotten") == 1);
  CHECK(read_text_file(settings.rejected_file).find("zibbelquark") == std::string::npos);
}

TEST_CASE("a row of JSON that cannot be read is found by the id that stands in it") {
  const TemporaryFolder folder;
  write_file_atomically(
      folder.path() / "t.jsonl",
      "{\"id\": \"A-1\", \"text\": \"fine\"}\n{\"id\": \"A-2\", \"text\": \"zibbelquark\n{\"id\": \"A-22\", \"text\": \"other\n");
  PrepareSettings settings;
  settings.ticket_files = {folder.path() / "t.jsonl"};
  settings.mapping.tickets = {.id = "id", .problem = "text"};
  settings.quiet = true;
  settings.skip_bad_rows = true;
  settings.rejected_file = folder.path() / "rejected.csv";
  auto database = open_desk_database(folder.path() / "desk.db", Database::Mode::kCreate);
  CHECK(prepare(settings, database).rejected == 2);
  CHECK(drop_rejected(settings.rejected_file, Cells{"A-2"}, false) == std::map<std::string, std::int64_t>{{"A-2", 1}});
  CHECK(read_text_file(settings.rejected_file).find("zibbelquark") == std::string::npos);
  TicketWriter(database).keep_away("A-2");
  CHECK(prepare(settings, database).rejected == 1);
  CHECK(read_text_file(settings.rejected_file).find("zibbelquark") == std::string::npos);
}

TEST_CASE("what a spreadsheet program would run is written as text, numbers stay") {
  CHECK(without_formula("=1+1") == "'=1+1");
  CHECK(without_formula("@SUM(A1)") == "'@SUM(A1)");
  CHECK(without_formula("+49 30 1234") == "'+49 30 1234");
  CHECK(without_formula("-5,25") == "-5,25");
  CHECK(without_formula("- a list") == "'- a list");
  CHECK(without_formula("a=b") == "a=b");
  CHECK(without_formula("").empty());
}

TEST_CASE("a mail gives who, when, about what, and its text whatever its coding") {
  const auto mail = read_mail(
      "From: =?utf-8?Q?J=C3=B6rg_M?= =?utf-8?B?w7xsbGVy?= <j@x.de>\r\nTo: desk@y.de\r\nDate: Thu, 14 Mar 2024 09:12:51 +0100 (CET)\r\n"
      "Subject: Drucker\r\n klemmt\r\nMessage-ID: <a@x>\r\nIn-Reply-To: <b@x>\r\nReferences: <c@x>\r\n\t<b@x>\r\nMIME-Version: 1.0\r\n"
      "Content-Type: multipart/mixed; boundary=\"one\"\r\n\r\npreamble\r\n--one\r\nContent-Type: multipart/alternative; "
      "boundary=two\r\n\r\n"
      "--two\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe =\r\nan "
      "alle\r\n"
      "--two\r\nContent-Type: text/html\r\n\r\n<p>not this</p>\r\n--two--\r\n--one\r\nContent-Type: application/pdf\r\n"
      "Content-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n--one--\r\n");
  CHECK(mail.from == "Jörg Müller <j@x.de>");
  CHECK(mail.subject == "Drucker klemmt");
  CHECK(mail.date == "2024-03-14T08:12:51Z[+01:00]");
  CHECK(mail.id == "a@x");
  CHECK(mail.refers == Cells{"c@x", "b@x", "b@x"});
  CHECK(mail.text == "Grüße an alle\r\n");
  CHECK(mail.attachments == 1);
  CHECK(read_mail("Content-Transfer-Encoding: base64\n\nR3LDvMOfZQ==\n").text == "Grüße");
  CHECK(read_mail("Content-Type: text/html\n\n<p>only this</p>").text == "<p>only this</p>");
  CHECK(read_mail("Content-Type: text/plain; format=flowed\n\none \nline\n").text == "one line\n");
  std::string nested = "Content-Type: multipart/mixed; boundary=b\n\n";
  for (int i = 0; i < 5000; ++i) nested += "--b\nContent-Type: multipart/mixed; boundary=b\n\n";
  CHECK(read_mail(nested).text.empty());
  CHECK(read_mail("").text.empty());
}

TEST_CASE("bytes that look like an encoding without a table are read all the same") {  // found by the fuzzer: ISO-8859-16
  const auto found = read_text_file(fs::path(DESKHAND_SOURCE_DIR) / "tests/fuzz/corpus/eml/no_table");
  CHECK(read_mail(found).refers.size() == 2);
}

TEST_CASE("ticket numbers and bare subjects are found in subjects as helpdesks write them") {
  bool is_reply = false;
  CHECK(bare_subject("Re: AW: [Ticket #4711] Printer jams", is_reply) == "printer jams");
  CHECK(is_reply);
  CHECK(bare_subject("Fwd: Printer jams", is_reply) == "printer jams");
  CHECK_FALSE(is_reply);
  for (const auto& [subject, number] : {std::pair{"[Ticket #4711] a", "4711"},
                                        {"Re: [#4711] a", "4711"},
                                        {"Case 4711: a", "4711"},
                                        {"##4711## a", "4711"},
                                        {"[SUP-123] a", "SUP-123"},
                                        {"Printer 4711 jams", ""},
                                        {"[12] a", ""}})
    CHECK_MESSAGE(ticket_number_in(subject) == std::string(number), subject);
}

TEST_CASE("an mbox becomes threads, by ids, numbers and subjects; so does a folder of mails") {
  const auto mail = [](std::string_view id, std::string_view more, std::string_view date, std::string_view text) {
    return fmt::format("From: c@x\nDate: {}\nMessage-ID: <{}>\n{}\n{}\n", date, id, more, text);
  };
  const std::vector<std::string> mails = {
      mail("1@x", "Subject: Printer jams\n", "14 Mar 2024 09:00 +0000", "It jams.\n>From here on"),
      mail("3@x", "Subject: Re: Printer jams\nIn-Reply-To: <2@y>\n", "14 Mar 2024 11:00 +0000", "Thanks"),
      mail("2@y", "Subject: Re: Printer jams\nReferences: <1@x>\n", "14 Mar 2024 10:00 +0000",
           "Clean the rollers.\n\nFrom now on it works"),
      mail("4@x", "Subject: [#900] Login\n", "15 Mar 2024 09:00 +0000", "No login"),
      mail("5@x", "Subject: AW: [#900] Login again\n", "16 Mar 2024 09:00 +0000", "Reset"),
      mail("6@x", "Subject: Payroll export fails\n", "16 Mar 2024 09:00 +0000", "It fails"),
      mail("7@x", "Subject: RE: Payroll export fails\n", "17 Mar 2024 09:00 +0000", "Fixed")};
  const TemporaryFolder folder;
  std::string mbox;
  for (const auto& one : mails) mbox += "From c@x Thu Mar 14 09:00:00 2024\n" + one + "\n";
  // Inside the third mail an empty line stands before "From now": mboxrd quotes it.
  mbox.replace(mbox.find("\n\nFrom now"), 10, "\n\n>From now");
  fs::create_directory(folder.path() / "mails");
  for (std::size_t i = 0; i < mails.size(); ++i) write_file_atomically(folder.path() / "mails" / fmt::format("{}.eml", i), mails[i]);
  write_file_atomically(folder.path() / "inbox", mbox);
  for (const auto& path : {folder.path() / "inbox", folder.path() / "mails"}) {
    CAPTURE(path.string());
    const auto table = open_table(path);
    CHECK(table->description().find("7 mails in 3 threads") != std::string::npos);
    const auto rows = read_all(*table);
    REQUIRE(rows.size() == 3);
    CHECK(rows[0].cells[0] == "1@x");
    CHECK(rows[1].cells[0] == "900");
    CHECK(rows[2].cells[0] == "6@x");
    const auto messages = parse_json(rows[0].cells[7], "messages");
    REQUIRE(messages.size() == 3);
    CHECK(messages[0].at("text").get<std::string>().find("It jams.") == 0);
    CHECK(messages[1].at("id") == "2@y");
    CHECK(messages[1].at("text").get<std::string>().find("From now on it works") != std::string::npos);
    PrepareSettings settings;
    settings.ticket_files = {path};
    settings.mapping = mapping_preset("mail");
    settings.quiet = true;
    fs::remove(folder.path() / "desk.db");
    auto database = open_desk_database(folder.path() / "desk.db", Database::Mode::kCreate);
    CHECK(prepare(settings, database).tickets == 3);
    CHECK(TicketStore(database).find("900")->query == "No login");
    CHECK(TicketStore(database).find("900")->resolution == "Reset");
  }
}
