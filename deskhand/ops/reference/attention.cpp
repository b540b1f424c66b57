#include "deskhand/ops/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace deskhand::reference {

void attention(View out, ConstView q, ConstView k, ConstView v, std::span<const std::int32_t> bounds, AttentionOptions options,
               View logsumexp) {
  const std::int64_t heads = q.shape()[1], groups = k.shape()[1], width = q.shape()[2];
  for (std::size_t sequence = 0; sequence + 1 < bounds.size(); ++sequence)
    for (std::int64_t row = bounds[sequence]; row < bounds[sequence + 1]; ++row)
      for (std::int64_t head = 0; head < heads; ++head) {
        const std::int64_t group = head / (heads / groups), first = bounds[sequence];
        const std::int64_t last = options.causal ? row + 1 : bounds[sequence + 1];
        std::vector<double> score(static_cast<std::size_t>(last - first)), sum(static_cast<std::size_t>(width));
        double largest = -std::numeric_limits<double>::infinity(), total = 0;
        for (std::int64_t key = first; key < last; ++key) {
          double dot = 0;
          for (std::int64_t d = 0; d < width; ++d)
            dot += static_cast<double>(q.floats()[(row * heads + head) * width + d]) * k.floats()[(key * groups + group) * width + d];
          score[key - first] = dot * options.scale;
          largest = std::max(largest, score[key - first]);
        }
        for (double& s : score) total += s = std::exp(s - largest);
        for (std::int64_t key = first; key < last; ++key)
          for (std::int64_t d = 0; d < width; ++d) sum[d] += score[key - first] / total * v.floats()[(key * groups + group) * width + d];
        for (std::int64_t d = 0; d < width; ++d) out.floats()[(row * heads + head) * width + d] = static_cast<float>(sum[d]);
        if (!logsumexp.empty()) logsumexp.floats()[row * heads + head] = static_cast<float>(largest + std::log(total));
      }
}

}  // namespace deskhand::reference
