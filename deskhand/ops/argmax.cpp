#include "deskhand/ops/argmax.h"

#include <cmath>

namespace deskhand {

void argmax(const Backend& on, View out, ConstView x, std::span<const std::uint64_t> allowed) {
  DESKHAND_ASSERT(x.type() == DType::kF32 && x.shape().rank() == 2 && x.shape()[1] > 0, "(N, V) f32 of x");
  DESKHAND_ASSERT(out.type() == DType::kI32 && (out.shape() == Shape{x.shape()[0]}), "(N) i32 of out");
  DESKHAND_ASSERT(allowed.empty() || static_cast<std::int64_t>(allowed.size()) * 64 >= x.shape()[1], "a bit a column");
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::argmax(on, out, x, allowed);
  for (std::int64_t row = 0; row < x.shape()[0]; ++row) {
    const auto values = x.rows(row, 1).floats();
    std::int32_t best = Argmax::kNone;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!allowed.empty() && (allowed[i / 64] >> (i % 64) & 1) == 0) continue;
      if (std::isnan(values[i])) {
        best = Argmax::kNaN;
        break;
      }
      if (best < 0 || values[i] > values[static_cast<std::size_t>(best)]) best = static_cast<std::int32_t>(i);
    }
    out.as<std::int32_t>()[static_cast<std::size_t>(row)] = best;
  }
}

}  // namespace deskhand
