// Each row is looked through in parts, a block each, so that one row does not wait for one multiprocessor. A part's best goes to the host's
// memory in one piece as soon as it is known, and the host takes the best of a row's parts: larger, or as large and earlier. A NaN is
// better than all numbers.
#include "deskhand/ops/argmax.h"

#include <algorithm>
#include <bit>

#include "deskhand/ops/cuda/launch.cuh"

namespace deskhand::cuda {
namespace {

constexpr int kThreads = 256, kEach = 8;
constexpr std::int64_t kMostParts = 512;  // of all rows together, as long as each has one
enum OwnSlot : int { kRows = 48, kMasks };
enum PinnedSlot : int { kBest = 1 };   // above a recorded pass' inputs
constexpr std::int32_t kPending = -3;  // of a part that is not there yet: none of Argmax's

struct alignas(8) Best {
  float value;
  std::int32_t column;  // below 0: Argmax's
};

__host__ __device__ inline Best better(Best a, Best b) {
  if (a.column == Argmax::kNaN || b.column == Argmax::kNone) return a;
  if (b.column == Argmax::kNaN || a.column == Argmax::kNone) return b;
  return b.value > a.value || (b.value == a.value && b.column < a.column) ? b : a;
}
__device__ Best of_warp(Best best) {
  for (int step = 16; step > 0; step /= 2)
    best = better(best, {__shfl_xor_sync(~0u, best.value, step), __shfl_xor_sync(~0u, best.column, step)});
  return best;
}

// parts (K, parts of a row), bits of Best, in the host's memory.
__global__ void __launch_bounds__(kThreads) parts_kernel(volatile std::uint64_t* parts, const float* x, const Argmax* rows,
                                                         const std::uint64_t* masks, std::int64_t width, std::int64_t words) {
  __shared__ Best of_warps[kThreads / 32];
  const Argmax at = rows[blockIdx.x];
  const float* const row = x + at.row * width;
  const std::uint64_t* const allowed = at.mask < 0 ? nullptr : masks + at.mask * words;
  Best best{0, Argmax::kNone};
#pragma unroll kEach
  for (std::int64_t i = blockIdx.y * kThreads + threadIdx.x; i < width; i += gridDim.y * kThreads) {
    if (allowed && (allowed[i / 64] >> (i % 64) & 1) == 0) continue;
    const float value = row[i];
    best = better(best, {value, value == value ? static_cast<std::int32_t>(i) : Argmax::kNaN});
  }
  best = of_warp(best);
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = best;
  __syncthreads();
  if (threadIdx.x >= 32) return;
  best = of_warp(threadIdx.x < kThreads / 32 ? of_warps[threadIdx.x] : Best{0, Argmax::kNone});
  if (threadIdx.x == 0) parts[blockIdx.x * gridDim.y + blockIdx.y] = reinterpret_cast<const std::uint64_t&>(best);
}

}  // namespace

void argmax(const Backend& on, std::span<std::int32_t> found, ConstView x, std::span<const Argmax> rows,
            std::span<const std::uint64_t> masks) {
  require_gpu(on, {x});
  const std::int64_t width = x.shape()[1];
  const auto count = static_cast<std::int64_t>(rows.size());
  const auto of_row = static_cast<unsigned>(std::clamp<std::int64_t>(kMostParts / count, 1, blocks_for(width, kThreads * kEach)));
  const Argmax* const at = on.cuda->upload(kRows, rows);
  const std::uint64_t* const bits = masks.empty() ? nullptr : on.cuda->upload(kMasks, masks);
  const std::int64_t all = count * of_row;
  volatile std::uint64_t* const parts = on.cuda->pinned<std::uint64_t>(kBest, all);
  for (std::int64_t i = 0; i < all; ++i) parts[i] = std::bit_cast<std::uint64_t>(Best{0, kPending});
  parts_kernel<<<dim3(blocks_for(count, 1), of_row), kThreads, 0, stream(on)>>>(parts, pointer(x), at, bits, width, (width + 63) / 64);
  check_launch();
  const auto part = [&](std::int64_t i) { return std::bit_cast<Best>(std::uint64_t{parts[i]}); };
  std::int64_t come = 0;
  on.cuda->await([&] {
    while (come < all && part(come).column != kPending) ++come;
    return come == all;
  });
  for (std::int64_t k = 0; k < count; ++k) {
    Best best = part(k * of_row);
    for (std::int64_t i = 1; i < of_row; ++i) best = better(best, part(k * of_row + i));
    found[static_cast<std::size_t>(k)] = best.column;
  }
}

}  // namespace deskhand::cuda
