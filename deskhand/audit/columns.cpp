// Columns of the export that say nothing: empty, or the same in every row.
#include <unordered_set>

#include "deskhand/audit/audit.h"
#include "deskhand/base/error.h"
#include "deskhand/base/interrupt.h"
#include "deskhand/base/progress.h"

namespace deskhand {
namespace {

constexpr std::size_t kCounted = 10000;  // different values of a column

void audit_file(const std::filesystem::path& path, TableRole role, const PrepareSettings& import, bool quiet,
                std::vector<ColumnAudit>& columns) {
  auto options = import.table;
  options.sheet = role == TableRole::kTickets ? import.ticket_sheet : import.history_sheet;
  const auto table = open_table(path, options);
  const std::size_t first = columns.size();
  for (const std::string& name : table->header())
    columns.push_back({.file = path.filename().string(), .column = name, .field = field_of(import.mapping, role, name)});
  const std::size_t count = columns.size() - first;
  std::vector<std::unordered_set<std::string>> values(count);
  Progress progress({.what = "looking through " + path.filename().string(), .unit = "rows", .quiet = quiet});
  for (Row row; table->next(row);) {
    check_interrupt();
    progress.advance();
    for (std::size_t c = 0; c < count; ++c) {
      ColumnAudit& column = columns[first + c];
      ++column.rows;
      if (c >= row.cells.size()) continue;
      const std::string value = one_line(row.cells[c]);
      if (value.empty()) continue;
      ++column.filled;
      if (values[c].size() < kCounted && values[c].insert(value.substr(0, 200)).second) {
        ++column.distinct;
        column.value = value.substr(0, 200);
      }
    }
  }
  for (std::size_t c = 0; c < count; ++c)
    if (!columns[first + c].is_constant()) columns[first + c].value.clear();
}

}  // namespace

std::vector<ColumnAudit> audit_columns(const PrepareSettings& import, std::vector<std::string>& warnings, bool quiet) {
  std::vector<ColumnAudit> columns;
  const auto look = [&](const std::vector<std::filesystem::path>& files, TableRole role) {
    for (const auto& file : files) {
      try {
        audit_file(file, role, import, quiet, columns);
      } catch (const Error& error) {
        if (error.code() == ExitCode::kInterrupted) throw;
        warnings.push_back(fmt::format("The columns of {} were not looked at: {}", file.filename().string(), error.what()));
      }
    }
  };
  look(import.ticket_files, TableRole::kTickets);
  look(import.history_files, TableRole::kHistory);
  return columns;
}

}  // namespace deskhand
