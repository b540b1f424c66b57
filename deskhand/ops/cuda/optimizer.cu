// Bound by memory: AdamW 28 bytes a weight, 30 where it is rounded too, the norm 4.
#include "deskhand/ops/optimizer.h"

#include <cmath>
#include <vector>

#include "deskhand/ops/cuda/map.cuh"

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

constexpr int kEach = 4;  // weights of a thread

struct Part {
  float *weights, *m, *v;
  Bf16* rounded;  // or null
  const float* gradient;
  std::int64_t count, first_block;
  float keep, step;
};
struct Factors {
  float gradient, beta1, beta1_rest, beta2, beta2_rest, root, epsilon;
};

// A block: kThreads * kEach weights of one part.
__global__ void __launch_bounds__(kThreads) adamw_kernel(const Part* parts, int count, const Factors s) {
  int low = 0, high = count;  // the last part that begins at this block or before
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (parts[middle].first_block <= blockIdx.x ? low : high) = middle;
  }
  const Part part = parts[low];
  const std::int64_t first = ((blockIdx.x - part.first_block) * kThreads + threadIdx.x) * kEach;
  if (first >= part.count) return;
  const auto all_aligned = [](auto... pointers) { return ((reinterpret_cast<std::uintptr_t>(pointers) % 16 == 0) && ...); };
  const bool together = first + kEach <= part.count && all_aligned(part.weights, part.m, part.v, part.gradient, part.rounded);
  const int there = static_cast<int>(min(std::int64_t{kEach}, part.count - first));
  float w[kEach], m[kEach], v[kEach], g[kEach];
  const auto read = [&](float(&to)[kEach], const float* from) {
    if (together) return load(to, from + first);
#pragma unroll
    for (int i = 0; i < kEach; ++i) to[i] = i < there ? from[first + i] : 0.0f;
  };
  const auto write = [&](auto* to, const float(&from)[kEach]) {
    if (together) return store(to + first, from);
#pragma unroll
    for (int i = 0; i < kEach; ++i)
      if (i < there) to[first + i] = narrowed<std::remove_pointer_t<decltype(to)>>(from[i]);
  };
  read(g, part.gradient);
  read(m, part.m);
  read(v, part.v);
  read(w, part.weights);
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const float of = g[i] * s.gradient;
    m[i] = s.beta1 * m[i] + s.beta1_rest * of;
    v[i] = s.beta2 * v[i] + s.beta2_rest * of * of;
    w[i] = w[i] * part.keep - part.step * m[i] / (sqrtf(v[i]) * s.root + s.epsilon);
  }
  write(part.m, m);
  write(part.v, v);
  write(part.weights, w);
  if (part.rounded) write(part.rounded, w);
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

void adamw(const Backend& on, std::span<const AdamWPart> parts, const AdamW& s) {
  const double first = 1 - std::pow(s.beta1, static_cast<double>(s.step)), second = 1 - std::pow(s.beta2, static_cast<double>(s.step));
  std::vector<Part> table;
  std::int64_t blocks = 0;
  for (const AdamWPart& part : parts) {
    require_gpu(on, {part.weights, part.state.m, part.state.v, part.gradient, part.rounded});
    const double rate = s.learning_rate * part.rate_factor;
    table.push_back({.weights = pointer(part.weights),
                     .m = pointer(part.state.m),
                     .v = pointer(part.state.v),
                     .rounded = part.rounded.empty() ? nullptr : pointer<Bf16>(part.rounded),
                     .gradient = pointer(part.gradient),
                     .count = part.weights.shape().elements(),
                     .first_block = blocks,
                     .keep = static_cast<float>(1 - rate * (part.decays ? s.weight_decay : 0)),
                     .step = static_cast<float>(rate / first)});
    blocks += (table.back().count + kThreads * kEach - 1) / (kThreads * kEach);
  }
  if (blocks == 0) return;
  const Factors factors{.gradient = static_cast<float>(s.gradient_scale),
                        .beta1 = static_cast<float>(s.beta1),
                        .beta1_rest = static_cast<float>(1 - s.beta1),
                        .beta2 = static_cast<float>(s.beta2),
                        .beta2_rest = static_cast<float>(1 - s.beta2),
                        .root = static_cast<float>(1 / std::sqrt(second)),
                        .epsilon = static_cast<float>(s.epsilon)};
  adamw_kernel<<<blocks_for(blocks, 1), kThreads, 0, stream(on)>>>(on.cuda->upload(kOrder, std::span<const Part>(table)),
                                                                   static_cast<int>(table.size()), factors);
  check_launch();
}

}  // namespace deskhand::cuda
