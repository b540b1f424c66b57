#include "deskhand/ops/add.h"

namespace deskhand {

void add(const Backend& on, View out, ConstView a, ConstView b) {
  DESKHAND_ASSERT(out.shape() == a.shape() && a.shape() == b.shape(), "out, a and b of one shape");
  DESKHAND_ASSERT(is_activation(on, out.type()) && a.type() == out.type() && b.type() == out.type(), "activations of one type");
  if (on.kind == Backend::Kind::kReference) return reference::add(out, a, b);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::add(on, out, a, b);
  require_cpu(on);
  cpu::add(on, out, a, b);
}

}  // namespace deskhand
