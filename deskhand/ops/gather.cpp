#include "deskhand/ops/gather.h"

#include <algorithm>
#include <cstring>

namespace deskhand {
namespace {

void check(const Backend& on, ConstView few, ConstView many, std::span<const std::int32_t> rows) {
  DESKHAND_ASSERT(is_activation(on, few.type()) && many.type() == few.type(), "activations of one type");
  DESKHAND_ASSERT(many.shape().rank() == 2 && (few.shape() == Shape{static_cast<std::int64_t>(rows.size()), many.shape()[1]}),
                  "(M, C) and (N, C), a row of the few for each");
  for (std::size_t i = 0; i < rows.size(); ++i)
    DESKHAND_ASSERT(rows[i] >= 0 && rows[i] < many.shape()[0] && (i == 0 || rows[i - 1] < rows[i]), "rows of the many, ascending");
}

}  // namespace

// A row is a few kilobytes: a copy, not worth waking threads for.
void gather_rows(const Backend& on, View out, ConstView in, std::span<const std::int32_t> rows) {
  check(on, out, in, rows);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::gather_rows(on, out, in, rows);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const ConstView from = in.rows(rows[i], 1);
    std::memmove(out.rows(static_cast<std::int64_t>(i), 1).data(), from.data(), from.raw().size());
  }
}

void scatter_rows(const Backend& on, View out, ConstView in, std::span<const std::int32_t> rows) {
  check(on, in, out, rows);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::scatter_rows(on, out, in, rows);
  std::fill(out.floats().begin(), out.floats().end(), 0.f);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const ConstView from = in.rows(static_cast<std::int64_t>(i), 1);
    std::memcpy(out.rows(rows[i], 1).data(), from.data(), from.raw().size());
  }
}

}  // namespace deskhand
