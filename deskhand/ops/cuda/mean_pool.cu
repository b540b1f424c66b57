// A block a sequence: the columns' sums into out, then the length of the whole.
#include "deskhand/ops/cuda/map.cuh"
#include "deskhand/ops/mean_pool.h"

namespace deskhand::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void __launch_bounds__(kThreads) mean_pool_unit_kernel(float* out, const T* x, const std::int32_t* bounds, std::int64_t width) {
  const std::int32_t begin = bounds[blockIdx.x], end = bounds[blockIdx.x + 1];
  float* const to = out + blockIdx.x * width;
  const float count = static_cast<float>(max(end - begin, 1));
  float squares = 0;
  for (std::int64_t column = threadIdx.x; column < width; column += kThreads) {
    float sum = 0;
    for (std::int64_t row = begin; row < end; ++row) sum += widened(x[row * width + column]);
    to[column] = sum / count;
    squares += to[column] * to[column];
  }
  const float length = fmaxf(sqrtf(of_block(squares)), 1e-12f);
  for (std::int64_t column = threadIdx.x; column < width; column += kThreads) to[column] /= length;
}

}  // namespace

void mean_pool_unit(const Backend& on, View out, ConstView x, std::span<const std::int32_t> bounds) {
  require_gpu(on, {out, x});
  if (out.shape().elements() == 0) return;
  const std::int32_t* const ends = on.cuda->upload(kBounds, bounds);
  with_type(x.type(), [&](auto type) {
    mean_pool_unit_kernel<<<blocks_for(out.shape()[0], 1), kThreads, 0, stream(on)>>>(pointer(out), pointer<decltype(type)>(x), ends,
                                                                                      x.shape()[1]);
  });
  check_launch();
}

}  // namespace deskhand::cuda
