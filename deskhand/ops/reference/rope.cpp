#include "deskhand/ops/rope.h"

namespace deskhand::reference {

void rope(View x, std::span<const std::int32_t> positions, const RopeTable& table, bool inverse) {
  const std::int64_t heads = x.shape()[1], width = x.shape()[2], half = width / 2;
  const bool halves = table.pairs == RopePairs::kHalves;
  for (std::int64_t token = 0; token < x.shape()[0]; ++token)
    for (std::int64_t head = 0; head < heads; ++head)
      for (std::int64_t i = 0; i < half; ++i) {
        float* at = x.floats().data() + (token * heads + head) * width;
        float& first = at[halves ? i : 2 * i];
        float& second = at[halves ? i + half : 2 * i + 1];
        const double cosine = table.cosine.floats()[positions[token] * half + i];
        const double sine = table.sine.floats()[positions[token] * half + i] * (inverse ? -1.0 : 1.0);
        const double a = first, b = second;
        first = static_cast<float>(a * cosine - b * sine);
        second = static_cast<float>(a * sine + b * cosine);
      }
}

}  // namespace deskhand::reference
