// Rows of a matrix taken out and put back: out (M, C) row j = row rows[j] of in (N, C), and the other way, where rows that nothing comes to
// become zero. Activations of one type; rows ascend and differ.
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

void gather_rows(const Backend& on, View out, ConstView in, std::span<const std::int32_t> rows);
void scatter_rows(const Backend& on, View out, ConstView in, std::span<const std::int32_t> rows);

namespace cuda {
void gather_rows(const Backend& on, View out, ConstView in, std::span<const std::int32_t> rows);
void scatter_rows(const Backend& on, View out, ConstView in, std::span<const std::int32_t> rows);
}  // namespace cuda

}  // namespace deskhand
