#include "deskhand/ops/swiglu.h"

#include <cmath>

namespace deskhand::reference {

void swiglu(View out, ConstView gate, ConstView up) {
  for (std::int64_t i = 0; i < out.shape().elements(); ++i) {
    const double g = gate.floats()[i];
    out.floats()[i] = static_cast<float>(g / (1 + std::exp(-g)) * up.floats()[i]);
  }
}

void swiglu_backward(View d_gate, View d_up, ConstView d_out, ConstView gate, ConstView up) {
  for (std::int64_t i = 0; i < d_out.shape().elements(); ++i) {
    const double g = gate.floats()[i], u = up.floats()[i], d = d_out.floats()[i], s = 1 / (1 + std::exp(-g));  // silu(g) = g s
    d_up.floats()[i] = static_cast<float>(d * g * s);
    d_gate.floats()[i] = static_cast<float>(d * u * s * (1 + g * (1 - s)));
  }
}

}  // namespace deskhand::reference
