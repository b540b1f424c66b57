// What .xlsx and .ods have in common once their XML is read: sheets of sparse rows, of which one holds the table, its column names
// perhaps under a title, over two lines or in merged cells.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "deskhand/tickets/table.h"

namespace deskhand {

struct SheetRow {
  std::int64_t number = 0;
  bool is_hidden = false;
  std::vector<std::pair<std::size_t, std::string>> cells;  // that have text, by column from 0
  std::string fault;                                       // why the row cannot be read; empty if it can
  std::size_t fault_column = 0;
};

struct Merge {
  std::int64_t first_row, last_row;  // as a person counts
  std::size_t first_column, last_column;
};

// "2024-03-14T09:12:00.000+01:00" without the fraction of the second.
std::string without_fraction(std::string_view date);

class SheetSource {  // one sheet, read once from top to bottom
 public:
  virtual ~SheetSource() = default;
  virtual bool next(SheetRow& row) = 0;                           // rows with text or a fault; false at the end
  virtual std::vector<Merge> merges_above(std::int64_t row) = 0;  // that begin in the rows up to it; asked seldom, may read again
  virtual double share_read() const = 0;
};

class SheetBook {  // a workbook
 public:
  virtual ~SheetBook() = default;
  virtual const std::vector<std::string>& sheets() const = 0;
  virtual bool is_hidden(std::size_t sheet) const = 0;
  // One at a time: the one before must be gone.
  virtual std::unique_ptr<SheetSource> open(std::size_t sheet) = 0;
};

// Where the column names stand among the first rows of a sheet.
struct HeaderPlace {
  std::size_t row = 0;     // index of the row with the names, the last of them where there are two
  bool has_upper = false;  // the row above holds names of groups or of columns that are merged downwards
};
// The first row with words in more than half as many cells as rows usually fill; the first row if none has.
HeaderPlace find_header(std::span<const SheetRow> rows, bool may_be_merged);
// The names, trimmed; "Customer Name" where "Customer" stands merged above "Name".
std::vector<std::string> header_names(std::span<const SheetRow> rows, HeaderPlace place, std::span<const Merge> merges);

// The sheet that options.sheet names; else the first that has all columns of options.columns, else the first with three named columns, else
// the first with text, and with it, as one table, every sheet that has the same columns. Visible sheets come before hidden ones, which are
// read only if no visible one fits.
std::unique_ptr<TableReader> read_sheets(const std::filesystem::path& path, std::unique_ptr<SheetBook> book, const TableOptions& options,
                                         const std::string& kind);

}  // namespace deskhand
