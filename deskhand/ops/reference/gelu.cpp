#include "deskhand/ops/gelu.h"

#include <cmath>

namespace deskhand::reference {

void gelu(View out, ConstView x, ConstView bias) {
  const std::int64_t width = x.shape().last();
  for (std::int64_t i = 0; i < out.shape().elements(); ++i) {
    const double added = bias.empty() ? 0 : bias.floats()[i % width], value = x.floats()[i] + added;
    out.floats()[i] = static_cast<float>(value * (1 + std::erf(value / std::sqrt(2.0))) / 2);
  }
}

}  // namespace deskhand::reference
