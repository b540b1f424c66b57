#include "deskhand/ops/rms_norm.h"

namespace deskhand {

void rms_norm(const Backend& on, View out, ConstView x, ConstView weight, float epsilon, View rstd) {
  DESKHAND_ASSERT(out.shape() == x.shape() && x.shape().rank() >= 1, "(N, C) of out and x");
  DESKHAND_ASSERT(weight.shape().elements() == x.shape().last(), "one weight a column");
  DESKHAND_ASSERT(rstd.empty() || rstd.shape().elements() == x.shape().rows(), "one rstd a row");
  DESKHAND_ASSERT(out.type() == DType::kF32 && x.type() == DType::kF32 && weight.type() == DType::kF32, "f32");
  if (on.kind == Backend::Kind::kReference) return reference::rms_norm(out, x, weight, epsilon, rstd);
  require_cpu(on);
  cpu::rms_norm(on, out, x, weight, epsilon, rstd);
}

}  // namespace deskhand
