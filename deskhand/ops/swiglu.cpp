#include "deskhand/ops/swiglu.h"

namespace deskhand {

void swiglu(const Backend& on, View out, ConstView gate, ConstView up) {
  DESKHAND_ASSERT(out.shape() == gate.shape() && gate.shape() == up.shape(), "(N, F) of out, gate and up");
  DESKHAND_ASSERT(is_activation(on, out.type()) && gate.type() == out.type() && up.type() == out.type(), "activations of one type");
  if (on.kind == Backend::Kind::kReference) return reference::swiglu(out, gate, up);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::swiglu(on, out, gate, up);
  require_cpu(on);
  cpu::swiglu(on, out, gate, up);
}

void swiglu_backward(const Backend& on, View d_gate, View d_up, ConstView d_out, ConstView gate, ConstView up) {
  DESKHAND_ASSERT(
      d_gate.shape() == gate.shape() && d_up.shape() == gate.shape() && d_out.shape() == gate.shape() && up.shape() == gate.shape(),
      "(N, F) of all");
  DESKHAND_ASSERT(is_activation(on, gate.type()), "activations");
  for (const ConstView view : {ConstView(d_gate), ConstView(d_up), d_out, up})
    DESKHAND_ASSERT(view.type() == gate.type(), "activations of one type");
  DESKHAND_ASSERT(d_gate.data() != d_up.data() || gate.shape().elements() == 0, "gradients that do not overlap");
  if (on.kind == Backend::Kind::kReference) return reference::swiglu_backward(d_gate, d_up, d_out, gate, up);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::swiglu_backward(on, d_gate, d_up, d_out, gate, up);
  require_cpu(on);
  cpu::swiglu_backward(on, d_gate, d_up, d_out, gate, up);
}

}  // namespace deskhand
