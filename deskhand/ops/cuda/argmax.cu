// Each row is looked through in parts, a block each, so that one row does not wait for one multiprocessor; then a thread a row takes the
// best of its parts: larger, or as large and earlier. A NaN is better than all numbers.
#include "deskhand/ops/argmax.h"

#include "deskhand/ops/cuda/launch.cuh"

namespace deskhand::cuda {
namespace {

constexpr int kThreads = 256, kParts = 16;
enum OwnSlot : int { kRows = 48, kMasks, kBest };

struct Best {
  float value;
  std::int32_t column;  // below 0: Argmax's
};

__device__ Best better(Best a, Best b) {
  if (a.column == Argmax::kNaN || b.column == Argmax::kNone) return a;
  if (b.column == Argmax::kNaN || a.column == Argmax::kNone) return b;
  return b.value > a.value || (b.value == a.value && b.column < a.column) ? b : a;
}
__device__ Best of_warp(Best best) {
  for (int step = 16; step > 0; step /= 2)
    best = better(best, {__shfl_xor_sync(~0u, best.value, step), __shfl_xor_sync(~0u, best.column, step)});
  return best;
}

// parts (K, kParts)
__global__ void __launch_bounds__(kThreads)
    parts_kernel(Best* parts, const float* x, const Argmax* rows, const std::uint64_t* masks, std::int64_t width, std::int64_t words) {
  __shared__ Best of_warps[kThreads / 32];
  const Argmax at = rows[blockIdx.x];
  const float* const row = x + at.row * width;
  const std::uint64_t* const allowed = at.mask < 0 ? nullptr : masks + at.mask * words;
  Best best{0, Argmax::kNone};
#pragma unroll 4
  for (std::int64_t i = blockIdx.y * kThreads + threadIdx.x; i < width; i += kParts * kThreads) {
    if (allowed && (allowed[i / 64] >> (i % 64) & 1) == 0) continue;
    const float value = row[i];
    best = better(best, {value, value == value ? static_cast<std::int32_t>(i) : Argmax::kNaN});
  }
  best = of_warp(best);
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = best;
  __syncthreads();
  if (threadIdx.x >= 32) return;
  best = of_warp(threadIdx.x < kThreads / 32 ? of_warps[threadIdx.x] : Best{0, Argmax::kNone});
  if (threadIdx.x == 0) parts[blockIdx.x * kParts + blockIdx.y] = best;
}

}  // namespace

void argmax(const Backend& on, View out, ConstView x, std::span<const Argmax> rows, std::span<const std::uint64_t> masks) {
  require_gpu(on, {out, x});
  const std::int64_t width = x.shape()[1];
  const Argmax* const at = on.cuda->upload(kRows, rows);
  const std::uint64_t* const bits = masks.empty() ? nullptr : on.cuda->upload(kMasks, masks);
  const auto count = static_cast<std::int64_t>(rows.size());
  Best* const parts = on.cuda->scratch<Best>(kBest, count * kParts);
  parts_kernel<<<dim3(blocks_for(count, 1), kParts), kThreads, 0, stream(on)>>>(parts, pointer(x), at, bits, width, (width + 63) / 64);
  check_launch();
  std::int32_t* const found = pointer<std::int32_t>(out);
  for_each(on, count, [=] __device__(std::int64_t k) {
    Best best = parts[k * kParts];
    for (int part = 1; part < kParts; ++part) best = better(best, parts[k * kParts + part]);
    found[k] = best.column;
  });
}

}  // namespace deskhand::cuda
