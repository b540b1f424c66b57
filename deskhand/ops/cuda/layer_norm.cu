// A block a row; mean first, then the squares of what is left, as the reference has it.
#include "deskhand/ops/cuda/launch.cuh"
#include "deskhand/ops/layer_norm.h"

namespace deskhand::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) layer_norm_kernel(float* out, const float* x, const float* residual, const float* weight,
                                                              const float* bias, std::int64_t width, float epsilon) {
  const std::int64_t first = blockIdx.x * width;
  const auto in = [&](std::int64_t i) { return residual ? x[first + i] + residual[first + i] : x[first + i]; };
  float sum = 0, squares = 0;
  for (std::int64_t i = threadIdx.x; i < width; i += kThreads) sum += in(i);
  const float mean = of_block(sum) / static_cast<float>(width);
  for (std::int64_t i = threadIdx.x; i < width; i += kThreads) squares += (in(i)-mean) * (in(i)-mean);
  const float scale = 1 / sqrtf(of_block(squares) / static_cast<float>(width) + epsilon);
  for (std::int64_t i = threadIdx.x; i < width; i += kThreads) out[first + i] = (in(i)-mean) * scale * weight[i] + bias[i];
}

}  // namespace

void layer_norm(const Backend& on, View out, ConstView x, ConstView residual, const LayerNormWeights& norm) {
  require_gpu(on, {out, x, residual, norm.weight, norm.bias});
  if (x.shape().elements() == 0) return;
  layer_norm_kernel<<<blocks_for(x.shape().rows(), 1), kThreads, 0, stream(on)>>>(
      pointer(out), pointer(x), pointer(residual), pointer(norm.weight), pointer(norm.bias), x.shape().last(), norm.epsilon);
  check_launch();
}

}  // namespace deskhand::cuda
