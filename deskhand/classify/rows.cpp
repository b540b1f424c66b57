#include "deskhand/classify/rows.h"

#include <numeric>

#include "deskhand/base/error.h"

namespace deskhand {

SparseRows pick_rows(const SparseRows& rows, std::span<const std::int64_t> indices) {
  SparseRows picked{.width = rows.width};
  for (const auto index : indices) {
    DESKHAND_ASSERT(index >= 0 && index < rows.count(), "a row that is there");
    const auto row = rows.row(index);
    picked.columns.insert(picked.columns.end(), row.columns.begin(), row.columns.end());
    picked.values.insert(picked.values.end(), row.values.begin(), row.values.end());
    picked.begins.push_back(static_cast<std::int64_t>(picked.columns.size()));
  }
  return picked;
}

SparseRows transpose(const SparseRows& rows) {
  SparseRows turned{.width = rows.count()};
  turned.begins.assign(static_cast<std::size_t>(rows.width) + 1, 0);
  for (const auto column : rows.columns) ++turned.begins[static_cast<std::size_t>(column) + 1];
  std::partial_sum(turned.begins.begin(), turned.begins.end(), turned.begins.begin());
  turned.columns.resize(rows.columns.size());
  turned.values.resize(rows.values.size());
  std::vector<std::int64_t> next(turned.begins.begin(), turned.begins.end() - 1);
  for (std::int64_t r = 0; r < rows.count(); ++r) {
    const auto row = rows.row(r);
    for (std::size_t i = 0; i < row.columns.size(); ++i) {
      const auto place = static_cast<std::size_t>(next[static_cast<std::size_t>(row.columns[i])]++);
      turned.columns[place] = static_cast<std::int32_t>(r);
      turned.values[place] = row.values[i];
    }
  }
  return turned;
}

RowsView::RowsView(std::span<const float> values, std::int64_t width) : dense_(values), width_(width) {
  DESKHAND_ASSERT(width > 0 && static_cast<std::int64_t>(values.size()) % width == 0, "whole rows of a width above 0");
  count_ = static_cast<std::int64_t>(values.size()) / width;
}

}  // namespace deskhand
