// A warp a row: mean first, then the squares of what is left, as the reference has it.
#include "deskhand/ops/cuda/map.cuh"
#include "deskhand/ops/layer_norm.h"

namespace deskhand::cuda {
namespace {

constexpr int kWarps = 8;

__device__ float of_warp(float value) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(~0u, value, step);
  return value;
}

template <class T>
struct Rows {
  T* out;
  const T *x, *residual;               // residual may be null
  const float *shift, *weight, *bias;  // shift may be null
  std::int64_t rows, width;
  float epsilon;
};

// x, the residual and its bias, of kEach columns from i of a row that begins at `first`.
template <int kEach, class T>
__device__ void load_sum(float (&values)[kEach], const Rows<T>& of, std::int64_t first, std::int64_t i) {
  load(values, of.x + first + i);
  float more[kEach];
  if (of.residual) {
    load(more, of.residual + first + i);
#pragma unroll
    for (int k = 0; k < kEach; ++k) values[k] += more[k];
  }
  if (of.shift) {
    load(more, of.shift + i);
#pragma unroll
    for (int k = 0; k < kEach; ++k) values[k] += more[k];
  }
}

template <int kEach, class T>
__device__ void store_normed(const float (&values)[kEach], const Rows<T>& of, std::int64_t first, std::int64_t i, float mean, float scale) {
  float weights[kEach], biases[kEach];
  load(weights, of.weight + i);
  load(biases, of.bias + i);
#pragma unroll
  for (int k = 0; k < kEach; ++k) weights[k] = (values[k] - mean) * scale * weights[k] + biases[k];
  store(of.out + first + i, weights);
}

// Any width and alignment; the cache holds the row between its readings.
template <class T>
__global__ void __launch_bounds__(32 * kWarps) any_layer_norm_kernel(Rows<T> of) {
  const std::int64_t row = blockIdx.x * std::int64_t{kWarps} + threadIdx.x / 32, first = row * of.width;
  if (row >= of.rows) return;
  const auto for_columns = [&](const auto& work) {
    for (std::int64_t i = threadIdx.x % 32; i < of.width; i += 32) {
      float value[1];
      load_sum(value, of, first, i);
      work(i, value);
    }
  };
  const float width = static_cast<float>(of.width);
  float sum = 0, squares = 0;
  for_columns([&](std::int64_t, const float(&value)[1]) { sum += value[0]; });
  const float mean = of_warp(sum) / width;
  for_columns([&](std::int64_t, const float(&value)[1]) { squares += (value[0] - mean) * (value[0] - mean); });
  const float scale = 1 / sqrtf(of_warp(squares) / width + of.epsilon);
  for_columns([&](std::int64_t i, const float(&value)[1]) { store_normed(value, of, first, i, mean, scale); });
}

constexpr int kTogether = 4;  // neighbours: a width of 384 is three times a warp of them

// Rows of up to 32 kTogether kPacks columns, read once and held in registers.
template <int kPacks, class T>
__global__ void __launch_bounds__(32 * kWarps) held_layer_norm_kernel(Rows<T> of) {
  const std::int64_t row = blockIdx.x * std::int64_t{kWarps} + threadIdx.x / 32, first = row * of.width;
  if (row >= of.rows) return;
  const int lane = threadIdx.x % 32 * kTogether, width = static_cast<int>(of.width);
  float values[kPacks][kTogether];
#pragma unroll
  for (int pack = 0; pack < kPacks; ++pack)
    if (const int i = lane + pack * 32 * kTogether; i < width) load_sum(values[pack], of, first, i);
  float sum = 0, squares = 0;
#pragma unroll
  for (int pack = 0; pack < kPacks; ++pack)
    if (lane + pack * 32 * kTogether < width)
#pragma unroll
      for (const float value : values[pack]) sum += value;
  const float mean = of_warp(sum) / static_cast<float>(width);
#pragma unroll
  for (int pack = 0; pack < kPacks; ++pack)
    if (lane + pack * 32 * kTogether < width)
#pragma unroll
      for (const float value : values[pack]) squares += (value - mean) * (value - mean);
  const float scale = 1 / sqrtf(of_warp(squares) / static_cast<float>(width) + of.epsilon);
#pragma unroll
  for (int pack = 0; pack < kPacks; ++pack)
    if (const int i = lane + pack * 32 * kTogether; i < width) store_normed(values[pack], of, first, i, mean, scale);
}

}  // namespace

void layer_norm(const Backend& on, View out, ConstView x, const Residual& residual, const LayerNormWeights& norm) {
  require_gpu(on, {out, x, residual.rows, residual.bias, norm.weight, norm.bias});
  const std::int64_t rows = x.shape().rows(), width = x.shape().last();
  if (x.shape().elements() == 0) return;
  with_type(x.type(), [&](auto type) {
    using T = decltype(type);
    constexpr int kFew = 4, kMany = 8;  // packs
    bool packs = width % kTogether == 0 && width <= 32 * kTogether * kMany;
    for (const ConstView view : {ConstView(out), x, residual.rows, residual.bias, norm.weight, norm.bias})
      packs &= view.empty() || is_aligned(view.data());
    auto* const kernel = !packs                           ? &any_layer_norm_kernel<T>
                         : width <= 32 * kTogether * kFew ? &held_layer_norm_kernel<kFew, T>
                                                          : &held_layer_norm_kernel<kMany, T>;
    kernel<<<blocks_for(rows, kWarps), 32 * kWarps, 0, stream(on)>>>({pointer<T>(out), pointer<T>(x), pointer<T>(residual.rows),
                                                                      pointer(residual.bias), pointer(norm.weight), pointer(norm.bias),
                                                                      rows, width, norm.epsilon});
  });
  check_launch();
}

}  // namespace deskhand::cuda
