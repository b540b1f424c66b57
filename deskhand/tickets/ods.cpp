// OpenDocument spreadsheets (ISO/IEC 26300): content.xml holds all sheets one after the other, so the sheet wanted is read and the others
// are passed over. A row that is repeated comes as often as it says, if it has text; trailing repeats are how LibreOffice fills a sheet.
#include <algorithm>
#include <charconv>
#include <functional>
#include <map>
#include <set>

#include "deskhand/base/error.h"
#include "deskhand/tickets/sheet_reader.h"
#include "deskhand/tickets/zip_xml.h"

namespace deskhand {
namespace {

constexpr std::int64_t kMostRows = std::int64_t{1} << 20;

std::int64_t count_in(std::string_view text, std::int64_t otherwise) {
  std::int64_t value = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  return fault == std::errc() && end == text.data() + text.size() && value > 0 ? value : otherwise;
}

// "PT07H05M09S" as 07:05:09.
std::string clock_of(std::string_view duration) {
  if (!duration.starts_with("PT")) return std::string(duration);
  int parts[3] = {0, 0, 0}, value = 0;
  for (const char c : duration.substr(2)) {
    if (c >= '0' && c <= '9') {
      value = std::min(value * 10 + (c - '0'), 100'000'000);
      continue;
    }
    if (c == 'H') parts[0] = value;
    if (c == 'M') parts[1] = value;
    if (c == 'S' || c == '.' || c == ',') parts[2] = value;
    if (c == '.' || c == ',') break;
    value = 0;
  }
  return fmt::format("{:02}:{:02}:{:02}", parts[0], parts[1], parts[2]);
}

// Reads content.xml for one sheet, or for the names of all.
class OdsSheet final : public SheetSource {
 public:
  OdsSheet(const ZipArchive& archive, std::size_t wanted, const TableLimits& limits)
      : limits_(limits), wanted_(wanted), xml_(ZipPart(archive, "content.xml", limits)) {
    xml_.on_start = [this](std::string_view name, const XmlAttributes& attributes) { start(name, attributes); };
    xml_.on_end = [this](std::string_view name) { end(name); };
    xml_.on_text = [this](std::string_view text) {
      if (in_text_ && skip_ == 0) add(text);
    };
  }

  bool next(SheetRow& row) override {
    while (ready_.empty() && !done_) done_ = !xml_.step() || done_;
    if (ready_.empty()) return false;
    row = ready_.front().first;
    if (--ready_.front().second <= 0) {
      ready_.pop_front();
    } else {
      ++ready_.front().first.number;
    }
    return true;
  }
  std::vector<Merge> merges_above(std::int64_t row) override {
    std::vector<Merge> above;
    for (const auto& merge : merges_)
      if (merge.first_row <= row) above.push_back(merge);
    return above;
  }
  double share_read() const override { return xml_.share_read(); }

 private:
  void start(std::string_view name, const XmlAttributes& attributes) {
    if (name == "table" && ++depth_ == 1) in_sheet_ = tables_++ == wanted_;
    if (!in_sheet_) return;
    if (name == "table-row") {
      row_ = {.number = row_number_ + 1};
      const auto visibility = attributes["visibility"];
      row_.is_hidden = visibility == "collapse" || visibility == "filter";
      repeat_rows_ = count_in(attributes["number-rows-repeated"], 1);
      column_ = 0;
    } else if (name == "table-cell" || name == "covered-table-cell") {
      repeat_ = count_in(attributes["number-columns-repeated"], 1);
      type_ = attributes["value-type"];
      value_ = type_ == "date"      ? attributes["date-value"]
               : type_ == "time"    ? attributes["time-value"]
               : type_ == "boolean" ? attributes["boolean-value"]
                                    : attributes["value"];
      text_.clear();
      paragraphs_ = 0;
      const auto columns = count_in(attributes["number-columns-spanned"], 1), rows = count_in(attributes["number-rows-spanned"], 1);
      if ((columns > 1 || rows > 1) && row_.number <= 64 && merges_.size() < 1000) {
        merges_.push_back(
            {row_.number, row_.number + rows - 1, column_, column_ + static_cast<std::size_t>(std::min<std::int64_t>(columns, 16384)) - 1});
      }
    } else if (name == "annotation") {
      ++skip_;
    } else if (skip_ == 0 && name == "p") {
      if (paragraphs_++) add("\n");
      in_text_ = true;
    } else if (skip_ == 0 && in_text_) {
      if (name == "s") add(std::string(static_cast<std::size_t>(std::min<std::int64_t>(count_in(attributes["c"], 1), 1000)), ' '));
      if (name == "tab") add("\t");
      if (name == "line-break") add("\n");
    }
  }

  void end(std::string_view name) {
    if (name == "table" && --depth_ == 0 && in_sheet_) {
      in_sheet_ = false;
      done_ = true;
    }
    if (!in_sheet_) return;
    if (name == "annotation" && skip_ > 0) --skip_;
    if (name == "p") in_text_ = false;
    if (name == "table-cell" || name == "covered-table-cell") {
      end_cell();
    } else if (name == "table-row") {
      row_number_ += repeat_rows_;
      if (row_.cells.empty() && row_.fault.empty()) return;
      if (row_number_ > kMostRows)
        throw Error(ExitCode::kTooLarge, "{}: row {} repeats itself {} times; a sheet has {} rows at most", xml_.where(), row_.number,
                    repeat_rows_, kMostRows);
      ready_.emplace_back(std::move(row_), repeat_rows_);
    }
  }

  void end_cell() {
    auto text = text_of_cell();
    const bool is_blank = text.find_first_not_of(" \t\r\n") == text.npos;
    if (!is_blank) {
      if (static_cast<std::int64_t>(column_) + repeat_ > limits_.columns)
        throw Error(ExitCode::kTooLarge, "{}: row {}, column {}: more than {} columns", xml_.where(), row_.number, column_ + 1,
                    limits_.columns);
      if (static_cast<std::int64_t>(text.size()) * repeat_ > limits_.cell_bytes)
        throw Error(ExitCode::kTooLarge, "{}: row {}, column {}: a text of more than {} bytes", xml_.where(), row_.number, column_ + 1,
                    limits_.cell_bytes);
      for (std::int64_t i = 0; i < repeat_; ++i) row_.cells.emplace_back(column_ + static_cast<std::size_t>(i), text);
    }
    column_ += static_cast<std::size_t>(std::min(repeat_, limits_.columns * 2));
  }

  std::string text_of_cell() const {
    if (type_ == "date") {
      auto text = without_fraction(value_);
      return text.ends_with("T00:00:00") ? text.substr(0, 10) : text;
    }
    if (type_ == "time") return clock_of(value_);
    if (type_ == "boolean" || ((type_ == "float" || type_ == "percentage" || type_ == "currency") && !value_.empty())) return value_;
    return text_;
  }

  void add(std::string_view text) {
    text_ += text;
    if (static_cast<std::int64_t>(text_.size()) > limits_.cell_bytes)
      throw Error(ExitCode::kTooLarge, "{}: row {}, column {}: a text of more than {} bytes", xml_.where(), row_.number, column_ + 1,
                  limits_.cell_bytes);
  }

  TableLimits limits_;
  std::size_t wanted_, tables_ = 0;
  int depth_ = 0, skip_ = 0;  // tables in tables, annotations
  bool in_sheet_ = false, in_text_ = false, done_ = false;
  std::deque<std::pair<SheetRow, std::int64_t>> ready_;  // of the last piece of XML, and how often each still comes
  SheetRow row_;
  std::int64_t row_number_ = 0, repeat_rows_ = 1, repeat_ = 1;
  std::size_t column_ = 0;
  int paragraphs_ = 0;
  std::string type_, value_, text_;
  std::vector<Merge> merges_;
  XmlReader xml_;
};

class OdsBook final : public SheetBook {
 public:
  OdsBook(const std::filesystem::path& path, const TableLimits& limits) : archive_(path), limits_(limits) {
    if (archive_.has("META-INF/manifest.xml")) {
      XmlReader manifest(ZipPart(archive_, "META-INF/manifest.xml", limits_));
      manifest.on_start = [&](std::string_view name, const XmlAttributes&) {
        if (name == "encryption-data")
          throw Error(ExitCode::kBadInput, "{}: this is a spreadsheet protected by a password; remove the password and save it again",
                      path.string());
      };
      manifest.all();
    }
    XmlReader xml(ZipPart(archive_, "content.xml", limits_));
    bool is_spreadsheet = false;
    int depth = 0;
    std::string style;  // of tables; those with display="false" hide a sheet
    std::set<std::string, std::less<>> hiding;
    xml.on_start = [&](std::string_view name, const XmlAttributes& attributes) {
      is_spreadsheet = is_spreadsheet || name == "spreadsheet";
      if (name == "style") style = attributes["family"] == "table" ? attributes["name"] : std::string_view();
      if (name == "table-properties" && attributes["display"] == "false" && !style.empty() && hiding.size() < 10000) hiding.insert(style);
      if (name == "table" && ++depth == 1) {
        names_.emplace_back(attributes["name"]);
        hidden_.push_back(hiding.contains(attributes["style-name"]));
      }
      if (names_.size() > 10000) throw Error(ExitCode::kTooLarge, "{}: more than 10000 sheets", xml.where());
    };
    xml.on_end = [&](std::string_view name) { depth -= name == "table"; };
    xml.all();
    if (!is_spreadsheet)
      throw Error(ExitCode::kBadInput, "{}: this is an OpenDocument file, but no spreadsheet; wanted .ods, .xlsx, CSV or JSON lines",
                  path.string());
  }

  const std::vector<std::string>& sheets() const override { return names_; }
  bool is_hidden(std::size_t sheet) const override { return hidden_[sheet]; }
  std::unique_ptr<SheetSource> open(std::size_t sheet) override { return std::make_unique<OdsSheet>(archive_, sheet, limits_); }

 private:
  ZipArchive archive_;
  TableLimits limits_;
  std::vector<std::string> names_;
  std::vector<bool> hidden_;
};

}  // namespace

std::unique_ptr<TableReader> open_ods(const std::filesystem::path& path, const TableOptions& options) {
  return read_sheets(path, std::make_unique<OdsBook>(path, options.limits), options, "OpenDocument");
}

}  // namespace deskhand
