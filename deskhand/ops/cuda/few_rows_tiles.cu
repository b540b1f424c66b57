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
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int spans = job.width / kSpanInputs, subs = job.then == FewRows::Then::kSwiglu ? 2 : 1;
  const Layout at = layout_of<type>(job, shared);
  const std::uint64_t policy = read_once();
  std::uint8_t* const ring = at.end + warp * stages * S::kTile;  // of this warp, which takes spans warp, warp + kFewWarps, ...

  // The pipeline runs ahead of the work by stages - 1 spans, over the ends of tiles. Only some of them are asked for before x is: memory
  // answers in turn, and x is what all else waits for.
  int ahead = warp < spans ? static_cast<int>(blockIdx.x) : job.units, ahead_sub = 0, ahead_span = warp, ahead_stage = 0;
  const std::uint32_t ring_begin = shared_address(ring) + in_tile<type>();
  std::uint32_t ahead_at = ring_begin;
  TileRows<type> ahead_rows{};
  const auto begin_tile = [&] {
    if (ahead < job.units) ahead_rows = rows_of<type>(job, tile_of(job, ahead, ahead_sub));
  };
  begin_tile();
  const auto fetch = [&] {
    if (ahead < job.units) {
      fetch_span<type>(ahead_at, ahead_rows, ahead_span, policy);
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
    ahead_at += S::kTile;
    if (++ahead_stage == stages) {
      ahead_stage = 0;
      ahead_at = ring_begin;
    }
    end_copies();
  };
  float norm[kNormBatch][2][4];
  if (job.norm) load_norm<kNormBatch>(norm, job, warp);
  const int before = min(kBefore<type>, stages - 1);
  for (int i = 0; i < before; ++i) fetch();
  let_next_begin();
  wait_for_previous();
  const auto rest = [&] {
    for (int i = before; i + 1 < stages; ++i) fetch();
  };
  const auto stage_of = [&](const auto* values) {
    if (job.norm)
      stage<type, true, kNormBatch>(at, job, values, norm, rest);
    else
      stage<type, false, kGroups == 1 ? 8 : 4>(at, job, values, norm, rest);
  };
  if (job.x_bf16)
    stage_of(static_cast<const Bf16*>(job.x));
  else
    stage_of(static_cast<const float*>(job.x));

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
            wait_for_copies<kMostStages<type> - 2>();
        }
        __syncwarp();
        fetch();  // into the stage that all lanes have left
        add_span<type>(sum, ring + stage_now * S::kTile, at, span);
        stage_now = stage_now + 1 == stages ? 0 : stage_now + 1;
      }
      put_sums<kGroups>(sums_now + (sub * kFewWarps + warp) * job.rows * kTileOutputs, sum, job.rows);
    }
    // One warp waits for all and finishes the tile. The others go on, but all wait at every third: whoever writes over sums has met, since
    // then, the warp that finished them.
    const bool is_mine = warp == turn % kFewWarps;
    Addends<kGroups> addends{};
    if (is_mine) addends = addends_of<kGroups>(job, number);
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
    if (is_mine) finish<kGroups>(job, number, at, sums_now, addends);
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
    for (int stages = kMostStages<type>; stages > 1; --stages)
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
