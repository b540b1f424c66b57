// found (K), on the host = the column of the largest of each of `rows` of x (N, V) f32, the first of equals. A row may name one of the
// masks, each a bit a column from the lowest on, whole words: then only those columns are looked at. kNone where that leaves nothing, kNaN
// where it leaves one that is no number.
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

struct Argmax {
  static constexpr std::int32_t kNone = -1, kNaN = -2;
  std::int32_t row;        // of x
  std::int32_t mask = -1;  // which of them; below 0: none, all columns
};

void argmax(const Backend& on, std::span<std::int32_t> found, ConstView x, std::span<const Argmax> rows,
            std::span<const std::uint64_t> masks = {});
void argmax(const Backend& on, std::span<std::int32_t> found, ConstView x);  // of all rows, all columns

namespace cuda {
void argmax(const Backend& on, std::span<std::int32_t> found, ConstView x, std::span<const Argmax> rows,
            std::span<const std::uint64_t> masks);
}

}  // namespace deskhand
