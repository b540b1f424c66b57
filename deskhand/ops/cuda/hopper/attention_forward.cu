// Attention on Hopper (Dao, 2023, "FlashAttention-2"; Shah et al., 2024, "FlashAttention-3"), forward: one warp has the copy engine bring
// tiles, two warpgroups of 64 rows each multiply them; a product runs while the softmax of the one before is made, and one warpgroup's
// products while the other does its softmax. The work is a list of blocks of all sequences, made on the host, longest first.
#include "deskhand/ops/cuda/hopper/blocks.cuh"

namespace deskhand::cuda {
namespace {

using namespace hopper;

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
    make_barriers(shared.q_here, shared.q_free);
    for (int i = 0; i < kStages; ++i) {
      make_barriers(shared.k_here[i], shared.k_free[i]);
      make_barriers(shared.v_here[i], shared.v_free[i]);
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
  for (int turn = 0; item_of(turn) < items; ++turn) {
    const QueryItem item(blocks, at, turn);
    const QueryBlock& block = item.block;
    const int head = item.head;
    const KeyTiles<kKeys> tiles(block, at.causal);
    const int first_row = block.first + part * kPart, row = first_row + threadIdx.x % kGroup / 32 * 16 + lane / 4;  // and 8 more
    wait(shared.q_here, turn % 2);
    if (first_row >= block.end) {  // nothing for this warpgroup
      let_go(shared.q_free);
      for (int number = 0; number < tiles.count; ++number, stage.next()) {
        wait(shared.k_here[stage.at], stage.parity);
        let_go(shared.k_free[stage.at]);
        wait(shared.v_here[stage.at], stage.parity);
        let_go(shared.v_free[stage.at]);
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
      let_go(shared.k_free[of.at]);
      if (number == tiles.count - 1) let_go(shared.q_free);
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
      let_go(shared.v_free[stage.at]);
      softmax.shrink_sums(sum);
      pack(weights, score);
      stage = next;
    }
    begin_sums();
    wait_for_products<0>();
    hold(sum);
    let_go(shared.v_free[stage.at]);
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

}  // namespace deskhand::cuda
