// Bound by memory: 8 bytes an element of x; a thread a pair.
#include "deskhand/ops/cuda/launch.cuh"
#include "deskhand/ops/rope.h"

namespace deskhand::cuda {

void rope(const Backend& on, View x, std::span<const std::int32_t> positions, const RopeTable& table, bool inverse) {
  require_gpu(on, {x, table.cosine, table.sine});
  const std::int64_t heads = x.shape()[1], width = x.shape()[2], half = width / 2;
  const std::int32_t* const position = on.cuda->upload(kIndices, positions);
  const bool halves = table.pairs == RopePairs::kHalves;
  for_each(on, x.shape().rows() * half,
           [values = pointer(x), cosines = pointer(table.cosine), sines = pointer(table.sine), position, heads, width, half, halves,
            sign = inverse ? -1.0f : 1.0f] __device__(std::int64_t pair) {
             const std::int64_t row = pair / half, i = pair % half, angle = position[row / heads] * half + i;
             float& first = values[row * width + (halves ? i : 2 * i)];
             float& second = values[row * width + (halves ? i + half : 2 * i + 1)];
             const float cosine = cosines[angle], sine = sines[angle] * sign, a = first, b = second;
             first = a * cosine - b * sine;
             second = a * sine + b * cosine;
           });
}

}  // namespace deskhand::cuda
