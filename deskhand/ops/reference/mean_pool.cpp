#include "deskhand/ops/mean_pool.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace deskhand::reference {

void mean_pool_unit(View out, ConstView x, std::span<const std::int32_t> bounds) {
  const std::int64_t width = x.shape()[1];
  for (std::size_t sequence = 0; sequence + 1 < bounds.size(); ++sequence) {
    std::vector<double> mean(static_cast<std::size_t>(width));
    const double count = std::max(1, bounds[sequence + 1] - bounds[sequence]);
    for (std::int64_t row = bounds[sequence]; row < bounds[sequence + 1]; ++row)
      for (std::int64_t i = 0; i < width; ++i) mean[i] += x.floats()[row * width + i] / count;
    double squares = 0;
    for (const double value : mean) squares += value * value;
    const double norm = std::max(std::sqrt(squares), 1e-12);
    for (std::int64_t i = 0; i < width; ++i)
      out.floats()[static_cast<std::int64_t>(sequence) * width + i] = static_cast<float>(mean[i] / norm);
  }
}

}  // namespace deskhand::reference
