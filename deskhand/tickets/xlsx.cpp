// Workbooks of ECMA-376 (transitional and strict): a zip of XML parts, read in small pieces by expat. The sheet's declared dimension is not
// believed, document types are refused (so no entity is ever defined), and what a part unpacks to is counted while it is read.
#include <expat.h>
#include <zip.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <set>

#include "deskhand/base/error.h"
#include "deskhand/tickets/table.h"

namespace deskhand {
namespace {

constexpr std::size_t kPieceBytes = 1 << 14;

struct CloseZip {
  void operator()(zip_t* archive) const noexcept { zip_discard(archive); }
};
struct ClosePart {
  void operator()(zip_file_t* part) const noexcept { zip_fclose(part); }
};
using Zip = std::unique_ptr<zip_t, CloseZip>;

Zip open_zip(const std::filesystem::path& path) {
  int code = 0;
  Zip archive(zip_open(path.c_str(), ZIP_RDONLY, &code));
  if (archive) return archive;
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  const std::string reason = zip_error_strerror(&error);
  zip_error_fini(&error);
  throw Error(ExitCode::kBadInput, "{}: starts like a workbook but is cut or damaged ({}); export it again", path.string(), reason);
}

// One part of the archive, unpacked piece by piece under limits that look at what was really read.
class Part {
 public:
  static bool exists(zip_t* archive, const std::string& name) { return zip_name_locate(archive, name.c_str(), ZIP_FL_NOCASE) >= 0; }

  Part(const std::filesystem::path& path, zip_t* archive, const std::string& name, const TableLimits& limits)
      : where_(path.string() + ": part " + name), limits_(limits) {
    const auto index = zip_name_locate(archive, name.c_str(), ZIP_FL_NOCASE);
    if (index < 0) throw Error(ExitCode::kBadInput, "{} is missing: the workbook is damaged; open it in Excel and save it again", where_);
    zip_stat_t stat;
    zip_stat_init(&stat);
    if (zip_stat_index(archive, static_cast<zip_uint64_t>(index), 0, &stat) != 0)
      throw Error(ExitCode::kBadInput, "{}: {}", where_, zip_strerror(archive));
    if ((stat.valid & ZIP_STAT_ENCRYPTION_METHOD) && stat.encryption_method != ZIP_EM_NONE)
      throw Error(ExitCode::kBadInput, "{}: the workbook is protected by a password; remove it and save again", where_);
    packed_ = std::max<std::int64_t>(static_cast<std::int64_t>(stat.comp_size), 1);
    declared_ = std::max<std::int64_t>(static_cast<std::int64_t>(stat.size), 1);
    part_.reset(zip_fopen_index(archive, static_cast<zip_uint64_t>(index), 0));
    if (!part_) throw Error(ExitCode::kBadInput, "{}: cannot be unpacked: {}", where_, zip_strerror(archive));
  }

  std::size_t read(char* buffer, std::size_t size) {
    const auto got = zip_fread(part_.get(), buffer, size);
    if (got < 0)
      throw Error(ExitCode::kBadInput, "{}: damaged: {}; export the workbook again", where_,
                  zip_error_strerror(zip_file_get_error(part_.get())));
    read_ += got;
    if (read_ > limits_.part_bytes) throw Error(ExitCode::kTooLarge, "{}: unpacks to more than {} bytes", where_, limits_.part_bytes);
    constexpr std::int64_t kSmall = std::int64_t{32} << 20;
    if (read_ > kSmall && read_ / packed_ > limits_.ratio) {
      throw Error(ExitCode::kTooLarge, "{}: {} packed bytes have become {} and more; no ticket export packs that well, so it is refused",
                  where_, packed_, read_);
    }
    return static_cast<std::size_t>(got);
  }

  const std::string& where() const { return where_; }
  double share_read() const { return std::min(1.0, static_cast<double>(read_) / static_cast<double>(declared_)); }

 private:
  std::string where_;
  TableLimits limits_;
  std::unique_ptr<zip_file_t, ClosePart> part_;
  std::int64_t packed_ = 1, declared_ = 1, read_ = 0;
};

// Attributes of an element by local name.
class Attributes {
 public:
  explicit Attributes(const char** pairs) : pairs_(pairs) {}
  std::string_view operator[](std::string_view name) const {
    for (const char** pair = pairs_; *pair; pair += 2) {
      std::string_view key = *pair;
      if (const auto bar = key.rfind('|'); bar != key.npos) key.remove_prefix(bar + 1);
      if (key == name) return pair[1];
    }
    return {};
  }

 private:
  const char** pairs_;
};

// expat with std::functions. Names are local ones: exporters choose their own prefixes, and strict workbooks another namespace.
class XmlReader {
 public:
  std::function<void(std::string_view, const Attributes&)> on_start;
  std::function<void(std::string_view)> on_end;
  std::function<void(std::string_view)> on_text;

  XmlReader(const XmlReader&) = delete;  // expat holds its address
  explicit XmlReader(Part part) : part_(std::move(part)), parser_(XML_ParserCreateNS(nullptr, '|')) {
    if (!parser_) throw Error(ExitCode::kTooLarge, "{}: out of memory", part_.where());
    XML_SetUserData(parser_.get(), this);
    XML_SetElementHandler(
        parser_.get(),
        [](void* self, const char* name, const char** attributes) { static_cast<XmlReader*>(self)->start(name, attributes); },
        [](void* self, const char* name) { static_cast<XmlReader*>(self)->end(name); });
    XML_SetCharacterDataHandler(parser_.get(), [](void* self, const char* text, int length) {
      auto& reader = *static_cast<XmlReader*>(self);
      reader.guarded([&] {
        if (reader.on_text) reader.on_text({text, static_cast<std::size_t>(length)});
      });
    });
    XML_SetStartDoctypeDeclHandler(parser_.get(), [](void* self, const char*, const char*, const char*, int) {
      auto& reader = *static_cast<XmlReader*>(self);
      reader.guarded([&] {
        throw Error(ExitCode::kBadInput, "{}: declares a document type, which no spreadsheet program writes; it is refused for safety",
                    reader.part_.where());
      });
    });
  }

  // Parses one more piece; false when the part is at its end.
  bool step() {
    if (finished_) return false;
    char buffer[kPieceBytes];
    const auto got = part_.read(buffer, sizeof buffer);
    finished_ = got == 0;
    const auto status = XML_Parse(parser_.get(), buffer, static_cast<int>(got), finished_);
    if (fault_) std::rethrow_exception(fault_);
    if (status != XML_STATUS_OK) {
      throw Error(ExitCode::kBadInput, "{}: not well-formed XML in line {}: {}; the workbook is cut or damaged, export it again",
                  part_.where(), XML_GetCurrentLineNumber(parser_.get()), XML_ErrorString(XML_GetErrorCode(parser_.get())));
    }
    return !finished_;
  }

  void all() {
    while (step()) {}
  }

  const Part& part() const { return part_; }

 private:
  struct Free {
    void operator()(XML_ParserStruct* parser) const noexcept { XML_ParserFree(parser); }
  };
  static std::string_view local(std::string_view name) {
    const auto bar = name.rfind('|');
    return bar == name.npos ? name : name.substr(bar + 1);
  }

  template <class Work>
  void guarded(const Work& work) {  // no exception may cross expat's frames
    if (fault_) return;
    try {
      work();
    } catch (...) {
      fault_ = std::current_exception();
      XML_StopParser(parser_.get(), XML_FALSE);
    }
  }
  void start(const char* name, const char** attributes) {
    guarded([&] {
      if (++depth_ > 64) throw Error(ExitCode::kBadInput, "{}: elements nested deeper than 64", part_.where());
      if (on_start) on_start(local(name), Attributes(attributes));
    });
  }
  void end(const char* name) {
    guarded([&] {
      --depth_;
      if (on_end) on_end(local(name));
    });
  }

  Part part_;
  std::unique_ptr<XML_ParserStruct, Free> parser_;
  std::exception_ptr fault_;
  int depth_ = 0;
  bool finished_ = false;
};

void append_utf8(std::string& out, unsigned code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
  } else {
    out += {static_cast<char>(0xE0 | code >> 12), static_cast<char>(0x80 | (code >> 6 & 0x3F)), static_cast<char>(0x80 | (code & 0x3F))};
  }
}

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

// All strings in one buffer: a million of them cost their bytes and an offset each.
class SharedStrings {
 public:
  void read(XmlReader xml, const TableLimits& limits) {
    bool in_text = false;
    int phonetic = 0;
    std::string current;
    xml.on_start = [&](std::string_view name, const Attributes&) {
      if (name == "si") current.clear();
      if (name == "rPh") ++phonetic;
      in_text = name == "t" && phonetic == 0;
    };
    xml.on_text = [&](std::string_view text) {
      if (!in_text) return;
      current += text;
      if (static_cast<std::int64_t>(bytes_.size() + current.size()) > limits.shared_string_bytes)
        throw Error(ExitCode::kTooLarge, "{}: more than {} bytes of text", xml.part().where(), limits.shared_string_bytes);
    };
    xml.on_end = [&](std::string_view name) {
      in_text = false;
      if (name == "rPh") --phonetic;
      if (name != "si") return;
      if (static_cast<std::int64_t>(ends_.size()) >= limits.shared_strings)
        throw Error(ExitCode::kTooLarge, "{}: more than {} shared strings", xml.part().where(), limits.shared_strings);
      bytes_ += unescape(current);
      ends_.push_back(bytes_.size());
    };
    xml.all();
  }

  std::size_t size() const { return ends_.size(); }
  std::string_view operator[](std::size_t i) const {
    const auto begin = i ? ends_[i - 1] : 0;
    return std::string_view(bytes_).substr(begin, ends_[i] - begin);
  }

 private:
  std::string bytes_;
  std::vector<std::size_t> ends_;
};

struct Sheet {
  std::string name, part;
};

struct Workbook {
  std::string part;  // "xl/workbook.xml"
  bool from_1904 = false;
  std::vector<Sheet> sheets;
  std::string shared_strings, styles;  // empty: none
};

// A relationship's target, seen from the part that names it.
std::string resolve(const std::string& from, std::string_view target) {
  std::filesystem::path path =
      target.starts_with('/') ? std::filesystem::path(target.substr(1)) : std::filesystem::path(from).parent_path() / target;
  return path.lexically_normal().generic_string();
}

struct Relation {
  std::string id, type, target;
};

std::vector<Relation> relations_of(const std::filesystem::path& path, zip_t* archive, const std::string& part, const TableLimits& limits) {
  const std::filesystem::path name(part);
  const auto file = (name.parent_path() / "_rels" / (name.filename().string() + ".rels")).generic_string();
  std::vector<Relation> relations;
  if (!Part::exists(archive, file)) return relations;
  XmlReader xml(Part(path, archive, file, limits));
  xml.on_start = [&](std::string_view element, const Attributes& attributes) {
    if (element != "Relationship" || attributes["TargetMode"] == "External") return;
    const std::string_view type = attributes["Type"];
    relations.push_back(
        {std::string(attributes["Id"]), std::string(type.substr(type.rfind('/') + 1)), resolve(part, attributes["Target"])});
    if (relations.size() > 100000) throw Error(ExitCode::kTooLarge, "{}: more than 100000 relations", xml.part().where());
  };
  xml.all();
  return relations;
}

Workbook read_workbook(const std::filesystem::path& path, zip_t* archive, const TableLimits& limits) {
  Workbook book;
  for (const auto& relation : relations_of(path, archive, "", limits))
    if (relation.type == "officeDocument") book.part = relation.target;
  if (book.part.empty()) book.part = "xl/workbook.xml";
  if (book.part.ends_with(".bin"))
    throw Error(ExitCode::kBadInput, "{}: this is a binary workbook (.xlsb); save it as .xlsx", path.string());
  if (!Part::exists(archive, book.part)) {
    std::string what = "a zip archive without a workbook in it";
    if (Part::exists(archive, "content.xml")) what = "an OpenDocument file; save it as .xlsx";
    if (Part::exists(archive, "word/document.xml")) what = "a Word document";
    throw Error(ExitCode::kBadInput, "{}: this is {}; wanted a workbook (.xlsx), CSV or JSON lines", path.string(), what);
  }
  std::map<std::string, std::string> worksheet_of;  // relation id -> part
  for (const auto& relation : relations_of(path, archive, book.part, limits)) {
    if (relation.type == "worksheet") worksheet_of[relation.id] = relation.target;
    if (relation.type == "sharedStrings") book.shared_strings = relation.target;
    if (relation.type == "styles") book.styles = relation.target;
  }
  XmlReader xml(Part(path, archive, book.part, limits));
  xml.on_start = [&](std::string_view element, const Attributes& attributes) {
    if (element == "workbookPr") book.from_1904 = attributes["date1904"] == "1" || attributes["date1904"] == "true";
    if (element != "sheet") return;
    const auto found = worksheet_of.find(std::string(attributes["id"]));  // chart sheets have no rows
    if (found != worksheet_of.end()) book.sheets.push_back({std::string(attributes["name"]), found->second});
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
  xml.on_start = [&](std::string_view element, const Attributes& attributes) {
    int id = 0;
    if (element == "cellXfs") in_cell_formats = true;
    if (element == "numFmt" && to_number(attributes["numFmtId"], id)) codes[id] = attributes["formatCode"];
    if (element != "xf" || !in_cell_formats) return;
    if (kinds.size() >= 100000) throw Error(ExitCode::kTooLarge, "{}: more than 100000 cell formats", xml.part().where());
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

class XlsxReader final : public TableReader {
 public:
  XlsxReader(const std::filesystem::path& path, const TableOptions& options)
      : TableReader(path), limits_(options.limits), archive_(open_zip(path)) {
    const auto book = read_workbook(path, archive_.get(), limits_);
    from_1904_ = book.from_1904;
    const auto sheet = options.sheet.empty() ? book.sheets.begin()
                                             : std::find_if(book.sheets.begin(), book.sheets.end(),
                                                            [&](const auto& one) { return one.name == options.sheet; });
    if (sheet == book.sheets.end()) {
      std::string names;
      for (const auto& one : book.sheets) names += (names.empty() ? "\"" : ", \"") + one.name + "\"";
      throw Error(ExitCode::kBadInput, "{}: no sheet \"{}\"; the workbook has {}", path.string(), options.sheet, names);
    }
    sheet_ = sheet->name;
    if (!book.styles.empty() && Part::exists(archive_.get(), book.styles))
      kinds_ = read_styles(XmlReader(Part(path, archive_.get(), book.styles, limits_)));
    if (!book.shared_strings.empty() && Part::exists(archive_.get(), book.shared_strings))
      strings_.read(XmlReader(Part(path, archive_.get(), book.shared_strings, limits_)), limits_);

    xml_ = std::make_unique<XmlReader>(Part(path, archive_.get(), sheet->part, limits_));
    xml_->on_start = [this](std::string_view name, const Attributes& attributes) { start(name, attributes); };
    xml_->on_text = [this](std::string_view text) { take(text); };
    xml_->on_end = [this](std::string_view name) { end(name); };
    while (ready_.empty() && xml_->step()) {}
    if (ready_.empty())
      throw Error(ExitCode::kBadInput, "{}: the sheet \"{}\" is empty; wanted column names in its first row", path.string(), sheet_);
    for (auto& [column, text] : ready_.front().cells) {
      if (header_.size() <= column) header_.resize(column + 1);
      const auto first = text.find_first_not_of(" \t\r\n");
      if (first != text.npos) header_[column] = text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
    }
    ready_.pop_front();
  }

  const std::vector<std::string>& header() const override { return header_; }

  bool next(Row& row) override {
    while (ready_.empty() && xml_->step()) {}
    if (ready_.empty()) return false;
    row.number = ready_.front().number;
    row.cells.assign(header_.size(), {});
    for (auto& [column, text] : ready_.front().cells)
      if (column < row.cells.size()) row.cells[column] = std::move(text);
    ready_.pop_front();
    return true;
  }

  std::string description() const override { return fmt::format("workbook, sheet \"{}\"", sheet_); }
  double share_read() const override { return xml_->part().share_read(); }

 private:
  struct SparseRow {
    std::int64_t number = 0;
    std::vector<std::pair<std::size_t, std::string>> cells;  // that have text
  };

  std::string where() const { return fmt::format("{}: sheet \"{}\", row {}, column {}", path_.string(), sheet_, row_.number, column_ + 1); }

  void start(std::string_view name, const Attributes& attributes) {
    if (name == "row") {
      std::int64_t number = 0;
      if (!to_number(attributes["r"], number)) number = last_row_ + 1;
      if (number <= last_row_ || number > (1 << 20)) {
        throw Error(ExitCode::kBadInput, "{}: sheet \"{}\": row number {} after {}; the workbook is damaged, save it again", path_.string(),
                    sheet_, number, last_row_);
      }
      row_ = {.number = number};
      next_column_ = 0;
      in_row_ = true;
    } else if (name == "c" && in_row_) {
      column_ = next_column_;
      const auto reference = attributes["r"];
      if (!reference.empty()) {
        std::size_t column = 0;
        for (const char c : reference) {
          if (c < 'A' || c > 'Z' || column > 100000) break;
          column = column * 26 + static_cast<std::size_t>(c - 'A' + 1);
        }
        if (column == 0) throw Error(ExitCode::kBadInput, "{}: a cell calls itself \"{}\"", where(), reference.substr(0, 20));
        column_ = column - 1;
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
      if (!row_.cells.empty()) ready_.push_back(std::move(row_));
    }
  }

  std::string text_of_cell() const {
    if (type_ == "s") {
      std::size_t index = 0;
      if (is_blank(value_)) return {};
      if (!to_number(value_, index) || index >= strings_.size())
        throw Error(ExitCode::kBadInput, "{}: asks for shared string {} of {}; the workbook is damaged, save it again", where(),
                    value_.substr(0, 20), strings_.size());
      return std::string(strings_[index]);
    }
    if (type_ == "b") return is_blank(value_) ? "" : value_ == "0" || value_ == "false" ? "false" : "true";
    if (type_ == "inlineStr" || type_ == "str") return unescape(value_);
    if (type_ == "e") return value_;
    if (type_ == "d") {  // ISO already; a fraction of a second and a Z say nothing here
      auto text = value_.substr(0, value_.find('.'));
      if (text.ends_with('Z')) text.pop_back();
      return text;
    }
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
    return number == std::floor(number) && std::abs(number) < 1e15 ? fmt::format("{}", static_cast<std::int64_t>(number))
                                                                   : fmt::format("{:.15g}", number);
  }

  TableLimits limits_;
  Zip archive_;
  std::string sheet_;
  bool from_1904_ = false;
  std::vector<NumberKind> kinds_;
  SharedStrings strings_;
  std::unique_ptr<XmlReader> xml_;
  std::vector<std::string> header_;
  std::deque<SparseRow> ready_;  // of the last piece of XML: bounded by its size

  SparseRow row_;
  std::int64_t last_row_ = 0;
  std::size_t column_ = 0, next_column_ = 0, style_ = 0;
  std::string type_, value_;
  int phonetic_ = 0;
  bool in_row_ = false, in_cell_ = false, in_value_ = false;
};

}  // namespace

std::unique_ptr<TableReader> open_xlsx(const std::filesystem::path& path, const TableOptions& options) {
  return std::make_unique<XlsxReader>(path, options);
}

std::vector<std::string> sheet_names(const std::filesystem::path& path) {
  const auto archive = open_zip(path);
  std::vector<std::string> names;
  for (const auto& sheet : read_workbook(path, archive.get(), {}).sheets) names.push_back(sheet.name);
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
