#include "deskhand/ops/rms_norm.h"

namespace deskhand {

void rms_norm(const Backend& on, View out, ConstView x, ConstView weight, float epsilon, View rstd) {
  DESKHAND_ASSERT(out.shape() == x.shape() && x.shape().rank() >= 1, "(N, C) of out and x");
  DESKHAND_ASSERT(weight.shape().elements() == x.shape().last(), "one weight a column");
  DESKHAND_ASSERT(rstd.empty() || rstd.shape().elements() == x.shape().rows(), "one rstd a row");
  DESKHAND_ASSERT(is_activation(on, x.type()) && out.type() == x.type() && weight.type() == DType::kF32, "activations, f32 of weight");
  if (on.kind == Backend::Kind::kReference) return reference::rms_norm(out, x, weight, epsilon, rstd);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::rms_norm(on, out, x, weight, epsilon, rstd);
  require_cpu(on);
  cpu::rms_norm(on, out, x, weight, epsilon, rstd);
}

void rms_norm_backward(const Backend& on, const RmsNormGradients& gradients, ConstView d_out, ConstView x, ConstView weight,
                       ConstView rstd) {
  DESKHAND_ASSERT(is_activation(on, x.type()) && x.shape().rank() == 2 && d_out.type() == x.type() && d_out.shape() == x.shape(),
                  "(N, C) of x and d_out");
  DESKHAND_ASSERT(gradients.d_x.type() == x.type() && gradients.d_x.shape() == x.shape(), "(N, C) of d_x");
  DESKHAND_ASSERT(weight.type() == DType::kF32 && weight.shape().elements() == x.shape()[1], "(C) f32 of weight");
  DESKHAND_ASSERT(rstd.type() == DType::kF32 && rstd.shape().elements() == x.shape()[0], "(N) f32 of rstd");
  DESKHAND_ASSERT(
      gradients.d_weight.empty() || (gradients.d_weight.type() == DType::kF32 && gradients.d_weight.shape().elements() == x.shape()[1]),
      "(C) f32 of d_weight");
  if (on.kind == Backend::Kind::kReference) return reference::rms_norm_backward(gradients, d_out, x, weight, rstd);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::rms_norm_backward(on, gradients, d_out, x, weight, rstd);
  require_cpu(on);
  cpu::rms_norm_backward(on, gradients, d_out, x, weight, rstd);
}

}  // namespace deskhand
