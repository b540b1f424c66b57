#include "deskhand/ops/quantize.h"

namespace deskhand {

void quantize(const Backend& on, View out, ConstView in) {
  DESKHAND_ASSERT((out.type() == DType::kQ8_0 || out.type() == DType::kQ4_0) && out.shape() == in.shape(), "(N, I) q8_0 or q4_0 of out");
  DESKHAND_ASSERT(in.type() != DType::kI32 && in.type() != DType::kI8, "a type of weights");
  if (on.kind == Backend::Kind::kReference) return reference::quantize(out, in);
  require_cpu(on);
  cpu::quantize(on, out, in);
}

}  // namespace deskhand
