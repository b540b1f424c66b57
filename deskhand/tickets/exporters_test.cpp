// Workbooks in the shape in which other programs write them, byte by byte where the shape is that of the zip file.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>

#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/tickets/mapping.h"
#include "deskhand/tickets/table.h"
#include "tests/temporary_folder.h"

using namespace deskhand;
namespace fs = std::filesystem;
using Cells = std::vector<std::string>;
using Rows = std::vector<Cells>;

namespace {

struct Part {
  std::string name, content;
};
using Parts = std::vector<Part>;

// What of the zip format's freedoms a writer uses.
enum class ZipShape {
  kPlain,
  kDescriptors,  // sizes stand behind the data: writers that stream
  kZip64,        // sizes of 64 bits, though small
};

void put16(std::string& out, std::uint32_t value) {
  out += static_cast<char>(value & 0xFF);
  out += static_cast<char>(value >> 8 & 0xFF);
}
void put32(std::string& out, std::uint32_t value) {
  put16(out, value & 0xFFFF);
  put16(out, value >> 16);
}
void put64(std::string& out, std::uint64_t value) {
  put32(out, static_cast<std::uint32_t>(value & 0xFFFFFFFF));
  put32(out, static_cast<std::uint32_t>(value >> 32));
}

// Deflate's stored blocks (RFC 1951, 3.2.4): valid, and no library is wanted.
std::string deflated(std::string_view text) {
  constexpr std::size_t kMost = 0xFFFF;
  std::string out;
  do {
    const auto block = text.substr(0, kMost);
    text.remove_prefix(block.size());
    out += text.empty() ? '\1' : '\0';
    put16(out, static_cast<std::uint32_t>(block.size()));
    put16(out, static_cast<std::uint32_t>(~block.size() & 0xFFFF));
    out += block;
  } while (!text.empty());
  return out;
}

std::uint32_t crc_of(std::string_view text) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const char c : text) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0xEDB88320 : crc >> 1;
  }
  return ~crc;
}

// APPNOTE.TXT 4.3: local headers with the data, the central directory, its end.
std::string zip_of(const Parts& parts, ZipShape shape) {
  const bool streams = shape == ZipShape::kDescriptors, is_64 = shape == ZipShape::kZip64;
  const std::uint32_t version = is_64 ? 45 : 20, flags = streams ? 8 : 0, kNone = 0xFFFFFFFF;
  std::string out, directory;
  for (const auto& [name, content] : parts) {
    const auto packed = deflated(content);
    const auto crc = crc_of(content);
    const auto size = static_cast<std::uint32_t>(content.size()), packed_size = static_cast<std::uint32_t>(packed.size());
    const auto offset = static_cast<std::uint32_t>(out.size());
    std::string extra;
    if (is_64) {
      put16(extra, 1);
      put16(extra, 16);
      put64(extra, size);
      put64(extra, packed_size);
    }
    const auto fields = [&](std::string& to, bool is_known) {
      put16(to, version);
      put16(to, flags);
      put16(to, 8);     // deflate
      put32(to, 0x21);  // 1 January 1980
      put32(to, is_known ? crc : 0);
      put32(to, is_64 ? kNone : is_known ? packed_size : 0);
      put32(to, is_64 ? kNone : is_known ? size : 0);
      put16(to, static_cast<std::uint32_t>(name.size()));
      put16(to, static_cast<std::uint32_t>(extra.size()));
    };
    put32(out, 0x04034b50);
    fields(out, !streams);
    out += name + extra + packed;
    if (streams) {
      put32(out, 0x08074b50);
      put32(out, crc);
      put32(out, packed_size);
      put32(out, size);
    }
    put32(directory, 0x02014b50);
    put16(directory, version);
    fields(directory, true);
    put16(directory, 0);  // comment
    put16(directory, 0);  // disk
    put16(directory, 0);
    put32(directory, 0);
    put32(directory, offset);
    directory += name + extra;
  }
  const auto start = out.size();
  out += directory;
  const auto count = static_cast<std::uint32_t>(parts.size());
  if (is_64) {
    const auto end = out.size();
    put32(out, 0x06064b50);
    put64(out, 44);
    put16(out, 45);
    put16(out, 45);
    put32(out, 0);
    put32(out, 0);
    put64(out, count);
    put64(out, count);
    put64(out, directory.size());
    put64(out, start);
    put32(out, 0x07064b50);
    put32(out, 0);
    put64(out, end);
    put32(out, 1);
  }
  put32(out, 0x06054b50);
  put32(out, 0);
  put16(out, is_64 ? 0xFFFF : count);
  put16(out, is_64 ? 0xFFFF : count);
  put32(out, is_64 ? kNone : static_cast<std::uint32_t>(directory.size()));
  put32(out, is_64 ? kNone : static_cast<std::uint32_t>(start));
  put16(out, 0);
  return out;
}

constexpr const char* kXml = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\r\n";
constexpr const char* kOffice = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
constexpr const char* kMain = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
constexpr const char* kPackage = "http://schemas.openxmlformats.org/package/2006/relationships";

Part root_relations(std::string_view target = "xl/workbook.xml", std::string_view office = kOffice) {
  return {"_rels/.rels",
          fmt::format("{}<Relationships xmlns=\"{}\"><Relationship Id=\"rId1\" Type=\"{}/officeDocument\" Target=\"{}\"/></Relationships>",
                      kXml, kPackage, office, target)};
}

std::unique_ptr<TableReader> open_parts(const TemporaryFolder& folder, const Parts& parts, ZipShape shape = ZipShape::kPlain,
                                        const TableOptions& options = {}) {
  write_file_atomically(folder.path() / "book.xlsx", zip_of(parts, shape));
  return open_table(folder.path() / "book.xlsx", options);
}

Rows cells_of(TableReader& table) {
  Rows rows;
  for (Row row; table.next(row);) rows.push_back(row.cells);
  return rows;
}

// As LibreOffice Calc saves: every attribute written out, shared strings, values with all their digits, a dimension, row attributes.
Parts libreoffice() {
  return {
      root_relations(),
      {"xl/_rels/workbook.xml.rels",
       fmt::format(
           "{}<Relationships xmlns=\"{}\"><Relationship Id=\"rId1\" Type=\"{}/styles\" Target=\"styles.xml\"/><Relationship Id=\"rId2\" "
           "Type=\"{}/worksheet\" Target=\"worksheets/sheet1.xml\"/><Relationship Id=\"rId3\" Type=\"{}/sharedStrings\" "
           "Target=\"sharedStrings.xml\"/></Relationships>",
           kXml, kPackage, kOffice, kOffice, kOffice)},
      {"xl/workbook.xml",
       fmt::format(
           "{}<workbook xmlns=\"{}\" xmlns:r=\"{}\"><fileVersion appName=\"Calc\"/><workbookPr backupFile=\"false\" showObjects=\"all\" "
           "date1904=\"false\"/><sheets><sheet name=\"Tickets\" sheetId=\"1\" state=\"visible\" r:id=\"rId2\"/></sheets></workbook>",
           kXml, kMain, kOffice)},
      {"xl/styles.xml",
       fmt::format(
           "{}<styleSheet xmlns=\"{}\"><numFmts count=\"2\"><numFmt numFmtId=\"164\" formatCode=\"General\"/><numFmt numFmtId=\"165\" "
           "formatCode=\"dd/mm/yyyy\\ hh:mm\"/></numFmts><cellStyleXfs count=\"1\"><xf numFmtId=\"165\"/></cellStyleXfs><cellXfs "
           "count=\"2\"><xf numFmtId=\"164\" fontId=\"0\"><alignment wrapText=\"false\"/></xf><xf "
           "numFmtId=\"165\"/></cellXfs></styleSheet>",
           kXml, kMain)},
      {"xl/sharedStrings.xml",
       fmt::format(
           "{}<sst xmlns=\"{}\" count=\"7\" uniqueCount=\"6\"><si><t xml:space=\"preserve\">No</t></si><si><t "
           "xml:space=\"preserve\">Opened</t>"
           "</si><si><t xml:space=\"preserve\">Text</t></si><si><t xml:space=\"preserve\">Hours</t></si><si><r><rPr><b val=\"true\"/><sz "
           "val=\"10\"/></rPr><t xml:space=\"preserve\">Printer</t></r><r><rPr><sz val=\"10\"/></rPr><t xml:space=\"preserve\"> jams\n"
           "again &amp; again</t></r></si><si><t xml:space=\"preserve\"> two  blanks </t></si></sst>",
           kXml, kMain)},
      {"xl/worksheets/sheet1.xml",
       fmt::format(
           "{}<worksheet xmlns=\"{}\" xmlns:r=\"{}\" xmlns:mc=\"http://schemas.openxmlformats.org/markup-compatibility/2006\"><sheetPr "
           "filterMode=\"false\"><pageSetUpPr fitToPage=\"false\"/></sheetPr><dimension ref=\"A1:D1048576\"/><sheetData><row r=\"1\" "
           "customFormat=\"false\" ht=\"12.8\" hidden=\"false\" customHeight=\"false\" outlineLevel=\"0\" collapsed=\"false\"><c r=\"A1\" "
           "s=\"0\" "
           "t=\"s\"><v>0</v></c><c r=\"B1\" s=\"0\" t=\"s\"><v>1</v></c><c r=\"C1\" s=\"0\" t=\"s\"><v>2</v></c><c r=\"D1\" s=\"0\" "
           "t=\"s\"><v>3</v></c></row><row r=\"2\" hidden=\"false\"><c r=\"A2\" s=\"0\" t=\"n\"><v>4711</v></c><c r=\"B2\" s=\"1\" "
           "t=\"n\"><v>45365.3840277778</v></c><c r=\"C2\" s=\"0\" t=\"s\"><v>4</v></c><c r=\"D2\" s=\"0\" t=\"n\"><f "
           "aca=\"false\">A2/3</f><v>1570.33333333333</v></c></row><row r=\"3\" hidden=\"true\"><c r=\"A3\" s=\"0\" "
           "t=\"n\"><v>4712</v></c><c r=\"B3\" "
           "s=\"1\"/><c r=\"C3\" s=\"0\" t=\"s\"><v>5</v></c><c r=\"D3\" s=\"0\" t=\"str\"><f "
           "aca=\"false\">\"a\"&amp;\"b\"</f><v>ab</v></c></row><row "
           "r=\"1048576\" hidden=\"false\"/></sheetData><mergeCells count=\"0\"/></worksheet>",
           kXml, kMain, kOffice)}};
}

}  // namespace

TEST_CASE("a workbook in LibreOffice's shape: attributes written out, rich text, formulas' values, the last row of a sheet") {
  const TemporaryFolder folder;
  const auto table = open_parts(folder, libreoffice());
  CHECK(table->header() == Cells{"No", "Opened", "Text", "Hours"});
  CHECK(cells_of(*table) ==
        Rows{{"4711", "2024-03-14T09:13:00", "Printer jams\nagain & again", "1570.33333333333"}, {"4712", "", " two  blanks ", "ab"}});
  CHECK(table->description() == "workbook, sheet \"Tickets\", 1 hidden rows read too");
}

TEST_CASE("a workbook in Google's shape: default namespaces with extensions, styled empty cells, hyperlinks behind the rows") {
  const TemporaryFolder folder;
  const std::string many =
      " xmlns:mx=\"http://schemas.microsoft.com/office/mac/excel/2008/main\" "
      "xmlns:x14ac=\"http://schemas.microsoft.com/office/spreadsheetml/2009/9/ac\"";
  std::string blank;
  for (int row = 3; row <= 1000; ++row)
    blank += fmt::format("<row r=\"{}\" ht=\"15.75\" customHeight=\"1\"><c r=\"A{}\" s=\"2\"/><c r=\"C{}\" s=\"2\"/></row>", row, row, row);
  const auto table = open_parts(
      folder,
      {root_relations(),
       {"xl/_rels/workbook.xml.rels",
        fmt::format("{}<Relationships xmlns=\"{}\"><Relationship Id=\"rId1\" Type=\"{}/theme\" Target=\"theme/theme1.xml\"/><Relationship "
                    "Id=\"rId2\" Type=\"{}/styles\" Target=\"styles.xml\"/>"
                    "<Relationship Id=\"rId3\" Type=\"{}/sharedStrings\" Target=\"sharedStrings.xml\"/><Relationship Id=\"rId4\" "
                    "Type=\"{}/worksheet\" Target=\"worksheets/sheet1.xml\"/></Relationships>",
                    kXml, kPackage, kOffice, kOffice, kOffice, kOffice)},
       {"xl/workbook.xml",
        fmt::format("{}<workbook xmlns=\"{}\" xmlns:r=\"{}\"{}><workbookPr/><sheets><sheet state=\"visible\" name=\"Form Responses 1\" "
                    "sheetId=\"1\" r:id=\"rId4\"/></sheets><definedNames/><calcPr/></workbook>",
                    kXml, kMain, kOffice, many)},
       {"xl/styles.xml", fmt::format("{}<styleSheet xmlns=\"{}\"{}><numFmts count=\"1\"><numFmt numFmtId=\"164\" formatCode=\"M/d/yyyy "
                                     "H:mm:ss\"/></numFmts><cellXfs count=\"3\"><xf borderId=\"0\" numFmtId=\"0\"/><xf numFmtId=\"164\" "
                                     "applyNumberFormat=\"1\"/><xf/></cellXfs></styleSheet>",
                                     kXml, kMain, many)},
       {"xl/sharedStrings.xml",
        fmt::format("{}<sst xmlns=\"{}\" count=\"4\" uniqueCount=\"4\"><si><t>Timestamp</t></si><si><t>What happened?</t></si><si><t>Your "
                    "mail</t></si><si><r><rPr><color rgb=\"FF1155CC\"/><u/></rPr><t>a@x.example</t></r></si></sst>",
                    kXml, kMain)},
       {"xl/worksheets/sheet1.xml",
        fmt::format("{}<worksheet xmlns=\"{}\" xmlns:r=\"{}\"{}><sheetPr><outlinePr summaryBelow=\"0\"/></sheetPr><sheetViews><sheetView "
                    "workbookViewId=\"0\"><pane ySplit=\"1.0\" topLeftCell=\"A2\" state=\"frozen\"/></sheetView></sheetViews>"
                    "<cols><col customWidth=\"1\" min=\"1\" max=\"3\" width=\"18.88\"/></cols><sheetData><row r=\"1\"><c r=\"A1\" s=\"2\" "
                    "t=\"s\"><v>0</v></c><c r=\"B1\" s=\"2\" t=\"s\"><v>1</v></c><c r=\"C1\" s=\"2\" t=\"s\"><v>2</v></c></row>"
                    "<row r=\"2\"><c r=\"A2\" s=\"1\"><v>45365.383425925924</v></c><c r=\"B2\" s=\"2\" t=\"inlineStr\"><is><t "
                    "xml:space=\"preserve\">It jams\nagain</t></is></c><c r=\"C2\" s=\"2\" t=\"s\"><v>3</v></c></row>{}</sheetData>"
                    "<hyperlinks><hyperlink r:id=\"rId1\" ref=\"C2\"/></hyperlinks><drawing r:id=\"rId2\"/></worksheet>",
                    kXml, kMain, kOffice, many, blank)}},
      ZipShape::kDescriptors);
  CHECK(table->header() == Cells{"Timestamp", "What happened?", "Your mail"});
  CHECK(cells_of(*table) == Rows{{"2024-03-14T09:12:08", "It jams\nagain", "a@x.example"}});
}

TEST_CASE(
    "a workbook in SAP's shape: absolute parts, prefixed elements, no references, long numbers, a title of its own and dates without a "
    "clock") {
  const TemporaryFolder folder;
  const auto text = [](std::string_view value) { return fmt::format("<x:c t=\"inlineStr\"><x:is><x:t>{}</x:t></x:is></x:c>", value); };
  const auto table = open_parts(
      folder,
      {root_relations("/xl/workbook.xml"),
       {"xl/_rels/workbook.xml.rels",
        fmt::format("<Relationships xmlns=\"{}\"><Relationship Type=\"{}/worksheet\" Target=\"/xl/worksheets/sheet.xml\" "
                    "Id=\"R1\"/><Relationship Type=\"{}/styles\" Target=\"/xl/styles.xml\" Id=\"R2\"/></Relationships>",
                    kPackage, kOffice, kOffice)},
       {"xl/workbook.xml",
        fmt::format("\xEF\xBB\xBF<?xml version=\"1.0\" encoding=\"utf-8\"?><x:workbook xmlns:x=\"{}\" xmlns:y=\"{}\"><x:sheets><x:sheet "
                    "name=\"Sheet1\" sheetId=\"1\" y:id=\"R1\"/></x:sheets></x:workbook>",
                    kMain, kOffice)},
       {"xl/styles.xml",
        fmt::format("<x:styleSheet xmlns:x=\"{}\"><x:cellXfs><x:xf numFmtId=\"0\"/><x:xf numFmtId=\"14\"/></x:cellXfs></x:styleSheet>",
                    kMain)},
       {"xl/worksheets/sheet.xml",
        fmt::format("\xEF\xBB\xBF<?xml version=\"1.0\" encoding=\"utf-8\"?><x:worksheet "
                    "xmlns:x=\"{}\"><x:sheetData><x:row>{}</x:row><x:row/><x:row>{}{}{}{}</x:row><x:row><x:c><x:v>008000001234567890</"
                    "x:v></x:c>{}<x:c s=\"1\"><x:v>45365</x:v></x:c>{}</x:row>"
                    "<x:row><x:c><x:v>8000001234567891</x:v></x:c>{}<x:c "
                    "s=\"1\"><x:v>2958465</x:v></x:c><x:c/></x:row></x:sheetData></x:worksheet>",
                    kMain, text("Service Tickets 01.03.2024 - 31.03.2024"), text("Objekt-ID"), text("Beschreibung"), text("Angelegt am"),
                    text("Priorit\u00e4t"), text("Drucker &lt;HP&gt; klemmt"), text("2: Hoch"), text("_x000D_\n"))}});
  CHECK(table->header() == Cells{"Objekt-ID", "Beschreibung", "Angelegt am", "Priorit\u00e4t"});
  CHECK(cells_of(*table) ==
        Rows{{"8000001234567890", "Drucker <HP> klemmt", "2024-03-14", "2: Hoch"}, {"8000001234567891", "", "9999-12-31", ""}});
}

TEST_CASE("a workbook in ServiceNow's shape: POI's inline strings and no shared ones, streamed zip, a filter's sheet behind the list") {
  const TemporaryFolder folder;
  const auto sheet = [](std::string_view rows) {
    return fmt::format(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<worksheet xmlns=\"{}\"><dimension ref=\"A1\"/><sheetViews><sheetView "
        "workbookViewId=\"0\" tabSelected=\"true\"/></sheetViews><sheetFormatPr "
        "defaultRowHeight=\"15.0\"/><sheetData>\n{}</sheetData></worksheet>",
        kMain, rows);
  };
  const auto cell = [](std::string_view at, std::string_view text) {
    return fmt::format("<c r=\"{}\" s=\"1\" t=\"inlineStr\"><is><t>{}</t></is></c>", at, text);
  };
  const auto table = open_parts(
      folder,
      {{"xl/worksheets/sheet1.xml",
        sheet("<row r=\"1\">\n" + cell("A1", "Number") + cell("B1", "Short description") + cell("C1", "Opened") +
              "</row>\n<row r=\"2\">\n" + cell("A2", "INC0010001") + cell("B2", "VPN &#10;down") +
              "<c r=\"C2\" s=\"2\"><v>45365.38333333333</v></c></row>\n<row r=\"3\">\n" + cell("A3", "INC0010002") + cell("B3", "") +
              cell("C3", "2024-03-14 09:12:00") + "</row>\n")},
       {"xl/worksheets/sheet2.xml",
        sheet("<row r=\"1\">" + cell("A1", "Filter") + "</row><row r=\"2\">" + cell("A2", "active=true^ORDERBYnumber") + "</row>")},
       {"xl/styles.xml",
        fmt::format(
            "<styleSheet xmlns=\"{}\"><numFmts count=\"1\"><numFmt numFmtId=\"165\" formatCode=\"yyyy-mm-dd hh:mm:ss\"/></numFmts><cellXfs "
            "count=\"3\"><xf numFmtId=\"0\"/><xf numFmtId=\"49\"/><xf numFmtId=\"165\"/></cellXfs></styleSheet>",
            kMain)},
       {"xl/workbook.xml",
        fmt::format("<workbook xmlns=\"{}\" xmlns:r=\"{}\"><workbookPr date1904=\"false\"/><sheets><sheet name=\"Page 1\" r:id=\"rId3\" "
                    "sheetId=\"1\"/><sheet name=\"Export filter\" r:id=\"rId4\" sheetId=\"2\"/></sheets></workbook>",
                    kMain, kOffice)},
       {"xl/_rels/workbook.xml.rels",
        fmt::format(
            "<Relationships xmlns=\"{}\"><Relationship Id=\"rId1\" Target=\"sharedStrings.xml\" Type=\"{}/sharedStrings\"/><Relationship "
            "Id=\"rId2\" Target=\"styles.xml\" Type=\"{}/styles\"/><Relationship Id=\"rId3\" Target=\"worksheets/sheet1.xml\" "
            "Type=\"{}/worksheet\"/><Relationship Id=\"rId4\" Target=\"worksheets/sheet2.xml\" Type=\"{}/worksheet\"/></Relationships>",
            kPackage, kOffice, kOffice, kOffice, kOffice)},
       {"xl/sharedStrings.xml", fmt::format("<sst count=\"0\" uniqueCount=\"0\" xmlns=\"{}\"/>", kMain)},
       root_relations()},
      ZipShape::kDescriptors);
  CHECK(table->header() == Cells{"Number", "Short description", "Opened"});
  CHECK(cells_of(*table) == Rows{{"INC0010001", "VPN \ndown", "2024-03-14T09:12:00"}, {"INC0010002", "", "2024-03-14 09:12:00"}});
  CHECK(table->description() == "workbook, sheet \"Page 1\" of 2");
}

TEST_CASE("a strict workbook: its own namespaces, dates in ISO 8601 with their zones, the calendar of 1904") {
  const TemporaryFolder folder;
  const std::string office = "http://purl.oclc.org/ooxml/officeDocument/relationships",
                    main = "http://purl.oclc.org/ooxml/spreadsheetml/main";
  const auto table = open_parts(
      folder,
      {root_relations("xl/workbook.xml", office),
       {"xl/_rels/workbook.xml.rels",
        fmt::format(
            "<Relationships xmlns=\"{}\"><Relationship Id=\"rId1\" Type=\"{}/worksheet\" Target=\"worksheets/sheet1.xml\"/><Relationship "
            "Id=\"rId2\" Type=\"{}/styles\" Target=\"styles.xml\"/></Relationships>",
            kPackage, office, office)},
       {"xl/workbook.xml", fmt::format("{}<workbook xmlns=\"{}\" xmlns:r=\"{}\" conformance=\"strict\"><workbookPr dateCompatibility=\"0\" "
                                       "date1904=\"1\"/><sheets><sheet name=\"T\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>",
                                       kXml, main, office)},
       {"xl/styles.xml",
        fmt::format("<styleSheet xmlns=\"{}\"><cellXfs><xf numFmtId=\"0\"/><xf numFmtId=\"22\"/></cellXfs></styleSheet>", main)},
       {"xl/worksheets/sheet1.xml",
        fmt::format("{}<worksheet xmlns=\"{}\"><sheetData><row r=\"1\"><c r=\"C1\" t=\"inlineStr\"><is><t>b</t></is></c><c r=\"A1\" "
                    "t=\"inlineStr\"><is><t>id</t></is></c>"
                    "<c r=\"B1\" t=\"inlineStr\"><is><t>a</t></is></c></row>"
                    "<row r=\"2\"><c r=\"A2\"><v>1</v></c><c r=\"B2\" s=\"1\" t=\"d\"><v>2024-03-14T09:12:00.500+01:00</v></c><c r=\"C2\" "
                    "s=\"1\"><v>43903.38333333333</v></c></row>"
                    "<row r=\"3\"><c r=\"C3\" s=\"1\"><v>-1</v></c><c r=\"A3\"><v>2</v></c><c r=\"B3\" s=\"1\" "
                    "t=\"d\"><v>2024-03-14</v></c></row></sheetData></worksheet>",
                    kXml, main)}},
      ZipShape::kZip64);
  CHECK(table->header() == Cells{"id", "a", "b"});
  CHECK(cells_of(*table) == Rows{{"1", "2024-03-14T09:12:00+01:00", "2024-03-14T09:12:00"}, {"2", "2024-03-14", "-1"}});
}

TEST_CASE("parts are found whatever their zip: streamed, of 64 bits, with backslashes and other capitals; phonetic runs stay out") {
  const auto plain = [] {
    const TemporaryFolder folder;
    return cells_of(*open_parts(folder, libreoffice()));
  }();
  for (const auto shape : {ZipShape::kPlain, ZipShape::kDescriptors, ZipShape::kZip64}) {
    for (const bool backslashes : {false, true}) {
      CAPTURE(static_cast<int>(shape));
      CAPTURE(backslashes);
      const TemporaryFolder folder;
      auto parts = libreoffice();
      for (auto& part : parts) {
        if (!backslashes) continue;
        std::replace(part.name.begin(), part.name.end(), '/', '\\');
        if (part.name == "xl\\workbook.xml") part.name = "XL\\Workbook.xml";
        if (const auto at = part.content.find("worksheets/sheet1.xml"); at != part.content.npos) part.content[at + 10] = '\\';
      }
      CHECK(cells_of(*open_parts(folder, parts, shape)) == plain);
    }
  }
  const TemporaryFolder folder;
  auto parts = libreoffice();
  auto& whole = parts[4].content;
  whole.replace(whole.find("</t></si></sst>"), 4, "</t><rPh sb=\"0\" eb=\"1\"><t>no</t></rPh><phoneticPr fontId=\"1\"/>");
  CHECK(cells_of(*open_parts(folder, parts)) == plain);
}

TEST_CASE("what SAP calls .xls and is XML of 2003 is named as that, with what to do") {
  const TemporaryFolder folder;
  write_file_atomically(folder.path() / "export.xls",
                        "<?xml version=\"1.0\"?>\n<?mso-application progid=\"Excel.Sheet\"?>\n<Workbook "
                        "xmlns=\"urn:schemas-microsoft-com:office:spreadsheet\"><Worksheet/></Workbook>");
  CHECK_THROWS_WITH_AS(open_table(folder.path() / "export.xls"),
                       doctest::Contains("an XML spreadsheet of 2003; open it in Excel or LibreOffice and save it as .xlsx"), Error);
}
