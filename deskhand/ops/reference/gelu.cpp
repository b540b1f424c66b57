#include "deskhand/ops/gelu.h"

#include <cmath>

namespace deskhand::reference {

void gelu(View out, ConstView x) {
  for (std::int64_t i = 0; i < out.shape().elements(); ++i) {
    const double value = x.floats()[i];
    out.floats()[i] = static_cast<float>(value * (1 + std::erf(value / std::sqrt(2.0))) / 2);
  }
}

}  // namespace deskhand::reference
