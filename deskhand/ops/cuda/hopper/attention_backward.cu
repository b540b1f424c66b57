// Attention on Hopper, backward (forward: attention_forward.cu). The weights are made again from logsumexp, once for d_q with a block of
// queries held, once for d_k and d_v with a block of keys held: seven products instead of five, but every sum is made in one place and in
// one order.
#include "deskhand/ops/cuda/hopper/blocks.cuh"
#include "deskhand/ops/cuda/rope.cuh"

namespace deskhand::cuda {
namespace {

using namespace hopper;

// Rows [first, first + kBlock) of keys before `end`, and the queries that may see them. Keys that all sequences share have too many for one
// block of the grid: their queries come in runs of kRun, each a part that is summed with the others afterwards.
struct KeyBlock {
  std::int32_t first, end, query_begin, query_end, part;  // part -1: all in one
};
constexpr int kRun = 512;

struct BackwardMaps {
  CUtensorMap q, d_out, k, v;
};

constexpr int kSide = 64;  // rows of the other side's tiles in backward

// Turns what a thread has of one of its two rows (kHalf 0 or 1) back.
template <int kHalf, int kSums>
__device__ void turn_back(float (&sum)[kSums], const Turned& turned, int row) {
  constexpr int kPairs = kSums, kWidth = 2 * kSums;  // of a head
  const std::int64_t angles = std::int64_t{turned.position[row]} * kPairs;
  const int lane = threadIdx.x % 4;
  const auto turn = [](float& first, float& second, float cosine, float sine) {
    const float a = first, b = second;
    first = a * cosine + b * sine;
    second = b * cosine - a * sine;
  };
  if (turned.halves) {
#pragma unroll
    for (int n = 0; n < kWidth / 16; ++n) {
      const int at = 4 * n + 2 * kHalf, other = at + kWidth / 4;
      const float2 cosine = *reinterpret_cast<const float2*>(turned.cosines + angles + 8 * n + 2 * lane),
                   sine = *reinterpret_cast<const float2*>(turned.sines + angles + 8 * n + 2 * lane);
      turn(sum[at], sum[other], cosine.x, sine.x);
      turn(sum[at + 1], sum[other + 1], cosine.y, sine.y);
    }
  } else {
#pragma unroll
    for (int n = 0; n < kWidth / 8; ++n) {
      const int at = 4 * n + 2 * kHalf;
      turn(sum[at], sum[at + 1], turned.cosines[angles + 4 * n + lane], turned.sines[angles + 4 * n + lane]);
    }
  }
}

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
                 std::int64_t all_rows, const Turned turned, Bf16* d_k, Bf16* d_v, float* parts) {
  using Shared = KeyShared<kWidth>;
  constexpr int kStages = Shared::kStages;
  Shared& shared = shared_memory<Shared>();
  if (threadIdx.x == 0) {
    make_barrier(shared.keys_here, 1);
    // logsumexp and delta are plain stores and reads: each thread says so itself. One for its warp, behind __syncwarp, would do and takes as
    // long, but racecheck does not follow it.
    for (int i = 0; i < kStages; ++i) {
      make_barrier(shared.here[i], 1 + 32);
      make_barrier(shared.free[i], 2 * kGroup);
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
      arrive(shared.here[stage.at]);
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
    arrive(shared.free[stage.at]);
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
    if (turned.position && to < block.end) turn_back<kHalf>(sum_k, turned, to);
    write_row<kHalf>(d_k + line, sum_k, at.scale, to < block.end);
    write_row<kHalf>(d_v + line, sum_v, 1, to < block.end);
  };
  write.template operator()<0>();
  write.template operator()<1>();
}

// d_k and d_v of the shared beginning, which begins at row `first`: its parts, summed in their order. A thread a column of a group's row;
// to turn it back it sums its partner too.
template <int kWidth>
__global__ void sum_parts_kernel(Bf16* d_k, Bf16* d_v, const float* parts, int runs, int groups, std::int64_t first, std::int64_t count,
                                 float scale, const Turned turned) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const std::int64_t row = i / (groups * kWidth), group = i / kWidth % groups, block = row / kBlock;
  const std::int64_t step = std::int64_t{groups} * 2 * kBlock * kWidth;
  const int column = static_cast<int>(i % kWidth), half = turned.halves ? kWidth / 2 : 1, other = column ^ half;
  float sum_k = 0, sum_v = 0, sum_other = 0;
  for (std::int64_t run = block * kBlock / kRun; run < runs; ++run) {
    const float* const from = parts + (block * runs + run) * step + group * 2 * kBlock * kWidth + row % kBlock * kWidth;
    sum_k += from[column];
    sum_v += from[kBlock * kWidth + column];
    if (turned.position) sum_other += from[other];
  }
  if (turned.position) {
    const std::int64_t angle = std::int64_t{turned.position[first + row]} * (kWidth / 2) + (turned.halves ? column % half : column / 2);
    sum_k = sum_k * turned.cosines[angle] + (column < other ? sum_other : -sum_other) * turned.sines[angle];
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
                   std::int64_t all_rows, const Turned turned, Bf16* d_q) {
  using Shared = QueryShared<kWidth>;
  constexpr int kStages = Shared::kStages;
  Shared& shared = shared_memory<Shared>();
  if (threadIdx.x == 0) {
    make_barriers(shared.q_here, shared.q_free);
    for (int i = 0; i < kStages; ++i) {
      make_barriers(shared.here[i], shared.free[i]);
    }
    publish_barriers();
  }
  __syncthreads();
  const int items = at.blocks * at.heads;
  Stage<kStages> stage;
  if (threadIdx.x < kGroup) {
    give_registers<kBringerRegisters>();
    if (threadIdx.x != 0) return;
    for (int turn = 0; item_of(turn) < items; ++turn) {
      const auto [block, head, group] = QueryItem(blocks, at, turn);
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
  for (int turn = 0; item_of(turn) < items; ++turn) {
    const QueryItem item(blocks, at, turn);
    const QueryBlock& block = item.block;
    const int head = item.head;
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
    if (seen == 0) let_go(shared.q_free);
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
      if (seen == 1) let_go(shared.q_free);
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
        if (number == seen - 1) let_go(shared.q_free);
        find_slopes(number);
        wait_for_products<0>();
        hold(sum);
        hold(left);
        let_go(shared.free[stage.at]);
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
      let_go(shared.free[stage.at]);
      stage.next();
    }
    for (int number = seen; number < tiles.count; ++number, stage.next()) {
      wait(shared.here[stage.at], stage.parity);
      let_go(shared.free[stage.at]);
    }
    if (seen == 0) continue;
    if (turned.position && row < block.end) turn_back<0>(sum, turned, row);
    if (turned.position && row + 8 < block.end) turn_back<1>(sum, turned, row + 8);
    write_row<0>(d_q + row * step + head * kWidth, sum, at.scale, row < block.end);
    write_row<1>(d_q + (row + 8) * step + head * kWidth, sum, at.scale, row + 8 < block.end);
  }
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

}  // namespace

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
  const Turned turned = turned_by(on, options.turned);
  const int runs = runs_of(bounds), shared_blocks = tiles_of(options.shared, kBlock);
  DESKHAND_ASSERT(keys.size() < 65536, "key blocks that a grid has room for");
  with_width(d_out.shape()[2], [&]<int kWidth>() {
    const std::int64_t end = bounds.back();
    const Rows in{pointer<Bf16>(d_out), pointer<Bf16>(forward.out), pointer(forward.logsumexp)};
    const BackwardMaps of_queries{map_of(forward.q, end, kBlock), map_of(d_out, end, kBlock), map_of(forward.k, end, kSide),
                                  map_of(forward.v, end, kSide)};
    start<QueryShared<kWidth>>(on, &d_query_kernel<kWidth>, grid_of(on, at), of_queries, at, query_list, in, sums, all_rows, turned,
                               pointer<Bf16>(gradients.d_q));
    float* parts = nullptr;
    if (options.shared > 0) parts = on.cuda->scratch<float>(kSums, std::int64_t{shared_blocks} * runs * at.groups * 2 * kBlock * kWidth);
    const BackwardMaps of_keys{map_of(forward.q, end, kSide), map_of(d_out, end, kSide), map_of(forward.k, end, kBlock),
                               map_of(forward.v, end, kBlock)};
    start<KeyShared<kWidth>>(on, &d_key_kernel<kWidth>, dim3(static_cast<unsigned>(at.groups), static_cast<unsigned>(keys.size())), of_keys,
                             at, key_list, sums, all_rows, turned, pointer<Bf16>(gradients.d_k), pointer<Bf16>(gradients.d_v), parts);
    if (options.shared == 0) return;
    const std::int64_t row = std::int64_t{at.groups} * kWidth, count = options.shared * row;
    constexpr int kSumThreads = 256;
    sum_parts_kernel<kWidth><<<blocks_for(count, kSumThreads), kSumThreads, 0, stream(on)>>>(
        pointer<Bf16>(gradients.d_k) + first * row, pointer<Bf16>(gradients.d_v) + first * row, parts, runs, at.groups, first, count,
        options.scale, turned);
    check_launch();
  });
}

}  // namespace deskhand::cuda
