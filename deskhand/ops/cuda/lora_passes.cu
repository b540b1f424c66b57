// Bound by memory: what the products with a pair are worth beside reading x, out or their gradients is next to nothing. A warp has 16 rows
// and 64 columns at a time. Where they are written again a thread has 8 neighbours of two rows in two halves, 16 bytes from memory and
// back, and the order of columns within a product is such that these are the tensor cores' fragments as they come; where they are only read
// they come by way of shared memory, in the background. Sums over rows or columns that several blocks share are left in f32 by each and
// taken together in their order, so nothing changes from run to run.
#include "deskhand/ops/cuda/lora_passes.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "deskhand/ops/cuda/dropout.cuh"
#include "deskhand/ops/cuda/map.cuh"
#include "deskhand/ops/cuda/rope.cuh"
#include "deskhand/ops/cuda/tiles.cuh"

namespace deskhand::cuda {
namespace {

constexpr int kWarps = 8, kThreads = 32 * kWarps;
constexpr int kRows = 16;            // of a warp at a time
constexpr int kHalf = 32;            // columns that lie side by side
constexpr int kColumns = 2 * kHalf;  // of a warp
constexpr int kDepth = 16;           // ranks of one product
constexpr int kMostParts = 4, kMostRank = 32, kMostRanks = 64;
constexpr int kMostSteps = kMostRanks / kDepth;
constexpr std::int64_t kBlocks = 256;     // of the passes that leave sums over rows: the same on every card, so that sums are
constexpr std::int64_t kManyRows = 4096;  // from here on tall blocks, which read the pairs less often, are enough for a card

// Where the sixteen ranks of a step lie: `low` (N, low_step), and the pair's other half by column and rank.
struct Step {
  const Bf16* low = nullptr;
  const float* half = nullptr;
  std::int64_t low_step = 0, column_step = 0, rank_step = 0;
  int ranks = 0;           // that are there
  bool is_another = true;  // pair than the step before
  Draw draw;               // of the pair's input
};

struct Part {
  Bf16* out = nullptr;     // only read by the sums
  std::int64_t width = 0;  // of out
  int first_block = 0, steps = 0;
  std::int64_t head_width = 0;  // 0: it is not turned
  std::int64_t first_sum = 0;   // of its sums over rows: (groups of rows, ranks, width) f32
  std::int64_t first_low = 0;   // of its sums over columns: (blocks of columns, N, ranks) f32
  Step step[kMostSteps];
};

struct Parts {
  Part part[kMostParts];
  int count = 0;
};

__device__ const Part& part_of(const Parts& parts) {
  int i = parts.count - 1;
  while (i > 0 && parts.part[i].first_block > static_cast<int>(blockIdx.x)) --i;
  return parts.part[i];
}

// The two runs of kHalf columns that a warp has: with rotation by halves they are partners.
struct Columns {
  std::int64_t first[2];
  std::int64_t angle;  // of the first column's pair
};

__device__ Columns columns_of(std::int64_t unit, std::int64_t head_width, bool halves) {
  if (head_width == 0) return {{unit * kColumns, unit * kColumns + kHalf}, 0};
  if (!halves) return {{unit * kColumns, unit * kColumns + kHalf}, unit * kColumns % head_width / 2};
  const std::int64_t each = head_width / kColumns, slot = unit % each, first = unit / each * head_width + slot * kHalf;
  return {{first, first + head_width / 2}, slot * kHalf};
}

// What a thread has of kRows rows: [half][row, row + 8] eight neighbours each.
struct Rows {
  uint4 packs[2][2];
};

// Where a thread's first pack lies, how far the other half's is from it, and the row that is eight below.
struct Place {
  Bf16* at;
  std::int64_t apart, below;
};

__device__ Rows load_rows(const Place& from, int row, int end) {
  Rows rows;
#pragma unroll
  for (int half = 0; half < 2; ++half)
#pragma unroll
    for (int k = 0; k < 2; ++k)
      rows.packs[half][k] = row + 8 * k < end ? *reinterpret_cast<const uint4*>(from.at + half * from.apart + k * from.below) : uint4{};
  return rows;
}

__device__ void store_rows(const Place& to, int row, int end, const Rows& rows) {
#pragma unroll
  for (int k = 0; k < 2; ++k)
    if (row + 8 * k < end)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const uint4& pack = rows.packs[half][k];
        store_words(to.at + half * to.apart + k * to.below, pack.x, pack.y, pack.z, pack.w);
      }
}

__device__ std::uint32_t word(const uint4& pack, int i) {
  return i == 0 ? pack.x : i == 1 ? pack.y : i == 2 ? pack.z : pack.w;
}
__device__ float low_of(std::uint32_t pair) {
  return __uint_as_float(pair << 16);
}
__device__ float high_of(std::uint32_t pair) {
  return __uint_as_float(pair & 0xffff0000u);
}

// The pack with zeros for what falls; it is not scaled.
__device__ uint4 dropped(const uint4& pack, const Draw& draw, int row, std::int64_t column) {
  const uint4 drawn = drawn_of(draw, static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(column / kDraws));
  const std::uint32_t falls = draw.falls * 0x10001u;
  return {pack.x & __vcmpgeu2(drawn.x, falls), pack.y & __vcmpgeu2(drawn.y, falls), pack.z & __vcmpgeu2(drawn.z, falls),
          pack.w & __vcmpgeu2(drawn.w, falls)};
}

// Sums of 16 x 8 that are as `rows` lie: [half][pair of neighbours][row: 0, 1; row + 8: 2, 3].
using Wide = float[2][4][4];

__device__ void widen(Wide& to, const Rows& rows) {
#pragma unroll
  for (int half = 0; half < 2; ++half)
#pragma unroll
    for (int pair = 0; pair < 4; ++pair)
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        const std::uint32_t both = word(rows.packs[half][k], pair);
        to[half][pair][2 * k] = low_of(both);
        to[half][pair][2 * k + 1] = high_of(both);
      }
}

__device__ void narrow(Rows& to, int k, const float (&from)[2][8]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float(&of)[8] = from[half];
    to.packs[half][k] = {pair_of(of[0], of[1]), pair_of(of[2], of[3]), pair_of(of[4], of[5]), pair_of(of[6], of[7])};
  }
}

// Turns what a thread has of a row by its position.
template <bool kHalves>
__device__ void turn_pairs(float (&values)[2][8], const Turned& turned, const Columns& columns, std::int64_t head_width, int row,
                           int eighth) {
  const std::int64_t angles = std::int64_t{turned.position[row]} * (head_width / 2) + columns.angle;
#pragma unroll
  for (int four = 0; four < 2; ++four) {
    float cosine[4], sine[4];
    const std::int64_t at = angles + (kHalves ? eighth * 8 + four * 4 : four * (kHalf / 2) + eighth * 4);
    load(cosine, turned.cosines + at);
    load(sine, turned.sines + at);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float &first = kHalves ? values[0][four * 4 + i] : values[four][2 * i],
            &second = kHalves ? values[1][four * 4 + i] : values[four][2 * i + 1];
      const float a = first, b = second, s = sine[i];
      first = a * cosine[i] - b * s;
      second = a * s + b * cosine[i];
    }
  }
}

__device__ void turn(float (&values)[2][8], const Turned& turned, const Columns& columns, std::int64_t head_width, int row, int eighth) {
  if (turned.halves)
    turn_pairs<true>(values, turned, columns, head_width, row, eighth);
  else
    turn_pairs<false>(values, turned, columns, head_width, row, eighth);
}

// out += low half^T, then turned. kDrops: of each pair's product what falls is left out. Shared memory: low of the block's rows.
template <int kSteps, bool kDrops>
__global__ void __launch_bounds__(kThreads, kSteps <= 2 ? 2 : 1)
    add_and_turn_kernel(const __grid_constant__ Parts parts, const Turned turned, int rows, int rows_each) {
  constexpr int kRanks = (kSteps > 0 ? kSteps : 1) * kDepth;
  extern __shared__ __align__(16) Bf16 lows[];  // (rows_each, kRanks)
  const Part& part = part_of(parts);
  const int lane = threadIdx.x % 32, eight = lane / 4, eighth = lane % 4;
  const std::int64_t unit = std::int64_t{blockIdx.x - part.first_block} * kWarps + threadIdx.x / 32;
  const int first = static_cast<int>(blockIdx.y) * rows_each, end = min(first + rows_each, rows);
  if constexpr (kSteps > 0) {
    constexpr int kChunks = kRanks / kChunk;
    for (int i = threadIdx.x; i < rows_each * kChunks; i += kThreads) {
      const int row = i / kChunks, chunk = i % kChunks;
      const Step& step = part.step[chunk / 2];
      const bool is_there = first + row < end && chunk % 2 * kChunk < step.ranks;
      *reinterpret_cast<uint4*>(lows + place_of<kRanks>(row, chunk)) =
          is_there ? *reinterpret_cast<const uint4*>(step.low + (first + row) * step.low_step + chunk % 2 * kChunk) : uint4{};
    }
    __syncthreads();
  }
  if (unit * kColumns >= part.width) return;
  const Columns columns = columns_of(unit, part.head_width, turned.halves);
  Place here_at{part.out + (first + eight) * part.width + columns.first[0] + eighth * 8, columns.first[1] - columns.first[0],
                8 * part.width};
  Rows next = load_rows(here_at, first + eight, end);
  std::uint32_t right[kSteps > 0 ? kSteps : 1][2][4][2];
#pragma unroll
  for (int s = 0; s < kSteps; ++s)
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int pair = 0; pair < 4; ++pair) {
        const Step& step = part.step[s];
        const std::int64_t column = (columns.first[half] + eight / 2 * 8 + 2 * pair + eight % 2) * step.column_step;
        float values[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int rank = i / 2 * 8 + 2 * eighth + i % 2;
          values[i] = rank < step.ranks ? step.half[column + rank * step.rank_step] : 0.0f;
        }
        right[s][half][pair][0] = pair_of(values[0], values[1]);
        right[s][half][pair][1] = pair_of(values[2], values[3]);
      }
  for (int row = first + eight; row - eight < end; row += kRows) {
    Rows here = next;
    const Place to = here_at;
    here_at.at += kRows * part.width;
    next = load_rows(here_at, row + kRows, end);
    Wide values;
    widen(values, here);
    if constexpr (kDrops) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float product[4][4] = {};
#pragma unroll
        for (int s = 0; s < kSteps; ++s) {
          Fragment low;
          load_left<kRanks>(low, lows, row - eight - first, s * kDepth);
#pragma unroll
          for (int pair = 0; pair < 4; ++pair) multiply_add(product[pair], low, right[s][half][pair][0], right[s][half][pair][1]);
          if (s + 1 < kSteps && !part.step[s + 1].is_another) continue;
          const Draw& draw = part.step[s].draw;
#pragma unroll
          for (int k = 0; k < 2; ++k) {
            const uint4 drawn =
                drawn_of(draw, static_cast<std::uint32_t>(row + 8 * k), static_cast<std::uint32_t>(columns.first[half] / kDraws + eighth));
#pragma unroll
            for (int pair = 0; pair < 4; ++pair) {
              const std::uint32_t bits = word(drawn, pair);
              if ((bits & 0xffff) >= draw.falls) values[half][pair][2 * k] += product[pair][2 * k] * draw.scale;
              if (bits >> 16 >= draw.falls) values[half][pair][2 * k + 1] += product[pair][2 * k + 1] * draw.scale;
              product[pair][2 * k] = product[pair][2 * k + 1] = 0;
            }
          }
        }
      }
    } else {
#pragma unroll
      for (int s = 0; s < kSteps; ++s) {
        Fragment low;
        load_left<kRanks>(low, lows, row - eight - first, s * kDepth);
#pragma unroll
        for (int half = 0; half < 2; ++half)
#pragma unroll
          for (int pair = 0; pair < 4; ++pair) multiply_add(values[half][pair], low, right[s][half][pair][0], right[s][half][pair][1]);
      }
    }
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      float of_row[2][8];
#pragma unroll
      for (int half = 0; half < 2; ++half)
#pragma unroll
        for (int i = 0; i < 8; ++i) of_row[half][i] = values[half][i / 2][2 * k + i % 2];
      if (part.head_width > 0 && row + 8 * k < end) turn(of_row, turned, columns, part.head_width, row + 8 * k, eighth);
      narrow(here, k, of_row);
    }
    store_rows(to, row, end, here);
  }
}

// Sums over a block's rows of low^T out, and over its columns of out half (kOfColumns). kDrops: each pair has out without what falls. A
// warp's tiles of out and low are on their way to its own shared memory while it multiplies the ones before.
template <int kSteps, bool kOfColumns>
struct SumsShared {
  static constexpr int kStages = 3, kRanks = kSteps * kDepth, kTogether = kSteps == 1 ? 4 : 2;  // tiles whose sums over columns wait
  struct Stage {
    Bf16 out[kRows * kColumns], low[kRows * kRanks];
  };
  Stage stage[kWarps][kStages];
  float lows[kOfColumns ? kWarps : 1][kOfColumns ? kTogether * kRows * kRanks : 4];
};

template <int kSteps, bool kOfColumns, bool kDrops>
__global__ void __launch_bounds__(kThreads, kSteps <= 2 ? 2 : 1)
    sums_kernel(const __grid_constant__ Parts parts, float* of_rows, float* of_columns, int rows, int rows_each) {
  using Shared = SumsShared<kSteps, kOfColumns>;
  constexpr int kRanks = Shared::kRanks, kStages = Shared::kStages, kTogether = Shared::kTogether;
  extern __shared__ __align__(16) std::byte memory[];
  Shared& shared = *reinterpret_cast<Shared*>(memory);
  const Part& part = part_of(parts);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, eight = lane / 4, eighth = lane % 4;
  const int block = static_cast<int>(blockIdx.x) - part.first_block;
  const std::int64_t column = (std::int64_t{block} * kWarps + warp) * kColumns;
  const bool is_there = column < part.width;
  const int first = static_cast<int>(blockIdx.y) * rows_each, end = min(first + rows_each, rows);
  const int tiles = (end - first + kRows - 1) / kRows;

  const Bf16* const out = part.out + (is_there ? column + lane % 8 * kChunk : 0);
  const auto fetch_tile = [&](int number) {
    if (number < tiles) {
      auto& stage = shared.stage[warp][number % kStages];
#pragma unroll
      for (int i = 0; i < kRows / 4; ++i) {
        const int row = 4 * i + lane / 8, from = first + number * kRows + row;
        const bool has = is_there && from < end;
        copy_async(stage.out + place_of<kColumns>(row, lane % 8), out + (has ? from : 0) * part.width, has);
      }
#pragma unroll
      for (int s = 0; s < kSteps; ++s) {
        const Step& step = part.step[s];
        const int row = lane / 2, chunk = lane % 2, from = first + number * kRows + row;
        const bool has = from < end && chunk * kChunk < step.ranks;
        copy_async(stage.low + place_of<kRanks>(row, 2 * s + chunk), has ? step.low + from * step.low_step + chunk * kChunk : part.out,
                   has);
      }
    }
    end_copies();
  };
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) fetch_tile(i);

  std::uint32_t right[kColumns / 16][2 * kSteps][2];  // [sixteen columns][eight ranks]
  if constexpr (kOfColumns) {
#pragma unroll
    for (int sixteen = 0; sixteen < kColumns / 16; ++sixteen)
#pragma unroll
      for (int ranks = 0; ranks < 2 * kSteps; ++ranks) {
        const Step& step = part.step[ranks / 2];
        const int rank = ranks % 2 * 8 + eight;
        float values[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const std::int64_t at = column + sixteen * 16 + i / 2 * 8 + 2 * eighth + i % 2;
          values[i] = is_there && rank < step.ranks ? step.half[at * step.column_step + rank * step.rank_step] : 0.0f;
        }
        right[sixteen][ranks][0] = pair_of(values[0], values[1]);
        right[sixteen][ranks][1] = pair_of(values[2], values[3]);
      }
  }

  float sums[kColumns / 8][kSteps][4] = {};
  for (int number = 0; number < tiles; ++number) {
    wait_for_copies<kStages - 2>();
    __syncwarp();  // all of the tile is here, and the one before it has been read
    fetch_tile(number + kStages - 1);
    auto& stage = shared.stage[warp][number % kStages];
    Fragment low[kSteps];
#pragma unroll
    for (int s = 0; s < kSteps; ++s)  // turned: its rows are ranks, its depth rows
      load_turned_matrices(low[s], stage.low + place_of<kRanks>(lane / 16 * 8 + lane % 8, 2 * s + lane / 8 % 2));
    // The steps from kFirst to kEnd with the tile as it is.
    const auto multiply_tile = [&]<int kFirst, int kEnd>() {
#pragma unroll
      for (int sixteen = 0; sixteen < kColumns / 16; ++sixteen) {
        Fragment of_out;
        load_right<kColumns>(of_out, stage.out, 0, sixteen * 16);
#pragma unroll
        for (int s = kFirst; s < kEnd; ++s) {
          multiply_add(sums[2 * sixteen][s], low[s], of_out[0], of_out[1]);
          multiply_add(sums[2 * sixteen + 1][s], low[s], of_out[2], of_out[3]);
        }
      }
    };
    if constexpr (kDrops) {
      uint4 packs[kRows / 4];
#pragma unroll
      for (int i = 0; i < kRows / 4; ++i)
        packs[i] = *reinterpret_cast<const uint4*>(stage.out + place_of<kColumns>(4 * i + lane / 8, lane % 8));
      const auto multiply_step = [&]<int kStep>() {
        if constexpr (kStep < kSteps) {
          const Step& step = part.step[kStep];
          if (step.is_another) {
            __syncwarp();  // the tile was read
#pragma unroll
            for (int i = 0; i < kRows / 4; ++i) {
              const int row = 4 * i + lane / 8;
              *reinterpret_cast<uint4*>(stage.out + place_of<kColumns>(row, lane % 8)) =
                  dropped(packs[i], step.draw, first + number * kRows + row, column + lane % 8 * kChunk);
            }
            __syncwarp();
          }
          multiply_tile.template operator()<kStep, kStep + 1>();
        }
      };
      multiply_step.template operator()<0>();
      multiply_step.template operator()<1>();
      multiply_step.template operator()<2>();
      multiply_step.template operator()<3>();
    } else {
      multiply_tile.template operator()<0, kSteps>();
    }
    if constexpr (kOfColumns) {
      float d_low[2 * kSteps][4] = {};
#pragma unroll
      for (int sixteen = 0; sixteen < kColumns / 16; ++sixteen) {
        Fragment left;
        load_left<kColumns>(left, stage.out, 0, sixteen * 16);
#pragma unroll
        for (int ranks = 0; ranks < 2 * kSteps; ++ranks)
          multiply_add(d_low[ranks], left, right[sixteen][ranks][0], right[sixteen][ranks][1]);
      }
      float* const mine = shared.lows[warp] + number % kTogether * kRows * kRanks;
#pragma unroll
      for (int ranks = 0; ranks < 2 * kSteps; ++ranks)
#pragma unroll
        for (int k = 0; k < 2; ++k)
          *reinterpret_cast<float2*>(mine + (eight + 8 * k) * kRanks + ranks * 8 + 2 * eighth) = {d_low[ranks][2 * k],
                                                                                                  d_low[ranks][2 * k + 1]};
      if (number % kTogether < kTogether - 1 && number < tiles - 1) continue;
      __syncthreads();
      const int begin = first + number / kTogether * kTogether * kRows;
      for (int i = static_cast<int>(threadIdx.x) * 4; i < kTogether * kRows * kRanks; i += kThreads * 4) {
        float4 sum{};
#pragma unroll
        for (int w = 0; w < kWarps; ++w) {
          const float4 of_warp = *reinterpret_cast<const float4*>(shared.lows[w] + i);
          sum = {sum.x + of_warp.x, sum.y + of_warp.y, sum.z + of_warp.z, sum.w + of_warp.w};
        }
        const int row = begin + i / kRanks;
        if (row < end)
          *reinterpret_cast<float4*>(of_columns + part.first_low + (std::int64_t{block} * rows + row) * kRanks + i % kRanks) = sum;
      }
      __syncthreads();  // `lows` is written again
    }
  }
  if (!is_there) return;
  float* const to = of_rows + part.first_sum + std::int64_t{blockIdx.y} * kRanks * part.width + column;
#pragma unroll
  for (int eights = 0; eights < kColumns / 8; ++eights)
#pragma unroll
    for (int s = 0; s < kSteps; ++s)
#pragma unroll
      for (int k = 0; k < 2; ++k)
        *reinterpret_cast<float2*>(to + (s * kDepth + eight + 8 * k) * part.width + eights * 8 + 2 * eighth) = {sums[eights][s][2 * k],
                                                                                                                sums[eights][s][2 * k + 1]};
}

// What is left of a pass: gradients (ranks, width) by steps, each added the sum over `groups` of (groups, all_ranks, width), ranks from
// `first_rank` on, times a weight a column; and d_low (rows, ranks) of (blocks, rows, all_ranks).
struct Gradient {
  float* to = nullptr;  // null: nobody wants it
  const float* sums = nullptr;
  const float* weight = nullptr;  // null: 1
  float factor = 1;
  std::int64_t column_step = 0, rank_step = 0;
  int width = 0, count = 0, groups = 0, all_ranks = 0, first_rank = 0;
};
struct Low {
  Bf16 *to = nullptr, *scaled = nullptr;  // the other: each row times its scale; or null
  const float *sums = nullptr, *scales = nullptr;
  int count = 0, rows = 0, blocks = 0, all_ranks = 0, ranks = 0;
  float scale = 1;
};
struct Left {
  Gradient gradient[kMostParts];
  Low low[kMostParts];
};

// blockIdx.y: a part; blockIdx.x: elements of its gradient, then of its d_low.
__global__ void __launch_bounds__(kThreads) take_together_kernel(const __grid_constant__ Left left) {
  const Gradient& gradient = left.gradient[blockIdx.y];
  const Low& low = left.low[blockIdx.y];
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (gradient.to && i < gradient.count) {
    const int rank = i / gradient.width, column = i % gradient.width;
    const float* const from = gradient.sums + static_cast<std::int64_t>(gradient.first_rank + rank) * gradient.width + column;
    const std::int64_t step = static_cast<std::int64_t>(gradient.all_ranks) * gradient.width;
    float sum = 0;
#pragma unroll 8
    for (int group = 0; group < gradient.groups; ++group) sum += from[group * step];
    gradient.to[column * gradient.column_step + rank * gradient.rank_step] +=
        sum * gradient.factor * (gradient.weight ? gradient.weight[column] : 1.0f);
  }
  if (low.to && i < low.count) {
    const int row = i / low.ranks, rank = i % low.ranks;
    const float* const from = low.sums + static_cast<std::int64_t>(row) * low.all_ranks + rank;
    const std::int64_t step = static_cast<std::int64_t>(low.rows) * low.all_ranks;
    float sum = 0;
#pragma unroll 8
    for (int block = 0; block < low.blocks; ++block) sum += from[block * step];
    sum *= low.scale;
    low.to[i] = __float2bfloat16_rn(sum);
    if (low.scaled) low.scaled[i] = __float2bfloat16_rn(sum * low.scales[row]);
  }
}

// The halves a of all pairs one below the other in bf16, zeros below them.
struct Halves {
  const float* a[kMostRanks / 8];  // of eight ranks; null: zeros
};

__global__ void round_halves_kernel(Bf16* to, const __grid_constant__ Halves halves, std::int64_t width) {
  constexpr int kEach = 8;
  const std::int64_t column = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * kEach, row = blockIdx.y;
  if (column >= width) return;
  float values[kEach] = {};
  if (const float* const a = halves.a[row / 8]) load(values, a + row % 8 * width + column);
  store(to + row * width + column, values);
}

struct Lows {
  Bf16* low[kMostRanks / 8];  // of eight ranks; null: nobody's
  int ranks[kMostRanks / 8], first[kMostRanks / 8];
  float scale[kMostRanks / 8];
  Draw draw[kMostRanks / 8];
};

// A block: kTiles tiles of 16 rows, its warps 32 columns of x in turn.
template <int kTiles, int kEights, bool kDrops>
__global__ void __launch_bounds__(kThreads, 1)
    low_kernel(const __grid_constant__ Lows lows, const Bf16* x, const Bf16* a, int rows, std::int64_t width) {
  constexpr int kAll = kTiles * kRows, kRanks = kEights * 8;
  __shared__ float together[kAll][kRanks];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, eight = lane / 4, eighth = lane % 4;
  const std::int64_t first = std::int64_t{blockIdx.x} * kAll;
  float sums[kTiles][kEights][4] = {};
  uint4 next[kTiles][2], next_a[kEights];
  const auto fetch_next = [&](std::int64_t column) {
    if (column >= width) return;
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile)
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        const std::int64_t row = first + tile * kRows + 8 * k + eight;
        next[tile][k] = row < rows ? *reinterpret_cast<const uint4*>(x + row * width + column + eighth * 8) : uint4{};
      }
#pragma unroll
    for (int eights = 0; eights < kEights; ++eights)
      next_a[eights] = *reinterpret_cast<const uint4*>(a + (eights * 8 + eight) * width + column + eighth * 8);
  };
  fetch_next(warp * kHalf);
  for (std::int64_t column = warp * kHalf; column < width; column += kWarps * kHalf) {
    uint4 here[kTiles][2], here_a[kEights];
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile)
#pragma unroll
      for (int k = 0; k < 2; ++k) here[tile][k] = next[tile][k];
#pragma unroll
    for (int eights = 0; eights < kEights; ++eights) here_a[eights] = next_a[eights];
    fetch_next(column + kWarps * kHalf);
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      uint4 in[2] = {here[tile][0], here[tile][1]};
#pragma unroll
      for (int eights = 0; eights < kEights; ++eights) {
        if (kDrops && lows.first[eights] == 0 && lows.low[eights])
#pragma unroll
          for (int k = 0; k < 2; ++k)
            in[k] =
                dropped(here[tile][k], lows.draw[eights], static_cast<int>(first) + tile * kRows + 8 * k + eight, column + eighth * kDraws);
#pragma unroll
        for (int four = 0; four < 2; ++four) {
          const Fragment left = {word(in[0], 2 * four), word(in[1], 2 * four), word(in[0], 2 * four + 1), word(in[1], 2 * four + 1)};
          multiply_add(sums[tile][eights], left, word(here_a[eights], 2 * four), word(here_a[eights], 2 * four + 1));
        }
      }
    }
  }
  for (int w = 0; w < kWarps; ++w) {
    if (w == warp)
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile)
#pragma unroll
        for (int eights = 0; eights < kEights; ++eights)
#pragma unroll
          for (int k = 0; k < 4; ++k) {
            float& to = together[tile * kRows + eight + k / 2 * 8][eights * 8 + 2 * eighth + k % 2];
            to = w == 0 ? sums[tile][eights][k] : to + sums[tile][eights][k];
          }
    __syncthreads();
  }
  for (int i = static_cast<int>(threadIdx.x); i < kAll * kRanks; i += kThreads) {
    const int row = i / kRanks, rank = i % kRanks, eights = rank / 8;
    if (first + row >= rows || !lows.low[eights]) continue;
    lows.low[eights][(first + row) * lows.ranks[eights] + lows.first[eights] + rank % 8] =
        __float2bfloat16_rn(together[row][rank] * lows.scale[eights]);
  }
}

std::int64_t width_of(ConstView out) {
  return out.shape().elements() / std::max<std::int64_t>(out.shape()[0], 1);
}

bool fits(const LoraWeights& weights, ConstView out) {
  const std::int64_t rank = weights.a.shape()[0];
  return out.type() == DType::kBF16 && rank % 8 == 0 && rank <= kMostRank && weights.a.shape()[1] % kColumns == 0;
}

bool turns(std::int64_t head_width, ConstView out, const Turn& turn) {
  if (head_width == 0) return true;
  return out.type() == DType::kBF16 && head_width % kColumns == 0 && is_aligned(turn.table.cosine.data()) &&
         is_aligned(turn.table.sine.data());
}

bool fits_passes(const LoraWeights& weights, ConstView out, std::int64_t head_width, const Turn& turn) {
  return turns(head_width, out, turn) && width_of(out) % kColumns == 0 && is_aligned(out.data()) &&
         (weights.a.empty() || fits(weights, out));
}

template <class Each>
bool fit_together(std::span<const Each> parts) {
  std::int64_t ranks = 0;
  for (const Each& part : parts) {
    if (part.weights.a.empty()) continue;
    if (!fits(part.weights, part.low) || !is_aligned(part.weights.a.data())) return false;
    ranks += (part.weights.a.shape()[0] + kDepth - 1) / kDepth * kDepth;
  }
  return parts.size() <= kMostParts && ranks > 0 && ranks <= kMostRanks;
}

// The steps of a pair with `half` by columns and ranks.
void add_steps(Part& part, ConstView low, const float* half, std::int64_t column_step, std::int64_t rank_step,
               const Dropout& dropped = {}) {
  const std::int64_t rank = low.shape()[1];
  for (std::int64_t first = 0; first < rank; first += kDepth)
    part.step[part.steps++] = {.low = pointer<Bf16>(low) + first,
                               .half = half + first * rank_step,
                               .low_step = rank,
                               .column_step = column_step,
                               .rank_step = rank_step,
                               .ranks = static_cast<int>(std::min<std::int64_t>(kDepth, rank - first)),
                               .is_another = first == 0,
                               .draw = draw_of(dropped)};
}

int blocks_of(std::int64_t width) {
  return static_cast<int>(blocks_for(width, kWarps * kColumns));
}

// Calls work(std::integral_constant) with the number of steps.
template <class Work>
void with_steps(int steps, const Work& work) {
  switch (steps) {
    case 0:
      return work(std::integral_constant<int, 0>());
    case 1:
      return work(std::integral_constant<int, 1>());
    case 2:
      return work(std::integral_constant<int, 2>());
    default:
      return work(std::integral_constant<int, kMostSteps>());
  }
}

int steps_of(const Parts& parts) {
  int most = 0;
  for (int i = 0; i < parts.count; ++i) most = std::max(most, parts.part[i].steps);
  return most <= 2 ? most : kMostSteps;
}

bool drops(const Parts& parts) {
  return std::any_of(parts.part, parts.part + parts.count, [](const Part& part) {
    return std::any_of(part.step, part.step + part.steps, [](const Step& step) { return step.draw.falls > 0; });
  });
}

// Calls work(std::bool_constant).
template <class Work>
void with_bool(bool value, const Work& work) {
  value ? work(std::true_type()) : work(std::false_type());
}

void add_and_turn(const Backend& on, const Parts& parts, int blocks, const Turned& turned, std::int64_t rows) {
  const int each = rows < kManyRows ? 64 : 128;
  if (blocks == 0) return;
  const dim3 grid(static_cast<unsigned>(blocks), blocks_for(rows, each));
  with_bool(drops(parts), [&](auto some_fall) {
    with_steps(steps_of(parts), [&](auto steps) {
      const std::size_t bytes = static_cast<std::size_t>(each * steps() * kDepth) * sizeof(Bf16);
      add_and_turn_kernel<steps(), some_fall()><<<grid, kThreads, bytes, stream(on)>>>(parts, turned, static_cast<int>(rows), each);
    });
  });
  check_launch();
}

template <int kSteps, bool kOfColumns, bool kDrops>
void start_sums(const Backend& on, dim3 grid, const Parts& parts, float* of_rows, float* of_columns, std::int64_t rows, int rows_each) {
  constexpr int kBytes = sizeof(SumsShared<kSteps, kOfColumns>);
  const auto kernel = &sums_kernel<kSteps, kOfColumns, kDrops>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  kernel<<<grid, kThreads, kBytes, stream(on)>>>(parts, of_rows, of_columns, static_cast<int>(rows), rows_each);
  check_launch();
}

void take_together(const Backend& on, const Left& left, int most, int pairs) {
  take_together_kernel<<<dim3(blocks_for(most, kThreads), static_cast<unsigned>(pairs)), kThreads, 0, stream(on)>>>(left);
  check_launch();
}

// Rows of a block, where sums over rows are left by each.
int rows_of_group(std::int64_t rows, int blocks) {
  const std::int64_t groups = std::max<std::int64_t>(kBlocks / blocks, 1);
  return static_cast<int>(((rows + groups - 1) / groups + kRows - 1) / kRows * kRows);
}

}  // namespace

bool have_low_pass(std::span<const LoraPart> parts) {
  return fit_together(parts);
}
bool have_out_pass(std::span<const LoraPart> parts, const Turn& turn) {
  return parts.size() <= kMostParts && std::all_of(parts.begin(), parts.end(), [&](const LoraPart& part) {
           return fits_passes(part.weights, part.out, part.head_width, turn);
         });
}
bool have_passes(std::span<const LoraSlope> parts) {
  return fit_together(parts) && std::all_of(parts.begin(), parts.end(), [](const LoraSlope& part) {
           return part.weights.a.empty() || fits_passes(part.weights, part.d_out, 0, {});
         });
}

void pass_low(const Backend& on, std::span<const LoraPart> parts, ConstView x) {
  require_gpu(on, {x});
  DESKHAND_ASSERT(is_aligned(x.data()), "rows of x on 16 bytes");
  const std::int64_t rows = x.shape()[0], width = x.shape()[1];
  Halves halves{};
  Lows lows{};
  int eights = 0;
  bool some_fall = false;
  for (const LoraPart& part : parts) {
    if (part.weights.a.empty()) continue;
    require_gpu(on, {part.low, part.weights.a});
    const int rank = static_cast<int>(part.low.shape()[1]);
    for (int first = 0; first < rank; first += 8, ++eights) {
      halves.a[eights] = pointer(part.weights.a) + first * width;
      lows.low[eights] = pointer<Bf16>(part.low);
      lows.ranks[eights] = rank;
      lows.first[eights] = first;
      lows.draw[eights] = draw_of(part.weights.dropout);
      lows.scale[eights] = part.weights.scale * lows.draw[eights].scale;
      some_fall |= lows.draw[eights].falls > 0;
    }
  }
  const int all = eights <= 2 ? 2 : eights <= 4 ? 4 : kMostRanks / 8;
  Bf16* const a = on.cuda->scratch<Bf16>(kHalfA, std::int64_t{all} * 8 * width);
  round_halves_kernel<<<dim3(blocks_for(width, kThreads * 8), static_cast<unsigned>(all * 8)), kThreads, 0, stream(on)>>>(a, halves, width);
  check_launch();
  const auto start = [&](auto tiles, auto of) {
    with_bool(some_fall, [&](auto falls) {
      low_kernel<tiles(), of(), falls()>
          <<<blocks_for(rows, tiles() * kRows), kThreads, 0, stream(on)>>>(lows, pointer<Bf16>(x), a, static_cast<int>(rows), width);
    });
  };
  using std::integral_constant;
  const bool many = rows >= kManyRows;
  if (all == 2)
    many ? start(integral_constant<int, 4>(), integral_constant<int, 2>())
         : start(integral_constant<int, 1>(), integral_constant<int, 2>());
  else if (all == 4)
    many ? start(integral_constant<int, 4>(), integral_constant<int, 4>())
         : start(integral_constant<int, 1>(), integral_constant<int, 4>());
  else
    many ? start(integral_constant<int, 2>(), integral_constant<int, 8>())
         : start(integral_constant<int, 1>(), integral_constant<int, 8>());
  check_launch();
}

void pass_out(const Backend& on, std::span<const LoraPart> parts, const Turn& turn) {
  Parts made;
  int blocks = 0;
  std::int64_t rows = 0;
  for (const LoraPart& from : parts) {
    if (from.weights.a.empty() && from.head_width == 0) continue;
    require_gpu(on, {from.out, from.low, from.weights.b});
    rows = from.out.shape()[0];
    Part& part = made.part[made.count++];
    part.out = pointer<Bf16>(from.out);
    part.width = width_of(from.out);
    part.head_width = from.head_width;
    part.first_block = blocks;
    if (!from.weights.a.empty()) add_steps(part, from.low, pointer(from.weights.b), from.low.shape()[1], 1);
    blocks += blocks_of(part.width);
  }
  add_and_turn(on, made, blocks, turned_by(on, turn), rows);
}

namespace {

// A pair's part in backward, its d_low (N, R), and that by which a's gradient comes: where x lies before its norm, each row times its rstd.
struct Slope {
  const LoraSlope& of;
  View d_low, scaled;
};

// d_b += d_out^T low, d_low = scale d_out b.
void pass_d_out(const Backend& on, std::span<const Slope> slopes, ConstView rstd) {
  Parts made;
  int blocks = 0;
  const std::int64_t rows = slopes[0].d_low.shape()[0];
  for (const auto& [from, d_low, scaled] : slopes) {
    require_gpu(on, {from.d_out, from.low, from.weights.b, from.d_b});
    Part& part = made.part[made.count++];
    part.out = const_cast<Bf16*>(pointer<Bf16>(from.d_out));
    part.width = from.d_out.shape()[1];
    part.first_block = blocks;
    add_steps(part, from.low, pointer(from.weights.b), d_low.shape()[1], 1);
    blocks += blocks_of(part.width);
  }
  const int each = rows_of_group(rows, blocks);
  const unsigned groups = blocks_for(rows, each);
  const int steps = steps_of(made), ranks = steps * kDepth;
  std::int64_t sums = 0, lows = 0;
  for (int i = 0; i < made.count; ++i) {
    Part& part = made.part[i];
    part.first_sum = sums;
    part.first_low = lows;
    sums += groups * ranks * part.width;
    lows += std::int64_t{blocks_of(part.width)} * rows * ranks;
  }
  float* const of_rows = on.cuda->scratch<float>(kDelta, sums);
  float* const of_columns = on.cuda->scratch<float>(kSums, lows);
  const dim3 grid(static_cast<unsigned>(blocks), groups);
  if (steps == 1)
    start_sums<1, true, false>(on, grid, made, of_rows, of_columns, rows, each);
  else
    start_sums<2, true, false>(on, grid, made, of_rows, of_columns, rows, each);
  Left left;
  int most = 0;
  for (int i = 0; i < made.count; ++i) {
    const Part& part = made.part[i];
    const auto& [from, d_low, scaled] = slopes[static_cast<std::size_t>(i)];
    const std::int64_t rank = d_low.shape()[1];
    left.gradient[i] = {.to = from.d_b.empty() ? nullptr : pointer(from.d_b),
                        .sums = of_rows + part.first_sum,
                        .column_step = rank,
                        .rank_step = 1,
                        .width = static_cast<int>(part.width),
                        .count = static_cast<int>(rank * part.width),
                        .groups = static_cast<int>(groups),
                        .all_ranks = ranks};
    left.low[i] = {.to = pointer<Bf16>(d_low),
                   .scaled = rstd.empty() ? nullptr : pointer<Bf16>(scaled),
                   .sums = of_columns + part.first_low,
                   .scales = rstd.empty() ? nullptr : pointer(rstd),
                   .count = static_cast<int>(rows * rank),
                   .rows = static_cast<int>(rows),
                   .blocks = blocks_of(part.width),
                   .all_ranks = ranks,
                   .ranks = static_cast<int>(rank),
                   .scale = from.weights.scale};
    most = std::max({most, left.gradient[i].count, left.low[i].count});
  }
  take_together(on, left, most, made.count);
}

// d_a += d_low^T x.
void pass_d_a(const Backend& on, std::span<const Slope> slopes, const LoraInput& in) {
  require_gpu(on, {in.x, in.norm_weight, in.rstd});
  const std::int64_t rows = in.x.shape()[0], width = in.x.shape()[1];
  Parts made;
  made.count = 1;
  Part& part = made.part[0];
  part.out = const_cast<Bf16*>(pointer<Bf16>(in.x));
  part.width = width;
  Left left;
  int pairs = 0, most = 0;
  for (const auto& [from, d_low, scaled] : slopes) {
    if (from.d_a.empty()) continue;
    require_gpu(on, {from.d_a});
    left.gradient[pairs] = {.to = pointer(from.d_a),
                            .weight = in.norm_weight.empty() ? nullptr : pointer(in.norm_weight),
                            .factor = draw_of(from.weights.dropout).scale,
                            .column_step = 1,
                            .rank_step = width,
                            .width = static_cast<int>(width),
                            .count = static_cast<int>(d_low.shape()[1] * width),
                            .first_rank = part.steps * kDepth};
    most = std::max(most, left.gradient[pairs++].count);
    add_steps(part, scaled, nullptr, 0, 0, from.weights.dropout);
  }
  if (pairs == 0) return;
  const int blocks = blocks_of(width), each = rows_of_group(rows, blocks), steps = steps_of(made), ranks = steps * kDepth;
  const unsigned groups = blocks_for(rows, each);
  float* const of_rows = on.cuda->scratch<float>(kDelta, groups * ranks * width);
  const dim3 grid(static_cast<unsigned>(blocks), groups);
  with_bool(drops(made), [&](auto some_fall) {
    if (steps == 1)
      start_sums<1, false, some_fall()>(on, grid, made, of_rows, nullptr, rows, each);
    else if (steps == 2)
      start_sums<2, false, some_fall()>(on, grid, made, of_rows, nullptr, rows, each);
    else
      start_sums<kMostSteps, false, some_fall()>(on, grid, made, of_rows, nullptr, rows, each);
  });
  for (int i = 0; i < pairs; ++i) {
    left.gradient[i].sums = of_rows;
    left.gradient[i].groups = static_cast<int>(groups);
    left.gradient[i].all_ranks = ranks;
  }
  take_together(on, left, most, pairs);
}

// d_x += the sum of d_low a.
void pass_d_x(const Backend& on, std::span<const Slope> slopes, View d_x) {
  require_gpu(on, {d_x});
  Parts made;
  made.count = 1;
  Part& part = made.part[0];
  part.out = pointer<Bf16>(d_x);
  part.width = d_x.shape()[1];
  for (const auto& [from, d_low, scaled] : slopes) add_steps(part, d_low, pointer(from.weights.a), 1, part.width, from.weights.dropout);
  add_and_turn(on, made, blocks_of(part.width), {}, d_x.shape()[0]);
}

}  // namespace

void pass_backward(const Backend& on, std::span<const LoraSlope> parts, View d_x, const LoraInput& in) {
  const std::int64_t rows = in.x.shape()[0];
  std::int64_t ranks = 0;
  for (const LoraSlope& part : parts)
    if (!part.weights.a.empty()) ranks += part.low.shape()[1];
  const bool scales = !in.norm_weight.empty();
  View room(on.cuda->scratch(kLow, row_bytes(DType::kBF16, 2 * rows * ranks)), DType::kBF16, {2 * rows * ranks}, Device::kCuda);
  const auto take = [&](std::int64_t rank) {
    const View taken = room.rows(0, rows * rank).reshaped({rows, rank});
    room = room.rows(rows * rank, room.shape()[0] - rows * rank);
    return taken;
  };
  std::vector<Slope> slopes;
  for (const LoraSlope& part : parts) {
    if (part.weights.a.empty()) continue;
    const View d_low = take(part.low.shape()[1]);
    slopes.push_back({part, d_low, scales ? take(part.low.shape()[1]) : d_low});
  }
  pass_d_out(on, slopes, scales ? in.rstd : ConstView());
  pass_d_a(on, slopes, in);
  if (!d_x.empty()) pass_d_x(on, slopes, d_x);
}

}  // namespace deskhand::cuda
