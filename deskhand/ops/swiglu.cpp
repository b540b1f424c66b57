#include "deskhand/ops/swiglu.h"

namespace deskhand {

void swiglu(const Backend& on, View out, ConstView gate, ConstView up) {
  DESKHAND_ASSERT(out.shape() == gate.shape() && gate.shape() == up.shape(), "(N, F) of out, gate and up");
  DESKHAND_ASSERT(out.type() == DType::kF32 && gate.type() == DType::kF32 && up.type() == DType::kF32, "f32");
  if (on.kind == Backend::Kind::kReference) return reference::swiglu(out, gate, up);
  require_cpu(on);
  cpu::swiglu(on, out, gate, up);
}

}  // namespace deskhand
