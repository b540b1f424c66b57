// A block a row. Bound by memory: forward 8 bytes an element where the row stays in the cache between its two readings.
#include "deskhand/ops/cuda/launch.cuh"
#include "deskhand/ops/rms_norm.h"

namespace deskhand::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads)
    rms_norm_kernel(float* out, const float* x, const float* weight, float* rstd, std::int64_t width, float epsilon) {
  const std::int64_t row = blockIdx.x;
  const float* const in = x + row * width;
  float squares = 0;
  for (std::int64_t i = threadIdx.x; i < width; i += kThreads) squares += in[i] * in[i];
  const float scale = 1 / sqrtf(of_block(squares) / static_cast<float>(width) + epsilon);
  if (rstd && threadIdx.x == 0) rstd[row] = scale;
  for (std::int64_t i = threadIdx.x; i < width; i += kThreads) out[row * width + i] = in[i] * scale * weight[i];
}

__global__ void __launch_bounds__(kThreads) rms_norm_backward_kernel(float* d_x, bool add, const float* d_out, const float* x,
                                                                     const float* weight, const float* rstd, std::int64_t width) {
  const std::int64_t first = blockIdx.x * width;
  const float scale = rstd[blockIdx.x];
  float sum = 0;  // of g x
  for (std::int64_t i = threadIdx.x; i < width; i += kThreads) sum += d_out[first + i] * weight[i] * x[first + i];
  const float shared = of_block(sum) / static_cast<float>(width) * scale * scale * scale;
  for (std::int64_t i = threadIdx.x; i < width; i += kThreads) {
    const float slope = scale * d_out[first + i] * weight[i] - x[first + i] * shared;
    d_x[first + i] = add ? d_x[first + i] + slope : slope;
  }
}

}  // namespace

void rms_norm(const Backend& on, View out, ConstView x, ConstView weight, float epsilon, View rstd) {
  require_gpu(on, {out, x, weight, rstd});
  if (x.shape().elements() == 0) return;
  rms_norm_kernel<<<blocks_for(x.shape().rows(), 1), kThreads, 0, stream(on)>>>(pointer(out), pointer(x), pointer(weight), pointer(rstd),
                                                                                x.shape().last(), epsilon);
  check_launch();
}

void rms_norm_backward(const Backend& on, const RmsNormGradients& gradients, ConstView d_out, ConstView x, ConstView weight,
                       ConstView rstd) {
  require_gpu(on, {gradients.d_x, gradients.d_weight, d_out, x, weight, rstd});
  const std::int64_t rows = x.shape()[0], width = x.shape()[1];
  if (rows == 0 || width == 0) return;
  if (!gradients.d_weight.empty())  // before: d_x may be d_out
    add_column_sums(on, pointer(gradients.d_weight), rows, width,
                    [d = pointer(d_out), in = pointer(x), scale = pointer(rstd), width] __device__(std::int64_t row, std::int64_t column) {
                      return d[row * width + column] * in[row * width + column] * scale[row];
                    });
  rms_norm_backward_kernel<<<blocks_for(rows, 1), kThreads, 0, stream(on)>>>(
      pointer(gradients.d_x), gradients.into == Into::kAdd, pointer(d_out), pointer(x), pointer(weight), pointer(rstd), width);
  check_launch();
}

}  // namespace deskhand::cuda
