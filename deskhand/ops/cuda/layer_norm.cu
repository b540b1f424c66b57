// A warp a row, which the cache holds between its readings: mean first, then the squares of what is left, as the reference has it.
#include "deskhand/ops/cuda/map.cuh"
#include "deskhand/ops/layer_norm.h"

namespace deskhand::cuda {
namespace {

constexpr int kWarps = 8;

__device__ float of_warp(float value) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(~0u, value, step);
  return value;
}

// kEach 1: any width and alignment.
template <int kEach, class T>
__global__ void __launch_bounds__(32 * kWarps) layer_norm_kernel(T* out, const T* x, const T* residual, const float* weight,
                                                                 const float* bias, std::int64_t rows, std::int64_t width, float epsilon) {
  const std::int64_t row = blockIdx.x * std::int64_t{kWarps} + threadIdx.x / 32, first = row * width;
  if (row >= rows) return;
  const auto for_packs = [&](const auto& work) {
    for (std::int64_t i = threadIdx.x % 32 * kEach; i < width; i += 32 * kEach) {
      float values[kEach];
      load(values, x + first + i);
      if (residual) {
        float more[kEach];
        load(more, residual + first + i);
#pragma unroll
        for (int k = 0; k < kEach; ++k) values[k] += more[k];
      }
      work(i, values);
    }
  };
  float sum = 0, squares = 0;
  for_packs([&](std::int64_t, const float(&values)[kEach]) {
#pragma unroll
    for (const float value : values) sum += value;
  });
  const float mean = of_warp(sum) / static_cast<float>(width);
  for_packs([&](std::int64_t, const float(&values)[kEach]) {
#pragma unroll
    for (const float value : values) squares += (value - mean) * (value - mean);
  });
  const float scale = 1 / sqrtf(of_warp(squares) / static_cast<float>(width) + epsilon);
  for_packs([&](std::int64_t i, float(&values)[kEach]) {
    float weights[kEach], biases[kEach];
    load(weights, weight + i);
    load(biases, bias + i);
#pragma unroll
    for (int k = 0; k < kEach; ++k) values[k] = (values[k] - mean) * scale * weights[k] + biases[k];
    store(out + first + i, values);
  });
}

}  // namespace

void layer_norm(const Backend& on, View out, ConstView x, ConstView residual, const LayerNormWeights& norm) {
  require_gpu(on, {out, x, residual, norm.weight, norm.bias});
  const std::int64_t rows = x.shape().rows(), width = x.shape().last();
  if (x.shape().elements() == 0) return;
  with_type(x.type(), [&](auto type) {
    using T = decltype(type);
    bool packs = width % kPack<T> == 0;
    for (const ConstView view : {ConstView(out), x, residual, norm.weight, norm.bias}) packs &= view.empty() || is_aligned(view.data());
    auto* const kernel = packs ? &layer_norm_kernel<kPack<T>, T> : &layer_norm_kernel<1, T>;
    kernel<<<blocks_for(rows, kWarps), 32 * kWarps, 0, stream(on)>>>(pointer<T>(out), pointer<T>(x), pointer<T>(residual),
                                                                     pointer(norm.weight), pointer(norm.bias), rows, width, norm.epsilon);
  });
  check_launch();
}

}  // namespace deskhand::cuda
