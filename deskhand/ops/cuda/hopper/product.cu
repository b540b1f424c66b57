// One thread has the copy engine bring tiles of 64 of the depth, two warpgroups multiply 64 rows by 256 columns each. Two blocks below each
// other are a cluster: each brings half of the tile of b that both need, to both, since what a product costs beside its arithmetic is
// mostly the way from L2. The grid is as large as the card, and goes through bands of tiles whose factors stay in L2. Results leave by the
// copy engine under the next tile's products.
#include "deskhand/ops/cuda/hopper/product.h"

#include "deskhand/ops/cuda/hopper/kernel.cuh"
#include "deskhand/ops/cuda/swiglu.cuh"

namespace deskhand::cuda {
namespace {

using namespace hopper;

constexpr int kRows = 128, kColumns = 256, kDepth = 64;    // of a block's tile
constexpr int kPartRows = kRows / 2;                       // of a warpgroup
constexpr int kResultElements = kPartRows * kColumnBlock;  // a block of results: 64 columns of a warpgroup
constexpr int kSums = kColumnBlock / 2;                    // a thread's sums of such a block
constexpr int kCluster = 2, kStages = 3, kBuffers = 4;     // blocks; tiles under way; blocks of results under way of a warpgroup
constexpr int kWarps = 2 * kGroup / 32;                    // that multiply
constexpr int kBand = 8;                                   // clusters' tiles of rows that are gone through together
constexpr int kBringing = 40, kMultiplying = 232;          // registers of a thread
constexpr int kFactors = HopperProduct::kMost;
// Where it pays: percent of what the clusters could multiply in their turns that is there, and depth.
constexpr std::int64_t kShareOfTurns = 90, kLeastDepth = 2048;

// Columns of the result that a tile makes: gated, half of its sums are gate's and half up's.
template <bool kGated>
constexpr int kOwnColumns = kGated ? kColumns / 2 : kColumns;

struct ProductMaps {
  CUtensorMap a[kFactors], b[kFactors], c, gate, up;
};

struct Tiles {
  int rows, columns;              // clusters' tiles
  int factors, depths[kFactors];  // that sums are made of; in stages
};

struct ProductShared {
  Bf16 a[kStages][kRows * kDepth], b[kStages][kColumns * kDepth], results[2][kBuffers][kResultElements];
  Barrier here[kStages], free[kStages];
};

struct TilePlace {
  int row, column;
};

// Bands of rows, each gone through column by column, back and forth.
__device__ inline TilePlace place_of_tile(const Tiles& tiles, int number) {
  const int each = kBand * tiles.columns, band = number / each, within = number - band * each;
  const int first = band * kBand, height = min(kBand, tiles.rows - first), column = within / height;
  return {first + within - column * height, band % 2 ? tiles.columns - 1 - column : column};
}

__device__ inline void pack_pairs(Fragment& to, const float* from) {
#pragma unroll
  for (int i = 0; i < 4; ++i) to[i] = pair_of(from[2 * i], from[2 * i + 1]);
}
// Values as they are stored.
__device__ inline void round_pairs(float (&to)[8], const float* from) {
  Fragment rounded;
  pack_pairs(rounded, from);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    to[2 * i] = __uint_as_float(rounded[i] << 16);
    to[2 * i + 1] = __uint_as_float(rounded[i] & 0xffff0000u);
  }
}

template <bool kGated>
__global__ void __launch_bounds__(kThreads, 1) __cluster_dims__(kCluster, 1, 1)
    product_kernel(const __grid_constant__ ProductMaps maps, const __grid_constant__ Tiles tiles) {
  constexpr int kOwn = kOwnColumns<kGated>, kBlocks = kOwn / kColumnBlock;
  ProductShared& shared = shared_memory<ProductShared>();
  const int rank = block_of_cluster();
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      make_barrier(shared.here[i], 1);
      make_barrier(shared.free[i], kCluster * kWarps);
    }
    publish_barriers();
  }
  meet_cluster();
  const int count = tiles.rows * tiles.columns, first = static_cast<int>(blockIdx.x) / kCluster,
            step = static_cast<int>(gridDim.x) / kCluster;
  Stage<kStages> stage;
  if (threadIdx.x < kGroup) {
    give_registers<kBringing>();
    if (threadIdx.x == 0) {
      constexpr int kBrought = kColumns / kCluster;  // columns of b that this block brings
      constexpr std::uint16_t kAll = (1 << kCluster) - 1;
      const int begin = rank * kBrought, of_up = kGated && begin >= kOwn ? 1 : 0;  // 1: they are up's
      for (int number = first; number < count; number += step) {
        const TilePlace at = place_of_tile(tiles, number);
        const int row = (at.row * kCluster + rank) * kRows, column = at.column * kOwn + begin - of_up * kOwn;
        for (int factor = 0; factor < tiles.factors; ++factor)
          for (int depth = 0; depth < tiles.depths[factor]; ++depth, stage.next()) {
            wait(shared.free[stage.at], stage.parity ^ 1);
            Barrier& here = shared.here[stage.at];
            arrive_expecting(here, (kRows + kColumns) * kDepth * 2);
            fetch_box(shared.a[stage.at], maps.a[factor], here, {depth * kDepth, row, 0}, 0);
            fetch_box(shared.b[stage.at] + begin * kDepth, maps.b[factor + of_up], here,
                      kGated ? MapPlace{depth * kDepth, column, 0} : MapPlace{0, depth * kDepth, column / kColumnBlock}, kAll);
          }
      }
    }
  } else {
    take_registers<kMultiplying>();
    const int part = warpgroup() - 1, lane = threadIdx.x % 32, warp_row = threadIdx.x % kGroup / 32 * 16 + lane % 16;
    const bool leads = threadIdx.x % kGroup == 0;
    // A tile is free where all warps of the cluster are done with it: each lane tells one block.
    const auto let_go_of = [&](int at) {
      if (lane < kCluster) arrive_at(shared.free[at], lane);
    };
    int depths = 0;
    for (int factor = 0; factor < tiles.factors; ++factor) depths += tiles.depths[factor];
    unsigned written = 0;  // blocks of results
    for (int number = first; number < count; number += step) {
      const TilePlace at = place_of_tile(tiles, number);
      const int row = (at.row * kCluster + rank) * kRows + part * kPartRows, block = at.column * kBlocks;
      float sum[kColumns / 2];
      int before = 0;
      for (int depth = 0; depth < depths; ++depth) {
        wait(shared.here[stage.at], stage.parity);
        begin_products();
#pragma unroll
        for (int i = 0; i < kDepth; i += 16)
          multiply_wide<!kGated>(
              sum, depth_in_columns<kRows>(shared.a[stage.at], part * kPartRows, i),
              kGated ? depth_in_columns<kColumns>(shared.b[stage.at], 0, i) : depth_in_rows<kDepth>(shared.b[stage.at], i), depth + i > 0);
        end_products();
        if (depth > 0) {
          wait_for_products<1>();
          let_go_of(before);
        }
        before = stage.at;
        stage.next();
      }
      wait_for_products<0>();
      let_go_of(before);
      hold(sum);
      // The i-th block of 64 columns, through the next buffer; value(to, n): the thread's eight values from its n-th sum on.
      const auto write = [&](const CUtensorMap& map, int i, const auto& value) {
        Bf16* const to = shared.results[part][written++ % kBuffers];
        if (leads) wait_for_stores<kBuffers - 1>();
        meet(part + 1);
#pragma unroll
        for (int chunk = 0; chunk < kColumnBlock / kChunk; chunk += 2) {
          Fragment rounded;
          value(rounded, chunk * kChunk / 2);
          store_matrices(to + warp_row * kColumnBlock + ((chunk + lane / 16) ^ (warp_row % 8)) * kChunk, rounded);
        }
        publish_writes();
        meet(part + 1);
        if (leads) store_box(map, to, {0, row, block + i});
      };
#pragma unroll
      for (int i = 0; i < kBlocks; ++i) {
        const float* const values = sum + i * kSums;
        if constexpr (!kGated) {
          write(maps.c, i, [&](Fragment& to, int from) { pack_pairs(to, values + from); });
        } else {
          const float* const ups = values + kBlocks * kSums;
          write(maps.gate, i, [&](Fragment& to, int from) { pack_pairs(to, values + from); });
          write(maps.up, i, [&](Fragment& to, int from) { pack_pairs(to, ups + from); });
          write(maps.c, i, [&](Fragment& to, int from) {
            float gate[8], up[8];
            round_pairs(gate, values + from);
            round_pairs(up, ups + from);
#pragma unroll
            for (int k = 0; k < 8; ++k) {
              const float in[] = {gate[k], up[k]};
              SwigluToBf16()(&gate[k], in);
            }
            pack_pairs(to, gate);
          });
        }
      }
    }
    if (leads) wait_for_stores<0>();  // shared memory is another's afterwards
  }
  meet_cluster();  // nobody leaves while others bring tiles to it
}

template <bool kGated>
void start_product(const Backend& on, const HopperProduct& p) {
  // Of rows as they lie, and of columns in blocks of 64.
  const auto lines = [](const void* data, std::int64_t rows, std::int64_t columns, std::int64_t step, std::int64_t high) {
    return tensor_map(data, {columns, rows, 1}, {step * 2, rows * step * 2}, {kColumnBlock, high, 1});
  };
  const auto blocks = [](const void* data, std::int64_t rows, std::int64_t columns, std::int64_t step, std::int64_t high,
                         std::int64_t wide) {
    return tensor_map(data, {kColumnBlock, rows, columns / kColumnBlock}, {step * 2, kRowBytes}, {kColumnBlock, high, wide});
  };
  const auto results = [&](const void* data) { return data ? blocks(data, p.rows, p.columns, p.c_step, kPartRows, 1) : CUtensorMap{}; };
  ProductMaps maps{.a = {}, .b = {}, .c = results(p.c), .gate = results(p.gate), .up = results(p.up)};
  Tiles tiles{.rows = tiles_of(static_cast<int>(p.rows), kCluster * kRows),
              .columns = tiles_of(static_cast<int>(p.columns), kOwnColumns<kGated>),
              .factors = kGated ? 1 : static_cast<int>(p.factors.size()),
              .depths = {}};
  for (std::size_t i = 0; i < p.factors.size(); ++i) {
    const HopperFactors& of = p.factors[i];
    constexpr int kBrought = kColumns / kCluster;
    maps.a[i] = lines(of.a, p.rows, of.depth, of.a_step, kRows);
    maps.b[i] = kGated ? lines(of.b, p.columns, of.depth, of.b_step, kBrought)
                       : blocks(of.b, of.depth, p.columns, of.b_step, kDepth, kBrought / kColumnBlock);
    tiles.depths[i] = tiles_of(static_cast<int>(of.depth), kDepth);
  }
  const auto kernel = &product_kernel<kGated>;
  static const int clusters = [&] {  // that the card holds at once
    constexpr int kBytes = sizeof(ProductShared);
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(static_cast<unsigned>(processors(on) / kCluster * kCluster));
    config.blockDim = dim3(kThreads);
    config.dynamicSmemBytes = kBytes;
    cudaLaunchAttribute shape{};
    shape.id = cudaLaunchAttributeClusterDimension;
    shape.val.clusterDim = {kCluster, 1, 1};
    config.attrs = &shape;
    config.numAttrs = 1;
    int found = 0;
    check(cudaOccupancyMaxActiveClusters(&found, kernel, &config));
    DESKHAND_ASSERT(found > 0, "room for a cluster");
    return found;
  }();
  start<ProductShared>(on, kernel, dim3(static_cast<unsigned>(std::min(clusters, tiles.rows * tiles.columns) * kCluster)), maps, tiles);
}

}  // namespace

bool has_hopper_product(const Backend& on, const HopperProduct& p) {
  const auto fits = [](const void* data, std::int64_t step) {
    return reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && step % kChunk == 0;
  };
  if (on.cuda->card().capability_major != 9 || p.columns % kColumnBlock != 0) return false;
  for (const HopperFactors& of : p.factors)
    if (of.depth % kChunk != 0 || !fits(of.a, of.a_step) || !fits(of.b, of.b_step)) return false;
  return fits(p.c, p.c_step) && fits(p.gate, p.c_step) && fits(p.up, p.c_step);
}

bool is_hopper_product(const Backend& on, const HopperProduct& p) {
  if (!has_hopper_product(on, p)) return false;
  std::int64_t depth = 0;
  for (const HopperFactors& of : p.gated ? p.factors.first(1) : p.factors) depth += of.depth;
  const std::int64_t rows = kCluster * kRows, columns = p.gated ? kOwnColumns<true> : kOwnColumns<false>;
  const std::int64_t tiles = (p.rows + rows - 1) / rows * ((p.columns + columns - 1) / columns), at_once = processors(on) / kCluster;
  const std::int64_t turns = (tiles + at_once - 1) / at_once;
  return depth >= kLeastDepth && 100 * p.rows * p.columns >= kShareOfTurns * turns * at_once * rows * columns;
}

void multiply_hopper(const Backend& on, const HopperProduct& p) {
  if (p.rows == 0 || p.columns == 0) return;
  DESKHAND_ASSERT(has_hopper_product(on, p) && !p.factors.empty() && p.factors.size() <= HopperProduct::kMost,
                  "a product of Hopper's kernel");
  DESKHAND_ASSERT(!p.gated || (p.factors.size() == 2 && p.factors[0].a == p.factors[1].a && p.factors[0].depth == p.factors[1].depth),
                  "gate and up of one a");
  p.gated ? start_product<true>(on, p) : start_product<false>(on, p);
}

}  // namespace deskhand::cuda
