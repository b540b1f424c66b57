#include "deskhand/ops/log_softmax.h"

#include <algorithm>
#include <cmath>

namespace deskhand::reference {

void log_softmax(View out, ConstView x) {
  const std::int64_t width = x.shape().last();
  for (std::int64_t row = 0; row < x.shape().rows(); ++row) {
    const float* in = x.floats().data() + row * width;
    const double largest = *std::max_element(in, in + width);
    double sum = 0;
    for (std::int64_t i = 0; i < width; ++i) sum += std::exp(in[i] - largest);
    for (std::int64_t i = 0; i < width; ++i) out.floats()[row * width + i] = static_cast<float>(in[i] - largest - std::log(sum));
  }
}

double log_sum_exp(std::span<const float> row) {
  const double largest = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (const float value : row) sum += std::exp(value - largest);
  return largest + std::log(sum);
}

}  // namespace deskhand::reference
