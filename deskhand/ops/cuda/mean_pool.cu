// A block a sequence: the columns' sums, then the length of the whole. Where a row is at most kThreads packs of 16 bytes, several rows are
// read at a time, and their sums added in one order.
#include "deskhand/ops/mean_pool.h"

#include "deskhand/ops/cuda/map.cuh"

namespace deskhand::cuda {
namespace {

constexpr int kThreads = 256;

template <int kEach, class T>
__global__ void __launch_bounds__(kThreads) mean_pool_unit_kernel(float* out, const T* x, const std::int32_t* bounds, std::int64_t width) {
  __shared__ float sums[kThreads * kEach];
  const std::int32_t begin = bounds[blockIdx.x], end = bounds[blockIdx.x + 1];
  float* const to = out + blockIdx.x * width;
  const float count = static_cast<float>(max(end - begin, 1));
  const int packs = static_cast<int>(min(width / kEach, std::int64_t{kThreads}));  // of a row, at a time
  const int rows = kThreads / packs, first = static_cast<int>(threadIdx.x) / packs;
  float squares = 0;
  for (std::int64_t column = 0; column < width; column += packs * kEach) {
    const std::int64_t own = column + threadIdx.x % packs * kEach;
    float sum[kEach] = {};
    if (first < rows && own < width)
#pragma unroll 4
      for (std::int64_t row = begin + first; row < end; row += rows) {
        float values[kEach];
        load(values, x + row * width + own);
#pragma unroll
        for (int k = 0; k < kEach; ++k) sum[k] += values[k];
      }
    __syncthreads();  // sums may still be read for the columns before
#pragma unroll
    for (int k = 0; k < kEach; ++k) sums[threadIdx.x * kEach + k] = sum[k];
    __syncthreads();
    for (int i = threadIdx.x; i < packs * kEach && column + i < width; i += kThreads) {
      float whole = 0;
      for (int row = 0; row < rows; ++row) whole += sums[row * packs * kEach + i];
      to[column + i] = whole / count;
      squares += whole / count * (whole / count);
    }
  }
  __syncthreads();
  const float length = fmaxf(sqrtf(of_block(squares)), 1e-12f);
  for (std::int64_t column = threadIdx.x; column < width; column += kThreads) to[column] /= length;
}

}  // namespace

void mean_pool_unit(const Backend& on, View out, ConstView x, std::span<const std::int32_t> bounds) {
  require_gpu(on, {out, x});
  if (out.shape().elements() == 0) return;
  const std::int64_t width = x.shape()[1];
  const std::int32_t* const ends = on.cuda->upload(kBounds, bounds);
  with_type(x.type(), [&](auto type) {
    using T = decltype(type);
    const bool packs = width % kPack<T> == 0 && is_aligned(x.data());
    auto* const kernel = packs ? &mean_pool_unit_kernel<kPack<T>, T> : &mean_pool_unit_kernel<1, T>;
    kernel<<<blocks_for(out.shape()[0], 1), kThreads, 0, stream(on)>>>(pointer(out), pointer<T>(x), ends, width);
  });
  check_launch();
}

}  // namespace deskhand::cuda
