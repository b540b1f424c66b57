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

void rms_norm_backward(const RmsNormGradients& gradients, ConstView d_out, ConstView x, ConstView weight, ConstView rstd) {
  const std::int64_t width = x.shape()[1];
  for (std::int64_t row = 0; row < x.shape()[0]; ++row) {
    const float* const in = x.floats().data() + row * width;
    const float* const d = d_out.floats().data() + row * width;
    const double scale = rstd.floats()[row];
    double mean = 0;  // of g x
    for (std::int64_t i = 0; i < width; ++i) mean += static_cast<double>(d[i]) * weight.floats()[i] * in[i] / static_cast<double>(width);
    for (std::int64_t i = 0; i < width; ++i) {
      float& to = gradients.d_x.floats()[row * width + i];
      if (!gradients.d_weight.empty()) gradients.d_weight.floats()[i] += static_cast<float>(d[i] * in[i] * scale);
      const double slope = scale * d[i] * weight.floats()[i] - in[i] * scale * scale * scale * mean;
      to = static_cast<float>(gradients.into == Into::kAdd ? to + slope : slope);
    }
  }
}

}  // namespace deskhand::reference
