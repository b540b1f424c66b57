#include "deskhand/ops/log_softmax.h"

namespace deskhand {

void log_softmax(const Backend& on, View out, ConstView x) {
  DESKHAND_ASSERT(out.shape() == x.shape() && x.shape().rank() >= 1 && x.shape().last() > 0, "(N, V) of out and x");
  DESKHAND_ASSERT(out.type() == DType::kF32 && x.type() == DType::kF32, "f32");
  if (on.kind == Backend::Kind::kReference) return reference::log_softmax(out, x);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::log_softmax(on, out, x);
  require_cpu(on);
  cpu::log_softmax(on, out, x);
}

double log_sum_exp(std::span<const float> row) {
  static const CpuFeatures cpu = CpuFeatures::detect();
  return cpu::log_sum_exp(row, cpu);
}

}  // namespace deskhand
