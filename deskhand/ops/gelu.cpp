#include "deskhand/ops/gelu.h"

namespace deskhand {

void gelu(const Backend& on, View out, ConstView x) {
  DESKHAND_ASSERT(out.shape() == x.shape(), "(N, F) of out and x");
  DESKHAND_ASSERT(is_activation(on, x.type()) && out.type() == x.type(), "activations of one type");
  if (on.kind == Backend::Kind::kReference) return reference::gelu(out, x);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::gelu(on, out, x);
  require_cpu(on);
  cpu::gelu(on, out, x);
}

}  // namespace deskhand
