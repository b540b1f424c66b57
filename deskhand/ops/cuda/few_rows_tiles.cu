// few_rows of q6_k and of what lies in tiles by tiles of outputs (few_rows_tiles.cuh).
#include "deskhand/ops/cuda/few_rows_tiles.cuh"

#include <algorithm>

#include "deskhand/ops/cuda/overlap.cuh"

namespace deskhand::cuda {
namespace {

// kGroups: of 8 columns.
template <DType type, int kGroups>
__global__ void __launch_bounds__(kFewThreads, kGroups == 3 ? 1 : 2) tile_kernel(const __grid_constant__ FewRowsJob job, int stages) {
  using S = Span<type>;
  extern __shared__ uint4 shared[];
  const int lane = threadIdx.x % 32, warp = static_cast<int>(threadIdx.x) / 32, g = lane / 4, t = lane % 4;
  const int spans = job.width / kSpanInputs, subs = job.then == FewRows::Then::kSwiglu ? 2 : 1;
  const Layout at = layout_of<type>(job, shared);
  std::uint8_t* const ring = at.end + warp * stages * S::kTile;  // of this warp, which takes spans warp, warp + kFewWarps, ...

  // The pipeline runs ahead of the work by stages - 1 spans, over the ends of tiles.
  int ahead = warp < spans ? static_cast<int>(blockIdx.x) : job.units, ahead_sub = 0, ahead_span = warp, ahead_stage = 0;
  TileRows<type> ahead_rows{};
  const auto begin_tile = [&] {
    if (ahead < job.units) ahead_rows = rows_of<type>(job, tile_of(job, ahead, ahead_sub));
  };
  begin_tile();
  const auto fetch = [&] {
    if (ahead < job.units) {
      fetch_span<type>(ring + ahead_stage * S::kTile, ahead_rows, ahead_span);
      ahead_span += kFewWarps;
      if (ahead_span >= spans) {
        ahead_span = warp;
        if (++ahead_sub == subs) {
          ahead_sub = 0;
          ahead += static_cast<int>(gridDim.x);
        }
        begin_tile();
      }
    }
    ahead_stage = ahead_stage + 1 == stages ? 0 : ahead_stage + 1;
    end_copies();
  };
  for (int i = 0; i + 1 < stages; ++i) fetch();  // before x is waited for
  let_next_begin();
  wait_for_previous();
  stage<type>(at, job);

  int stage_now = 0, turn = 0;
  for (int number = static_cast<int>(blockIdx.x); number < job.units; number += static_cast<int>(gridDim.x), ++turn) {
    float* const sums_now = at.sums + turn % kTurns * at.of_turn;
    for (int sub = 0; sub < subs; ++sub) {
      float sum[kGroups][4] = {};
      for (int span = warp; span < spans; span += kFewWarps) {
        switch (stages) {
          case 2:
            wait_for_copies<0>();
            break;
          case 3:
            wait_for_copies<1>();
            break;
          default:
            wait_for_copies<kMostStages - 2>();
        }
        __syncwarp();
        fetch();  // into the stage that all lanes have left
        add_span<type>(sum, ring + stage_now * S::kTile, at, span);
        stage_now = stage_now + 1 == stages ? 0 : stage_now + 1;
      }
#pragma unroll
      for (int j = 0; j < kGroups; ++j)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int column = 8 * j + 2 * t + i % 2, line = g + i / 2 * 8;
          if (column < at.columns) sums_now[((sub * kFewWarps + warp) * kTileOutputs + line) * at.columns + column] = sum[j][i];
        }
    }
    // One warp waits for all and finishes the tile. The others go on, but all wait at every third: whoever writes over sums has met, since
    // then, the warp that finished them.
    const bool is_mine = warp == turn % kFewWarps;
    switch (turn % 3) {
      case 0:
        arrive_or_wait<1>(is_mine);
        break;
      case 1:
        arrive_or_wait<2>(is_mine);
        break;
      default:
        __syncthreads();
    }
    if (is_mine) finish(job, number, at, sums_now);
  }
}

template <DType type>
int bytes_for(const FewRowsJob& job, int stages) {
  DESKHAND_ASSERT(elements_of(type) == block_elements(type) && bytes_of(type) == block_bytes(type), "sizes of this type's blocks");
  const Layout at = layout_of<type>(job, nullptr);
  return static_cast<int>(reinterpret_cast<std::uintptr_t>(at.end)) + kFewWarps * stages * Span<type>::kTile;
}

// Calls work with the type as a constant.
template <class Work>
void with_tiles(DType type, const Work& work) {
  with_one_of<DType::kTiledQ4_0, DType::kTiledQ8_0, DType::kTiledQ4_K, DType::kQ6_K>(type, work);
}

}  // namespace

bool are_tiles(DType type, std::int64_t width) {
  // Rows begin at multiples of 16 bytes.
  constexpr std::int64_t kBlock = 256;
  if (type == DType::kQ6_K) return width % (8 * kBlock) == 0;
  return is_tiled(type);
}

int tile_rows(DType type, const FewRowsJob& job, int most_bytes) {
  FewRowsJob some = job;
  some.rows = std::min(job.rows, kFewRows);
  with_tiles(type, [&](auto known) {
    while (some.rows > 0 && bytes_for<decltype(known)::value>(some, 2) > most_bytes) --some.rows;
  });
  return some.rows;
}

namespace {

// Blocks of a processor and how far each reads ahead: 4 bits want many warps, 8 bits many bytes.
struct Shares {
  int together, stages, bytes;
};
template <DType type>
Shares shares_of(const FewRowsJob& job, int most_bytes) {
  for (int together = type == DType::kTiledQ8_0 ? 1 : 2; together > 0; --together)
    for (int stages = kMostStages; stages > 1; --stages)
      if (const int bytes = bytes_for<type>(job, stages); bytes <= std::min(most_bytes, kSharedBytes / together))
        return {together, stages, bytes};
  DESKHAND_ASSERT(false, "tile_rows has asked for shared memory");
  return {};
}

}  // namespace

void start_tiles(const Backend& on, DType type, const FewRowsJob& job, int most_bytes) {
  with_tiles(type, [&](auto known) {
    constexpr DType kType = decltype(known)::value;
    const int columns = job.rows * kDigits;
    const Shares shares = shares_of<kType>(job, most_bytes);
    auto* const kernel = columns > 16 ? &tile_kernel<kType, 3> : columns > 8 ? &tile_kernel<kType, 2> : &tile_kernel<kType, 1>;
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shares.bytes));
    const int blocks = std::min(job.units, processors(on) * shares.together);
    start_overlapping(on, kernel, static_cast<unsigned>(blocks), kFewThreads, static_cast<std::size_t>(shares.bytes), job, shares.stages);
  });
}

}  // namespace deskhand::cuda
