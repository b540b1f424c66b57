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

std::string lower(std::string_view text) {
  std::string out(trim(text));
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  return out;
}

std::string quoted_list(const std::vector<std::string>& names) {
  std::string list;
  for (const auto& name : names) list += (list.empty() ? "\"" : ", \"") + name + "\"";
  return list;
}

class HeadedTable final : public TableReader {
 public:
  HeadedTable(const std::filesystem::path& path, std::unique_ptr<SheetBook> book, const TableOptions& options, std::string kind)
      : TableReader(path), limits_(options.limits), kind_(std::move(kind)), book_(std::move(book)) {
    const auto& names = book_->sheets();
    if (names.empty()) throw Error(ExitCode::kBadInput, "{}: the {} has no sheet with cells", path.string(), kind_);
    if (!options.sheet.empty()) {
      const auto found = std::find(names.begin(), names.end(), options.sheet);
      if (found == names.end())
        throw Error(ExitCode::kBadInput, "{}: no sheet \"{}\"; the workbook has {}", path.string(), options.sheet, quoted_list(names));
      sheets_ = {static_cast<std::size_t>(found - names.begin())};
    } else {
      choose(options.columns, options.other_sheets);
    }
    at_ = look(sheets_.front());
    header_ = at_.header;
    columns_ = columns_of(at_.header);
    if (at_.ready.empty() && header_.empty())
      throw Error(ExitCode::kBadInput, "{}: the sheet \"{}\" is empty; wanted column names in its first row", path.string(), sheet());
    header_row_ = at_.header_row;
    has_upper_ = at_.has_upper;
  }

  const std::vector<std::string>& header() const override { return header_; }
  std::string sheet() const override { return book_->sheets()[at_.index]; }
  std::vector<std::string> sheets() const override {
    std::vector<std::string> names;
    for (const auto index : sheets_) names.push_back(book_->sheets()[index]);
    return names;
  }
  double share_read() const override {
    return (static_cast<double>(done_) + at_.source->share_read()) / static_cast<double>(sheets_.size());
  }

  bool next(Row& row) override {
    SheetRow sparse;
    for (;;) {
      if (!at_.ready.empty()) {
        sparse = std::move(at_.ready.front());
        at_.ready.pop_front();
        break;
      }
      if (at_.source->next(sparse)) break;
      if (done_ + 1 >= sheets_.size()) return false;
      at_ = {};  // its archive must not be read from while another sheet is opened
      at_ = look(sheets_[++done_]);
      columns_ = columns_of(at_.header);
    }
    hidden_ += sparse.is_hidden;
    row.number = sparse.number;
    row.sheet = done_ == 0 ? std::string() : sheet();
    row.cells.resize(header_.size());
    for (auto& cell : row.cells) cell.clear();
    for (auto& [column, text] : sparse.cells)
      if (column < columns_.size() && columns_[column] < row.cells.size()) row.cells[columns_[column]].swap(text);
    if (!sparse.fault.empty()) {
      throw RowError(sparse.number, row.cells, "{}: sheet \"{}\", row {}, column {}: {}", path_.string(), sheet(), sparse.number,
                     sparse.fault_column + 1, sparse.fault);
    }
    return true;
  }

  std::string description() const override {
    const auto names = sheets();
    auto text = fmt::format("{}, sheet{} {}", kind_, names.size() > 1 ? "s" : "", quoted_list(names));
    if (book_->sheets().size() > 1) text += fmt::format(" of {}", book_->sheets().size());
    if (names.size() > 1) text += " as one table";
    if (header_row_ > 1) text += fmt::format(", column names in row {}", header_row_);
    if (has_upper_) text += " and the one above";
    if (hidden_) text += fmt::format(", {} hidden rows read too", hidden_);
    if (!hidden_sheets_.empty()) text += fmt::format(", not read since hidden: {}", quoted_list(hidden_sheets_));
    if (!unlike_sheets_.empty())
      text += fmt::format(", not read since other columns stand beside those wanted: {}", quoted_list(unlike_sheets_));
    if (book_->sheets().size() > kMostSheets) text += fmt::format(", the first {} looked at", kMostSheets);
    return text;
  }

 private:
  static constexpr std::size_t kMostSheets = 100;

  struct Sheet {  // being read
    std::size_t index = 0;
    std::unique_ptr<SheetSource> source;
    std::vector<std::string> header;
    std::int64_t header_row = 1;
    bool has_upper = false;
    std::deque<SheetRow> ready;  // read while looking for the header
  };

  // Reads the first rows of a sheet and finds its column names.
  Sheet look(std::size_t index) const {
    Sheet sheet{.index = index, .source = book_->open(index), .header = {}, .ready = {}};
    std::vector<SheetRow> rows;
    SheetRow row;
    while (rows.size() < kLookRows && sheet.source->next(row)) {
      if (!row.fault.empty() && rows.empty())
        throw Error(ExitCode::kBadInput, "{}: sheet \"{}\", row {}, column {}: {}", path_.string(), book_->sheets()[index], row.number,
                    row.fault_column + 1, row.fault);
      rows.push_back(std::move(row));
      row = {};
    }
    if (rows.empty()) return sheet;
    auto place = find_header(rows, true);
    std::vector<Merge> merges;
    if (place.has_upper) {  // what looks like two lines of names is believed only if a name is merged over columns
      merges = sheet.source->merges_above(rows[place.row].number);
      const auto upper = rows[place.row - 1].number;
      const bool is_merged = std::any_of(merges.begin(), merges.end(), [&](const Merge& merge) {
        return merge.first_row <= upper && upper <= merge.last_row && merge.last_column > merge.first_column;
      });
      if (!is_merged) place = find_header(rows, false);
    }
    sheet.header = header_names(rows, place, merges);
    sheet.header_row = rows[place.row].number;
    sheet.has_upper = place.has_upper;
    for (std::size_t i = place.row + 1; i < rows.size(); ++i) sheet.ready.push_back(std::move(rows[i]));
    return sheet;
  }

  // The best sheet, and the visible ones behind it that have the very same columns, in whatever order. A hidden sheet is taken only where
  // no visible one does.
  void choose(const std::vector<std::string>& wanted, const std::vector<std::string>& others) {
    const auto count = std::min(book_->sheets().size(), kMostSheets);
    std::vector<std::vector<std::string>> names(count);  // sorted
    std::vector<int> scores(count);
    for (std::size_t i = 0; i < count; ++i) {
      for (const auto& name : look(i).header)
        if (!name.empty()) names[i].push_back(lower(name));
      std::sort(names[i].begin(), names[i].end());
      const bool has_all = !wanted.empty() && std::all_of(wanted.begin(), wanted.end(), [&](const auto& column) {
        return std::binary_search(names[i].begin(), names[i].end(), lower(column));
      });
      const auto named = names[i].size();
      scores[i] = 2 * (has_all ? 3 : named >= 3 ? 2 : named > 0 ? 1 : 0) + !book_->is_hidden(i);
      if (std::find(others.begin(), others.end(), book_->sheets()[i]) != others.end()) scores[i] = -2;
    }
    const auto best = static_cast<std::size_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
    sheets_ = {best};
    if (names[best].empty()) return;
    for (std::size_t i = 0; i < count; ++i) {
      if (i == best || scores[i] / 2 != scores[best] / 2) continue;
      const auto& name = book_->sheets()[i];
      const bool is_like = names[i] == names[best];
      if (book_->is_hidden(i)) {
        if (is_like) hidden_sheets_.push_back(name);
      } else if (is_like) {
        sheets_.push_back(i);
      } else if (scores[i] / 2 == 3) {
        unlike_sheets_.push_back(name);
      }
    }
  }

  // Where the columns of a sheet stand in the table: by name, the second of one name as the second.
  std::vector<std::size_t> columns_of(const std::vector<std::string>& names) const {
    std::vector<std::size_t> columns(names.size(), header_.size());
    std::vector<bool> taken(header_.size());
    for (std::size_t i = 0; i < names.size(); ++i) {
      for (std::size_t to = 0; to < header_.size() && !names[i].empty(); ++to) {
        if (taken[to] || lower(header_[to]) != lower(names[i])) continue;
        columns[i] = to;
        taken[to] = true;
        break;
      }
    }
    return columns;
  }

  TableLimits limits_;
  std::string kind_;
  std::unique_ptr<SheetBook> book_;
  Sheet at_;
  std::vector<std::size_t> sheets_, columns_;  // read as one table, in order; where each column of the one being read stands in it
  std::size_t done_ = 0;                       // of sheets_
  std::vector<std::string> header_, hidden_sheets_, unlike_sheets_;
  std::int64_t header_row_ = 1, hidden_ = 0;
  bool has_upper_ = false;
};

}  // namespace

std::string without_fraction(std::string_view date) {
  std::string text(date.substr(0, date.find('.')));
  if (const auto rest = date.find_first_not_of("0123456789", text.size() + 1); rest != date.npos) text += date.substr(rest);
  return text;
}

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
