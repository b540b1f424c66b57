#include "deskhand/ops/layer_norm.h"

#include <cmath>
#include <vector>

namespace deskhand::reference {

void layer_norm(View out, ConstView x, const Residual& residual, const LayerNormWeights& norm) {
  const std::int64_t width = x.shape().last();
  std::vector<double> in(static_cast<std::size_t>(width));
  for (std::int64_t row = 0; row < x.shape().rows(); ++row) {
    double mean = 0, variance = 0;
    for (std::int64_t i = 0; i < width; ++i) {
      in[i] = x.floats()[row * width + i];
      if (!residual.rows.empty()) in[i] += residual.rows.floats()[row * width + i];
      if (!residual.bias.empty()) in[i] += residual.bias.floats()[i];
      mean += in[i] / static_cast<double>(width);
    }
    for (const double value : in) variance += (value - mean) * (value - mean) / static_cast<double>(width);
    const double scale = 1 / std::sqrt(variance + norm.epsilon);
    for (std::int64_t i = 0; i < width; ++i)
      out.floats()[row * width + i] = static_cast<float>((in[i] - mean) * scale * norm.weight.floats()[i] + norm.bias.floats()[i]);
  }
}

}  // namespace deskhand::reference
