#include "deskhand/tickets/table.h"

#include <doctest/doctest.h>

#include <fstream>

#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/tickets/test_data.h"
#include "deskhand/tickets/test_zip.h"
#include "tests/temporary_folder.h"

using namespace deskhand;
namespace fs = std::filesystem;
using Rows = std::vector<std::vector<std::string>>;

namespace {

const fs::path kGolden = fs::path(DESKHAND_SOURCE_DIR) / "tests/golden/tickets";

std::vector<Row> read_all(TableReader& table) {
  std::vector<Row> rows;
  for (Row row; table.next(row);) rows.push_back(row);
  return rows;
}

Rows cells_of(TableReader& table) {
  Rows rows;
  for (const auto& row : read_all(table)) rows.push_back(row.cells);
  return rows;
}

std::unique_ptr<TableReader> open_text(const TemporaryFolder& folder, std::string_view text, const TableOptions& options = {}) {
  write_file_atomically(folder.path() / "export", text);  // no suffix: the contents tell
  return open_table(folder.path() / "export", options);
}

struct Parts {
  std::string rows, strings = "", styles = "", properties = "<workbookPr/>", prolog = "<?xml version=\"1.0\"?>";
};

// A workbook by hand: what spreadsheet programs other than openpyxl write, and what none would.
std::unique_ptr<TableReader> open_book(const TemporaryFolder& folder, const Parts& parts, const TableOptions& options = {}) {
  const std::string office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
  const auto path = folder.path() / "book.csv";  // a lie, which nothing believes
  write_zip(path, {{"_rels/.rels",
                    "<Relationships><Relationship Id='r' Type='" + office + "/officeDocument' Target='/xl/workbook.xml'/></Relationships>"},
                   {"xl/workbook.xml", "<x:workbook xmlns:x='urn:main' xmlns:rel='" + office + "'>" + parts.properties +
                                           "<x:sheets><x:sheet name='One' rel:id='s1'/></x:sheets></x:workbook>"},
                   {"xl/_rels/workbook.xml.rels", "<Relationships><Relationship Id='s1' Type='" + office +
                                                      "/worksheet' Target='worksheets/a.xml'/><Relationship Id='t' Type='" + office +
                                                      "/sharedStrings' Target='strings.xml'/><Relationship Id='u' Type='" + office +
                                                      "/styles' Target='styles.xml'/></Relationships>"},
                   {"xl/strings.xml", "<sst>" + parts.strings + "</sst>"},
                   {"xl/styles.xml", "<styleSheet>" + parts.styles + "</styleSheet>"},
                   {"xl/worksheets/a.xml",
                    parts.prolog + "<worksheet><dimension ref='A1:XFD1048576'/><sheetData>" + parts.rows + "</sheetData></worksheet>"}});
  return open_table(path, options);
}

std::string text_cell(std::string_view text) {
  return "<c t='inlineStr'><is><t>" + std::string(text) + "</t></is></c>";
}

}  // namespace

TEST_CASE("workbooks of both calendars give the cells that openpyxl reads from them") {
  const auto golden = parse_json(read_text_file(kGolden / "workbooks.json"), "workbooks.json");
  for (const auto& [name, expected] : golden["books"].items()) {
    CAPTURE(name);
    const auto table = open_table(kGolden / name, {.sheet = "Tickets"});
    CHECK(table->header() == expected["header"].get<std::vector<std::string>>());
    const auto rows = read_all(*table);
    REQUIRE(rows.size() == expected["rows"].size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      CHECK(rows[i].number == expected["rows"][i]["number"].get<std::int64_t>());
      CHECK(rows[i].cells == expected["rows"][i]["cells"].get<std::vector<std::string>>());
    }
  }
  for (const auto& one : golden["serials"])
    CHECK(date_of_serial(one["serial"].get<double>(), false, false) == one["iso"].get<std::string>());
  CHECK(sheet_names(kGolden / "openpyxl.xlsx") == std::vector<std::string>{"Read me", "Tickets"});
  CHECK(open_table(kGolden / "openpyxl.xlsx")->sheet() == "Tickets");  // the first sheet is a note
}

TEST_CASE("a sheet that is not there is answered with those that are") {
  CHECK_THROWS_WITH_AS(open_table(kGolden / "openpyxl.xlsx", {.sheet = "History"}),
                       doctest::Contains("no sheet \"History\"; the workbook has \"Read me\", \"Tickets\""), Error);
}

TEST_CASE("rich text runs are joined, phonetic runs left out, escapes decoded") {
  const TemporaryFolder folder;
  const auto table = open_book(
      folder,
      {.rows = "<row r='1'><c r='A1' t='s'><v>0</v></c><c r='B1' t='s'><v>1</v></c></row><row r='7'>" +
               text_cell("a_x000D_b_x005F_c_x00ZZ_") +
               "<c r='B7' t='inlineStr'><is><r><t>x</t></r><r><t xml:space='preserve'> y</t></r><rPh><t>no</t></rPh></is></c></row>",
       .strings = "<si><r><rPr><b/></rPr><t>Ti</t></r><r><t>tle</t></r><rPh sb='0' "
                  "eb='1'><t>taitoru</t></rPh></si><si><t>Text</t><phoneticPr/></si>"});
  CHECK(table->header() == std::vector<std::string>{"Title", "Text"});
  const auto rows = read_all(*table);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].number == 7);
  CHECK(rows[0].cells == std::vector<std::string>{"a\rb_c_x00ZZ_", "x y"});
}

TEST_CASE("booleans, errors, saved formula values, ISO dates, durations and sparse cells come as text") {
  const TemporaryFolder folder;
  const auto table = open_book(
      folder,
      {.rows =
           "<row>" + text_cell("a") + text_cell("b") + text_cell("c") + text_cell("d") + text_cell("e") + text_cell("f") +
           "</row><row r='3'><c r='A3' t='b'><v>1</v></c><c r='B3' t='e'><v>#N/A</v></c><c r='C3' t='str'><f>A1&amp;B1</f><v>sum</v></c>"
           "<c r='D3' t='d'><v>2024-03-14T09:12:00.000Z</v></c><c r='F3' s='1'><v>1.5</v></c></row>"
           "<row r='4'><c r='F4' s='2'><v>2</v></c><c r='ZZ4'><v>9</v></c></row><row r='5'/><row r='6'><c r='B6'><f>1+1</f></c></row>",
       .styles =
           "<numFmts><numFmt numFmtId='170' formatCode='[$-407]d. mmm yyyy;@'/></numFmts><cellStyleXfs><xf numFmtId='14'/></cellStyleXfs>"
           "<cellXfs><xf numFmtId='0'/><xf numFmtId='46'/><xf numFmtId='170'/></cellXfs>",
       .properties = "<workbookPr date1904='1'/>"});
  CHECK(cells_of(*table) == Rows{{"true", "#N/A", "sum", "2024-03-14T09:12:00Z", "", "36:00:00"}, {"", "", "", "", "", "1904-01-03"}});
}

TEST_CASE("a number format shows a date only if its first section holds one outside quotes and brackets") {
  for (const char* code : {"dd/mm/yyyy", "yyyy\\-mm\\-dd", "[$-F800]dddd, mmmm dd, yyyy", "d.m.yy;@"})
    CHECK(kind_of_number_format(164, code) == NumberKind::kDate);
  for (const char* code : {"dd/mm/yyyy hh:mm", "h:mm AM/PM", "m/d/yy h:mm"})
    CHECK(kind_of_number_format(164, code) == NumberKind::kDateTime);
  for (const char* code : {"0.00", "General", "#,##0 \"days\"", "[Red]0;[Blue]-0", "0.00E+00", "_-* #,##0_-", "0;\"d\"yyyy", "@"})
    CHECK(kind_of_number_format(164, code) == NumberKind::kNumber);
  CHECK(kind_of_number_format(165, "[h]:mm") == NumberKind::kDuration);
  CHECK(kind_of_number_format(14, "") == NumberKind::kDate);
  CHECK(kind_of_number_format(22, "") == NumberKind::kDateTime);
}

TEST_CASE("a workbook that is cut anywhere, or changed anywhere, ends in an Error or in rows") {
  const auto whole = read_text_file(kGolden / "openpyxl.xlsx");
  const TemporaryFolder folder;
  const auto try_bytes = [&](const std::string& bytes) {
    write_file_atomically(folder.path() / "x.xlsx", bytes);
    try {
      read_all(*open_table(folder.path() / "x.xlsx", {.sheet = "Tickets"}));
      return true;
    } catch (const Error& error) {
      CHECK(std::string(error.what()).find("x.xlsx") != std::string::npos);
      return false;
    }
  };
  for (std::size_t length = 0; length + 1 < whole.size(); length += 61) CHECK_FALSE(try_bytes(whole.substr(0, length)));
  for (std::size_t at = 0; at < whole.size(); at += 13) {
    auto changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0x55);
    try_bytes(changed);
  }
}

TEST_CASE("bombs are refused while they unpack, with small limits and with the usual ones") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(open_book(folder, {.rows = std::string(std::size_t{40} << 20, ' ')}), doctest::Contains("packed bytes have become"),
                       Error);
  const std::string header = "<row>" + text_cell("a") + "</row>";
  TableOptions tight;
  tight.limits = {.part_bytes = 20000, .shared_strings = 3, .shared_string_bytes = 1000, .cell_bytes = 500};
  const auto read = [&](const Parts& parts) { read_all(*open_book(folder, parts, tight)); };
  CHECK_THROWS_WITH_AS(read({.rows = header + std::string(30000, ' ')}), doctest::Contains("unpacks to more than 20000 bytes"), Error);
  CHECK_THROWS_WITH_AS(read({.rows = header, .strings = "<si/><si/><si/><si/>"}), doctest::Contains("more than 3 shared strings"), Error);
  CHECK_THROWS_WITH_AS(read({.rows = header, .strings = "<si><t>" + std::string(2000, 'x') + "</t></si>"}),
                       doctest::Contains("more than 1000 bytes of text"), Error);
  CHECK_THROWS_WITH_AS(read({.rows = header + "<row>" + text_cell(std::string(600, 'x')) + "</row>"}),
                       doctest::Contains("row 2, column 1: a text of more than 500 bytes"), Error);
  CHECK_THROWS_WITH_AS(read({.rows = header + "<row><c r='XFE2'><v>1</v></c></row>"}), doctest::Contains("more than 16384 columns"), Error);
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "<a>";
  CHECK_THROWS_WITH_AS(read({.rows = header + deep}), doctest::Contains("nested deeper"), Error);
}

TEST_CASE("a document type, and with it every entity, is refused") {
  const TemporaryFolder folder;
  const std::string bomb =
      "<?xml version='1.0'?><!DOCTYPE worksheet [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;'><!ENTITY x SYSTEM "
      "'file:///etc/passwd'>]>";
  CHECK_THROWS_WITH_AS(open_book(folder, {.rows = "<row>" + text_cell("&b;&x;") + "</row>", .prolog = bomb}),
                       doctest::Contains("declares a document type"), Error);
}

TEST_CASE("a damaged reference is named with its place") {
  const TemporaryFolder folder;
  const std::string header = "<row>" + text_cell("a") + "</row>";
  const auto read = [&](const std::string& rows) { read_all(*open_book(folder, {.rows = header + rows})); };
  CHECK_THROWS_WITH_AS(read("<row><c r='A2' t='s'><v>5</v></c></row>"),
                       doctest::Contains("sheet \"One\", row 2, column 1: asks for shared string 5 of 0"), Error);
  CHECK_THROWS_WITH_AS(read("<row r='1'/>"), doctest::Contains("row number 1 after 1"), Error);
  CHECK_THROWS_WITH_AS(read("<row><c r='7'/></row>"), doctest::Contains("calls itself \"7\""), Error);
  CHECK_THROWS_WITH_AS(read("<row><c>"), doctest::Contains("not well-formed XML"), Error);
  CHECK_THROWS_WITH_AS(open_book(folder, {.rows = "<row r='1'/>"}), doctest::Contains("\"One\" is empty"), Error);
}

TEST_CASE("files of other kinds are named, with what to do") {
  const TemporaryFolder folder;
  const auto ole = std::string("\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", 8) + std::string(600, '\0');
  std::string encrypted = ole;
  for (const char c : std::string_view("EncryptedPackage")) encrypted += {c, '\0'};
  CHECK_THROWS_WITH_AS(open_text(folder, encrypted), doctest::Contains("protected by a password"), Error);
  CHECK_THROWS_WITH_AS(open_text(folder, ole), doctest::Contains("old .xls kind"), Error);
  CHECK_THROWS_WITH_AS(open_text(folder, "%PDF-1.7"), doctest::Contains("a PDF document; wanted a workbook"), Error);
  CHECK_THROWS_WITH_AS(open_text(folder, " <html><table>"), doctest::Contains("a web page"), Error);
  CHECK_THROWS_WITH_AS(open_text(folder, ""), doctest::Contains("the file is empty"), Error);
  CHECK_THROWS_WITH_AS(open_text(folder, "[\n {\"a\": 1}]"), doctest::Contains("one JSON array"), Error);
  CHECK_THROWS_WITH_AS(open_text(folder, std::string("ab\0c", 4)), doctest::Contains("binary file"), Error);
  CHECK_THROWS_AS(open_table(folder.path() / "none"), Error);
  write_zip(folder.path() / "a.xlsx", {{"content.xml", "<a/>"}});
  CHECK_THROWS_WITH_AS(open_table(folder.path() / "a.xlsx"), doctest::Contains("OpenDocument"), Error);
}

TEST_CASE("CSV keeps line ends, quotes and delimiters inside quotes, whatever ends its lines") {
  const TemporaryFolder folder;
  for (const std::string end : {"\n", "\r\n", "\r"}) {
    const auto table = open_text(folder, "a,b,c" + end + "1,\"x\ny, \"\"z\"\"\",3" + end + end + "4,5\" tube,\"\"" + end + "6,,");
    CHECK(table->header() == std::vector<std::string>{"a", "b", "c"});
    const auto rows = read_all(*table);
    REQUIRE(rows.size() == 3);
    CHECK(rows[0].cells == std::vector<std::string>{"1", "x\ny, \"z\"", "3"});
    CHECK(rows[1].cells == std::vector<std::string>{"4", "5\" tube", ""});
    CHECK(rows[2].cells == std::vector<std::string>{"6", "", ""});
    CHECK(rows[2].number == 5);
  }
}

TEST_CASE("what is written as CSV is read back the same") {
  const TemporaryFolder folder;
  const Rows rows = {{"id", "text"}, {"1", "a,b"}, {"2", "say \"no\""}, {"3", "two\nlines"}, {"4", " space "}, {"5", ";|\t"}};
  std::string text;
  for (const auto& row : rows) append_csv_row(text, row);
  const auto table = open_text(folder, text, {.delimiter = ','});
  CHECK(cells_of(*table) == Rows(rows.begin() + 1, rows.end()));
}

TEST_CASE("the delimiter is found also where texts are full of the others") {
  const TemporaryFolder folder;
  for (const char delimiter : {',', ';', '\t', '|'}) {
    std::string text;
    for (const auto& row : Rows{{"id", "text", "x"}, {"1", "a, b; c | d\t, e", "2"}, {"2", "one; two; three, four", "3"}})
      append_csv_row(text, row, delimiter);
    CHECK(cells_of(*open_text(folder, text)) == Rows{{"1", "a, b; c | d\t, e", "2"}, {"2", "one; two; three, four", "3"}});
  }
  CHECK(open_text(folder, "sep=;\r\na;b,c\r\n1;2\r\n")->header() == std::vector<std::string>{"a", "b,c"});
  CHECK(cells_of(*open_text(folder, "text\nonly one\n")) == Rows{{"only one"}});
}

TEST_CASE("CSV in windows-1252, UTF-16, UTF-8 with a mark and Cyrillic gives the same letters") {
  for (const char* name : {"german_cp1252.csv", "german_utf16.csv", "german_utf8_bom.csv"}) {
    CAPTURE(name);
    CHECK(cells_of(*open_table(kGolden / name)) ==
          Rows{{"1", "Größe fehlt", "Der Drucker \"Müller\" läuft nicht;\nbitte prüfen – 5 €"}, {"2", "Über Nacht", "Straße"}});
  }
  CHECK(cells_of(*open_table(kGolden / "russian_cp1251.csv"))[0][1] == "Не печатает счёт");
  CHECK(cells_of(*open_table(kGolden / "russian_cp1251.csv", {.encoding = "windows-1251"}))[7][1] == "Не печатает счёт");
  CHECK_THROWS_WITH_AS(open_table(kGolden / "russian_cp1251.csv", {.encoding = "klingon"}), doctest::Contains("\"klingon\" is not known"),
                       Error);
}

TEST_CASE("one broken byte does not turn a UTF-8 file into another encoding") {
  const TemporaryFolder folder;
  std::string text = "a,b\n";
  for (int i = 0; i < 20; ++i) text += "ü,ö\n";
  const auto rows = cells_of(*open_text(folder, text + "\xFF,x\n"));
  CHECK(rows[0] == std::vector<std::string>{"ü", "ö"});
  CHECK(rows[20] == std::vector<std::string>{"\xEF\xBF\xBD", "x"});
}

TEST_CASE("broken CSV is refused with row, line and field") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(cells_of(*open_text(folder, "a,b\n1,2\n3,\"cut")),
                       doctest::Contains("row 3 (line 3), field 2 \"b\": the file ends inside this quoted field"), Error);
  CHECK_THROWS_WITH_AS(cells_of(*open_text(folder, "a,b\n1,2,3\n")), doctest::Contains("row 2 (line 2) has 3 fields, the header 2"), Error);
  TableOptions tight;
  tight.limits.cell_bytes = 100;
  CHECK_THROWS_WITH_AS(cells_of(*open_text(folder, "a,b\n1,\"" + std::string(200, 'x') + "\"\n", tight)),
                       doctest::Contains("longer than 100 bytes"), Error);
  CHECK_THROWS_WITH_AS(open_text(folder, std::string(20000, ',') + "\n"), doctest::Contains("more than 16384 columns"), Error);
}

TEST_CASE("a real CSV export that was cut is refused at the field where it ends") {
  const auto data = shared_data("tobi-synthetic");
  if (data.empty()) return;
  const auto table = open_table(data / "truncated.csv");
  CHECK(table->header().size() == 17);
  CHECK_THROWS_WITH_AS(read_all(*table), doctest::Contains("field 3 \"answer\": the file ends inside this quoted field"), Error);
  CHECK(cells_of(*open_table(data / "multi_lang3_4k_first1167.csv")).size() == 1167);
  CHECK(cells_of(*open_table(data / "multi_lang_4_20k_first2181.csv")).size() == 2181);
}

TEST_CASE("JSON lines are a table of all their keys, nested values as JSON text") {
  const TemporaryFolder folder;
  const auto table =
      open_text(folder, "{\"id\": 7, \"ok\": true, \"none\": null}\r\n\n{\"id\": \"8\", \"list\": [{\"a\": 1.5}], \"text\": \"ü\\n\"}");
  CHECK(table->header() == std::vector<std::string>{"id", "ok", "none", "list", "text"});
  const auto rows = read_all(*table);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].cells == std::vector<std::string>{"7", "true", "", "", ""});
  CHECK(rows[1].cells == std::vector<std::string>{"8", "", "", "[{\"a\":1.5}]", "ü\n"});
  CHECK(rows[1].number == 3);
  CHECK_THROWS_WITH_AS(read_all(*open_text(folder, "{\"id\": 1}\n{\"id\": ")), doctest::Contains("line 2: not valid JSON"), Error);
  CHECK_THROWS_WITH_AS(read_all(*open_text(folder, "{\"id\": 1}\n[1]")), doctest::Contains("line 2 holds a JSON array"), Error);
  CHECK_THROWS_WITH_AS(read_all(*open_text(folder, "{\"id\": " + std::string(1000, '['))), doctest::Contains("nested deeper"), Error);
}
