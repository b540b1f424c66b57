#include "deskhand/ops/gelu.h"

namespace deskhand {

void gelu(const Backend& on, View out, ConstView x, ConstView bias) {
  DESKHAND_ASSERT(out.shape() == x.shape(), "(N, F) of out and x");
  DESKHAND_ASSERT(is_activation(on, x.type()) && out.type() == x.type(), "activations of one type");
  DESKHAND_ASSERT(bias.empty() || (bias.type() == DType::kF32 && bias.shape().elements() == x.shape().last()), "(F) f32 of bias");
  if (on.kind == Backend::Kind::kReference) return reference::gelu(out, x, bias);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::gelu(on, out, x, bias);
  require_cpu(on);
  cpu::gelu(on, out, x, bias);
}

}  // namespace deskhand
