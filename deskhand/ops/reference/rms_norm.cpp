#include "deskhand/ops/rms_norm.h"

#include <cmath>

namespace deskhand::reference {

void rms_norm(View out, ConstView x, ConstView weight, float epsilon, View rstd) {
  const std::int64_t width = x.shape().last();
  for (std::int64_t row = 0; row < x.shape().rows(); ++row) {
    const float* in = x.floats().data() + row * width;
    double squares = 0;
    for (std::int64_t i = 0; i < width; ++i) squares += static_cast<double>(in[i]) * in[i];
    const double scale = 1 / std::sqrt(squares / static_cast<double>(width) + epsilon);
    if (!rstd.empty()) rstd.floats()[row] = static_cast<float>(scale);
    for (std::int64_t i = 0; i < width; ++i) out.floats()[row * width + i] = static_cast<float>(in[i] * scale * weight.floats()[i]);
  }
}

}  // namespace deskhand::reference
