// Workbooks of ECMA-376 (transitional and strict): a zip of XML parts, read in small pieces by expat. The sheet's declared dimension is not
// believed. A cell that cannot be read spoils its row, not the workbook.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <deque>
#include <map>
#include <set>

#include "deskhand/base/error.h"
#include "deskhand/base/utf8.h"
#include "deskhand/tickets/sheet_reader.h"
#include "deskhand/tickets/zip_xml.h"

namespace deskhand {
namespace {

// "_x000D_" is how the format writes what XML cannot hold (ECMA-376 part 1, 22.9.2.19).
std::string unescape(std::string text) {
  if (text.find("_x") == text.npos) return text;
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    unsigned code = 0;
    if (text.compare(i, 2, "_x") == 0 && i + 6 < text.size() && text[i + 6] == '_') {
      const auto [end, fault] = std::from_chars(text.data() + i + 2, text.data() + i + 6, code, 16);
      if (fault == std::errc() && end == text.data() + i + 6 && code != 0 && (code < 0xD800 || code > 0xDFFF)) {
        append_utf8(out, code);
        i += 7;
        continue;
      }
    }
    out += text[i++];
  }
  return out;
}

template <class Number>
bool to_number(std::string_view text, Number& value) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == text.npos) return false;
  text = text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  return fault == std::errc() && end == text.data() + text.size();
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == text.npos;
}

// All strings in blocks that never move: a million of them cost their bytes and a view each, and no copy while they grow.
class SharedStrings {
 public:
  void read(XmlReader xml, const TableLimits& limits) {
    bool in_text = false;
    int phonetic = 0;
    std::string current;
    xml.on_start = [&](std::string_view name, const XmlAttributes&) {
      if (name == "si") current.clear();
      if (name == "rPh") ++phonetic;
      in_text = name == "t" && phonetic == 0;
    };
    xml.on_text = [&](std::string_view text) {
      if (!in_text) return;
      current += text;
      if (bytes_ + static_cast<std::int64_t>(current.size()) > limits.shared_string_bytes)
        throw Error(ExitCode::kTooLarge, "{}: more than {} bytes of text", xml.where(), limits.shared_string_bytes);
    };
    xml.on_end = [&](std::string_view name) {
      in_text = false;
      if (name == "rPh") --phonetic;
      if (name != "si") return;
      if (static_cast<std::int64_t>(strings_.size()) >= limits.shared_strings)
        throw Error(ExitCode::kTooLarge, "{}: more than {} shared strings", xml.where(), limits.shared_strings);
      keep(unescape(std::move(current)));
    };
    xml.all();
  }

  std::size_t size() const { return strings_.size(); }
  std::string_view operator[](std::size_t i) const { return strings_[i]; }

 private:
  void keep(const std::string& text) {
    constexpr std::size_t kBlock = std::size_t{1} << 20;
    bytes_ += static_cast<std::int64_t>(text.size());
    if (blocks_.empty() || blocks_.back().capacity() - blocks_.back().size() < text.size()) {
      blocks_.emplace_back();
      blocks_.back().reserve(std::max(kBlock, text.size()));
    }
    auto& block = blocks_.back();
    const auto begin = block.size();
    block += text;
    strings_.emplace_back(block.data() + begin, text.size());
  }

  std::int64_t bytes_ = 0;
  std::deque<std::string> blocks_;
  std::vector<std::string_view> strings_;
};

struct Sheet {
  std::string name, part;
  bool is_hidden = false;
};

struct Workbook {
  std::string part;  // "xl/workbook.xml"
  bool from_1904 = false;
  std::vector<Sheet> sheets;
  std::string shared_strings, styles;  // empty: none
};

// A relationship's target, seen from the part that names it.
std::string resolve(const std::string& from, std::string target) {
  std::replace(target.begin(), target.end(), '\\', '/');
  std::filesystem::path path =
      target.starts_with('/') ? std::filesystem::path(target.substr(1)) : std::filesystem::path(from).parent_path() / target;
  return path.lexically_normal().generic_string();
}

struct Relation {
  std::string id, type, target;
};

std::vector<Relation> relations_of(const ZipArchive& archive, const std::string& part, const TableLimits& limits) {
  const std::filesystem::path name(part);
  const auto file = (name.parent_path() / "_rels" / (name.filename().string() + ".rels")).generic_string();
  std::vector<Relation> relations;
  if (!archive.has(file)) return relations;
  XmlReader xml(ZipPart(archive, file, limits));
  xml.on_start = [&](std::string_view element, const XmlAttributes& attributes) {
    if (element != "Relationship" || attributes["TargetMode"] == "External") return;
    const std::string_view type = attributes["Type"];
    relations.push_back(
        {std::string(attributes["Id"]), std::string(type.substr(type.rfind('/') + 1)), resolve(part, std::string(attributes["Target"]))});
    if (relations.size() > 100000) throw Error(ExitCode::kTooLarge, "{}: more than 100000 relations", xml.where());
  };
  xml.all();
  return relations;
}

Workbook read_workbook(const ZipArchive& archive, const TableLimits& limits) {
  const auto& path = archive.path();
  Workbook book;
  for (const auto& relation : relations_of(archive, "", limits))
    if (relation.type == "officeDocument") book.part = relation.target;
  if (book.part.empty()) book.part = "xl/workbook.xml";
  if (book.part.ends_with(".bin"))
    throw Error(ExitCode::kBadInput, "{}: this is a binary workbook (.xlsb); save it as .xlsx", path.string());
  if (!archive.has(book.part)) {
    std::string what = "a zip archive without a workbook in it";
    if (archive.has("word/document.xml")) what = "a Word document";
    throw Error(ExitCode::kBadInput, "{}: this is {}; wanted a workbook (.xlsx, .ods), CSV, JSON lines or mails", path.string(), what);
  }
  std::map<std::string, std::string> worksheet_of;  // relation id -> part
  for (const auto& relation : relations_of(archive, book.part, limits)) {
    if (relation.type == "worksheet") worksheet_of[relation.id] = relation.target;
    if (relation.type == "sharedStrings") book.shared_strings = relation.target;
    if (relation.type == "styles") book.styles = relation.target;
  }
  std::set<std::string> seen;
  XmlReader xml(ZipPart(archive, book.part, limits));
  xml.on_start = [&](std::string_view element, const XmlAttributes& attributes) {
    if (element == "workbookPr") book.from_1904 = attributes["date1904"] == "1" || attributes["date1904"] == "true";
    if (element != "sheet") return;
    const auto found = worksheet_of.find(std::string(attributes["id"]));  // chart sheets have no rows
    if (found == worksheet_of.end() || !seen.insert(found->second).second) return;
    const auto state = attributes["state"];
    book.sheets.push_back({std::string(attributes["name"]), found->second, state == "hidden" || state == "veryHidden"});
  };
  xml.all();
  if (book.sheets.empty()) throw Error(ExitCode::kBadInput, "{}: the workbook has no sheet with cells", path.string());
  return book;
}

// The kind of number each cell style shows.
std::vector<NumberKind> read_styles(XmlReader xml) {
  std::map<int, std::string> codes;
  std::vector<NumberKind> kinds;
  bool in_cell_formats = false;
  xml.on_start = [&](std::string_view element, const XmlAttributes& attributes) {
    int id = 0;
    if (element == "cellXfs") in_cell_formats = true;
    if (element == "numFmt" && to_number(attributes["numFmtId"], id)) codes[id] = attributes["formatCode"];
    if (element != "xf" || !in_cell_formats) return;
    if (kinds.size() >= 100000) throw Error(ExitCode::kTooLarge, "{}: more than 100000 cell formats", xml.where());
    id = 0;
    to_number(attributes["numFmtId"], id);
    const auto code = codes.find(id);
    kinds.push_back(kind_of_number_format(id, code == codes.end() ? std::string_view() : std::string_view(code->second)));
  };
  xml.on_end = [&](std::string_view element) {
    if (element == "cellXfs") in_cell_formats = false;
  };
  xml.all();
  return kinds;
}

class XlsxSheet final : public SheetSource {
 public:
  XlsxSheet(const ZipArchive& archive, const Sheet& sheet, const SharedStrings& strings, const std::vector<NumberKind>& kinds,
            bool from_1904, const TableLimits& limits)
      : archive_(archive),
        part_(sheet.part),
        limits_(limits),
        from_1904_(from_1904),
        kinds_(kinds),
        strings_(strings),
        where_(fmt::format("{}: sheet \"{}\"", archive.path().string(), sheet.name)),
        xml_(ZipPart(archive, sheet.part, limits)) {
    xml_.on_start = [this](std::string_view name, const XmlAttributes& attributes) { start(name, attributes); };
    xml_.on_text = [this](std::string_view text) { take(text); };
    xml_.on_end = [this](std::string_view name) { end(name); };
  }

  bool next(SheetRow& row) override {
    while (ready_.empty() && xml_.step()) {}
    if (ready_.empty()) return false;
    row = std::move(ready_.front());
    ready_.pop_front();
    return true;
  }

  std::vector<Merge> merges_above(std::int64_t row) override {  // they stand behind the cells
    std::vector<Merge> merges;
    const ZipArchive again(archive_.path());  // the cells are being read from the other
    XmlReader xml(ZipPart(again, part_, limits_));
    xml.on_start = [&](std::string_view name, const XmlAttributes& attributes) {
      if (name != "mergeCell") return;
      const auto reference = attributes["ref"];
      const auto colon = reference.find(':');
      Merge merge{};
      if (colon == reference.npos || !read_reference(reference.substr(0, colon), merge.first_row, merge.first_column) ||
          !read_reference(reference.substr(colon + 1), merge.last_row, merge.last_column))
        return;
      if (merge.first_row <= row && merges.size() < 10000) merges.push_back(merge);
    };
    xml.all();
    return merges;
  }

  double share_read() const override { return xml_.share_read(); }

 private:
  static bool before(const std::pair<std::size_t, std::string>& a, const std::pair<std::size_t, std::string>& b) {
    return a.first < b.first;
  }
  static std::size_t column_in(std::string_view reference) {  // from 1; 0: none
    std::size_t column = 0;
    for (const char c : reference) {
      if (c < 'A' || c > 'Z' || column > 100000) break;
      column = column * 26 + static_cast<std::size_t>(c - 'A' + 1);
    }
    return column;
  }
  static bool read_reference(std::string_view reference, std::int64_t& row, std::size_t& column) {
    column = column_in(reference);
    const auto digits = reference.find_first_of("0123456789");
    return column-- > 0 && digits != reference.npos && to_number(reference.substr(digits), row);
  }

  std::string where() const { return fmt::format("{}, row {}, column {}", where_, row_.number, column_ + 1); }
  void spoil(std::string why) {  // the first fault counts
    if (!row_.fault.empty()) return;
    row_.fault = std::move(why);
    row_.fault_column = column_;
  }

  void start(std::string_view name, const XmlAttributes& attributes) {
    if (name == "row") {
      std::int64_t number = 0;
      if (!to_number(attributes["r"], number)) number = last_row_ + 1;
      if (number <= last_row_ || number > (1 << 20)) {
        throw Error(ExitCode::kBadInput, "{}: row number {} after {}; the workbook is damaged, save it again", where_, number, last_row_);
      }
      const auto hidden = attributes["hidden"];
      row_ = {.number = number, .is_hidden = hidden == "1" || hidden == "true"};
      next_column_ = 0;
      in_row_ = true;
    } else if (name == "c" && in_row_) {
      column_ = next_column_;
      const auto reference = attributes["r"];
      if (!reference.empty()) {
        const auto column = column_in(reference);
        if (column == 0) {
          spoil(fmt::format("a cell calls itself \"{}\"", reference.substr(0, 20)));
        } else {
          column_ = column - 1;
        }
      }
      if (static_cast<std::int64_t>(column_) >= limits_.columns)
        throw Error(ExitCode::kTooLarge, "{}: more than {} columns", where(), limits_.columns);
      next_column_ = column_ + 1;
      type_ = attributes["t"];
      style_ = 0;
      to_number(attributes["s"], style_);
      value_.clear();
      in_cell_ = true;
    } else if (in_cell_) {
      if (name == "rPh") ++phonetic_;
      if (name == "v") value_.clear();
      in_value_ = name == "v" || (name == "t" && phonetic_ == 0);
    }
  }

  void take(std::string_view text) {
    if (!in_value_) return;
    value_ += text;
    if (static_cast<std::int64_t>(value_.size()) > limits_.cell_bytes)
      throw Error(ExitCode::kTooLarge, "{}: a text of more than {} bytes", where(), limits_.cell_bytes);
  }

  void end(std::string_view name) {
    in_value_ = false;
    if (name == "rPh" && phonetic_ > 0) --phonetic_;
    if (name == "c" && in_cell_) {
      in_cell_ = false;
      phonetic_ = 0;
      auto text = text_of_cell();
      if (!is_blank(text)) row_.cells.emplace_back(column_, std::move(text));
    } else if (name == "row" && in_row_) {
      in_row_ = false;
      last_row_ = row_.number;
      if (!std::is_sorted(row_.cells.begin(), row_.cells.end(), before)) std::stable_sort(row_.cells.begin(), row_.cells.end(), before);
      if (!row_.cells.empty() || !row_.fault.empty()) ready_.push_back(std::move(row_));
    }
  }

  std::string text_of_cell() {
    if (type_ == "s") {
      std::size_t index = 0;
      if (is_blank(value_)) return {};
      if (!to_number(value_, index) || index >= strings_.size()) {
        spoil(
            fmt::format("asks for shared string {} of {}; the workbook is damaged, save it again", value_.substr(0, 20), strings_.size()));
        return {};
      }
      return std::string(strings_[index]);
    }
    if (type_ == "b") return is_blank(value_) ? "" : value_ == "0" || value_ == "false" ? "false" : "true";
    if (type_ == "inlineStr" || type_ == "str") return unescape(std::move(value_));
    if (type_ == "e") return value_;
    if (type_ == "d") return without_fraction(value_);  // ISO already
    double number = 0;
    if (!to_number(value_, number)) return value_;
    const auto kind = style_ < kinds_.size() ? kinds_[style_] : NumberKind::kNumber;
    if (kind == NumberKind::kDuration && number >= 0 && number < 1e7) {
      const auto seconds = std::llround(number * 86400);
      return fmt::format("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    }
    if (kind == NumberKind::kDate || kind == NumberKind::kDateTime) {
      if (auto date = date_of_serial(number, from_1904_, kind == NumberKind::kDateTime); !date.empty()) return date;
    }
    if (!std::isfinite(number)) return value_;
    if (std::abs(number) >= 1e15 && value_.find_first_not_of("0123456789") == value_.npos)
      return value_.substr(value_.find_first_not_of('0'));  // more digits than a double has: an id
    return number == std::floor(number) && std::abs(number) < 1e15 ? fmt::format("{}", static_cast<std::int64_t>(number))
                                                                   : fmt::format("{:.15g}", number);
  }

  const ZipArchive& archive_;
  std::string part_;
  TableLimits limits_;
  bool from_1904_;
  const std::vector<NumberKind>& kinds_;
  const SharedStrings& strings_;
  std::string where_;
  std::deque<SheetRow> ready_;  // of the last piece of XML: bounded by its size

  SheetRow row_;
  std::int64_t last_row_ = 0;
  std::size_t column_ = 0, next_column_ = 0, style_ = 0;
  std::string type_, value_;
  int phonetic_ = 0;
  bool in_row_ = false, in_cell_ = false, in_value_ = false;
  XmlReader xml_;
};

class XlsxBook final : public SheetBook {
 public:
  XlsxBook(const std::filesystem::path& path, const TableLimits& limits)
      : limits_(limits), archive_(path), book_(read_workbook(archive_, limits)) {
    for (const auto& sheet : book_.sheets) names_.push_back(sheet.name);
    if (!book_.styles.empty() && archive_.has(book_.styles)) kinds_ = read_styles(XmlReader(ZipPart(archive_, book_.styles, limits_)));
    if (!book_.shared_strings.empty() && archive_.has(book_.shared_strings))
      strings_.read(XmlReader(ZipPart(archive_, book_.shared_strings, limits_)), limits_);
  }

  const std::vector<std::string>& sheets() const override { return names_; }
  bool is_hidden(std::size_t sheet) const override { return book_.sheets[sheet].is_hidden; }
  std::unique_ptr<SheetSource> open(std::size_t sheet) override {
    return std::make_unique<XlsxSheet>(archive_, book_.sheets[sheet], strings_, kinds_, book_.from_1904, limits_);
  }

 private:
  TableLimits limits_;
  ZipArchive archive_;
  Workbook book_;
  std::vector<std::string> names_;
  std::vector<NumberKind> kinds_;
  SharedStrings strings_;
};

}  // namespace

std::unique_ptr<TableReader> open_xlsx(const std::filesystem::path& path, const TableOptions& options) {
  return read_sheets(path, std::make_unique<XlsxBook>(path, options.limits), options, "workbook");
}

std::vector<std::string> sheet_names(const std::filesystem::path& path) {
  const ZipArchive archive(path);
  std::vector<std::string> names;
  for (const auto& sheet : read_workbook(archive, {}).sheets) names.push_back(sheet.name);
  return names;
}

std::string date_of_serial(double serial, bool from_1904, bool with_time) {
  if (!(serial >= 0) || serial >= 2958466) return {};
  auto seconds = std::llround(serial * 86400);
  const auto clock = seconds % 86400;
  auto day = seconds / 86400;
  if (serial < 1 && (with_time || !from_1904)) return fmt::format("{:02}:{:02}:{:02}", clock / 3600, clock / 60 % 60, clock % 60);
  if (from_1904) {
    day += 1462;
  } else if (day < 60) {
    day += 1;  // days before the 29 February 1900 that never was
  }
  // Days since 1899-12-30 to a civil date: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
  const auto z = day - 25569 + 719468;
  const auto era = z / 146097;
  const auto day_of_era = z - era * 146097;
  const auto year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const auto day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const auto shifted_month = (5 * day_of_year + 2) / 153;
  const auto month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  const auto year = year_of_era + era * 400 + (month <= 2);
  auto text = fmt::format("{:04}-{:02}-{:02}", year, month, day_of_year - (153 * shifted_month + 2) / 5 + 1);
  if (with_time || clock != 0) text += fmt::format("T{:02}:{:02}:{:02}", clock / 3600, clock / 60 % 60, clock % 60);
  return text;
}

NumberKind kind_of_number_format(int id, std::string_view code) {
  if (code.empty()) {  // built in, ECMA-376 part 1, 18.8.30, with those of the East Asian lists
    if (id == 46) return NumberKind::kDuration;
    if (id == 18 || id == 19 || id == 20 || id == 21 || id == 22 || id == 45 || id == 47) return NumberKind::kDateTime;
    if ((id >= 14 && id <= 17) || (id >= 27 && id <= 36) || (id >= 50 && id <= 58)) return NumberKind::kDate;
    return NumberKind::kNumber;
  }
  bool date = false, time = false;
  for (std::size_t i = 0; i < code.size() && code[i] != ';'; ++i) {
    const char c = static_cast<char>(code[i] | 0x20);
    if (code[i] == '"') {
      i = std::min(code.find('"', i + 1), code.size() - 1);
    } else if (code[i] == '\\' || code[i] == '_' || code[i] == '*') {
      ++i;
    } else if (code[i] == '[') {
      const auto close = std::min(code.find(']', i), code.size() - 1);
      const auto inside = code.substr(i + 1, close - i - 1);
      if (!inside.empty() && inside.find_first_not_of("hHmMsS") == inside.npos) return NumberKind::kDuration;
      i = close;
    } else if (code.substr(i, 7) == "General") {
      i += 6;
    } else if (c == 'y' || c == 'd' || c == 'm') {
      date = true;
    } else if (c == 'h' || c == 's') {
      time = true;
    }
  }
  return time ? NumberKind::kDateTime : date ? NumberKind::kDate : NumberKind::kNumber;
}

}  // namespace deskhand
