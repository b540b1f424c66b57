// Rows of a spreadsheet, a CSV file, JSON lines or mails, one at a time, whatever the file's size. The kind is told by the contents, never
// by the suffix. Every cell comes as UTF-8 text; a file that lies, is cut or would fill the memory ends in an Error that names file and
// row. Column names may stand under a title, over two lines or in merged cells; sheets of the same columns are one table; hidden rows are
// read and counted, hidden sheets are not. Left out: xls and xlsb
// (named as such), formulas (their saved values are read), styles.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/base/error.h"

namespace deskhand {

struct Row {
  std::int64_t number = 0;         // as a person counts: the spreadsheet's row, the CSV record with the header as 1, the line of JSON lines
  std::vector<std::string> cells;  // as many as the header has names
  std::string sheet;               // where several are read as one table; empty for the first
};

struct TableLimits {
  std::int64_t part_bytes = std::int64_t{4} << 30;  // of one unpacked part of an xlsx file, or of a whole CSV file in memory
  std::int64_t ratio = 400;                         // unpacked over packed bytes, looked at beyond 32 MiB unpacked
  std::int64_t shared_strings = 20'000'000;         // entries
  std::int64_t shared_string_bytes = std::int64_t{1} << 30;
  std::int64_t cell_bytes = std::int64_t{16} << 20;
  std::int64_t columns = 16384;  // Excel's own
};

struct TableOptions {
  std::string sheet;                      // of a workbook; empty: those that have `columns`, else those like the first with three names
  std::vector<std::string> columns = {};  // that the table should have, for the choice of the sheet
  std::vector<std::string> other_sheets = {};  // that hold something else: they are not chosen while there is another
  char delimiter = 0;                          // of CSV; 0: found among , ; tab |
  std::string encoding;                        // of CSV, an ICU name; empty: byte order mark, then a check for UTF-8, then a guess
  TableLimits limits = {};
};

// About one row alone: the reader that threw it goes on behind it when it is asked again.
class RowError : public Error {
 public:
  template <class... Args>
  RowError(std::int64_t row, std::vector<std::string> cells, fmt::format_string<Args...> text, Args&&... args)
      : Error(ExitCode::kBadInput, text, std::forward<Args>(args)...), row_(row), cells_(std::move(cells)) {}
  std::int64_t row() const noexcept { return row_; }
  const std::vector<std::string>& cells() const noexcept { return cells_; }  // as far as they could be read

 private:
  std::int64_t row_;
  std::vector<std::string> cells_;
};

class TableReader {
 public:
  virtual ~TableReader() = default;
  virtual const std::vector<std::string>& header() const = 0;     // trimmed; a column without a name has an empty one
  virtual bool next(Row& row) = 0;                                // false at the end; rows without any text are passed over
  virtual std::string description() const = 0;                    // "CSV, windows-1252, delimiter ';'" or "workbook, sheet 'Tickets'"
  virtual std::string sheet() const { return {}; }                // of a workbook: that of the last row
  virtual std::vector<std::string> sheets() const { return {}; }  // of a workbook: those that are this table
  virtual double share_read() const = 0;                          // 0..1, for progress

  const std::filesystem::path& path() const { return path_; }

 protected:
  explicit TableReader(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

// A folder is one of mails. Throws Error: kNotFound, kBadInput with what the file is and what to do, kTooLarge beyond a limit.
std::unique_ptr<TableReader> open_table(const std::filesystem::path& path, const TableOptions& options = {});

// The kinds behind it; each expects that open_table looked at the contents.
std::unique_ptr<TableReader> open_xlsx(const std::filesystem::path& path, const TableOptions& options);
std::unique_ptr<TableReader> open_ods(const std::filesystem::path& path, const TableOptions& options);
std::unique_ptr<TableReader> open_csv(const std::filesystem::path& path, const TableOptions& options);
std::unique_ptr<TableReader> open_jsonl(const std::filesystem::path& path, const TableOptions& options);
std::unique_ptr<TableReader> open_mails(const std::filesystem::path& path, const TableOptions& options);
bool is_mail(std::string_view start);  // of a file: an mbox or an .eml
std::vector<std::string> sheet_names(const std::filesystem::path& path);

// Spreadsheet arithmetic, exposed for its tests. A day number of Excel's calendar as ISO text: a date, both with `with_time`, a time alone
// ("09:12:00") below 1; empty outside 0 .. 9999-12-31. Serials 1..59 of the 1900 calendar are as Excel shows them; 60, its 29 February
// 1900, becomes the 28th.
std::string date_of_serial(double serial, bool from_1904, bool with_time);
enum class NumberKind { kNumber, kDate, kDateTime, kDuration };
NumberKind kind_of_number_format(int id, std::string_view code);  // code: empty for a built-in id

// A cell that a spreadsheet program would run as a formula gets an apostrophe before it: what customers write is shown, never executed.
std::string without_formula(std::string_view cell);

// RFC 4180: cells in quotes where they hold a quote, comma, line end or outer space; lines end in "\r\n".
void append_csv_row(std::string& out, std::span<const std::string> cells, char delimiter = ',');

}  // namespace deskhand
