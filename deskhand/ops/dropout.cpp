#include "deskhand/ops/dropout.h"

namespace deskhand {

void dropout(const Backend& on, View out, ConstView x, const Dropout& dropped, Into into) {
  DESKHAND_ASSERT(is_activation(on, x.type()) && out.type() == x.type() && x.shape().rank() == 2 && out.shape() == x.shape(),
                  "(N, I) of x and out, of one type");
  DESKHAND_ASSERT(dropped.probability >= 0 && dropped.probability < 1, "a probability from 0 to below 1");
  if (on.kind == Backend::Kind::kReference) return reference::dropout(out, x, dropped, into);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::dropout(on, out, x, dropped, into);
  require_cpu(on);
  cpu::dropout(on, out, x, dropped, into);
}

}  // namespace deskhand
