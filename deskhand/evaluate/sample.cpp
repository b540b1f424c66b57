#include "deskhand/evaluate/sample.h"

#include <numeric>

namespace deskhand {

std::vector<std::int32_t> all_rows(std::int64_t count) {
  std::vector<std::int32_t> rows(static_cast<std::size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

std::optional<double> mean(std::span<const std::optional<double>> values, Rows rows) {
  double sum = 0;
  std::int64_t count = 0;
  for (const auto row : rows)
    if (const auto& value = values[static_cast<std::size_t>(row)]) sum += *value, ++count;
  if (count == 0) return std::nullopt;
  return sum / static_cast<double>(count);
}

}  // namespace deskhand
