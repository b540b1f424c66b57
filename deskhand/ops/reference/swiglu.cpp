#include "deskhand/ops/swiglu.h"

#include <cmath>

namespace deskhand::reference {

void swiglu(View out, ConstView gate, ConstView up) {
  for (std::int64_t i = 0; i < out.shape().elements(); ++i) {
    const double g = gate.floats()[i];
    out.floats()[i] = static_cast<float>(g / (1 + std::exp(-g)) * up.floats()[i]);
  }
}

}  // namespace deskhand::reference
