#include "deskhand/tickets/table.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <system_error>

#include "deskhand/base/error.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/tickets/zip_xml.h"

namespace deskhand {
namespace {

using namespace std::string_view_literals;

struct Signature {
  std::string_view bytes, what;
};
constexpr std::array kForeign = {
    Signature{"%PDF", "a PDF document"},
    Signature{"\x1f\x8b", "compressed with gzip; unpack it first"},
    Signature{"Rar!", "a RAR archive; unpack it first"},
    Signature{"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it first"},
    Signature{"PAR1", "a Parquet file"},
    Signature{"SQLite format 3", "a SQLite database"},
    Signature{"<?xml", "an XML document"},
    Signature{"<!DOCTYPE", "a web page"},
    Signature{"<html", "a web page (some programs name it .xls)"},
    Signature{"<HTML", "a web page (some programs name it .xls)"},
    Signature{"<table", "a web page (some programs name it .xls)"},
};

// An OLE2 container: an old .xls, or a workbook behind a password, whose stream names stand in UTF-16 in the directory.
std::string_view kind_of_ole(std::span<const std::byte> bytes) {
  constexpr auto kEncrypted = "E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e\0"sv;
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.find(kEncrypted) != text.npos)
    return "a workbook protected by a password; open it in Excel, remove the password and save it again";
  return "a workbook of the old .xls kind; open it in Excel or LibreOffice and save it as .xlsx";
}

}  // namespace

std::unique_ptr<TableReader> open_table(const std::filesystem::path& path, const TableOptions& options) {
  std::error_code fault;
  if (std::filesystem::is_directory(path, fault)) return open_mails(path, options);
  const MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  if (text.empty())
    throw Error(ExitCode::kBadInput, "{}: the file is empty; wanted a workbook (.xlsx, .ods), CSV, JSON lines or mails", path.string());
  if (text.starts_with("PK\3\4") || text.starts_with("PK\5\6"))
    return ZipArchive(path).has("content.xml") ? open_ods(path, options) : open_xlsx(path, options);
  if (text.starts_with("\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"))
    throw Error(ExitCode::kBadInput, "{}: this is {}", path.string(), kind_of_ole(file.bytes()));
  auto start = text.substr(text.starts_with("\xEF\xBB\xBF") ? 3 : 0);
  start.remove_prefix(std::min(start.find_first_not_of(" \t\r\n"), start.size()));
  for (const auto& foreign : kForeign) {
    if (!start.starts_with(foreign.bytes)) continue;
    const bool is_2003 = start.substr(0, 4096).find("urn:schemas-microsoft-com:office:spreadsheet") != start.npos;
    if (is_2003)  // SAP and others name it .xls
      throw Error(ExitCode::kBadInput, "{}: this is an XML spreadsheet of 2003; open it in Excel or LibreOffice and save it as .xlsx",
                  path.string());
    throw Error(ExitCode::kBadInput, "{}: this is {}; wanted a workbook (.xlsx, .ods), CSV, JSON lines or mails", path.string(),
                foreign.what);
  }
  if (is_mail(start)) return open_mails(path, options);
  if (start.starts_with('{')) return open_jsonl(path, options);
  if (start.starts_with('[')) {
    const auto inside = start.find_first_not_of(" \t\r\n", 1);
    if (inside != start.npos && (start[inside] == '{' || start[inside] == ']'))
      throw Error(ExitCode::kBadInput, "{}: this is one JSON array; wanted one object a line (for example from `jq -c '.[]'`)",
                  path.string());
  }
  return open_csv(path, options);
}

std::string without_formula(std::string_view cell) {
  constexpr auto kStarts = "=+-@\t\r"sv;
  const bool starts = !cell.empty() && kStarts.find(cell.front()) != kStarts.npos;
  const bool is_number = cell.size() > 1 && cell.find_first_not_of("0123456789.,", 1) == cell.npos;  // -5, +49: nothing to run
  return starts && !is_number ? "'" + std::string(cell) : std::string(cell);
}

void append_csv_row(std::string& out, std::span<const std::string> cells, char delimiter) {
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const auto& cell = cells[i];
    if (i) out += delimiter;
    const bool quoted = cell.find_first_of("\"\r\n") != cell.npos || cell.find(delimiter) != cell.npos ||
                        (!cell.empty() && (cell.front() == ' ' || cell.back() == ' ')) || (cell.empty() && cells.size() == 1);
    if (!quoted) {
      out += cell;
      continue;
    }
    out += '"';
    for (const char c : cell) {
      if (c == '"') out += '"';
      out += c;
    }
    out += '"';
  }
  out += "\r\n";
}

}  // namespace deskhand
