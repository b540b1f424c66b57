// Bound by memory: an element of x is read and written; a thread a pair.
#include "deskhand/ops/cuda/map.cuh"
#include "deskhand/ops/rope.h"

namespace deskhand::cuda {
namespace {

// Pairs are (i, i + D / 2) or (2 i, 2 i + 1); a thread turns kEach pairs that are neighbours in memory.
template <int kEach, class T>
__global__ void rope_kernel(std::int64_t count, T* x, const float* cosines, const float* sines, const std::int32_t* position,
                            std::int64_t heads, std::int64_t half, bool halves, float sign) {
  const std::int64_t pair = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * kEach;
  if (pair >= count) return;
  const std::int64_t row = pair / half, i = pair % half, angle = position[row / heads] * half + i;
  T* const at = x + row * half * 2;
  float cosine[kEach], sine[kEach], first[kEach], second[kEach];
  load(cosine, cosines + angle);
  load(sine, sines + angle);
  if (halves) {
    load(first, at + i);
    load(second, at + i + half);
  } else {
#pragma unroll
    for (int k = 0; k < kEach; ++k) {
      first[k] = widened(at[2 * (i + k)]);
      second[k] = widened(at[2 * (i + k) + 1]);
    }
  }
#pragma unroll
  for (int k = 0; k < kEach; ++k) {
    const float a = first[k], b = second[k], turn = sine[k] * sign;
    first[k] = a * cosine[k] - b * turn;
    second[k] = a * turn + b * cosine[k];
  }
  if (halves) {
    store(at + i, first);
    store(at + i + half, second);
  } else {
#pragma unroll
    for (int k = 0; k < kEach; ++k) {
      at[2 * (i + k)] = narrowed<T>(first[k]);
      at[2 * (i + k) + 1] = narrowed<T>(second[k]);
    }
  }
}

}  // namespace

void rope(const Backend& on, View x, std::span<const std::int32_t> positions, const RopeTable& table, bool inverse) {
  require_gpu(on, {x, table.cosine, table.sine});
  constexpr int kThreads = 256, kTogether = 4;
  const std::int64_t heads = x.shape()[1], half = x.shape()[2] / 2, pairs = x.shape().rows() * half;
  if (pairs == 0) return;
  const std::int32_t* const position = on.cuda->upload(kPositions, positions);
  with_type(x.type(), [&](auto type) {
    using T = decltype(type);
    const bool together = half % kTogether == 0 && is_aligned(x.data()) && is_aligned(table.cosine.data()) && is_aligned(table.sine.data());
    auto* const kernel = together ? &rope_kernel<kTogether, T> : &rope_kernel<1, T>;
    kernel<<<blocks_for(pairs, kThreads * (together ? kTogether : 1)), kThreads, 0, stream(on)>>>(
        pairs, pointer<T>(x), pointer(table.cosine), pointer(table.sine), position, heads, half, table.pairs == RopePairs::kHalves,
        inverse ? -1.0f : 1.0f);
  });
  check_launch();
}

}  // namespace deskhand::cuda
