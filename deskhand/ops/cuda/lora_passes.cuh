// Bound by memory: what the products with a pair are worth beside reading x, out or their gradients is next to nothing. A warp has 16 rows
// and 64 columns at a time. Where they are written again a thread has 8 neighbours of two rows in two halves, 16 bytes from memory and
// back, and the order of columns within a product is such that these are the tensor cores' fragments as they come; where they are only read
// they come by way of shared memory, in the background. Sums over rows or columns that several blocks share are left in f32 by each and
// taken together in their order, so nothing changes from run to run.
#pragma once
#include <algorithm>

#include "deskhand/ops/cuda/dropout.cuh"
#include "deskhand/ops/cuda/lora_passes.h"
#include "deskhand/ops/cuda/map.cuh"
#include "deskhand/ops/cuda/rope.cuh"
#include "deskhand/ops/cuda/tiles.cuh"

namespace deskhand::cuda {

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

__device__ inline const Part& part_of(const Parts& parts) {
  int i = parts.count - 1;
  while (i > 0 && parts.part[i].first_block > static_cast<int>(blockIdx.x)) --i;
  return parts.part[i];
}

// The two runs of kHalf columns that a warp has: with rotation by halves they are partners.
struct Columns {
  std::int64_t first[2];
  std::int64_t angle;  // of the first column's pair
};

__device__ inline Columns columns_of(std::int64_t unit, std::int64_t head_width, bool halves) {
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

__device__ inline Rows load_rows(const Place& from, int row, int end) {
  Rows rows;
#pragma unroll
  for (int half = 0; half < 2; ++half)
#pragma unroll
    for (int k = 0; k < 2; ++k)
      rows.packs[half][k] = row + 8 * k < end ? *reinterpret_cast<const uint4*>(from.at + half * from.apart + k * from.below) : uint4{};
  return rows;
}

__device__ inline void store_rows(const Place& to, int row, int end, const Rows& rows) {
#pragma unroll
  for (int k = 0; k < 2; ++k)
    if (row + 8 * k < end)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const uint4& pack = rows.packs[half][k];
        store_words(to.at + half * to.apart + k * to.below, pack.x, pack.y, pack.z, pack.w);
      }
}

__device__ inline std::uint32_t word(const uint4& pack, int i) {
  return i == 0 ? pack.x : i == 1 ? pack.y : i == 2 ? pack.z : pack.w;
}
__device__ inline float low_of(std::uint32_t pair) {
  return __uint_as_float(pair << 16);
}
__device__ inline float high_of(std::uint32_t pair) {
  return __uint_as_float(pair & 0xffff0000u);
}

// The pack with zeros for what falls; it is not scaled.
__device__ inline uint4 dropped(const uint4& pack, const Draw& draw, int row, std::int64_t column) {
  const uint4 drawn = drawn_of(draw, static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(column / kDraws));
  const std::uint32_t falls = draw.falls * 0x10001u;
  return {pack.x & __vcmpgeu2(drawn.x, falls), pack.y & __vcmpgeu2(drawn.y, falls), pack.z & __vcmpgeu2(drawn.z, falls),
          pack.w & __vcmpgeu2(drawn.w, falls)};
}

// Sums of 16 x 8 that are as `rows` lie: [half][pair of neighbours][row: 0, 1; row + 8: 2, 3].
using Wide = float[2][4][4];

__device__ inline void widen(Wide& to, const Rows& rows) {
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

__device__ inline void narrow(Rows& to, int k, const float (&from)[2][8]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float(&of)[8] = from[half];
    to.packs[half][k] = {pair_of(of[0], of[1]), pair_of(of[2], of[3]), pair_of(of[4], of[5]), pair_of(of[6], of[7])};
  }
}

inline std::int64_t width_of(ConstView out) {
  return out.shape().elements() / std::max<std::int64_t>(out.shape()[0], 1);
}

// The steps of a pair with `half` by columns and ranks.
inline void add_steps(Part& part, ConstView low, const float* half, std::int64_t column_step, std::int64_t rank_step,
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

inline int blocks_of(std::int64_t width) {
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

inline int steps_of(const Parts& parts) {
  int most = 0;
  for (int i = 0; i < parts.count; ++i) most = std::max(most, parts.part[i].steps);
  return most <= 2 ? most : kMostSteps;
}

inline bool drops(const Parts& parts) {
  return std::any_of(parts.part, parts.part + parts.count, [](const Part& part) {
    return std::any_of(part.step, part.step + part.steps, [](const Step& step) { return step.draw.falls > 0; });
  });
}

// Calls work(std::bool_constant).
template <class Work>
void with_bool(bool value, const Work& work) {
  value ? work(std::true_type()) : work(std::false_type());
}

// out += low half^T of each part's steps, then turned.
void add_and_turn(const Backend& on, const Parts& parts, int blocks, const Turned& turned, std::int64_t rows);

}  // namespace deskhand::cuda
