#include "deskhand/ops/mean_pool.h"

namespace deskhand {

void mean_pool_unit(const Backend& on, View out, ConstView x, std::span<const std::int32_t> bounds) {
  DESKHAND_ASSERT(out.type() == DType::kF32 && is_activation(on, x.type()), "f32 of out, activations of x");
  DESKHAND_ASSERT(out.shape().rank() == 2 && x.shape().rank() == 2 && out.shape()[1] == x.shape()[1], "(B, C) of out, (N, C) of x");
  DESKHAND_ASSERT(static_cast<std::int64_t>(bounds.size()) == out.shape()[0] + 1 && bounds.front() >= 0 && bounds.back() <= x.shape()[0],
                  "a bound more than sequences, inside x");
  if (on.kind == Backend::Kind::kReference) return reference::mean_pool_unit(out, x, bounds);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::mean_pool_unit(on, out, x, bounds);
  require_cpu(on);
  cpu::mean_pool_unit(on, out, x, bounds);
}

}  // namespace deskhand
