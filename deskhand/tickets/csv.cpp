// RFC 4180 as exports really write it: any line end, a quote inside a bare field is a quote, text after a closing quote is kept, NULs are
// dropped, lines of a title may stand above the column names.
#include <algorithm>
#include <array>
#include <deque>
#include <map>

#include "deskhand/base/error.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/tickets/encoding.h"
#include "deskhand/tickets/sheet_reader.h"
#include "deskhand/tickets/table.h"

namespace deskhand {
namespace {

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  return first == text.npos ? std::string_view() : text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

// Reads one record after the other from text that is all there.
class Records {
 public:
  enum class Outcome { kRecord, kEnd, kOpenQuote, kCellTooLong, kTooManyColumns };
  Records(std::string_view text, char delimiter, const TableLimits& limits) : text_(text), delimiter_(delimiter), limits_(limits) {}

  Outcome next(std::vector<std::string>& cells) {
    cells.clear();
    if (at_ >= text_.size()) return Outcome::kEnd;
    line_of_record_ = line_;
    begin_of_record_ = at_;
    std::string cell;
    for (;;) {  // one cell a turn; at_ is its first byte
      cell.clear();
      line_of_cell_ = line_;
      const char stops[] = {delimiter_, '\r', '\n'};
      if (at_ < text_.size() && text_[at_] == '"') {
        ++at_;
        for (;;) {
          const auto quote = text_.find('"', at_);
          const auto part = text_.substr(at_, quote == text_.npos ? text_.npos : quote - at_);
          line_ += std::count(part.begin(), part.end(), '\n');
          if (static_cast<std::int64_t>(cell.size() + part.size()) > limits_.cell_bytes) return stop(cells, Outcome::kCellTooLong);
          cell += part;
          if (quote == text_.npos) return stop(cells, Outcome::kOpenQuote);
          at_ = quote + 1;
          if (at_ >= text_.size() || text_[at_] != '"') break;
          cell += '"';
          ++at_;
        }
      }
      const auto end = std::min(text_.find_first_of(std::string_view(stops, 3), at_), text_.size());
      cell += text_.substr(at_, end - at_);
      if (static_cast<std::int64_t>(cell.size()) > limits_.cell_bytes) return stop(cells, Outcome::kCellTooLong);
      if (static_cast<std::int64_t>(cells.size()) >= limits_.columns) return stop(cells, Outcome::kTooManyColumns);
      cells.push_back(cell);
      at_ = end;
      if (at_ >= text_.size()) break;
      if (text_[at_] == delimiter_) {
        ++at_;
        continue;  // also at the very end: a last, empty cell
      }
      if (text_[at_] == '\r' && at_ + 1 < text_.size() && text_[at_ + 1] == '\n') ++at_;
      ++at_;
      ++line_;
      break;
    }
    return Outcome::kRecord;
  }

  // Behind a record that could not be read: the line where it began is passed over, what follows is read anew.
  void pass_over_line() {
    const auto end = text_.find('\n', begin_of_record_);
    at_ = end == text_.npos ? text_.size() : end + 1;
    line_ = line_of_record_ + 1;
  }

  void go_back() {  // to the start of the last record
    at_ = begin_of_record_;
    line_ = line_of_record_;
  }

  std::size_t offset() const { return at_; }
  std::int64_t line_of_record() const { return line_of_record_; }
  std::int64_t line_of_cell() const { return line_of_cell_; }  // where the cell began that could not be read

 private:
  Outcome stop(std::vector<std::string>& cells, Outcome outcome) {
    cells.emplace_back();  // so that cells.size() numbers the broken one
    at_ = text_.size();
    return outcome;
  }

  std::string_view text_;
  char delimiter_;
  TableLimits limits_;
  std::size_t at_ = 0, begin_of_record_ = 0;
  std::int64_t line_ = 1, line_of_record_ = 1, line_of_cell_ = 1;
};

// The one that cuts most records into the same number of cells; the larger number wins where two do.
char find_delimiter(std::string_view text) {
  constexpr std::size_t kLook = std::size_t{1} << 18;
  char best = ',';
  double best_score = 0;
  for (const char candidate : {',', ';', '\t', '|'}) {
    Records records(text.substr(0, kLook), candidate, {});
    std::vector<std::string> cells;
    std::map<std::size_t, std::size_t> widths;
    std::size_t count = 0;
    while (count < 200 && records.next(cells) == Records::Outcome::kRecord) {
      if (records.offset() >= kLook && kLook < text.size()) break;  // the look may have cut this one
      if (cells.size() == 1 && trim(cells[0]).empty()) continue;
      ++count;
      ++widths[cells.size()];
    }
    for (const auto& [width, same] : widths) {
      if (width < 2) continue;
      const double score =
          static_cast<double>(same) / static_cast<double>(count) + 1e-4 * static_cast<double>(std::min<std::size_t>(width, 100));
      if (score > best_score) best_score = score, best = candidate;
    }
  }
  return best;
}

std::string name_of_delimiter(char delimiter) {
  return delimiter == '\t' ? "tab" : std::string("'") + delimiter + "'";
}

class CsvReader final : public TableReader {
 public:
  CsvReader(const std::filesystem::path& path, const TableOptions& options) : TableReader(path), limits_(options.limits), file_(path) {
    const std::string_view bytes(reinterpret_cast<const char*>(file_.bytes().data()), file_.bytes().size());
    auto encoding = find_encoding(bytes);
    if (!options.encoding.empty()) encoding = {.name = options.encoding, .mark_bytes = encoding.mark_bytes};
    text_ = bytes.substr(encoding.mark_bytes);
    if (!encoding.is_clean_utf8) {
      if (static_cast<std::int64_t>(bytes.size()) > limits_.part_bytes)
        throw Error(ExitCode::kTooLarge, "{}: {} bytes of {} do not fit; convert the file to UTF-8, which is read in place", path.string(),
                    bytes.size(), encoding.name);
      converted_ = to_utf8(text_, encoding.name, path.string());
      text_ = converted_;
    }
    if (text_.substr(0, 4096).find('\0') != text_.npos)
      throw Error(ExitCode::kBadInput, "{}: this is a binary file; wanted a workbook (.xlsx, .ods), CSV, JSON lines or mails",
                  path.string());
    delimiter_ = options.delimiter;
    if (text_.starts_with("sep=") && text_.size() > 5 && (text_[5] == '\r' || text_[5] == '\n')) {  // Excel's own hint
      if (!delimiter_) delimiter_ = text_[4];
      text_.remove_prefix(text_.find('\n') == text_.npos ? text_.size() : text_.find('\n') + 1);
    }
    if (!delimiter_) delimiter_ = find_delimiter(text_);
    encoding_ = encoding.name;
    records_.emplace_back(text_, delimiter_, limits_);
    find_column_names();
  }

  const std::vector<std::string>& header() const override { return header_; }

  bool next(Row& row) override {
    if (!waiting_.empty()) {
      row = std::move(waiting_.front().row);
      const auto line = waiting_.front().line;
      waiting_.pop_front();
      finish(row, line);
      return true;
    }
    while (read(row.cells)) {
      if (is_blank(row.cells)) continue;
      row.number = number_;
      finish(row, records_[0].line_of_record());
      return true;
    }
    return false;
  }

  std::string description() const override {
    const auto names = header_row_ > 1 ? fmt::format(", column names in row {}", header_row_) : std::string();
    return fmt::format("CSV, {}, delimiter {}{}", encoding_, name_of_delimiter(delimiter_), names);
  }
  double share_read() const override {
    return text_.empty() ? 1 : static_cast<double>(records_[0].offset()) / static_cast<double>(text_.size());
  }

 private:
  static bool is_blank(const std::vector<std::string>& cells) {
    return std::all_of(cells.begin(), cells.end(), [](const auto& cell) { return trim(cell).empty(); });
  }

  struct Waiting {
    Row row;
    std::int64_t line = 0;
  };

  // The first records are read ahead: names may stand under lines of a title.
  void find_column_names() {
    std::vector<SheetRow> rows;
    while (rows.size() < 30) {
      Waiting waiting;
      try {
        if (!read(waiting.row.cells)) break;
      } catch (const RowError&) {
        if (rows.empty()) throw;
        records_[0].go_back();  // next() says so in its turn
        --number_;
        --broken_;
        break;
      }
      if (is_blank(waiting.row.cells)) continue;
      waiting.row.number = number_;
      waiting.line = records_[0].line_of_record();
      SheetRow row{.number = number_};
      for (std::size_t i = 0; i < waiting.row.cells.size(); ++i)
        if (!trim(waiting.row.cells[i]).empty()) row.cells.emplace_back(i, waiting.row.cells[i]);
      rows.push_back(std::move(row));
      waiting_.push_back(std::move(waiting));
    }
    if (rows.empty()) throw Error(ExitCode::kBadInput, "{}: no line with column names was found", path_.string());
    const auto place = find_header(rows, false).row;
    header_ = waiting_[place].row.cells;
    header_row_ = rows[place].number;
    for (auto& name : header_) name = trim(name);
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(place + 1));
  }

  // As many cells as the header has; more are a fault, unless they are empty.
  void finish(Row& row, std::int64_t line) {
    const auto width = header_.size();
    if (row.cells.size() > width) {
      const bool extra = std::any_of(row.cells.begin() + static_cast<std::ptrdiff_t>(width), row.cells.end(),
                                     [](const auto& cell) { return !trim(cell).empty(); });
      if (extra) {
        throw RowError(row.number, row.cells,
                       "{}: row {} (line {}) has {} fields, the header {}; a field that holds {} must stand in quotes", path_.string(),
                       row.number, line, row.cells.size(), width, name_of_delimiter(delimiter_));
      }
    }
    row.cells.resize(width);
  }

  bool read(std::vector<std::string>& cells) {
    const auto outcome = records_[0].next(cells);
    if (outcome == Records::Outcome::kEnd) return false;
    ++number_;
    if (outcome == Records::Outcome::kRecord) {
      for (auto& cell : cells)
        if (cell.find('\0') != cell.npos) std::erase(cell, '\0');
      release_pages();
      return true;
    }
    const auto field = cells.size();
    records_[0].pass_over_line();
    constexpr int kMostBroken = 1000;  // each is looked for anew: more would take time without end
    if (++broken_ > kMostBroken)
      throw Error(ExitCode::kBadInput, "{}: more than {} records with broken quotes", path_.string(), kMostBroken);
    const auto name = field <= header_.size() ? fmt::format(" \"{}\"", header_[field - 1]) : std::string();
    const auto where = fmt::format("{}: row {} (line {}), field {}{}", path_.string(), number_, records_[0].line_of_cell(), field, name);
    switch (outcome) {
      case Records::Outcome::kOpenQuote:
        throw RowError(number_, cells, "{}: the file ends inside this quoted field, so it was cut or a quote is missing; export it again",
                       where);
      case Records::Outcome::kCellTooLong:
        throw RowError(number_, cells, "{}: longer than {} bytes; probably a quote that never closes", where, limits_.cell_bytes);
      default:
        throw RowError(number_, cells, "{}: more than {} columns", where, limits_.columns);
    }
  }

  void release_pages() {  // what was read of a mapped file need not stay in memory
    constexpr std::size_t kPart = std::size_t{64} << 20;
    if (!converted_.empty() || records_[0].offset() < released_ + kPart) return;
    file_.release(file_.bytes().subspan(released_, kPart));
    released_ += kPart;
  }

  TableLimits limits_;
  MappedFile file_;
  std::string converted_, encoding_;
  std::string_view text_;
  char delimiter_ = ',';
  std::vector<Records> records_;  // one, made when the delimiter is known
  std::vector<std::string> header_;
  std::deque<Waiting> waiting_;
  std::int64_t number_ = 0, header_row_ = 1;
  int broken_ = 0;
  std::size_t released_ = 0;
};

}  // namespace

std::unique_ptr<TableReader> open_csv(const std::filesystem::path& path, const TableOptions& options) {
  return std::make_unique<CsvReader>(path, options);
}

}  // namespace deskhand
