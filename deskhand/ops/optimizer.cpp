#include "deskhand/ops/optimizer.h"

#include <algorithm>

namespace deskhand {

GradientNorm gradient_norm(const Backend& on, ConstView gradient) {
  DESKHAND_ASSERT(gradient.type() == DType::kF32, "(P) f32 of gradient");
  if (on.kind == Backend::Kind::kReference) return reference::gradient_norm(gradient);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::gradient_norm(on, gradient);
  require_cpu(on);
  return cpu::gradient_norm(on, gradient);
}

double clip_scale(double norm, double most) {
  return std::min(1.0, most / (norm + 1e-6));
}

void adamw(const Backend& on, View weights, const AdamWState& state, ConstView gradient, const AdamW& settings) {
  const std::int64_t count = weights.shape().elements();
  DESKHAND_ASSERT(weights.type() == DType::kF32 && gradient.type() == DType::kF32 && gradient.shape().elements() == count,
                  "(P) f32 of weights and gradient");
  DESKHAND_ASSERT(state.m.type() == DType::kF32 && state.v.type() == DType::kF32 && state.m.shape().elements() == count &&
                      state.v.shape().elements() == count,
                  "(P) f32 of m and v");
  DESKHAND_ASSERT(settings.step >= 1, "steps counted from 1");
  if (on.kind == Backend::Kind::kReference) return reference::adamw(weights, state, gradient, settings);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::adamw(on, weights, state, gradient, settings);
  require_cpu(on);
  cpu::adamw(on, weights, state, gradient, settings);
}

}  // namespace deskhand
