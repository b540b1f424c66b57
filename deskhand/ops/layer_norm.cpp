#include "deskhand/ops/layer_norm.h"

namespace deskhand {

void layer_norm(const Backend& on, View out, ConstView x, const Residual& residual, const LayerNormWeights& norm) {
  DESKHAND_ASSERT(out.shape() == x.shape() && x.shape().rank() >= 1, "(N, C) of out and x");
  DESKHAND_ASSERT(residual.rows.empty() || residual.rows.shape() == x.shape(), "(N, C) of the residual");
  DESKHAND_ASSERT(residual.bias.empty() || (residual.bias.type() == DType::kF32 && residual.bias.shape().elements() == x.shape().last()),
                  "(C) f32 of the residual's bias");
  DESKHAND_ASSERT(norm.weight.shape().elements() == x.shape().last() && norm.bias.shape().elements() == x.shape().last(),
                  "a weight and a bias a column");
  DESKHAND_ASSERT(is_activation(on, x.type()) && out.type() == x.type() && (residual.rows.empty() || residual.rows.type() == x.type()),
                  "activations of one type");
  if (on.kind == Backend::Kind::kReference) return reference::layer_norm(out, x, residual, norm);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::layer_norm(on, out, x, residual, norm);
  require_cpu(on);
  cpu::layer_norm(on, out, x, residual, norm);
}

}  // namespace deskhand
