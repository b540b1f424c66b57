// A block a row, then the best of its threads: larger, or as large and earlier. A NaN is better than all numbers.
#include "deskhand/ops/argmax.h"

#include "deskhand/ops/cuda/launch.cuh"

namespace deskhand::cuda {
namespace {

constexpr int kThreads = 1024;

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

__global__ void __launch_bounds__(kThreads)
    argmax_kernel(std::int32_t* out, const float* x, const std::uint64_t* allowed, std::int64_t width) {
  __shared__ Best of_warps[32];
  const float* const row = x + blockIdx.x * width;
  Best best{0, Argmax::kNone};
  for (std::int64_t i = threadIdx.x; i < width; i += kThreads) {
    if (allowed && (allowed[i / 64] >> (i % 64) & 1) == 0) continue;
    const float value = row[i];
    best = better(best, {value, value == value ? static_cast<std::int32_t>(i) : Argmax::kNaN});
  }
  best = of_warp(best);
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = best;
  __syncthreads();
  if (threadIdx.x >= 32) return;
  best = of_warp(of_warps[threadIdx.x]);
  if (threadIdx.x == 0) out[blockIdx.x] = best.column;
}

}  // namespace

void argmax(const Backend& on, View out, ConstView x, std::span<const std::uint64_t> allowed) {
  require_gpu(on, {out, x});
  if (x.shape()[0] == 0) return;
  const std::uint64_t* const bits = allowed.empty() ? nullptr : on.cuda->upload(kOrder, allowed);
  argmax_kernel<<<blocks_for(x.shape()[0], 1), kThreads, 0, stream(on)>>>(pointer<std::int32_t>(out), pointer(x), bits, x.shape()[1]);
  check_launch();
}

}  // namespace deskhand::cuda
