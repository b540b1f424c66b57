// What the kernels share: how they are started, their scratch, sums of a block in one fixed order.
#pragma once
#include <initializer_list>

#include "deskhand/ops/backend.h"
#include "deskhand/tensor/cuda/handles.h"

namespace deskhand::cuda {

// Scratch of CudaContext by use; those that one op holds at the same time differ.
enum Slot : int { kWeights, kInputs, kDropped, kLow, kIndices, kOrder, kSums, kDelta, kLogits };

inline cudaStream_t stream(const Backend& on) {
  return on.cuda->handles().stream.get();
}

inline void require_gpu(const Backend& on, std::initializer_list<ConstView> views) {
  DESKHAND_ASSERT(on.cuda, "a CUDA backend has a context");
  for (const ConstView& view : views) DESKHAND_ASSERT(view.empty() || view.device() == Device::kCuda, "tensors in the GPU's memory");
}

template <class T = float>
T* pointer(View view) {
  return reinterpret_cast<T*>(view.data());
}
template <class T = float>
const T* pointer(ConstView view) {
  return reinterpret_cast<const T*>(view.data());
}

inline unsigned blocks_for(std::int64_t count, std::int64_t each) {
  const std::int64_t blocks = (count + each - 1) / each;
  DESKHAND_ASSERT(blocks > 0 && blocks < (1ll << 31), "as many blocks as a grid has");
  return static_cast<unsigned>(blocks);
}

inline void check_launch(std::source_location at = std::source_location::current()) {
  check(cudaGetLastError(), at);
}

#ifdef __CUDACC__

template <class Work>
__global__ void each_kernel(std::int64_t count, Work work) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < count) work(i);
}

// work(i) for i in 0 .. count - 1, a thread each.
template <class Work>
void for_each(const Backend& on, std::int64_t count, Work work, std::source_location at = std::source_location::current()) {
  constexpr int kThreads = 256;
  if (count == 0) return;
  each_kernel<<<blocks_for(count, kThreads), kThreads, 0, stream(on)>>>(count, work);
  check_launch(at);
}

struct Plus {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Larger {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

// `value` of all threads of a block taken together, in every thread. Whole warps, at most 32 of them; `nothing` changes nothing.
template <class T, class Combine = Plus>
__device__ T of_block(T value, T nothing = T{}, Combine combine = {}) {
  __shared__ T of_warp[32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int step = 16; step > 0; step /= 2) value = combine(value, __shfl_xor_sync(~0u, value, step));
  __syncthreads();  // of_warp may still be read for the value before
  if (lane == 0) of_warp[warp] = value;
  __syncthreads();
  value = lane < static_cast<int>(blockDim.x / 32) ? of_warp[lane] : nothing;
  for (int step = 16; step > 0; step /= 2) value = combine(value, __shfl_xor_sync(~0u, value, step));
  return value;
}

constexpr int kSumWidth = 32;  // columns of a block, and rows at a time

template <class Value>
__global__ void column_sums_kernel(float* to, std::int64_t rows, std::int64_t columns, Value value) {
  __shared__ float part[kSumWidth][kSumWidth + 1];
  const std::int64_t column = std::int64_t{blockIdx.x} * kSumWidth + threadIdx.x;
  float sum = 0;
  if (column < columns)
    for (std::int64_t row = threadIdx.y; row < rows; row += kSumWidth) sum += value(row, column);
  part[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= columns) return;
  sum = 0;
  for (int i = 0; i < kSumWidth; ++i) sum += part[i][threadIdx.x];
  to[column] += sum;
}

// to[column] += the sum of value(row, column) over the rows, always in the same order.
template <class Value>
void add_column_sums(const Backend& on, float* to, std::int64_t rows, std::int64_t columns, Value value) {
  if (rows == 0 || columns == 0) return;
  column_sums_kernel<<<blocks_for(columns, kSumWidth), dim3(kSumWidth, kSumWidth), 0, stream(on)>>>(to, rows, columns, value);
  check_launch();
}

#endif

}  // namespace deskhand::cuda
