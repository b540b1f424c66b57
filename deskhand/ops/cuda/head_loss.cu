// Cross-entropy: a block a row of logits, read twice and written once. Sums are in double: a vocabulary has 151 936 words.
#include "deskhand/ops/head_loss.h"

#include <vector>

#include "deskhand/ops/cuda/launch.cuh"

namespace deskhand::cuda {
namespace {

constexpr int kThreads = 512;

struct RowLoss {
  double loss, entropy;
  long long correct;
};

__global__ void __launch_bounds__(kThreads)
    cross_entropy_kernel(RowLoss* found, float* logits, const std::int32_t* targets, std::int64_t vocabulary, float scale) {
  float* const values = logits + blockIdx.x * vocabulary;
  const std::int32_t target = targets[blockIdx.x];
  const float of_target = values[target];
  float largest = -INFINITY;
  for (std::int64_t i = threadIdx.x; i < vocabulary; i += kThreads) largest = fmaxf(largest, values[i]);
  largest = of_block(largest, -INFINITY, Larger());
  double total = 0, weighted = 0;  // sums of e and of e (x - largest), e = exp(x - largest)
  int before = 0;                  // words before the target that are as large as the largest
  for (std::int64_t i = threadIdx.x; i < vocabulary; i += kThreads) {
    const float below = values[i] - largest, e = expf(below);
    total += e;
    if (e != 0) weighted += static_cast<double>(e) * below;
    before += i < target && below == 0;
  }
  total = of_block(total);
  weighted = of_block(weighted);
  before = of_block(before);
  if (threadIdx.x == 0)
    found[blockIdx.x] = {log(total) + largest - of_target, log(total) - weighted / total, of_target == largest && before == 0};
  const auto share = static_cast<float>(1 / total);
  for (std::int64_t i = threadIdx.x; i < vocabulary; i += kThreads)
    values[i] = scale * (expf(values[i] - largest) * share - (i == target ? 1.0f : 0.0f));
}

}  // namespace

HeadLoss cross_entropy(const Backend& on, View logits, std::span<const std::int32_t> targets, float scale) {
  require_gpu(on, {logits});
  HeadLoss sum;
  if (targets.empty()) return sum;
  const auto rows = static_cast<std::int64_t>(targets.size());
  auto* const found = on.cuda->scratch<RowLoss>(kSums, rows);
  cross_entropy_kernel<<<blocks_for(rows, 1), kThreads, 0, stream(on)>>>(found, pointer(logits), on.cuda->upload(kIndices, targets),
                                                                         logits.shape()[1], scale);
  check_launch();
  std::vector<RowLoss> parts(targets.size());
  on.cuda->download(std::as_writable_bytes(std::span(parts)), found);
  for (const RowLoss& part : parts) {
    sum.loss += part.loss;
    sum.entropy += part.entropy;
    sum.correct += part.correct;
  }
  return sum;
}

View logits_memory(const Backend& on, std::int64_t rows, std::int64_t vocabulary) {
  require_gpu(on, {});
  return {on.cuda->scratch(kLogits, rows * vocabulary * static_cast<std::int64_t>(sizeof(float))),
          DType::kF32,
          {rows, vocabulary},
          Device::kCuda};
}

}  // namespace deskhand::cuda
