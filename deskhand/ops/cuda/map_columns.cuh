// Work on matrices with a value a column: the value is read once for several rows, and no element costs a division.
#pragma once
#include "deskhand/ops/cuda/map.cuh"

namespace deskhand::cuda {

#ifdef __CUDACC__

constexpr int kColumnThreads = 32, kRowThreads = 8;  // of a block
constexpr int kRowsEach = 4;                         // of a thread, all on their way before the first is needed

template <int kEach, class T, class Work>
__global__ void __launch_bounds__(kColumnThreads* kRowThreads)
    map_columns_kernel(T* out, const T* x, const float* of_column, std::int64_t rows, std::int64_t width, Work work) {
  const std::int64_t column = (std::int64_t{blockIdx.y} * kColumnThreads + threadIdx.x) * kEach;
  const std::int64_t first = std::int64_t{blockIdx.x} * (kRowThreads * kRowsEach) + threadIdx.y;
  if (column >= width) return;
  float values[kRowsEach][kEach], more[kEach];
#pragma unroll
  for (int i = 0; i < kRowsEach; ++i)
    if (first + i * kRowThreads < rows) load(values[i], x + (first + i * kRowThreads) * width + column);
  load(more, of_column + column);
#pragma unroll
  for (int i = 0; i < kRowsEach; ++i) {
    if (first + i * kRowThreads >= rows) return;
#pragma unroll
    for (int k = 0; k < kEach; ++k) values[i][k] = work(values[i][k], more[k]);
    store(out + (first + i * kRowThreads) * width + column, values[i]);
  }
}

// out = work(x, of_column[column]) for each element; out and x (rows, width) of one type, out may be x.
template <class T, class Work>
void map_columns(const Backend& on, View out, ConstView x, ConstView of_column, Work work) {
  const std::int64_t rows = x.shape().rows(), width = x.shape().last();
  if (x.shape().elements() == 0) return;
  const bool packs = width % kPack<T> == 0 && is_aligned(out.data()) && is_aligned(x.data()) && is_aligned(of_column.data());
  auto* const kernel = packs ? &map_columns_kernel<kPack<T>, T, Work> : &map_columns_kernel<1, T, Work>;
  const dim3 blocks(blocks_for(rows, kRowThreads * kRowsEach), blocks_for(width, kColumnThreads * (packs ? kPack<T> : 1)));
  kernel<<<blocks, dim3(kColumnThreads, kRowThreads), 0, stream(on)>>>(pointer<T>(out), pointer<T>(x), pointer(of_column), rows, width,
                                                                       work);
  check_launch();
}

#endif

}  // namespace deskhand::cuda
