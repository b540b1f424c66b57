// Workbooks. A fuzzer cannot guess a deflated stream and its checksum, so its bytes are one part of a stored archive whose other parts are
// whole: the first letter says which. Bytes that begin as a zip archive are the file itself. After an X they are XML alone, told by expat
// too.
#include <algorithm>
#include <array>
#include <vector>

#include "tests/fuzz/fuzz_table.h"
#include "tests/xml_told.h"

namespace {

std::uint32_t crc_of(std::string_view bytes) {
  static const auto kTable = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      table[i] = i;
      for (int bit = 0; bit < 8; ++bit) table[i] = table[i] & 1 ? 0xEDB88320u ^ (table[i] >> 1) : table[i] >> 1;
    }
    return table;
  }();
  std::uint32_t crc = 0xFFFFFFFFu;
  for (const char c : bytes) crc = kTable[(crc ^ static_cast<unsigned char>(c)) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

void put(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xFF);
}

// APPNOTE.TXT 4.3: local headers with stored data, then the central directory.
std::string stored_zip(const std::vector<std::pair<std::string, std::string>>& parts) {
  std::string out, directory;
  for (const auto& [name, content] : parts) {
    std::string fields;
    put(fields, 20, 2), put(fields, 0, 2), put(fields, 0, 2), put(fields, 0, 4);
    put(fields, crc_of(content), 4), put(fields, content.size(), 4), put(fields, content.size(), 4), put(fields, name.size(), 2);
    put(directory, 0x02014B50, 4), put(directory, 20, 2);
    directory += fields;
    put(directory, 0, 2), put(directory, 0, 2), put(directory, 0, 2), put(directory, 0, 2), put(directory, 0, 4),
        put(directory, out.size(), 4);
    directory += name;
    put(out, 0x04034B50, 4);
    out += fields;
    put(out, 0, 2);
    out += name + content;
  }
  const auto begin = out.size();
  out += directory;
  put(out, 0x06054B50, 4), put(out, 0, 4), put(out, parts.size(), 2), put(out, parts.size(), 2), put(out, directory.size(), 4),
      put(out, begin, 4);
  put(out, 0, 2);
  return out;
}

// The same events or two refusals; comments, instructions and names beyond ASCII aside, which the scanner doesn't look into.
void compare_with_expat(const std::string& document, std::size_t piece) {
  using namespace deskhand;
  if (!XmlScanner::can_read(document) || document.find("<!D") != document.npos) return;
  const auto scanned = told::scan(document, piece), wanted = told::expat(document);
  if (wanted.is_good && scanned.is_good && wanted.events != scanned.events) std::abort();
  const bool is_plain = document.find("<!--") == document.npos && document.find("<?") == document.npos &&
                        std::all_of(document.begin(), document.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  if (scanned.is_good && !wanted.is_good && is_plain) std::abort();
  const bool is_bounded = scanned.why.find("nested deeper") != std::string::npos || scanned.why.find("256") != std::string::npos ||
                          document.find("&#0") != std::string::npos ||
                          document.find("&#x0") != std::string::npos;  // depth, attributes, zeros
  if (!scanned.is_good && wanted.is_good && !is_bounded) std::abort();
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (bytes.starts_with("PK") || bytes.empty()) {
    deskhand::read_every_row(bytes);
    return 0;
  }
  const std::string content(bytes.substr(1));
  if (bytes[0] == 'X') {
    compare_with_expat(content, size % 61 + 1);
    return 0;
  }
  if (bytes[0] == 'O') {
    deskhand::read_every_row(stored_zip({{"content.xml", content}}));
    return 0;
  }
  std::string workbook = "<workbook xmlns:r='r'><sheets><sheet name='One' r:id='s'/><sheet name='Two' r:id='v'/></sheets></workbook>",
              sheet =
                  "<worksheet><sheetData><row><c t='s'><v>0</v></c><c t='s'><v>1</v></c></row><row><c s='1'><v>45000</v></c><c "
                  "t='d'><v>2024-03-14T09:12:00+01:00</v></c></row></sheetData></worksheet>";
  std::string strings = "<sst><si><t>a</t></si><si><t>b</t></si></sst>";
  std::string styles = "<styleSheet><cellXfs><xf/><xf numFmtId='14'/></cellXfs></styleSheet>";
  std::string relations =
      "<Relationships><Relationship Id='s' Type='t/worksheet' Target='a.xml'/><Relationship Id='t' Type='t/sharedStrings' Target='b.xml'/>"
      "<Relationship Id='u' Type='t/styles' Target='c.xml'/><Relationship Id='v' Type='t/worksheet' Target='d.xml'/></Relationships>";
  const std::string second =  // the same columns in another order
      "<worksheet><sheetData><row><c t='inlineStr'><is><t>b</t></is></c><c t='inlineStr'><is><t>a</t></is></c></row><row><c "
      "r='B2'><v>1</v></c></row></sheetData></worksheet>";
  switch (bytes[0]) {
    case 'T':
      strings = content;
      break;
    case 'Y':
      styles = content;
      break;
    case 'W':
      workbook = content;
      break;
    case 'R':
      relations = content;
      break;
    default:
      sheet = content;
  }
  deskhand::read_every_row(stored_zip({{"xl/workbook.xml", workbook},
                                       {"xl/_rels/workbook.xml.rels", relations},
                                       {"xl/a.xml", sheet},
                                       {"xl/b.xml", strings},
                                       {"xl/c.xml", styles},
                                       {"xl/d.xml", second}}));
  return 0;
}
