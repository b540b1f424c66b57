// Attention on Hopper (Dao, 2023, "FlashAttention-2"; Shah et al., 2024, "FlashAttention-3"): one warp has the copy engine bring tiles, two
// warpgroups of 64 rows each multiply them; a product runs while the softmax of the one before is made, and one warpgroup's products while
// the other does its softmax. The work is a list of blocks of all sequences, made on the host, longest first. Backward makes the weights
// again from logsumexp, once for d_k and d_v with a block of keys held, once for d_q with a block of queries held: seven products instead
// of five, but every sum is made in one place and in one order.
#include <algorithm>
#include <vector>

#include "deskhand/ops/cuda/hopper/attention.h"
#include "deskhand/ops/cuda/hopper/wgmma.cuh"
#include "deskhand/ops/cuda/launch.cuh"

namespace deskhand::cuda {
namespace {

using namespace hopper;

constexpr int kGroup = 128, kThreads = 3 * kGroup;  // threads of a warpgroup; one brings, two multiply
constexpr int kPart = 64, kBlock = 2 * kPart;       // rows of a warpgroup and of a block
constexpr int kReaders = 2 * kGroup / 32;           // warps that say when a tile is free
constexpr int kBringerRegisters = 24, kReaderRegisters = 240;
constexpr float kLog2e = 1.4426950408889634f;

// Rows [first, first + kBlock) of queries before `end`, and the keys that they see: [shared_begin, shared_end), then [begin, end).
struct QueryBlock {
  std::int32_t first, begin, end, shared_begin, shared_end;
};
// Rows [first, first + kBlock) of keys before `end`, and the queries that may see them. Keys that all sequences share have too many for one
// block of the grid: their queries come in runs of kRun, each a part that is summed with the others afterwards.
struct KeyBlock {
  std::int32_t first, end, query_begin, query_end, part;  // part -1: all in one
};
constexpr int kRun = 512;

struct Heads {
  int blocks, heads, groups;
  float scale;
  bool causal;
};

__host__ __device__ constexpr int tiles_of(int rows, int each) {
  return (rows + each - 1) / each;
}

// The tiles of kKeys keys that a block sees, one after the other: first those of the shared beginning.
template <int kKeys>
struct KeyTiles {
  __device__ KeyTiles(const QueryBlock& block, bool causal)
      : block(block),
        shared(tiles_of(block.shared_end - block.shared_begin, kKeys)),
        count(shared + tiles_of((causal ? min(block.end, block.first + kBlock) : block.end) - block.begin, kKeys)) {}
  __device__ int first(int number) const {
    return number < shared ? block.shared_begin + number * kKeys : block.begin + (number - shared) * kKeys;
  }
  __device__ int end(int number) const { return number < shared ? block.shared_end : block.end; }
  const QueryBlock& block;
  int shared, count;
};

// Of the thread; the same in all of a warp, and the compiler knows: products may not stand where a warp might part.
__device__ inline int warpgroup() {
  return __shfl_sync(~0u, static_cast<int>(threadIdx.x) / kGroup, 0);
}

// The items of a block of the grid, back and forth over the list: their lengths even out.
__device__ inline int item_of(int turn) {
  return turn * static_cast<int>(gridDim.x) + static_cast<int>(turn % 2 ? gridDim.x - 1 - blockIdx.x : blockIdx.x);
}

__device__ inline float of_row(float value) {
  value += __shfl_xor_sync(~0u, value, 1);
  return value + __shfl_xor_sync(~0u, value, 2);
}
__device__ inline float largest_of_row(float value) {
  value = fmaxf(value, __shfl_xor_sync(~0u, value, 1));
  return fmaxf(value, __shfl_xor_sync(~0u, value, 2));
}

template <class Shared>
__device__ Shared& shared_memory() {
  extern __shared__ __align__(kAtomBytes) std::byte memory[];
  return *reinterpret_cast<Shared*>(memory);
}

struct ForwardMaps {
  CUtensorMap q, k, v;
};

template <int kWidth>
struct ForwardShared {
  static constexpr int kKeys = 128, kStages = 2;
  Bf16 q[kBlock * kWidth], k[kStages][kKeys * kWidth], v[kStages][kKeys * kWidth];
  Barrier q_here, q_free, k_here[kStages], k_free[kStages], v_here[kStages], v_free[kStages];
};

// A softmax that grows: of two rows a thread, the four threads of a row together.
struct Softmax {
  float largest[2] = {-INFINITY, -INFINITY}, total[2] = {}, shrink[2];

  // Scores become weights against the largest so far; what was summed before is to be shrunk.
  template <int kSums>
  __device__ void take(float (&score)[kSums], float scale) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float larger = largest[half];
#pragma unroll
      for (int n = 0; n < kSums / 4; ++n) larger = fmaxf(larger, fmaxf(score[4 * n + 2 * half], score[4 * n + 2 * half + 1]));
      larger = largest_of_row(larger);
      const float off = larger * scale;
      shrink[half] = exp2_of((largest[half] - larger) * scale);
      largest[half] = larger;
      float sum = 0;
#pragma unroll
      for (int n = 0; n < kSums / 4; ++n)
#pragma unroll
        for (int i = 4 * n + 2 * half; i < 4 * n + 2 * half + 2; ++i) {
          score[i] = exp2_of(score[i] * scale - off);
          sum += score[i];
        }
      total[half] = total[half] * shrink[half] + sum;
    }
  }
  template <int kSums>
  __device__ void shrink_sums(float (&sum)[kSums]) const {
#pragma unroll
    for (int i = 0; i < kSums; ++i) sum[i] *= shrink[i / 2 % 2];
  }
};

// Hides the keys that a thread's rows (row and row + 8) do not see; its first column is key `first`.
template <int kSums>
__device__ void hide(float (&score)[kSums], int row, int first, int end, bool causal) {
#pragma unroll
  for (int i = 0; i < kSums; ++i) {
    const int key = first + i / 4 * 8 + i % 2;
    if (key >= end || (causal && key > row + i / 2 % 2 * 8)) score[i] = -INFINITY;
  }
}

template <int kWidth>
__global__ void __launch_bounds__(kThreads, 1)
    forward_kernel(const __grid_constant__ ForwardMaps maps, const Heads at, const QueryBlock* blocks, Bf16* out, float* logsumexp) {
  using Shared = ForwardShared<kWidth>;
  constexpr int kKeys = Shared::kKeys, kStages = Shared::kStages, kTileBytes = kKeys * kWidth * 2;
  Shared& shared = shared_memory<Shared>();
  if (threadIdx.x == 0) {
    make_barrier(shared.q_here, 1);
    make_barrier(shared.q_free, kReaders);
    for (int i = 0; i < kStages; ++i) {
      make_barrier(shared.k_here[i], 1);
      make_barrier(shared.k_free[i], kReaders);
      make_barrier(shared.v_here[i], 1);
      make_barrier(shared.v_free[i], kReaders);
    }
    publish_barriers();
  }
  __syncthreads();
  const int items = at.blocks * at.heads, share = at.heads / at.groups;
  Stage<kStages> stage;
  if (threadIdx.x < kGroup) {
    give_registers<kBringerRegisters>();
    if (threadIdx.x != 0) return;
    for (int turn = 0; item_of(turn) < items; ++turn) {
      const QueryBlock block = blocks[item_of(turn) / at.heads];
      const int head = item_of(turn) % at.heads, group = head / share;
      const KeyTiles<kKeys> tiles(block, at.causal);
      wait(shared.q_free, turn % 2 ^ 1);
      arrive_expecting(shared.q_here, kBlock * kWidth * 2);
      fetch_tile(shared.q, maps.q, shared.q_here, block.first, head);
      for (int number = 0; number < tiles.count; ++number, stage.next()) {
        wait(shared.k_free[stage.at], stage.parity ^ 1);
        arrive_expecting(shared.k_here[stage.at], kTileBytes);
        fetch_tile(shared.k[stage.at], maps.k, shared.k_here[stage.at], tiles.first(number), group);
        wait(shared.v_free[stage.at], stage.parity ^ 1);
        arrive_expecting(shared.v_here[stage.at], kTileBytes);
        fetch_tile(shared.v[stage.at], maps.v, shared.v_here[stage.at], tiles.first(number), group);
      }
    }
    return;
  }
  take_registers<kReaderRegisters>();
  const int part = warpgroup() - 1, lane = threadIdx.x % 32;
  const std::int64_t step = static_cast<std::int64_t>(at.heads) * kWidth;
  const float scale = at.scale * kLog2e;
  const auto free = [&](Barrier& barrier) {
    if (lane == 0) arrive(barrier);
  };
  for (int turn = 0; item_of(turn) < items; ++turn) {
    const QueryBlock block = blocks[item_of(turn) / at.heads];
    const int head = item_of(turn) % at.heads;
    const KeyTiles<kKeys> tiles(block, at.causal);
    const int first_row = block.first + part * kPart, row = first_row + threadIdx.x % kGroup / 32 * 16 + lane / 4;  // and 8 more
    wait(shared.q_here, turn % 2);
    if (first_row >= block.end) {  // nothing for this warpgroup
      free(shared.q_free);
      for (int number = 0; number < tiles.count; ++number, stage.next()) {
        wait(shared.k_here[stage.at], stage.parity);
        free(shared.k_free[stage.at]);
        wait(shared.v_here[stage.at], stage.parity);
        free(shared.v_free[stage.at]);
      }
      continue;
    }
    float sum[kWidth / 2] = {}, score[kKeys / 2];
    std::uint32_t weights[kKeys / 4];
    Softmax softmax;
    const auto begin_scores = [&](const Stage<kStages>& of) {
      wait(shared.k_here[of.at], of.parity);
      hold(score);
      begin_products();
      multiply_tiles<kWidth, kBlock, kKeys>(score, shared.q, part * kPart, shared.k[of.at]);
      end_products();
    };
    const auto begin_sums = [&] {
      wait(shared.v_here[stage.at], stage.parity);
      hold(sum);
      hold(weights);
      begin_products();
      add_product<kKeys>(sum, weights, shared.v[stage.at]);
      end_products();
    };
    const auto take_scores = [&](int number, const Stage<kStages>& of) {
      hold(score);
      free(shared.k_free[of.at]);
      if (number == tiles.count - 1) free(shared.q_free);
      const int first = tiles.first(number), end = tiles.end(number);
      if (first + kKeys > end || (at.causal && first + kKeys > first_row)) hide(score, row, first + lane % 4 * 2, end, at.causal);
      softmax.take(score, scale);
    };
    begin_scores(stage);
    wait_for_products<0>();
    take_scores(0, stage);
    pack(weights, score);
    for (int number = 1; number < tiles.count; ++number) {  // its scores run beside the sums of the tile before
      const Stage<kStages> next = stage.after();
      begin_scores(next);
      begin_sums();
      wait_for_products<1>();
      take_scores(number, next);
      wait_for_products<0>();
      hold(sum);
      hold(weights);
      free(shared.v_free[stage.at]);
      softmax.shrink_sums(sum);
      pack(weights, score);
      stage = next;
    }
    begin_sums();
    wait_for_products<0>();
    hold(sum);
    free(shared.v_free[stage.at]);
    stage.next();
    const auto write = [&]<int kHalf>() {
      const int to = row + 8 * kHalf;
      const float whole = of_row(softmax.total[kHalf]);
      write_row<kHalf>(out + to * step + head * kWidth, sum, 1 / whole, to < block.end);
      if (logsumexp && to < block.end && lane % 4 == 0)
        logsumexp[static_cast<std::int64_t>(to) * at.heads + head] = softmax.largest[kHalf] * at.scale + logf(whole);
    };
    write.template operator()<0>();
    write.template operator()<1>();
  }
}

struct BackwardMaps {
  CUtensorMap q, d_out, k, v;
};

constexpr int kSide = 64;  // rows of the other side's tiles in backward

template <int kWidth>
struct KeyShared {
  static constexpr int kStages = 4;
  Bf16 k[kBlock * kWidth], v[kBlock * kWidth], q[kStages][kSide * kWidth], d_out[kStages][kSide * kWidth];
  float logsumexp[kStages][kSide], delta[kStages][kSide];
  Barrier keys_here, here[kStages], free[kStages];
};

// d_k and d_v of a block of keys of one group, over the heads that share them and the queries that see them. Weights are made turned, keys
// by queries, so that they are left factors as they lie.
template <int kWidth>
__global__ void __launch_bounds__(kThreads, 1)
    d_key_kernel(const __grid_constant__ BackwardMaps maps, const Heads at, const KeyBlock* blocks, const float2* sums,
                 std::int64_t all_rows, Bf16* d_k, Bf16* d_v, float* parts) {
  using Shared = KeyShared<kWidth>;
  constexpr int kStages = Shared::kStages;
  Shared& shared = shared_memory<Shared>();
  if (threadIdx.x == 0) {
    make_barrier(shared.keys_here, 1);
    for (int i = 0; i < kStages; ++i) {
      make_barrier(shared.here[i], 2);
      make_barrier(shared.free[i], kReaders);
    }
    publish_barriers();
  }
  __syncthreads();
  const KeyBlock block = blocks[blockIdx.y];
  const int group = blockIdx.x, share = at.heads / at.groups, lane = threadIdx.x % 32;
  const int in_a_head = tiles_of(block.query_end - block.query_begin, kSide), count = in_a_head * share;
  Stage<kStages> stage;
  if (threadIdx.x < kGroup) {
    give_registers<kBringerRegisters>();
    if (threadIdx.x >= 32) return;
    if (lane == 0) {
      arrive_expecting(shared.keys_here, 2 * kBlock * kWidth * 2);
      fetch_tile(shared.k, maps.k, shared.keys_here, block.first, group);
      fetch_tile(shared.v, maps.v, shared.keys_here, block.first, group);
    }
    for (int number = 0; number < count; ++number, stage.next()) {
      const int head = group * share + number / in_a_head, first = block.query_begin + number % in_a_head * kSide;
      wait(shared.free[stage.at], stage.parity ^ 1);
      if (lane == 0) {
        arrive_expecting(shared.here[stage.at], 2 * kSide * kWidth * 2);
        fetch_tile(shared.q[stage.at], maps.q, shared.here[stage.at], first, head);
        fetch_tile(shared.d_out[stage.at], maps.d_out, shared.here[stage.at], first, head);
      }
#pragma unroll
      for (int i = lane; i < kSide; i += 32) {  // the weights of rows that are not there are zero
        const float2 of_query = first + i < block.query_end ? sums[head * all_rows + first + i] : make_float2(INFINITY, 0);
        shared.logsumexp[stage.at][i] = of_query.x;
        shared.delta[stage.at][i] = of_query.y;
      }
      __syncwarp();
      if (lane == 0) arrive(shared.here[stage.at]);
    }
    return;
  }
  take_registers<kReaderRegisters>();
  const int part = warpgroup() - 1, first_key = block.first + part * kPart;
  const int key = first_key + threadIdx.x % kGroup / 32 * 16 + lane / 4;  // and 8 more
  const float scale = at.scale * kLog2e;
  float sum_k[kWidth / 2] = {}, sum_v[kWidth / 2] = {};
  wait(shared.keys_here, 0);
  for (int number = 0; number < count; ++number, stage.next()) {
    const int first = block.query_begin + number % in_a_head * kSide;
    wait(shared.here[stage.at], stage.parity);
    if (first_key < block.end && !(at.causal && first + kSide <= first_key)) {
      float weight[kSide / 2], slope[kSide / 2];
      std::uint32_t left[kSide / 4], left_slope[kSide / 4];
      hold(weight);
      hold(slope);
      begin_products();
      multiply_tiles<kWidth, kBlock, kSide>(weight, shared.k, part * kPart, shared.q[stage.at]);
      end_products();
      multiply_tiles<kWidth, kBlock, kSide>(slope, shared.v, part * kPart, shared.d_out[stage.at]);
      end_products();
      wait_for_products<1>();
      hold(weight);
      const bool some_hidden = at.causal && first < first_key + kPart;
      const auto* const logsumexp = reinterpret_cast<const float2*>(shared.logsumexp[stage.at]) + lane % 4;  // of two queries
      const auto* const delta = reinterpret_cast<const float2*>(shared.delta[stage.at]) + lane % 4;
#pragma unroll
      for (int n = 0; n < kSide / 8; ++n) {
        const float2 two = logsumexp[4 * n];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          float& w = weight[4 * n + i];
          w = exp2_of(w * scale - (i % 2 ? two.y : two.x));
          if (some_hidden && first + n * 8 + lane % 4 * 2 + i % 2 < key + i / 2 * 8) w = 0;
        }
      }
      pack(left, weight);
      wait_for_products<0>();
      hold(slope);
      hold(sum_v);
      hold(left);
      begin_products();
      add_product<kSide>(sum_v, left, shared.d_out[stage.at]);
      end_products();
#pragma unroll
      for (int n = 0; n < kSide / 8; ++n) {
        const float2 two = delta[4 * n];
#pragma unroll
        for (int i = 0; i < 4; ++i) slope[4 * n + i] = weight[4 * n + i] * (slope[4 * n + i] - (i % 2 ? two.y : two.x));
      }
      pack(left_slope, slope);
      hold(sum_k);
      hold(left_slope);
      begin_products();
      add_product<kSide>(sum_k, left_slope, shared.q[stage.at]);
      end_products();
      wait_for_products<0>();
      hold(sum_k);
      hold(sum_v);
      hold(left);
      hold(left_slope);
    }
    if (lane == 0) arrive(shared.free[stage.at]);
  }
  if (block.part >= 0) {
    float* const of_keys = parts + (static_cast<std::int64_t>(block.part) * at.groups + group) * 2 * kBlock * kWidth;
    float* const line = of_keys + (key - block.first) * kWidth + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < kWidth / 2; i += 2) {
      float* const to = line + i / 2 % 2 * 8 * kWidth + i / 4 * 8;
      *reinterpret_cast<float2*>(to) = make_float2(sum_k[i], sum_k[i + 1]);
      *reinterpret_cast<float2*>(to + kBlock * kWidth) = make_float2(sum_v[i], sum_v[i + 1]);
    }
    return;
  }
  const std::int64_t step = static_cast<std::int64_t>(at.groups) * kWidth;
  const auto write = [&]<int kHalf>() {
    const int to = key + 8 * kHalf;
    const std::int64_t line = to * step + group * kWidth;
    write_row<kHalf>(d_k + line, sum_k, at.scale, to < block.end);
    write_row<kHalf>(d_v + line, sum_v, 1, to < block.end);
  };
  write.template operator()<0>();
  write.template operator()<1>();
}

// d_k and d_v of the shared beginning: its parts, summed in their order. A thread a column of a group's row.
template <int kWidth>
__global__ void sum_parts_kernel(Bf16* d_k, Bf16* d_v, const float* parts, int runs, int groups, std::int64_t count, float scale) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const std::int64_t row = i / (groups * kWidth), group = i / kWidth % groups, block = row / kBlock;
  const std::int64_t step = std::int64_t{groups} * 2 * kBlock * kWidth;
  float sum_k = 0, sum_v = 0;
  for (std::int64_t run = block * kBlock / kRun; run < runs; ++run) {
    const float* const from = parts + (block * runs + run) * step + group * 2 * kBlock * kWidth + row % kBlock * kWidth + i % kWidth;
    sum_k += from[0];
    sum_v += from[kBlock * kWidth];
  }
  d_k[i] = __float2bfloat16_rn(sum_k * scale);
  d_v[i] = __float2bfloat16_rn(sum_v);
}

template <int kWidth>
struct QueryShared {
  static constexpr int kStages = 4;
  Bf16 q[kBlock * kWidth], d_out[kBlock * kWidth], k[kStages][kSide * kWidth], v[kStages][kSide * kWidth];
  Barrier q_here, q_free, here[kStages], free[kStages];
};

// delta, the sum of d_out out: the four threads of a row together.
template <int kWidth>
__device__ float delta_of(const Bf16* d_out, const Bf16* out) {
  float sum = 0;
#pragma unroll
  for (int column = threadIdx.x % 4 * kChunk; column < kWidth; column += 4 * kChunk) {
    const uint4 a = *reinterpret_cast<const uint4*>(d_out + column), b = *reinterpret_cast<const uint4*>(out + column);
    const auto* const x = reinterpret_cast<const __nv_bfloat162*>(&a);
    const auto* const y = reinterpret_cast<const __nv_bfloat162*>(&b);
#pragma unroll
    for (int i = 0; i < kChunk / 2; ++i) {
      const float2 p = __bfloat1622float2(x[i]), q = __bfloat1622float2(y[i]);
      sum += p.x * q.x + p.y * q.y;
    }
  }
  return of_row(sum);
}

// What d_q's kernel reads besides its tiles.
struct Rows {
  const Bf16 *d_out, *out;
  const float* logsumexp;
};

// d_q of blocks of queries of one head, over the keys that they see; and what backward needs of a row, for the keys' turn: logsumexp times
// log2 e, and delta. `sums` are (H, N), so that a head's rows lie together.
template <int kWidth>
__global__ void __launch_bounds__(kThreads, 1)
    d_query_kernel(const __grid_constant__ BackwardMaps maps, const Heads at, const QueryBlock* blocks, const Rows in, float2* sums,
                   std::int64_t all_rows, Bf16* d_q) {
  using Shared = QueryShared<kWidth>;
  constexpr int kStages = Shared::kStages;
  Shared& shared = shared_memory<Shared>();
  if (threadIdx.x == 0) {
    make_barrier(shared.q_here, 1);
    make_barrier(shared.q_free, kReaders);
    for (int i = 0; i < kStages; ++i) {
      make_barrier(shared.here[i], 1);
      make_barrier(shared.free[i], kReaders);
    }
    publish_barriers();
  }
  __syncthreads();
  const int items = at.blocks * at.heads, share = at.heads / at.groups;
  Stage<kStages> stage;
  if (threadIdx.x < kGroup) {
    give_registers<kBringerRegisters>();
    if (threadIdx.x != 0) return;
    for (int turn = 0; item_of(turn) < items; ++turn) {
      const QueryBlock block = blocks[item_of(turn) / at.heads];
      const int head = item_of(turn) % at.heads, group = head / share;
      const KeyTiles<kSide> tiles(block, at.causal);
      wait(shared.q_free, turn % 2 ^ 1);
      arrive_expecting(shared.q_here, 2 * kBlock * kWidth * 2);
      fetch_tile(shared.q, maps.q, shared.q_here, block.first, head);
      fetch_tile(shared.d_out, maps.d_out, shared.q_here, block.first, head);
      for (int number = 0; number < tiles.count; ++number, stage.next()) {
        wait(shared.free[stage.at], stage.parity ^ 1);
        arrive_expecting(shared.here[stage.at], 2 * kSide * kWidth * 2);
        fetch_tile(shared.k[stage.at], maps.k, shared.here[stage.at], tiles.first(number), group);
        fetch_tile(shared.v[stage.at], maps.v, shared.here[stage.at], tiles.first(number), group);
      }
    }
    return;
  }
  take_registers<kReaderRegisters>();
  const int part = warpgroup() - 1, lane = threadIdx.x % 32;
  const std::int64_t step = static_cast<std::int64_t>(at.heads) * kWidth;
  const float scale = at.scale * kLog2e;
  const auto free = [&](Barrier& barrier) {
    if (lane == 0) arrive(barrier);
  };
  for (int turn = 0; item_of(turn) < items; ++turn) {
    const QueryBlock block = blocks[item_of(turn) / at.heads];
    const int head = item_of(turn) % at.heads;
    const KeyTiles<kSide> tiles(block, at.causal);
    const int first_row = block.first + part * kPart, row = first_row + threadIdx.x % kGroup / 32 * 16 + lane / 4;  // and 8 more
    // A causal block's first warpgroup does not see its last tile, if there is one beyond its rows.
    const int seen = first_row >= block.end                                           ? 0
                     : at.causal && tiles.first(tiles.count - 1) >= first_row + kPart ? tiles.count - 1
                                                                                      : tiles.count;
    float sum[kWidth / 2] = {}, weight[kSide / 2], slope[kSide / 2];
    std::uint32_t left[kSide / 4];
    float2 of_row[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int number = row + 8 * half;
      const bool is_there = number < block.end;
      const std::int64_t from = static_cast<std::int64_t>(is_there ? number : block.first) * at.heads + head;
      of_row[half] = make_float2(in.logsumexp[from] * kLog2e, delta_of<kWidth>(in.d_out + from * kWidth, in.out + from * kWidth));
      if (!is_there) of_row[half] = make_float2(INFINITY, 0);
      if (is_there && lane % 4 == 0) sums[head * all_rows + number] = of_row[half];
    }
    wait(shared.q_here, turn % 2);
    if (seen == 0) free(shared.q_free);
    const auto multiply_both = [&](int at) {
      multiply_tiles<kWidth, kBlock, kSide>(weight, shared.q, part * kPart, shared.k[at]);
      multiply_tiles<kWidth, kBlock, kSide>(slope, shared.d_out, part * kPart, shared.v[at]);
      end_products();
    };
    const auto find_slopes = [&](int number) {
      const int first = tiles.first(number), end = tiles.end(number);
      const bool some_hidden = first + kSide > end || (at.causal && first + kSide > first_row);
#pragma unroll
      for (int i = 0; i < kSide / 2; ++i) {
        const int half = i / 2 % 2, key = first + lane % 4 * 2 + i / 4 * 8 + i % 2;
        float p = exp2_of(weight[i] * scale - of_row[half].x);
        if (some_hidden && (key >= end || (at.causal && key > row + half * 8))) p = 0;
        slope[i] = p * (slope[i] - of_row[half].y);
      }
    };
    if (seen > 0) {
      // A tile's products run while the slopes of the one before are multiplied.
      const auto begin = [&](const Stage<kStages>& next) {
        wait(shared.here[next.at], next.parity);
        hold(weight);
        hold(slope);
        begin_products();
        multiply_both(next.at);
      };
      begin(stage);
      wait_for_products<0>();
      hold(weight);
      hold(slope);
      if (seen == 1) free(shared.q_free);
      find_slopes(0);
      pack(left, slope);
      for (int number = 1; number < seen; ++number) {
        const Stage<kStages> next = stage.after();
        hold(sum);
        hold(left);
        begin(next);
        add_product<kSide>(sum, left, shared.k[stage.at]);
        end_products();
        wait_for_products<1>();
        hold(weight);
        hold(slope);
        if (number == seen - 1) free(shared.q_free);
        find_slopes(number);
        wait_for_products<0>();
        hold(sum);
        hold(left);
        free(shared.free[stage.at]);
        pack(left, slope);
        stage = next;
      }
      hold(sum);
      hold(left);
      begin_products();
      add_product<kSide>(sum, left, shared.k[stage.at]);
      end_products();
      wait_for_products<0>();
      hold(sum);
      free(shared.free[stage.at]);
      stage.next();
    }
    for (int number = seen; number < tiles.count; ++number, stage.next()) {
      wait(shared.here[stage.at], stage.parity);
      free(shared.free[stage.at]);
    }
    if (seen == 0) continue;
    write_row<0>(d_q + row * step + head * kWidth, sum, at.scale, row < block.end);
    write_row<1>(d_q + (row + 8) * step + head * kWidth, sum, at.scale, row + 8 < block.end);
  }
}

// The copy engine's map of a tensor (N, heads, D): tiles of `box` rows of one head, rows from `rows` on zero.
CUtensorMap map_of(ConstView tensor, std::int64_t rows, int box) {
  static const auto encode = [] {
    void* entry = nullptr;
    cudaDriverEntryPointQueryResult found{};
#if CUDART_VERSION >= 12050
    check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000, cudaEnableDefault, &found));
#else
    check(cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &entry, cudaEnableDefault, &found));
#endif
    DESKHAND_ASSERT(found == cudaDriverEntryPointSuccess && entry, "a driver that makes tensor maps");
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(entry);
  }();
  DESKHAND_ASSERT(reinterpret_cast<std::uintptr_t>(tensor.data()) % 16 == 0, "16-byte alignment");
  const auto heads = static_cast<cuuint64_t>(tensor.shape()[1]), width = static_cast<cuuint64_t>(tensor.shape()[2]);
  const cuuint64_t sizes[] = {kColumnBlock, static_cast<cuuint64_t>(rows), width / kColumnBlock, heads};
  const cuuint64_t steps[] = {heads * width * 2, kRowBytes, width * 2};
  const cuuint32_t tile[] = {kColumnBlock, static_cast<cuuint32_t>(box), static_cast<cuuint32_t>(width / kColumnBlock), 1},
                   each[] = {1, 1, 1, 1};
  CUtensorMap map;
  const CUresult result = encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 4, const_cast<std::byte*>(tensor.data()), sizes, steps, tile, each,
                                 CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                                 CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  DESKHAND_ASSERT(result == CUDA_SUCCESS, "a tensor map");
  return map;
}

// The blocks of all sequences, those that see most keys first.
std::vector<QueryBlock> query_blocks(std::span<const std::int32_t> bounds, std::int32_t shared) {
  std::vector<QueryBlock> blocks;
  for (std::size_t i = 0; i + 1 < bounds.size(); ++i)
    for (std::int32_t first = bounds[i]; first < bounds[i + 1]; first += kBlock)
      blocks.push_back({first, bounds[i], bounds[i + 1], bounds.front(), bounds.front() + (i > 0 ? shared : 0)});
  const auto seen = [](const QueryBlock& block) { return block.first - block.begin + block.shared_end - block.shared_begin; };
  std::stable_sort(blocks.begin(), blocks.end(), [&](const QueryBlock& a, const QueryBlock& b) { return seen(a) > seen(b); });
  return blocks;
}

int runs_of(std::span<const std::int32_t> bounds) {
  return tiles_of(bounds.back() - bounds.front(), kRun);
}

// The same of keys, those that are seen by most queries first. What the shared beginning's keys are seen by is one run of rows: all behind.
std::vector<KeyBlock> key_blocks(std::span<const std::int32_t> bounds, const AttentionOptions& options) {
  std::vector<KeyBlock> blocks;
  const std::int32_t begin = bounds.front(), beginning = begin + options.shared, runs = runs_of(bounds);
  for (std::int32_t first = begin; first < beginning; first += kBlock)
    for (std::int32_t run = (first - begin) / kRun; run < runs; ++run)
      blocks.push_back({first, beginning, std::max(first, begin + run * kRun), std::min(bounds.back(), begin + (run + 1) * kRun),
                        (first - begin) / kBlock * runs + run});
  for (std::size_t i = 0; i + 1 < bounds.size(); ++i)
    for (std::int32_t first = i == 0 ? beginning : bounds[i]; first < bounds[i + 1]; first += kBlock)
      blocks.push_back({first, bounds[i + 1], options.causal ? first : bounds[i], bounds[i + 1], -1});
  std::stable_sort(blocks.begin(), blocks.end(),
                   [](const KeyBlock& a, const KeyBlock& b) { return a.query_end - a.query_begin > b.query_end - b.query_begin; });
  return blocks;
}

// Starts a kernel whose shared memory is a Shared, more than a block has unasked.
template <class Shared, class... Parameters, class... Arguments>
void start(const Backend& on, void (*kernel)(Parameters...), dim3 grid, const Arguments&... arguments) {
  constexpr int kBytes = sizeof(Shared);
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  kernel<<<grid, kThreads, kBytes, stream(on)>>>(arguments...);
  check_launch();
}

// Calls work.template operator()<width>() for the head's width.
template <class Work>
void with_width(std::int64_t width, const Work& work) {
  if (width == 64) return work.template operator()<64>();
  DESKHAND_ASSERT(width == 128, "a width that the kernels know");
  work.template operator()<128>();
}

int multiprocessors(const Backend& on) {
  static const int count = [&] {
    int found = 0;
    check(cudaDeviceGetAttribute(&found, cudaDevAttrMultiProcessorCount, on.cuda->handles().number));
    return found;
  }();
  return count;
}

// A block of the grid for each multiprocessor, or for each item where there are fewer.
dim3 grid_of(const Backend& on, const Heads& at) {
  return dim3(static_cast<unsigned>(std::min<std::int64_t>(multiprocessors(on), std::int64_t{at.blocks} * at.heads)));
}

Heads heads_of(std::size_t blocks, const Shape& q, const Shape& k, const AttentionOptions& options) {
  return {.blocks = static_cast<int>(blocks),
          .heads = static_cast<int>(q[1]),
          .groups = static_cast<int>(k[1]),
          .scale = options.scale,
          .causal = options.causal};
}

}  // namespace

bool has_hopper_attention(const Backend& on, std::int64_t width) {
  return (width == 64 || width == 128) && on.cuda->card().capability_major == 9;
}

void attention_hopper(const Backend& on, View out, ConstView q, ConstView k, ConstView v, std::span<const std::int32_t> bounds,
                      const AttentionOptions& options, View logsumexp) {
  const std::vector<QueryBlock> blocks = query_blocks(bounds, options.shared);
  if (blocks.empty() || q.shape()[1] == 0) return;
  const Heads at = heads_of(blocks.size(), q.shape(), k.shape(), options);
  const QueryBlock* const list = on.cuda->upload(kBounds, std::span<const QueryBlock>(blocks));
  with_width(q.shape()[2], [&]<int kWidth>() {
    using Shared = ForwardShared<kWidth>;
    const std::int64_t rows = bounds.back();
    const ForwardMaps maps{map_of(q, rows, kBlock), map_of(k, rows, Shared::kKeys), map_of(v, rows, Shared::kKeys)};
    start<Shared>(on, &forward_kernel<kWidth>, grid_of(on, at), maps, at, list, pointer<Bf16>(out), pointer(logsumexp));
  });
}

void attention_backward_hopper(const Backend& on, const AttentionGradients& gradients, ConstView d_out, const AttentionForward& forward,
                               std::span<const std::int32_t> bounds, const AttentionOptions& options) {
  const std::vector<QueryBlock> queries = query_blocks(bounds, options.shared);
  const std::vector<KeyBlock> keys = key_blocks(bounds, options);
  if (queries.empty() || d_out.shape()[1] == 0) return;
  const Heads at = heads_of(queries.size(), d_out.shape(), forward.k.shape(), options);
  const QueryBlock* const query_list = on.cuda->upload(kBounds, std::span<const QueryBlock>(queries));
  const KeyBlock* const key_list = on.cuda->upload(kOrder, std::span<const KeyBlock>(keys));
  const std::int64_t all_rows = d_out.shape()[0], first = bounds.front();
  float2* const sums = on.cuda->scratch<float2>(kDelta, all_rows * at.heads);
  const int runs = runs_of(bounds), shared_blocks = tiles_of(options.shared, kBlock);
  DESKHAND_ASSERT(keys.size() < 65536, "key blocks that a grid has room for");
  with_width(d_out.shape()[2], [&]<int kWidth>() {
    const std::int64_t end = bounds.back();
    const Rows in{pointer<Bf16>(d_out), pointer<Bf16>(forward.out), pointer(forward.logsumexp)};
    const BackwardMaps of_queries{map_of(forward.q, end, kBlock), map_of(d_out, end, kBlock), map_of(forward.k, end, kSide),
                                  map_of(forward.v, end, kSide)};
    start<QueryShared<kWidth>>(on, &d_query_kernel<kWidth>, grid_of(on, at), of_queries, at, query_list, in, sums, all_rows,
                               pointer<Bf16>(gradients.d_q));
    float* parts = nullptr;
    if (options.shared > 0) parts = on.cuda->scratch<float>(kSums, std::int64_t{shared_blocks} * runs * at.groups * 2 * kBlock * kWidth);
    const BackwardMaps of_keys{map_of(forward.q, end, kSide), map_of(d_out, end, kSide), map_of(forward.k, end, kBlock),
                               map_of(forward.v, end, kBlock)};
    start<KeyShared<kWidth>>(on, &d_key_kernel<kWidth>, dim3(static_cast<unsigned>(at.groups), static_cast<unsigned>(keys.size())), of_keys,
                             at, key_list, sums, all_rows, pointer<Bf16>(gradients.d_k), pointer<Bf16>(gradients.d_v), parts);
    if (options.shared == 0) return;
    const std::int64_t row = std::int64_t{at.groups} * kWidth, count = options.shared * row;
    constexpr int kSumThreads = 256;
    sum_parts_kernel<kWidth><<<blocks_for(count, kSumThreads), kSumThreads, 0, stream(on)>>>(pointer<Bf16>(gradients.d_k) + first * row,
                                                                                             pointer<Bf16>(gradients.d_v) + first * row,
                                                                                             parts, runs, at.groups, count, options.scale);
    check_launch();
  });
}

}  // namespace deskhand::cuda
