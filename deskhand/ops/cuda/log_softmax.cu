// A block a row; the sum in double, for vocabularies.
#include "deskhand/ops/cuda/launch.cuh"
#include "deskhand/ops/log_softmax.h"

namespace deskhand::cuda {
namespace {

constexpr int kThreads = 512;

__global__ void __launch_bounds__(kThreads) log_softmax_kernel(float* out, const float* x, std::int64_t width) {
  const float* const in = x + blockIdx.x * width;
  float largest = -INFINITY;
  for (std::int64_t i = threadIdx.x; i < width; i += kThreads) largest = fmaxf(largest, in[i]);
  largest = of_block(largest, -INFINITY, Larger());
  double total = 0;
  for (std::int64_t i = threadIdx.x; i < width; i += kThreads) total += expf(in[i] - largest);
  const auto log_total = static_cast<float>(log(of_block(total)));
  for (std::int64_t i = threadIdx.x; i < width; i += kThreads) out[blockIdx.x * width + i] = in[i] - largest - log_total;
}

}  // namespace

void log_softmax(const Backend& on, View out, ConstView x) {
  require_gpu(on, {out, x});
  if (x.shape().elements() == 0) return;
  log_softmax_kernel<<<blocks_for(x.shape().rows(), 1), kThreads, 0, stream(on)>>>(pointer(out), pointer(x), x.shape().last());
  check_launch();
}

}  // namespace deskhand::cuda
