#include "deskhand/tickets/sheet_reader.h"

#include <algorithm>
#include <map>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

constexpr std::size_t kLookRows = 30;  // a header stands within the first rows that have text

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  return first == text.npos ? std::string_view() : text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

// A number, a date or a time: nothing that a column is called.
bool is_value(std::string_view text) {
  text = trim(text);
  const bool has_digit = std::any_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  return has_digit && text.find_first_not_of("0123456789.,:/-+TZ% ") == text.npos;
}

std::string_view cell_at(const SheetRow& row, std::size_t column) {
  const auto found = std::find_if(row.cells.begin(), row.cells.end(), [&](const auto& cell) { return cell.first == column; });
  return found == row.cells.end() ? std::string_view() : trim(found->second);
}

bool has_names_twice(const SheetRow& row) {
  std::map<std::string_view, int> seen;
  for (const auto& [column, text] : row.cells)
    if (++seen[trim(text)] > 1) return true;
  return false;
}

bool all_names(const SheetRow& row) {
  return std::all_of(row.cells.begin(), row.cells.end(),
                     [](const auto& cell) { return !is_value(cell.second) && cell.second.size() <= 60; });
}

// The row below a header that fills exactly the gaps of one: names under groups.
bool completes(const SheetRow& upper, const SheetRow& lower) {
  if (lower.number != upper.number + 1 || lower.cells.size() < 2 || !all_names(lower)) return false;
  const auto width = std::max(upper.cells.back().first, lower.cells.back().first) + 1;
  std::size_t gaps = 0;
  for (std::size_t column = upper.cells.front().first; column < width; ++column) {
    const bool above = !cell_at(upper, column).empty(), below = !cell_at(lower, column).empty();
    if (!above && !below) return false;
    gaps += !above;
  }
  return gaps > 0;
}

class HeadedTable final : public TableReader {
 public:
  HeadedTable(const std::filesystem::path& path, std::unique_ptr<SheetBook> book, const TableOptions& options, std::string kind)
      : TableReader(path), limits_(options.limits), kind_(std::move(kind)), book_(std::move(book)) {
    const auto& names = book_->sheets();
    if (names.empty()) throw Error(ExitCode::kBadInput, "{}: the {} has no sheet with cells", path.string(), kind_);
    if (!options.sheet.empty()) {
      const auto found = std::find(names.begin(), names.end(), options.sheet);
      if (found == names.end()) {
        std::string list;
        for (const auto& name : names) list += (list.empty() ? "\"" : ", \"") + name + "\"";
        throw Error(ExitCode::kBadInput, "{}: no sheet \"{}\"; the workbook has {}", path.string(), options.sheet, list);
      }
      begin(static_cast<std::size_t>(found - names.begin()));
    } else {
      choose(options.columns);
    }
    if (ready_.empty() && header_.empty())
      throw Error(ExitCode::kBadInput, "{}: the sheet \"{}\" is empty; wanted column names in its first row", path.string(), sheet());
  }

  const std::vector<std::string>& header() const override { return header_; }
  std::string sheet() const override { return book_->sheets()[chosen_]; }
  double share_read() const override { return source_->share_read(); }

  bool next(Row& row) override {
    SheetRow sparse;
    if (!ready_.empty()) {
      sparse = std::move(ready_.front());
      ready_.pop_front();
    } else if (!source_->next(sparse)) {
      return false;
    }
    hidden_ += sparse.is_hidden;
    row.number = sparse.number;
    row.cells.resize(header_.size());
    for (auto& cell : row.cells) cell.clear();
    for (auto& [column, text] : sparse.cells)
      if (column < row.cells.size()) row.cells[column].swap(text);
    if (!sparse.fault.empty()) {
      throw RowError(sparse.number, row.cells, "{}: sheet \"{}\", row {}, column {}: {}", path_.string(), sheet(), sparse.number,
                     sparse.fault_column + 1, sparse.fault);
    }
    return true;
  }

  std::string description() const override {
    auto text = fmt::format("{}, sheet \"{}\"", kind_, sheet());
    if (book_->sheets().size() > 1) text += fmt::format(" of {}", book_->sheets().size());
    if (header_row_ > 1) text += fmt::format(", column names in row {}", header_row_);
    if (has_upper_) text += " and the one above";
    if (hidden_) text += fmt::format(", {} hidden rows read too", hidden_);
    return text;
  }

 private:
  // Reads the first rows of a sheet and finds its column names.
  void begin(std::size_t sheet) {
    chosen_ = sheet;
    source_ = book_->open(sheet);
    ready_.clear();
    header_.clear();
    std::vector<SheetRow> rows;
    SheetRow row;
    while (rows.size() < kLookRows && source_->next(row)) {
      if (!row.fault.empty() && rows.empty())
        throw Error(ExitCode::kBadInput, "{}: sheet \"{}\", row {}, column {}: {}", path_.string(), this->sheet(), row.number,
                    row.fault_column + 1, row.fault);
      rows.push_back(std::move(row));
      row = {};
    }
    if (rows.empty()) return;
    auto place = find_header(rows, true);
    std::vector<Merge> merges;
    if (place.has_upper) {  // what looks like two lines of names is believed only if a name is merged over columns
      merges = source_->merges_above(rows[place.row].number);
      const auto upper = rows[place.row - 1].number;
      const bool is_merged = std::any_of(merges.begin(), merges.end(), [&](const Merge& merge) {
        return merge.first_row <= upper && upper <= merge.last_row && merge.last_column > merge.first_column;
      });
      if (!is_merged) place = find_header(rows, false);
    }
    header_ = header_names(rows, place, merges);
    header_row_ = rows[place.row].number;
    has_upper_ = place.has_upper;
    for (std::size_t i = place.row + 1; i < rows.size(); ++i) ready_.push_back(std::move(rows[i]));
  }

  void choose(const std::vector<std::string>& wanted) {
    std::size_t best = 0;
    int best_score = -1;
    for (std::size_t i = 0; i < book_->sheets().size(); ++i) {
      begin(i);
      const auto named = std::count_if(header_.begin(), header_.end(), [](const auto& name) { return !name.empty(); });
      const bool has_all = !wanted.empty() && std::all_of(wanted.begin(), wanted.end(), [&](const auto& column) {
        return std::any_of(header_.begin(), header_.end(), [&](const auto& name) { return same_name(name, column); });
      });
      const int score = has_all ? 3 : named >= 3 ? 2 : named > 0 ? 1 : 0;
      if (score > best_score) best_score = score, best = i;
      if (score == 3 || (score == 2 && wanted.empty())) return;
    }
    if (best != chosen_) begin(best);
  }

  static bool same_name(std::string_view a, std::string_view b) {
    a = trim(a), b = trim(b);
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
             const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
             return lower(x) == lower(y);
           });
  }

  TableLimits limits_;
  std::string kind_;
  std::unique_ptr<SheetBook> book_;
  std::unique_ptr<SheetSource> source_;
  std::size_t chosen_ = 0;
  std::vector<std::string> header_;
  std::int64_t header_row_ = 1, hidden_ = 0;
  bool has_upper_ = false;
  std::deque<SheetRow> ready_;  // read while looking for the header
};

}  // namespace

HeaderPlace find_header(std::span<const SheetRow> rows, bool may_be_merged) {
  if (rows.empty()) return {};
  std::vector<std::size_t> widths;  // most rows are of data: three quarters of them are no wider than `usual`
  for (const auto& row : rows) widths.push_back(row.cells.size());
  std::sort(widths.begin(), widths.end());
  const auto usual = widths[(widths.size() - 1) * 3 / 4];
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto& cells = rows[i].cells;
    const auto values = std::count_if(cells.begin(), cells.end(), [](const auto& cell) { return is_value(cell.second); });
    if (cells.size() * 2 <= usual || cells.empty() || static_cast<std::size_t>(values) * 3 > cells.size()) continue;
    if (!may_be_merged) return {.row = i};
    if (i + 1 < rows.size() && completes(rows[i], rows[i + 1])) return {.row = i + 1, .has_upper = true};
    if (i > 0 && rows[i - 1].cells.size() > 1 && rows[i - 1].number + 1 == rows[i].number &&
        (has_names_twice(rows[i]) || completes(rows[i - 1], rows[i])))
      return {.row = i, .has_upper = true};
    return {.row = i};
  }
  return {};
}

std::vector<std::string> header_names(std::span<const SheetRow> rows, HeaderPlace place, std::span<const Merge> merges) {
  const auto& lower = rows[place.row];
  std::size_t width = lower.cells.empty() ? 0 : lower.cells.back().first + 1;
  if (place.has_upper) width = std::max(width, rows[place.row - 1].cells.back().first + 1);
  std::vector<std::string> names(width);
  for (std::size_t column = 0; column < width; ++column) {
    const auto own = cell_at(lower, column);
    if (!place.has_upper) {
      names[column] = own;
      continue;
    }
    const auto& upper = rows[place.row - 1];
    auto group = cell_at(upper, column);
    for (const auto& merge : merges) {  // a group's name stands in its first column
      if (merge.first_row <= upper.number && merge.last_row >= upper.number && merge.first_column <= column && column <= merge.last_column)
        group = cell_at(upper, merge.first_column);
    }
    names[column] = own.empty() ? group : group.empty() || group == own ? own : std::string(group) + " " + std::string(own);
  }
  return names;
}

std::unique_ptr<TableReader> read_sheets(const std::filesystem::path& path, std::unique_ptr<SheetBook> book, const TableOptions& options,
                                         const std::string& kind) {
  return std::make_unique<HeadedTable>(path, std::move(book), options, kind);
}

}  // namespace deskhand
