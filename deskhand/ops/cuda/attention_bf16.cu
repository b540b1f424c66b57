// Attention on the tensor cores (Dao, 2023, "FlashAttention-2"), for heads of 16, 32, 64 and 128: blocks of 64 rows, four warps of 16. The
// work is a list of such blocks of all sequences, made on the host, so that short sequences side by side leave nothing idle. Backward makes
// the weights again from logsumexp, once for d_k and d_v with a block of keys held, once for d_q with a block of queries held: seven
// products instead of five, but every sum is made in one place and in one order.
#include <algorithm>
#include <vector>

#include "deskhand/ops/cuda/attention_bf16.h"
#include "deskhand/ops/cuda/launch.cuh"
#include "deskhand/ops/cuda/tiles.cuh"

namespace deskhand::cuda {
namespace {

constexpr int kRows = 64, kWarps = kRows / 16, kThreads = 32 * kWarps;
constexpr int kHalf = 32;  // of a block's other side at a time in backward: registers
constexpr float kLog2e = 1.4426950408889634f;

// A block of rows [first, first + kRows) of the sequence [begin, end).
struct Block {
  std::int32_t begin, end, first;
};

struct Heads {
  const Block* blocks;
  int heads, groups;
  float scale;
  bool causal;
};

// Elements from a row to the next, of all heads.
template <int kWidth>
__device__ std::int64_t step_of(int heads) {
  return static_cast<std::int64_t>(heads) * kWidth;
}

// The sums of the four threads that share a row.
__device__ float of_row(float value) {
  value += __shfl_xor_sync(~0u, value, 1);
  return value + __shfl_xor_sync(~0u, value, 2);
}
__device__ float largest_of_row(float value) {
  value = fmaxf(value, __shfl_xor_sync(~0u, value, 1));
  return fmaxf(value, __shfl_xor_sync(~0u, value, 2));
}

// sums (16 of a warp's rows, 8 kTiles) += rows `left_row`.. of `left` times rows `right_row`.. of `right`, turned, at this depth of both.
template <int kWidth, int kTiles>
__device__ void add_scores(float (&sums)[kTiles][4], const Bf16* left, int left_row, const Bf16* right, int right_row, int depth) {
  Fragment rows, columns;
  load_left<kWidth>(rows, left, left_row, depth);
#pragma unroll
  for (int n = 0; n < kTiles; n += 2) {
    load_right_of_rows<kWidth>(columns, right, right_row + n * 8, depth);
    multiply_add(sums[n], rows, columns[0], columns[1]);
    multiply_add(sums[n + 1], rows, columns[2], columns[3]);
  }
}

// sums (16 of a warp's rows, kWidth) += the columns `depth`.. of `weights` times as many rows of `right` from `right_row` on.
template <int kWidth, int kTiles>
__device__ void add_weighed(float (&sums)[kWidth / 8][4], const float (&weights)[kTiles][4], int depth, const Bf16* right, int right_row) {
  Fragment rows, columns;
  left_of_sums(rows, weights[depth / 8], weights[depth / 8 + 1]);
#pragma unroll
  for (int n = 0; n < kWidth; n += 16) {
    load_right<kWidth>(columns, right, right_row, n);
    multiply_add(sums[n / 8], rows, columns[0], columns[1]);
    multiply_add(sums[n / 8 + 1], rows, columns[2], columns[3]);
  }
}

template <int kWidth>
__global__ void __launch_bounds__(kThreads)
    forward_kernel(Heads at, Bf16* out, float* logsumexp, const Bf16* q, const Bf16* k, const Bf16* v) {
  extern __shared__ __align__(128) Bf16 tiles[];
  constexpr int kTile = kRows * kWidth;
  Bf16* const query = tiles;
  const auto key = [&](int stage) { return tiles + (1 + 2 * stage) * kTile; };
  const auto value = [&](int stage) { return tiles + (2 + 2 * stage) * kTile; };
  const Block block = at.blocks[blockIdx.x];
  const int head = blockIdx.y, group = head / (at.heads / at.groups), lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const std::int64_t q_step = step_of<kWidth>(at.heads), k_step = step_of<kWidth>(at.groups);
  const int last = at.causal ? min(block.end, block.first + kRows) : block.end, count = (last - block.begin + kRows - 1) / kRows;
  const auto fetch_keys = [&](int number) {
    const int first = block.begin + number * kRows;
    const std::int64_t from = first * k_step + group * kWidth;
    fetch<kWidth, kRows, kThreads>(key(number % 2), k + from, k_step, block.end - first);
    fetch<kWidth, kRows, kThreads>(value(number % 2), v + from, k_step, block.end - first);
    end_copies();
  };
  fetch<kWidth, kRows, kThreads>(query, q + block.first * q_step + head * kWidth, q_step, block.end - block.first);
  fetch_keys(0);

  const int row = block.first + warp * 16 + lane / 4;  // and 8 more
  const float scale = at.scale * kLog2e;
  float sum[kWidth / 8][4] = {}, largest[2] = {-INFINITY, -INFINITY}, total[2] = {};
  for (int number = 0; number < count; ++number) {
    if (number + 1 < count) {
      fetch_keys(number + 1);
      wait_for_copies<1>();
    } else {
      wait_for_copies<0>();
    }
    __syncthreads();
    float score[kRows / 8][4] = {};
#pragma unroll
    for (int depth = 0; depth < kWidth; depth += 16) add_scores<kWidth>(score, query, warp * 16, key(number % 2), 0, depth);
    const int first = block.begin + number * kRows;
    if (first + kRows > block.end || (at.causal && first + kRows > block.first)) {
#pragma unroll
      for (int n = 0; n < kRows / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int column = first + n * 8 + lane % 4 * 2 + i % 2;
          if (column >= block.end || (at.causal && column > row + i / 2 * 8)) score[n][i] = -INFINITY;
        }
    }
    // The first key of a sequence is seen by all its rows, so `largest` is a number from the first tile on.
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float larger = largest[half];
#pragma unroll
      for (int n = 0; n < kRows / 8; ++n) larger = fmaxf(larger, fmaxf(score[n][2 * half], score[n][2 * half + 1]));
      larger = largest_of_row(larger);
      const float shrink = exp2f((largest[half] - larger) * scale), off = larger * scale;
      largest[half] = larger;
      total[half] *= shrink;
#pragma unroll
      for (int n = 0; n < kWidth / 8; ++n) {
        sum[n][2 * half] *= shrink;
        sum[n][2 * half + 1] *= shrink;
      }
#pragma unroll
      for (int n = 0; n < kRows / 8; ++n)
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          score[n][i] = exp2f(score[n][i] * scale - off);
          total[half] += score[n][i];
        }
    }
#pragma unroll
    for (int depth = 0; depth < kRows; depth += 16) add_weighed<kWidth>(sum, score, depth, value(number % 2), depth);
    __syncthreads();  // before the tiles are fetched anew
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int to = row + half * 8;
    const float whole = of_row(total[half]), share = 1 / whole;
    if (to >= block.end) continue;
    Bf16* const line = out + to * q_step + head * kWidth + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < kWidth / 8; ++n)
      *reinterpret_cast<std::uint32_t*>(line + n * 8) = pair_of(sum[n][2 * half] * share, sum[n][2 * half + 1] * share);
    if (logsumexp && lane % 4 == 0) logsumexp[static_cast<std::int64_t>(to) * at.heads + head] = largest[half] * at.scale + logf(whole);
  }
}

// delta (N, H) = the rows' sums of d_out out: kWidth / 8 threads each.
template <int kWidth>
__global__ void delta_kernel(float* delta, const Bf16* d_out, const Bf16* out, std::int64_t first, std::int64_t count) {
  constexpr int kTogether = kWidth / kChunk;
  const std::int64_t thread = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x, number = first + thread / kTogether;
  float sum = 0;
  if (thread / kTogether < count) {
    const std::int64_t at = number * kWidth + thread % kTogether * kChunk;
    const uint4 a = *reinterpret_cast<const uint4*>(d_out + at), b = *reinterpret_cast<const uint4*>(out + at);
    const auto* const x = reinterpret_cast<const Bf16*>(&a);
    const auto* const y = reinterpret_cast<const Bf16*>(&b);
#pragma unroll
    for (int i = 0; i < kChunk; ++i) sum += __bfloat162float(x[i]) * __bfloat162float(y[i]);
  }
  for (int step = kTogether / 2; step > 0; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
  if (thread / kTogether < count && thread % kTogether == 0) delta[number] = sum;
}

struct Forward {
  const Bf16 *q, *k, *v, *d_out;
  const float *logsumexp, *delta;
};

// d_k and d_v of a block of keys of one group, over the heads that share them and the queries that see them. Weights are made turned, keys
// by queries, so that they are first factors as they lie.
template <int kWidth>
__global__ void __launch_bounds__(kThreads) d_key_kernel(Heads at, Forward in, Bf16* d_k, Bf16* d_v) {
  extern __shared__ __align__(128) Bf16 tiles[];
  __shared__ float logsumexp[2][kRows], delta[2][kRows];
  constexpr int kTile = kRows * kWidth;
  Bf16 *const key = tiles, *const value = tiles + kTile;
  const auto query = [&](int stage) { return tiles + (2 + 2 * stage) * kTile; };
  const auto d_out = [&](int stage) { return tiles + (3 + 2 * stage) * kTile; };
  const Block block = at.blocks[gridDim.x - 1 - blockIdx.x];  // early keys are seen by most queries: they begin
  const int group = blockIdx.y, share = at.heads / at.groups, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const std::int64_t q_step = step_of<kWidth>(at.heads), k_step = step_of<kWidth>(at.groups);
  const int begin = at.causal ? block.first : block.begin, in_a_head = (block.end - begin + kRows - 1) / kRows, count = in_a_head * share;
  const auto fetch_queries = [&](int number) {
    const int head = group * share + number / in_a_head, first = begin + number % in_a_head * kRows;
    const std::int64_t from = first * q_step + head * kWidth;
    fetch<kWidth, kRows, kThreads>(query(number % 2), in.q + from, q_step, block.end - first);
    fetch<kWidth, kRows, kThreads>(d_out(number % 2), in.d_out + from, q_step, block.end - first);
    end_copies();
    if (threadIdx.x < kRows) {
      const int row = first + threadIdx.x;
      const std::int64_t at_row = static_cast<std::int64_t>(row) * at.heads + head;
      logsumexp[number % 2][threadIdx.x] = row < block.end ? in.logsumexp[at_row] * kLog2e : INFINITY;  // its weights are zero
      delta[number % 2][threadIdx.x] = row < block.end ? in.delta[at_row] : 0;
    }
  };
  const std::int64_t own = block.first * k_step + group * kWidth;
  fetch<kWidth, kRows, kThreads>(key, in.k + own, k_step, block.end - block.first);
  fetch<kWidth, kRows, kThreads>(value, in.v + own, k_step, block.end - block.first);
  fetch_queries(0);

  const int row = block.first + warp * 16 + lane / 4;  // and 8 more
  const float scale = at.scale * kLog2e;
  float sum_k[kWidth / 8][4] = {}, sum_v[kWidth / 8][4] = {};
  for (int number = 0; number < count; ++number) {
    const int stage = number % 2, first = begin + number % in_a_head * kRows;
    if (number + 1 < count) {
      fetch_queries(number + 1);
      wait_for_copies<1>();
    } else {
      wait_for_copies<0>();
    }
    __syncthreads();
#pragma unroll 1
    for (int part = 0; part < kRows; part += kHalf) {
      float weight[kHalf / 8][4] = {}, slope[kHalf / 8][4] = {};
#pragma unroll
      for (int depth = 0; depth < kWidth; depth += 16) {
        add_scores<kWidth>(weight, key, warp * 16, query(stage), part, depth);
        add_scores<kWidth>(slope, value, warp * 16, d_out(stage), part, depth);
      }
#pragma unroll
      for (int n = 0; n < kHalf / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int of_query = part + n * 8 + lane % 4 * 2 + i % 2;
          const bool is_seen = !at.causal || row + i / 2 * 8 <= first + of_query;
          weight[n][i] = is_seen ? exp2f(weight[n][i] * scale - logsumexp[stage][of_query]) : 0;
          slope[n][i] = weight[n][i] * (slope[n][i] - delta[stage][of_query]);
        }
#pragma unroll
      for (int depth = 0; depth < kHalf; depth += 16) {
        add_weighed<kWidth>(sum_v, weight, depth, d_out(stage), part + depth);
        add_weighed<kWidth>(sum_k, slope, depth, query(stage), part + depth);
      }
    }
    __syncthreads();  // before the tiles are fetched anew
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int to = row + half * 8;
    if (to >= block.end) continue;
    const std::int64_t line = to * k_step + group * kWidth + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < kWidth / 8; ++n) {
      *reinterpret_cast<std::uint32_t*>(d_k + line + n * 8) = pair_of(sum_k[n][2 * half] * at.scale, sum_k[n][2 * half + 1] * at.scale);
      *reinterpret_cast<std::uint32_t*>(d_v + line + n * 8) = pair_of(sum_v[n][2 * half], sum_v[n][2 * half + 1]);
    }
  }
}

// d_q of a block of queries of one head, over the keys that it sees.
template <int kWidth>
__global__ void __launch_bounds__(kThreads) d_query_kernel(Heads at, Forward in, Bf16* d_q) {
  extern __shared__ __align__(128) Bf16 tiles[];
  constexpr int kTile = kRows * kWidth;
  Bf16 *const query = tiles, *const d_out = tiles + kTile;
  const auto key = [&](int stage) { return tiles + (2 + 2 * stage) * kTile; };
  const auto value = [&](int stage) { return tiles + (3 + 2 * stage) * kTile; };
  const Block block = at.blocks[blockIdx.x];
  const int head = blockIdx.y, group = head / (at.heads / at.groups), lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const std::int64_t q_step = step_of<kWidth>(at.heads), k_step = step_of<kWidth>(at.groups);
  const int last = at.causal ? min(block.end, block.first + kRows) : block.end, count = (last - block.begin + kRows - 1) / kRows;
  const auto fetch_keys = [&](int number) {
    const int first = block.begin + number * kRows;
    const std::int64_t from = first * k_step + group * kWidth;
    fetch<kWidth, kRows, kThreads>(key(number % 2), in.k + from, k_step, block.end - first);
    fetch<kWidth, kRows, kThreads>(value(number % 2), in.v + from, k_step, block.end - first);
    end_copies();
  };
  const std::int64_t own = block.first * q_step + head * kWidth;
  fetch<kWidth, kRows, kThreads>(query, in.q + own, q_step, block.end - block.first);
  fetch<kWidth, kRows, kThreads>(d_out, in.d_out + own, q_step, block.end - block.first);
  fetch_keys(0);

  const int row = block.first + warp * 16 + lane / 4;  // and 8 more
  const float scale = at.scale * kLog2e;
  float logsumexp[2], delta[2], sum[kWidth / 8][4] = {};
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int of_row = row + half * 8;
    const std::int64_t at_row = static_cast<std::int64_t>(of_row) * at.heads + head;
    logsumexp[half] = of_row < block.end ? in.logsumexp[at_row] * kLog2e : INFINITY;
    delta[half] = of_row < block.end ? in.delta[at_row] : 0;
  }
  for (int number = 0; number < count; ++number) {
    const int stage = number % 2, first = block.begin + number * kRows;
    if (number + 1 < count) {
      fetch_keys(number + 1);
      wait_for_copies<1>();
    } else {
      wait_for_copies<0>();
    }
    __syncthreads();
#pragma unroll 1
    for (int part = 0; part < kRows; part += kHalf) {
      float weight[kHalf / 8][4] = {}, slope[kHalf / 8][4] = {};
#pragma unroll
      for (int depth = 0; depth < kWidth; depth += 16) {
        add_scores<kWidth>(weight, query, warp * 16, key(stage), part, depth);
        add_scores<kWidth>(slope, d_out, warp * 16, value(stage), part, depth);
      }
      // Keys beyond the sequence are rows of zeros: whatever their weights, they add nothing.
#pragma unroll
      for (int n = 0; n < kHalf / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int column = first + part + n * 8 + lane % 4 * 2 + i % 2;
          const bool is_seen = !at.causal || column <= row + i / 2 * 8;
          const float p = is_seen ? exp2f(weight[n][i] * scale - logsumexp[i / 2]) : 0;
          slope[n][i] = p * (slope[n][i] - delta[i / 2]);
        }
#pragma unroll
      for (int depth = 0; depth < kHalf; depth += 16) add_weighed<kWidth>(sum, slope, depth, key(stage), part + depth);
    }
    __syncthreads();  // before the tiles are fetched anew
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int to = row + half * 8;
    if (to >= block.end) continue;
    Bf16* const line = d_q + to * q_step + head * kWidth + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < kWidth / 8; ++n)
      *reinterpret_cast<std::uint32_t*>(line + n * 8) = pair_of(sum[n][2 * half] * at.scale, sum[n][2 * half + 1] * at.scale);
  }
}

// The blocks of all sequences, those that see most keys first.
std::vector<Block> blocks_of(std::span<const std::int32_t> bounds) {
  std::vector<Block> blocks;
  for (std::size_t i = 0; i + 1 < bounds.size(); ++i)
    for (std::int32_t first = bounds[i]; first < bounds[i + 1]; first += kRows) blocks.push_back({bounds[i], bounds[i + 1], first});
  std::stable_sort(blocks.begin(), blocks.end(), [](const Block& a, const Block& b) { return a.first - a.begin > b.first - b.begin; });
  return blocks;
}

Heads heads_of(const Backend& on, std::span<const Block> blocks, const Shape& q, const Shape& k, const AttentionOptions& options) {
  DESKHAND_ASSERT(q[1] < 65536, "heads that a grid has room for");
  return {.blocks = on.cuda->upload(kBounds, blocks),
          .heads = static_cast<int>(q[1]),
          .groups = static_cast<int>(k[1]),
          .scale = options.scale,
          .causal = options.causal};
}

// Starts a kernel with `tiles` tiles of shared memory, more than a block has unasked.
template <int kWidth, class... Parameters, class... Arguments>
void start(const Backend& on, void (*kernel)(Parameters...), int tiles, dim3 grid, Arguments... arguments) {
  const int bytes = tiles * kRows * kWidth * static_cast<int>(sizeof(Bf16));
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  kernel<<<grid, kThreads, static_cast<std::size_t>(bytes), stream(on)>>>(arguments...);
  check_launch();
}

// Calls work.template operator()<width>() for the head's width.
template <class Work>
void with_width(std::int64_t width, const Work& work) {
  switch (width) {
    case 16:
      return work.template operator()<16>();
    case 32:
      return work.template operator()<32>();
    case 64:
      return work.template operator()<64>();
    default:
      DESKHAND_ASSERT(width == 128, "a width that the tiles know");
      return work.template operator()<128>();
  }
}

}  // namespace

bool has_attention_tiles(std::int64_t width) {
  return width == 16 || width == 32 || width == 64 || width == 128;
}

void attention_bf16(const Backend& on, View out, ConstView q, ConstView k, ConstView v, std::span<const std::int32_t> bounds,
                    const AttentionOptions& options, View logsumexp) {
  const std::vector<Block> blocks = blocks_of(bounds);
  if (blocks.empty() || q.shape()[1] == 0) return;
  const Heads at = heads_of(on, blocks, q.shape(), k.shape(), options);
  const dim3 grid(static_cast<unsigned>(blocks.size()), static_cast<unsigned>(at.heads));
  with_width(q.shape()[2], [&]<int kWidth>() {
    start<kWidth>(on, &forward_kernel<kWidth>, 5, grid, at, pointer<Bf16>(out), pointer(logsumexp), pointer<Bf16>(q), pointer<Bf16>(k),
                  pointer<Bf16>(v));
  });
}

void attention_backward_bf16(const Backend& on, const AttentionGradients& gradients, ConstView d_out, const AttentionForward& forward,
                             std::span<const std::int32_t> bounds, const AttentionOptions& options) {
  const std::vector<Block> blocks = blocks_of(bounds);
  if (blocks.empty() || d_out.shape()[1] == 0) return;
  const Heads at = heads_of(on, blocks, d_out.shape(), forward.k.shape(), options);
  float* const delta = on.cuda->scratch<float>(kDelta, d_out.shape()[0] * at.heads);
  const Forward in{pointer<Bf16>(forward.q), pointer<Bf16>(forward.k),   pointer<Bf16>(forward.v),
                   pointer<Bf16>(d_out),     pointer(forward.logsumexp), delta};
  const std::int64_t first = std::int64_t{bounds.front()} * at.heads, count = std::int64_t{bounds.back() - bounds.front()} * at.heads;
  const auto number = static_cast<unsigned>(blocks.size());
  with_width(d_out.shape()[2], [&]<int kWidth>() {
    constexpr int kDeltaThreads = 256;
    delta_kernel<kWidth><<<blocks_for(count * (kWidth / kChunk), kDeltaThreads), kDeltaThreads, 0, stream(on)>>>(
        delta, in.d_out, pointer<Bf16>(forward.out), first, count);
    check_launch();
    start<kWidth>(on, &d_query_kernel<kWidth>, 6, dim3(number, static_cast<unsigned>(at.heads)), at, in, pointer<Bf16>(gradients.d_q));
    start<kWidth>(on, &d_key_kernel<kWidth>, 6, dim3(number, static_cast<unsigned>(at.groups)), at, in, pointer<Bf16>(gradients.d_k),
                  pointer<Bf16>(gradients.d_v));
  });
}

}  // namespace deskhand::cuda
