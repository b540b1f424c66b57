// Texts as numbers, one row a text: sparse rows (CSR, as TF-IDF makes them) and dense rows (a sentence encoder's vectors).
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace deskhand {

struct SparseRow {
  std::span<const std::int32_t> columns;  // ascending, each once
  std::span<const float> values;          // as many
};

struct SparseRows {
  std::int64_t width = 0;               // columns are 0..width - 1
  std::vector<std::int64_t> begins{0};  // (rows + 1) into columns and values
  std::vector<std::int32_t> columns;
  std::vector<float> values;

  std::int64_t count() const { return static_cast<std::int64_t>(begins.size()) - 1; }
  SparseRow row(std::int64_t index) const {
    const auto begin = static_cast<std::size_t>(begins[static_cast<std::size_t>(index)]);
    const auto size = static_cast<std::size_t>(begins[static_cast<std::size_t>(index) + 1]) - begin;
    return {std::span(columns).subspan(begin, size), std::span(values).subspan(begin, size)};
  }
};

SparseRows pick_rows(const SparseRows& rows, std::span<const std::int64_t> indices);
// Column f of the result's row r is column r of row f; rows ascend within it.
SparseRows transpose(const SparseRows& rows);

// What a classifier reads: borrows sparse rows, or (count, width) floats row by row. Converts from both, so that one call serves them.
class RowsView {
 public:
  RowsView(const SparseRows& rows) : sparse_(&rows), width_(rows.width), count_(rows.count()) {}  // NOLINT: implicit
  RowsView(std::span<const float> values, std::int64_t width);                                    // size a multiple of width > 0

  std::int64_t count() const { return count_; }
  std::int64_t width() const { return width_; }
  const SparseRows* sparse() const { return sparse_; }  // null: dense
  std::span<const float> dense_row(std::int64_t index) const {
    return dense_.subspan(static_cast<std::size_t>(index * width_), static_cast<std::size_t>(width_));
  }

 private:
  const SparseRows* sparse_ = nullptr;
  std::span<const float> dense_;
  std::int64_t width_ = 0, count_ = 0;
};

}  // namespace deskhand
