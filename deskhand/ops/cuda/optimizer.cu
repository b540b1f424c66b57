// Bound by memory: AdamW 28 bytes a weight, the norm 4.
#include "deskhand/ops/optimizer.h"

#include <cmath>
#include <vector>

#include "deskhand/ops/cuda/launch.cuh"

namespace deskhand::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kBlock = 65536;  // weights whose squares are one sum

struct SquareSum {
  double squares;
  long long not_finite;
};

__global__ void __launch_bounds__(kThreads) square_sums_kernel(SquareSum* sums, const float* gradient, std::int64_t count) {
  const std::int64_t first = blockIdx.x * kBlock, end = min(first + kBlock, count);
  double squares = 0;
  long long not_finite = 0;
  for (std::int64_t i = first + threadIdx.x; i < end; i += kThreads) {
    const float value = gradient[i];
    squares += static_cast<double>(value) * value;
    not_finite += !isfinite(value);
  }
  squares = of_block(squares);
  not_finite = of_block(not_finite);
  if (threadIdx.x == 0) sums[blockIdx.x] = {squares, not_finite};
}

}  // namespace

GradientNorm gradient_norm(const Backend& on, ConstView gradient) {
  require_gpu(on, {gradient});
  const std::int64_t count = gradient.shape().elements(), blocks = (count + kBlock - 1) / kBlock;
  GradientNorm found;
  if (count == 0) return found;
  auto* const sums = on.cuda->scratch<SquareSum>(kSums, blocks);
  square_sums_kernel<<<blocks_for(blocks, 1), kThreads, 0, stream(on)>>>(sums, pointer(gradient), count);
  check_launch();
  std::vector<SquareSum> parts(static_cast<std::size_t>(blocks));
  on.cuda->download(std::as_writable_bytes(std::span(parts)), sums);
  double squares = 0;
  for (const SquareSum& part : parts) {
    squares += part.squares;
    found.not_finite += part.not_finite;
  }
  found.norm = std::sqrt(squares);
  return found;
}

void adamw(const Backend& on, View weights, const AdamWState& state, ConstView gradient, const AdamW& s) {
  require_gpu(on, {weights, state.m, state.v, gradient});
  const double first = 1 - std::pow(s.beta1, static_cast<double>(s.step)), second = 1 - std::pow(s.beta2, static_cast<double>(s.step));
  for_each(on, weights.shape().elements(),
           [w = pointer(weights), m = pointer(state.m), v = pointer(state.v), gradients = pointer(gradient),
            scale = static_cast<float>(s.gradient_scale), keep = static_cast<float>(1 - s.learning_rate * s.weight_decay),
            beta1 = static_cast<float>(s.beta1), beta1_rest = static_cast<float>(1 - s.beta1), beta2 = static_cast<float>(s.beta2),
            beta2_rest = static_cast<float>(1 - s.beta2), step = static_cast<float>(s.learning_rate / first),
            root = static_cast<float>(1 / std::sqrt(second)), epsilon = static_cast<float>(s.epsilon)] __device__(std::int64_t i) {
             const float g = gradients[i] * scale;
             m[i] = beta1 * m[i] + beta1_rest * g;
             v[i] = beta2 * v[i] + beta2_rest * g * g;
             w[i] = w[i] * keep - step * m[i] / (sqrtf(v[i]) * root + epsilon);
           });
}

}  // namespace deskhand::cuda
