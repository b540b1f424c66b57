// Cross-entropy. From compute capability 9.0 a cluster of eight blocks holds a row of logits in its shared memory: they are read once and
// written once, with one exponential each. Elsewhere a block a row reads them twice. Sums are in double: a vocabulary has 151 936 words.
#include "deskhand/ops/head_loss.h"

#include <cooperative_groups.h>

#include <algorithm>
#include <cfloat>
#include <vector>

#include "deskhand/ops/copy.h"
#include "deskhand/ops/cuda/map.cuh"
#include "deskhand/ops/cuda/multiply.h"
#include "deskhand/ops/linear.h"

namespace deskhand::cuda {
namespace {

constexpr int kThreads = 512;
constexpr std::int64_t kLogitBytes = 1ll << 30;  // 2 000 rows of Llama 3's vocabulary: enough for a product at full rate
// Where the head's gradient is wanted each such product reads and writes all of it: as many logits as a twentieth of the card holds, up to
// 8 000 rows of that vocabulary.
constexpr std::int64_t kMostLogitBytes = 4ll << 30, kPartOfCard = 20;

struct RowLoss {
  double loss, entropy;
  long long correct;
};

// Of words seen so far: the largest logit, the sums of e and of e (x - largest) with e = exp(x - largest), and how many words before the
// target are as large as the largest.
struct Seen {
  float largest = -FLT_MAX;
  double total = 0, weighted = 0;
  int before = 0;

  __device__ void raise(float to) {
    const float below = largest - to, less = expf(below);
    weighted = less == 0 ? 0 : (weighted + total * below) * less;
    total *= less;
    if (below < 0) before = 0;
    largest = to;
  }
  __device__ void add(float x, bool is_before) {
    if (x > largest) raise(x);
    const float below = x - largest, e = expf(below);
    total += e;
    if (e != 0) weighted += static_cast<double>(e) * below;
    before += is_before && below == 0;
  }
};

// logits become d_logits = scale weight (softmax - target's one) of type T, row by row in the same memory: a bf16 row takes the first half
// of its f32 row, and what is overwritten has been read by then.
template <class T>
__global__ void __launch_bounds__(kThreads)
    cross_entropy_kernel(RowLoss* found, float* logits, const std::int32_t* targets, const float* weights, std::int64_t vocabulary,
                         float scale, bool wants_gradient) {
  constexpr int kEach = 4;
  float* const values = logits + blockIdx.x * vocabulary;
  const std::int32_t target = targets[blockIdx.x];
  const float of_target = values[target], weight = weights ? weights[blockIdx.x] : 1.0f;
  scale *= weight;
  Seen seen;
  for (std::int64_t i = threadIdx.x; i < vocabulary; i += kThreads) seen.add(values[i], i < target);
  const float largest = of_block(seen.largest, -FLT_MAX, Larger());
  seen.raise(largest);
  const double total = of_block(seen.total), weighted = of_block(seen.weighted);
  const int before = of_block(seen.before);
  if (threadIdx.x == 0)
    found[blockIdx.x] = {weight * (log(total) + largest - of_target), log(total) - weighted / total, of_target == largest && before == 0};
  if (!wants_gradient) return;
  const auto share = static_cast<float>(1 / total);
  T* const to = reinterpret_cast<T*>(values);
  for (std::int64_t first = 0; first < vocabulary; first += kThreads * kEach) {
    float read[kEach];
#pragma unroll
    for (int k = 0; k < kEach; ++k) {
      const std::int64_t i = first + k * kThreads + threadIdx.x;
      if (i < vocabulary) read[k] = values[i];
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kEach; ++k) {
      const std::int64_t i = first + k * kThreads + threadIdx.x;
      if (i < vocabulary) to[i] = narrowed<T>(scale * (expf(read[k] - largest) * share - (i == target ? 1.0f : 0.0f)));
    }
  }
}

constexpr int kCluster = 8, kPacked = 4;  // blocks that share a row, neighbours that a thread takes at a time

extern __shared__ __align__(16) float held_logits[];

// The same for rows whose eighths fit a block's shared memory; vocabulary and slice are multiples of kPacked, rows begin on 16 bytes.
template <class T>
__global__ void __launch_bounds__(kThreads)
    cross_entropy_in_cluster_kernel(RowLoss* found, float* logits, const std::int32_t* targets, const float* weights, int vocabulary,
                                    int slice, float scale, bool wants_gradient) {
#if __CUDA_ARCH__ >= 900
  namespace cg = cooperative_groups;
  struct Sums {
    double total, weighted;
    float largest;
    int before;
  };
  __shared__ Sums sums_here, sums_of[kCluster];
  const cg::cluster_group cluster = cg::this_cluster();
  const int rank = static_cast<int>(cluster.block_rank()), row = static_cast<int>(blockIdx.x) / kCluster;
  const int first = rank * slice, count = max(0, min(slice, vocabulary - first));
  float* const values = logits + std::int64_t{row} * vocabulary;
  const std::int32_t target = targets[row];
  const float weight = weights ? weights[row] : 1.0f;
  const float of_target = rank == 0 && threadIdx.x == 0 ? values[target] : 0;  // before anybody writes

  float largest = -FLT_MAX;
#pragma unroll 4
  for (int i = threadIdx.x * kPacked; i < count; i += kThreads * kPacked) {
    const float4 pack = *reinterpret_cast<const float4*>(values + first + i);
    *reinterpret_cast<float4*>(held_logits + i) = pack;
    largest = fmaxf(fmaxf(largest, fmaxf(pack.x, pack.y)), fmaxf(pack.z, pack.w));
  }
  largest = of_block(largest, -FLT_MAX, Larger());

  // All of it relative to the block's own largest.
  double total_here = 0, weighted_here = 0;
  int before = 0;
  for (int i = threadIdx.x * kPacked; i < count; i += kThreads * kPacked) {
    float4 pack = *reinterpret_cast<const float4*>(held_logits + i);
    float* const x = reinterpret_cast<float*>(&pack);
    float total = 0, weighted = 0;  // of the four
#pragma unroll
    for (int k = 0; k < kPacked; ++k) {
      const float below = x[k] - largest, e = expf(below);
      total += e;
      if (e != 0) weighted += e * below;
      before += below == 0 && first + i + k < target;
      x[k] = e;
    }
    total_here += total;
    weighted_here += weighted;
    *reinterpret_cast<float4*>(held_logits + i) = pack;
  }
  total_here = of_block(total_here);
  weighted_here = of_block(weighted_here);
  before = of_block(before);
  if (threadIdx.x == 0) sums_here = {total_here, weighted_here, largest, before};
  cluster.sync();
  if (threadIdx.x < kCluster) sums_of[threadIdx.x] = *cluster.map_shared_rank(&sums_here, threadIdx.x);
  __syncthreads();
  cluster.barrier_arrive();
  Sums sums{.total = 0, .weighted = 0, .largest = -FLT_MAX, .before = 0};
#pragma unroll
  for (const Sums& of : sums_of) sums.largest = fmaxf(sums.largest, of.largest);
#pragma unroll
  for (const Sums& of : sums_of) {
    const float below = of.largest - sums.largest, e = expf(below);
    sums.total += of.total * e;
    if (e != 0) sums.weighted += (of.weighted + of.total * below) * e;
    if (below == 0) sums.before += of.before;
  }
  if (rank == 0 && threadIdx.x == 0)
    found[row] = {weight * (log(sums.total) + sums.largest - of_target), log(sums.total) - sums.weighted / sums.total,
                  of_target == sums.largest && sums.before == 0};
  scale *= weight;
  const float share = scale * expf(largest - sums.largest) * static_cast<float>(1 / sums.total);
  T* const to = reinterpret_cast<T*>(values) + first;
  for (int i = wants_gradient ? threadIdx.x * kPacked : count; i < count; i += kThreads * kPacked) {
    const float4 pack = *reinterpret_cast<const float4*>(held_logits + i);
    float slopes[kPacked] = {pack.x * share, pack.y * share, pack.z * share, pack.w * share};
#pragma unroll
    for (int k = 0; k < kPacked; ++k)
      if (first + i + k == target) slopes[k] -= scale;
    store(to + i, slopes);
  }
  cluster.barrier_wait();  // no block ends while another reads from it
#endif
}

// Starts the kernel that fits; `found` and `target` are those of the rows.
template <class T>
void start_cross_entropy(const Backend& on, RowLoss* found, float* logits, const std::int32_t* target, const float* weights,
                         std::int64_t rows, std::int64_t vocabulary, float scale, bool wants_gradient) {
  constexpr int kSince = 9;
  constexpr std::int64_t kMostBytes = 100 << 10;  // of a block: two at least share a multiprocessor, so that one reads while one writes
  constexpr std::int64_t kOwnBytes = 1 << 10;     // what the kernel has besides; 12.x lets a block have 99 KiB in all
  const std::int64_t slice = (vocabulary / kPacked + kCluster - 1) / kCluster * kPacked,
                     bytes = slice * static_cast<std::int64_t>(sizeof(float));
  if (on.cuda->card().capability_major < kSince || vocabulary % kPacked != 0 || !is_aligned(logits) || bytes > kMostBytes ||
      attribute_of(on, cudaDevAttrMaxSharedMemoryPerBlockOptin) < kMostBytes + kOwnBytes) {
    cross_entropy_kernel<T>
        <<<blocks_for(rows, 1), kThreads, 0, stream(on)>>>(found, logits, target, weights, vocabulary, scale, wants_gradient);
    return check_launch();
  }
  const auto kernel = &cross_entropy_in_cluster_kernel<T>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kMostBytes));
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = kCluster;
  attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = blocks_for(rows * kCluster, 1);
  config.blockDim = kThreads;
  config.dynamicSmemBytes = static_cast<std::size_t>(bytes);
  config.stream = stream(on);
  config.attrs = &attribute;
  config.numAttrs = 1;
  check(cudaLaunchKernelEx(&config, kernel, found, logits, target, weights, static_cast<int>(vocabulary), static_cast<int>(slice), scale,
                           wants_gradient));
}

HeadLoss sum_of(const Backend& on, const RowLoss* found, std::size_t rows) {
  std::vector<RowLoss> parts(rows);
  on.cuda->download(std::as_writable_bytes(std::span(parts)), found);
  HeadLoss sum;
  for (const RowLoss& part : parts) {
    sum.loss += part.loss;
    sum.entropy += part.entropy;
    sum.correct += part.correct;
  }
  return sum;
}

// What d_logits (rows, V) owe to the head and its input. bf16 ones take the first half of each row.
void pull(const Backend& on, View d_hidden, View d_weight, Into into, ConstView d_logits, ConstView hidden, ConstView weight) {
  if (hidden.type() == DType::kF32) {
    if (into == Into::kOverwrite) cuda::clear(on, d_weight);
    if (!d_weight.empty()) cuda::linear_backward_weight(on, d_weight, d_logits, hidden);
    if (!d_hidden.empty()) cuda::linear_backward_input(on, d_hidden, d_logits, weight, Into::kOverwrite);
    return;
  }
  const std::int64_t vocabulary = weight.shape()[0], width = weight.shape()[1], step = 2 * vocabulary;
  if (!d_weight.empty())
    multiply(on, {.rows = vocabulary,
                  .columns = width,
                  .depth = hidden.shape()[0],
                  .a = d_logits.data(),
                  .a_step = step,
                  .a_turned = true,
                  .b = hidden.data(),
                  .b_step = width,
                  .c = d_weight.data(),
                  .c_step = width,
                  .type = Product::Type::kBF16,
                  .add = into == Into::kAdd});
  if (!d_hidden.empty()) multiply_by_weight(on, d_hidden, d_logits.data(), DType::kBF16, step, weight, Into::kOverwrite);
}

const float* uploaded(const Backend& on, std::span<const float> weights) {
  return weights.empty() ? nullptr : on.cuda->upload(kTokenWeights, weights);
}

}  // namespace

std::int64_t logit_bytes(const Backend& on, bool wants_weight) {
  const std::int64_t of_card = static_cast<std::int64_t>(on.cuda->card().total_bytes) / kPartOfCard;
  return wants_weight ? std::clamp(of_card, kLogitBytes, kMostLogitBytes) : kLogitBytes;
}

HeadLoss cross_entropy(const Backend& on, View logits, std::span<const std::int32_t> targets, float scale, std::span<const float> weights) {
  require_gpu(on, {logits});
  if (targets.empty()) return {};
  const auto rows = static_cast<std::int64_t>(targets.size());
  auto* const found = on.cuda->scratch<RowLoss>(kRowLosses, rows);
  start_cross_entropy<float>(on, found, pointer(logits), on.cuda->upload(kIndices, targets), uploaded(on, weights), rows, logits.shape()[1],
                             scale, true);
  return sum_of(on, found, targets.size());
}

HeadLoss head_loss(const Backend& on, const HeadGradients& gradients, ConstView hidden, ConstView weight,
                   std::span<const std::int32_t> targets, HeadLossOptions options) {
  require_gpu(on, {gradients.d_hidden, gradients.d_weight, hidden, weight});
  const std::int64_t tokens = hidden.shape()[0], vocabulary = weight.shape()[0];
  const std::int64_t bytes = options.logit_bytes > 0 ? options.logit_bytes : cuda::logit_bytes(on, !gradients.d_weight.empty());
  const std::int64_t most = std::clamp<std::int64_t>(bytes / (vocabulary * static_cast<std::int64_t>(sizeof(float))), 1, tokens);
  const std::int64_t passes = (tokens + most - 1) / most, rows = (tokens + passes - 1) / passes;
  const View memory(on.cuda->scratch(kLogits, rows * vocabulary * static_cast<std::int64_t>(sizeof(float))), DType::kF32,
                    {rows, vocabulary}, Device::kCuda);
  const std::int32_t* const target = on.cuda->upload(kIndices, targets);
  const float* const token_weight = uploaded(on, options.weights);
  auto* const found = on.cuda->scratch<RowLoss>(kRowLosses, tokens);
  const bool wants_gradient = !gradients.d_hidden.empty() || !gradients.d_weight.empty();
  for (std::int64_t first = 0; first < tokens; first += rows) {
    const std::int64_t count = std::min(rows, tokens - first);
    const LinearPart part{memory.rows(0, count), weight, {}};
    cuda::linear(on, {&part, 1}, hidden.rows(first, count));
    with_type(hidden.type(), [&](auto type) {
      using T = decltype(type);
      start_cross_entropy<T>(on, found + first, pointer(memory), target + first, token_weight ? token_weight + first : nullptr, count,
                             vocabulary, options.scale, wants_gradient);
    });
    pull(on, gradients.d_hidden.empty() ? View() : gradients.d_hidden.rows(first, count), gradients.d_weight,
         first == 0 ? gradients.into : Into::kAdd, memory.rows(0, count), hidden.rows(first, count), weight);
  }
  return sum_of(on, found, targets.size());
}

}  // namespace deskhand::cuda
