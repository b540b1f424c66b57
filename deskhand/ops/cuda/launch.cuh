// What the kernels share: how they are started, their scratch, sums of a block in one fixed order.
#pragma once
#include <initializer_list>
#include <type_traits>

#include "deskhand/ops/backend.h"
#include "deskhand/tensor/cuda/handles.h"

namespace deskhand::cuda {

// Scratch of CudaContext by use; those that one op holds at the same time differ.
enum Slot : int { kWeights, kInputs, kDropped, kLow, kIndices, kOrder, kSums, kDelta, kLogits, kRowLosses, kPositions, kBounds, kPages, kHalfA, kHalfB, kTokenWeights, kWide /* and more */ };

inline cudaStream_t stream(const Backend& on) {
  return on.cuda->handles().stream.get();
}

inline int attribute_of(const Backend& on, cudaDeviceAttr which) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, which, on.cuda->card().number));
  return value;
}
inline int processors(const Backend& on) {
  return on.cuda->card().processors;
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

// Calls work with `type` as a constant, one of `types`.
template <DType... types, class Work>
void with_one_of(DType type, const Work& work) {
  const bool is_known = ((type == types && (work(std::integral_constant<DType, types>()), true)) || ...);
  DESKHAND_ASSERT(is_known, "a type that the kernel knows");
}

#ifdef __CUDACC__

// Where what `row` belongs to begins in `bounds` (count + 1, ascending): the last that is not behind it.
template <class Row>
__device__ int last_begun(const std::int32_t* bounds, int count, Row row) {
  int low = 0, high = count - 1;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (bounds[middle] <= row)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

// The 128 bytes around an address, to L2.
__device__ inline void prefetch(const void* at) {
  asm volatile("prefetch.global.L2 [%0];\n" ::"l"(at));
}

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

constexpr int kSumWidth = 32;          // columns of a block
constexpr int kSumRows = 8;            // rows at a time
constexpr std::int64_t kSumRun = 256;  // rows that are one sum: whatever the card, the order is the same

// part (runs of rows, columns)
template <class Value>
__global__ void column_sums_kernel(float* part, std::int64_t rows, std::int64_t columns, Value value) {
  __shared__ float sums[kSumRows][kSumWidth];
  const std::int64_t column = std::int64_t{blockIdx.x} * kSumWidth + threadIdx.x, first = blockIdx.y * kSumRun;
  const std::int64_t end = min(first + kSumRun, rows);
  float sum = 0;
  if (column < columns)
    for (std::int64_t row = first + threadIdx.y; row < end; row += kSumRows) sum += value(row, column);
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= columns) return;
  sum = 0;
  for (int i = 0; i < kSumRows; ++i) sum += sums[i][threadIdx.x];
  part[blockIdx.y * columns + column] = sum;
}

// to[column] += the sum of value(row, column) over the rows, always in the same order.
template <class Value>
void add_column_sums(const Backend& on, float* to, std::int64_t rows, std::int64_t columns, Value value) {
  if (rows == 0 || columns == 0) return;
  const unsigned runs = blocks_for(rows, kSumRun);
  float* const part = on.cuda->scratch<float>(kSums, runs * columns);
  column_sums_kernel<<<dim3(blocks_for(columns, kSumWidth), runs), dim3(kSumWidth, kSumRows), 0, stream(on)>>>(part, rows, columns, value);
  check_launch();
  for_each(on, columns, [to, part, runs, columns] __device__(std::int64_t column) {
    float sum = 0;
    for (unsigned run = 0; run < runs; ++run) sum += part[run * columns + column];
    to[column] += sum;
  });
}

#endif

}  // namespace deskhand::cuda
