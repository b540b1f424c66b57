// One thread has the copy engine bring tiles of 64 of the depth, two warpgroups multiply 64 rows by 256 columns each. Two blocks below each
// other are a cluster: each brings half of the tile of b that both need, to both, since what a product costs beside its arithmetic is
// mostly the way from L2. The grid is as large as the card, and goes through bands of tiles whose factors stay in L2. Results leave under
// the next tile's products: by the copy engine, or, where they are more than the sums, by the three warps that have nothing to bring, which
// make them of sums in shared memory. In the way of the products they cost what the passes that they save cost.
#include "deskhand/ops/cuda/hopper/product.h"

#include "deskhand/ops/cuda/hopper/kernel.cuh"
#include "deskhand/ops/cuda/map.cuh"
#include "deskhand/ops/cuda/swiglu.cuh"

namespace deskhand::cuda {
namespace {

using namespace hopper;
using End = HopperProduct::End;

constexpr int kRows = 128, kColumns = 256, kDepth = 64;    // of a block's tile
constexpr int kPartRows = kRows / 2;                       // of a warpgroup
constexpr int kResultElements = kPartRows * kColumnBlock;  // a block of results: 64 columns of a warpgroup
constexpr int kSums = kColumnBlock / 2;                    // a thread's sums of such a block
constexpr int kCluster = 2, kStages = 3, kBuffers = 4;     // blocks; tiles under way; blocks of results under way of a warpgroup
constexpr int kWarps = 2 * kGroup / 32;                    // that multiply
constexpr int kBand = 8;                                   // clusters' tiles of rows that are gone through together
constexpr int kMaking = 3;                                 // warps that make results of sums
constexpr int kFactors = HopperProduct::kMost;
// Where it pays: percent of what the clusters could multiply in their turns that is there, and depth.
constexpr std::int64_t kShareOfTurns = 90, kLeastDepth = 2048;

// Columns of the result that a tile makes: gated, half of its sums are gate's and half up's.
template <End kEnd>
constexpr int kOwnColumns = kEnd == End::kGated ? kColumns / 2 : kColumns;
// Results are more than the sums, and made of them.
template <End kEnd>
constexpr bool kIsMade = kEnd != End::kSum;
// Registers of a thread that brings or makes, and of one that multiplies.
template <End kEnd>
constexpr int kBringing = kIsMade<kEnd> ? 72 : 40;
template <End kEnd>
constexpr int kMultiplying = kIsMade<kEnd> ? 216 : 232;

struct ProductMaps {
  CUtensorMap a[kFactors], b[kFactors], c;
};

struct Tiles {
  int rows, columns;              // clusters' tiles
  int factors, depths[kFactors];  // that sums are made of; in stages
};

struct ProductShared {
  Bf16 a[kStages][kRows * kDepth], b[kStages][kColumns * kDepth], results[2][kBuffers][kResultElements];
  Barrier here[kStages], free[kStages];
  Barrier sums_here[2][kBuffers], sums_free[2][kBuffers];  // where results are made of them
};

// What sums are made into.
struct Gates {
  Bf16 *c, *gate, *up;
  std::int64_t step;
  int rows, columns;
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

// Where this thread's lane has four matrices of a warp's 16 rows begin: chunks `chunk` and the next of a block of results.
__device__ inline Bf16* matrices_at(Bf16* block, int chunk) {
  const int lane = threadIdx.x % 32, row = threadIdx.x % kGroup / 32 * 16 + lane % 16;
  return block + row * kColumnBlock + ((chunk + lane / 16) ^ (row % 8)) * kChunk;
}

// Calls work(values) for the low and the high halves of words of bf16; the words become what it leaves.
template <int kCount, class Work>
__device__ void each_half(std::uint32_t* const (&words)[kCount], const Work& work) {
  float halves[2][kCount];
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    halves[0][i] = __uint_as_float(*words[i] << 16);
    halves[1][i] = __uint_as_float(*words[i] & 0xffff0000u);
  }
  work(halves[0]);
  work(halves[1]);
#pragma unroll
  for (int i = 0; i < kCount; ++i) *words[i] = pair_of(halves[0][i], halves[1][i]);
}

__device__ inline void store_pack(Bf16* to, const uint4& pack) {
  store_words(to, pack.x, pack.y, pack.z, pack.w);
}

// What is made of the turn-th tile's sums, from (row, column) on: the share of one of `workers` warps, every so many-th four rows of a
// block. frees: the sums' buffers are wanted again.
template <End kEnd>
__device__ void make_of_sums(ProductShared& shared, const Gates& gates, int turn, int row, int column, int worker, int workers,
                             bool frees) {
  constexpr bool kReads = kEnd == End::kGateGradients;  // gate and up, which are sums otherwise
  constexpr int kBlocks = kOwnColumns<kEnd> / kColumnBlock, kRowsEach = 4, kOfBlock = kPartRows / kRowsEach, kAll = 2 * kBlocks * kOfBlock,
                kAhead = kReads ? 3 : 1;
  static_assert(kBlocks * (kReads ? 1 : 2) == kBuffers, "a tile fills each buffer once");
  const int lane = threadIdx.x % 32, chunk = lane % 8;
  struct Four {
    uint4 gate, up;
    std::int64_t at;  // below zero: there is nothing
  };
  Four ahead[kAhead];
  const auto fetch = [&](Four& to, int number) {
    const int block = number / kOfBlock, own_row = row + block % 2 * kPartRows + number % kOfBlock * kRowsEach + lane / 8,
              own_column = column + block / 2 * kColumnBlock + chunk * kChunk;
    to.at = number < kAll && own_row < gates.rows && own_column < gates.columns ? own_row * gates.step + own_column : -1;
    if (!kReads || to.at < 0) return;
    to.gate = *reinterpret_cast<const uint4*>(gates.gate + to.at);
    to.up = *reinterpret_cast<const uint4*>(gates.up + to.at);
  };
#pragma unroll
  for (int k = 0; k < kAhead; ++k) fetch(ahead[k], worker + k * workers);
  for (int first = worker; first < kAll; first += kAhead * workers)
#pragma unroll
    for (int k = 0; k < kAhead; ++k) {
      const int number = first + k * workers, block = number / kOfBlock, part = block % 2, buffer = block / 2;
      if (number >= kAll) break;
      const int sum_row = number % kOfBlock * kRowsEach + lane / 8;
      const auto sums_of = [&](int from) {
        wait(shared.sums_here[part][from], turn % 2);
        return *reinterpret_cast<const uint4*>(shared.results[part][from] + sum_row * kColumnBlock + (chunk ^ (sum_row % 8)) * kChunk);
      };
      Four& own = ahead[k];
      uint4 sums = sums_of(buffer);
      if constexpr (!kReads) {
        own.gate = sums;
        own.up = sums_of(buffer + kBlocks);
      }
      if (own.at >= 0) {
        const auto make = [](std::uint32_t& sum, std::uint32_t& gate, std::uint32_t& up) {
          if constexpr (kReads)
            each_half<3>({&sum, &gate, &up}, [](float* of) { SwigluBackwardToBf16()(of + 1, of); });
          else
            each_half<3>({&sum, &gate, &up}, [](float* of) { SwigluToBf16()(of, of + 1); });
        };
        make(sums.x, own.gate.x, own.up.x);
        make(sums.y, own.gate.y, own.up.y);
        make(sums.z, own.gate.z, own.up.z);
        make(sums.w, own.gate.w, own.up.w);
        store_pack(gates.gate + own.at, own.gate);
        store_pack(gates.up + own.at, own.up);
        if (!kReads) store_pack(gates.c + own.at, sums);
      }
      fetch(own, number + kAhead * workers);
      if (frees && (number + workers) / kOfBlock != block) {
        arrive(shared.sums_free[part][buffer]);
        if (!kReads) arrive(shared.sums_free[part][buffer + kBlocks]);
      }
    }
}

template <End kEnd>
__global__ void __launch_bounds__(kThreads, 1) __cluster_dims__(kCluster, 1, 1)
    product_kernel(const __grid_constant__ ProductMaps maps, const __grid_constant__ Tiles tiles, const __grid_constant__ Gates gates) {
  constexpr bool kGated = kEnd == End::kGated, kMade = kIsMade<kEnd>;
  constexpr int kOwn = kOwnColumns<kEnd>;
  ProductShared& shared = shared_memory<ProductShared>();
  const int rank = block_of_cluster();
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      make_barrier(shared.here[i], 1);
      make_barrier(shared.free[i], kCluster * kWarps);
    }
    for (int i = 0; i < 2 * kBuffers; ++i) {  // each thread speaks for itself, as in attention's backward
      make_barrier(shared.sums_here[i / kBuffers][i % kBuffers], kGroup);
      make_barrier(shared.sums_free[i / kBuffers][i % kBuffers], kMaking * 32);
    }
    publish_barriers();
  }
  meet_cluster();
  const int count = tiles.rows * tiles.columns, first = static_cast<int>(blockIdx.x) / kCluster,
            step = static_cast<int>(gridDim.x) / kCluster;
  Stage<kStages> stage;
  if (threadIdx.x < kGroup) {
    give_registers<kBringing<kEnd>>();
    const int warp = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 32, 0);
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
    } else if constexpr (kMade) {
      for (int number = first, turn = 0; warp > 0 && number < count; number += step, ++turn) {
        const TilePlace at = place_of_tile(tiles, number);
        const bool goes_on = number + step < count;
        make_of_sums<kEnd>(shared, gates, turn, (at.row * kCluster + rank) * kRows, at.column * kOwn, warp - 1,
                           goes_on ? kMaking : kMaking + kWarps, goes_on);
      }
    }
  } else {
    take_registers<kMultiplying<kEnd>>();
    const int part = warpgroup() - 1, lane = threadIdx.x % 32;
    const bool leads = threadIdx.x % kGroup == 0;
    // A tile is free where all warps of the cluster are done with it: each lane tells one block.
    const auto let_go_of = [&](int at) {
      if (lane < kCluster) arrive_at(shared.free[at], lane);
    };
    int depths = 0;
    for (int factor = 0; factor < tiles.factors; ++factor) depths += tiles.depths[factor];
    for (int number = first, turn = 0; number < count; number += step, ++turn) {
      const TilePlace at = place_of_tile(tiles, number);
      const int row = (at.row * kCluster + rank) * kRows + part * kPartRows;
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
#pragma unroll
      for (int i = 0; i < kColumns / kColumnBlock; ++i) {
        Bf16* const to = shared.results[part][i];
        if constexpr (kMade) {
          wait(shared.sums_free[part][i], turn % 2 ^ 1);
        } else {
          if (leads) wait_for_stores<kBuffers - 1>();
          meet(part + 1);
        }
#pragma unroll
        for (int chunk = 0; chunk < kColumnBlock / kChunk; chunk += 2) {
          Fragment rounded;
          pack_pairs(rounded, sum + i * kSums + chunk * kChunk / 2);
          store_matrices(matrices_at(to, chunk), rounded);
        }
        if constexpr (kMade) {
          arrive(shared.sums_here[part][i]);
        } else {
          publish_writes();
          meet(part + 1);
          if (leads) store_box(maps.c, to, {0, row, at.column * kColumns / kColumnBlock + i});
        }
      }
      if constexpr (kMade)
        if (number + step >= count)  // the last tile's is everybody's
          make_of_sums<kEnd>(shared, gates, turn, row - part * kPartRows, at.column * kOwn,
                             kMaking + static_cast<int>(threadIdx.x - kGroup) / 32, kMaking + kWarps, false);
    }
    if (leads && !kMade) wait_for_stores<0>();  // shared memory is another's afterwards
  }
  meet_cluster();  // nobody leaves while others bring tiles to it
}

template <End kEnd>
void start_product(const Backend& on, const HopperProduct& p) {
  constexpr bool kGated = kEnd == End::kGated;
  // Of rows as they lie, and of columns in blocks of 64.
  const auto lines = [](const void* data, std::int64_t rows, std::int64_t columns, std::int64_t step, std::int64_t high) {
    return tensor_map(data, {columns, rows, 1}, {step * 2, rows * step * 2}, {kColumnBlock, high, 1});
  };
  const auto blocks = [](const void* data, std::int64_t rows, std::int64_t columns, std::int64_t step, std::int64_t high,
                         std::int64_t wide) {
    return tensor_map(data, {kColumnBlock, rows, columns / kColumnBlock}, {step * 2, kRowBytes}, {kColumnBlock, high, wide});
  };
  const auto results = [&](const void* data) { return data ? blocks(data, p.rows, p.columns, p.c_step, kPartRows, 1) : CUtensorMap{}; };
  ProductMaps maps{.a = {}, .b = {}, .c = results(p.c)};
  Tiles tiles{.rows = tiles_of(static_cast<int>(p.rows), kCluster * kRows),
              .columns = tiles_of(static_cast<int>(p.columns), kOwnColumns<kEnd>),
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
  const auto kernel = &product_kernel<kEnd>;
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
  start<ProductShared>(on, kernel, dim3(static_cast<unsigned>(std::min(clusters, tiles.rows * tiles.columns) * kCluster)), maps, tiles,
                       Gates{static_cast<Bf16*>(p.c), static_cast<Bf16*>(p.gate), static_cast<Bf16*>(p.up), p.c_step,
                             static_cast<int>(p.rows), static_cast<int>(p.columns)});
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
  const bool gated = p.end == End::kGated;
  for (const HopperFactors& of : gated ? p.factors.first(1) : p.factors) depth += of.depth;
  const std::int64_t rows = kCluster * kRows, columns = gated ? kOwnColumns<End::kGated> : kOwnColumns<End::kSum>;
  const std::int64_t tiles = (p.rows + rows - 1) / rows * ((p.columns + columns - 1) / columns), at_once = processors(on) / kCluster;
  const std::int64_t turns = (tiles + at_once - 1) / at_once;
  return depth >= kLeastDepth && 100 * p.rows * p.columns >= kShareOfTurns * turns * at_once * rows * columns;
}

void multiply_hopper(const Backend& on, const HopperProduct& p) {
  if (p.rows == 0 || p.columns == 0) return;
  DESKHAND_ASSERT(has_hopper_product(on, p) && !p.factors.empty() && p.factors.size() <= HopperProduct::kMost,
                  "a product of Hopper's kernel");
  DESKHAND_ASSERT(
      p.end != End::kGated || (p.factors.size() == 2 && p.factors[0].a == p.factors[1].a && p.factors[0].depth == p.factors[1].depth),
      "gate and up of one a");
  switch (p.end) {
    case End::kSum:
      return start_product<End::kSum>(on, p);
    case End::kGated:
      return start_product<End::kGated>(on, p);
    case End::kGateGradients:
      return start_product<End::kGateGradients>(on, p);
  }
}

}  // namespace deskhand::cuda
