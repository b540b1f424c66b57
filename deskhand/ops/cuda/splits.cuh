// Attention of a few new tokens over pages: the context is cut in parts that are read side by side ("Flash-Decoding"); the last of them to
// be done sums the shares of all in their order.
#pragma once
#include <cuda_fp16.h>

#include "deskhand/ops/cuda/map.cuh"
#include "deskhand/ops/cuda/overlap.cuh"
#include "deskhand/ops/cuda/tiles.cuh"

namespace deskhand::cuda {

// A pass's sequences on the GPU: bounds (S + 1), lengths (S), page tables (S, step).
struct Tables {
  const std::int32_t *bounds, *lengths, *pages;
  int sequences, step;
};

struct Shape4 {
  int heads, groups, width, page_tokens;
  float scale;
};

// Of a block. A few rows that come as they left their products are cut in larger parts: there are fewer shares to join then.
template <bool kTurned>
constexpr int kSplitWarps = kTurned ? 8 : 4;
template <bool kTurned>
constexpr int kSplitThreads = 32 * kSplitWarps<kTurned>;
template <bool kTurned>
constexpr int kSplitTokens = 16 * kSplitWarps<kTurned>;  // of a tile; parts are whole tiles
constexpr int kMostParts = 64;
constexpr int kShared = 4;  // query heads of one group that read its keys together

struct Splits {
  int count;     // parts of the context
  int together;  // blocks that share one group's heads
  int buffers;   // tiles that a block holds, 1 or 2
  float* parts;  // (rows, H, parts, width), then (rows, H, parts) largest and totals; unused where count is 1
  float *largest, *total;
  int* arrived;  // (rows, groups, together) of their parts; zeros, which is how they are left
};

// What is new in this pass, not turned yet.
template <class T>
struct Turn {
  const T *k, *v;
  const float *cosines, *sines;
  const std::int32_t* positions;
  bool halves;
  __half *keys, *values;  // where k, turned, and v belong
};

// What one block does: the part `part` of the context of row `rows[place]`, or of row `place` where all come so, kShared heads of a group.
struct SplitItem {
  int place, part, group, first_head;
};

#ifdef __CUDACC__

struct Row {
  int sequence, position;  // position: tokens before it
};

// The sequence of a row: the last that begins at or before it and is not empty.
__device__ inline Row row_of(const Tables& at, int row) {
  const int sequence = last_begun(at.bounds, at.sequences, row);
  return {sequence, at.lengths[sequence] - (at.bounds[sequence + 1] - row)};
}

// Where a token's keys begin, in tokens.
__device__ inline std::int64_t place_of_token(const Tables& at, int sequence, int token, int page_tokens) {
  const std::int64_t page = at.pages[static_cast<std::int64_t>(sequence) * at.step + token / page_tokens];
  return page * page_tokens + token % page_tokens;
}

// Of 8 columns from lane * 8 on: what a value and its partner are multiplied with.
template <int kWidth>
struct Angles {
  float cosine[8], sine[8];
};
template <int kWidth, class T>
__device__ Angles<kWidth> angles_of(const Turn<T>& turn, int row, int lane) {
  constexpr int kHalf = kWidth / 2;
  const std::int64_t from = std::int64_t{turn.positions[row]} * kHalf;
  Angles<kWidth> angles;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int column = lane * 8 + i, pair = turn.halves ? column % kHalf : column / 2;
    const bool is_first = turn.halves ? column < kHalf : column % 2 == 0;
    angles.cosine[i] = turn.cosines[from + pair];
    angles.sine[i] = is_first ? -turn.sines[from + pair] : turn.sines[from + pair];
  }
  return angles;
}
// The 8 columns of a head, turned and rounded as rope leaves them.
template <int kWidth, class T>
__device__ void load_turned(float (&to)[8], const T* head, const Angles<kWidth>& angles, bool halves, int lane) {
  float own[8], other[8];
  load(own, head + lane * 8);
  load(other, head + (halves ? lane ^ kWidth / 16 : lane) * 8);
#pragma unroll
  for (int i = 0; i < 8; ++i) to[i] = widened(narrowed<T>(own[i] * angles.cosine[i] + (halves ? other[i] : own[i ^ 1]) * angles.sine[i]));
}

__device__ inline std::uint32_t halves_of(float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  return reinterpret_cast<const std::uint32_t&>(pair);
}
__device__ inline uint4 as_halves(const float (&from)[8]) {
  return make_uint4(halves_of(from[0], from[1]), halves_of(from[2], from[3]), halves_of(from[4], from[5]), halves_of(from[6], from[7]));
}

// What an item reads: tokens [begin, end) of the sequence of row `number`. From the token `known` on they are rows of this pass, the first
// of them `first_new`.
struct SplitRange {
  int number, sequence, position, each, begin, end, known, first_new;  // each: tokens of a part
};
__device__ inline SplitRange range_of(const Tables& at, const Splits& splits, int number, const SplitItem& item, int tile) {
  const Row row = row_of(at, number);
  const int seen = row.position + 1, least = (seen + splits.count - 1) / splits.count;
  const int each = (least + tile - 1) / tile * tile, begin = item.part * each;
  const int first_new = at.bounds[row.sequence];
  return {number, row.sequence, row.position, each, begin, min(seen, begin + each), row.position - (number - first_new), first_new};
}

__device__ inline void multiply_add_halves(float (&sum)[4], const Fragment& left, std::uint32_t right_low, std::uint32_t right_high) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
               : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
               : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right_low), "r"(right_high));
}
// What `halves` leave of their two numbers, so that both together have 22 bits, as far as these lie above 2^-25.
__device__ inline std::uint32_t rest_of(float low, float high, std::uint32_t halves) {
  const float2 most = __half22float2(reinterpret_cast<const __half2&>(halves));
  return halves_of(low - most.x, high - most.y);
}

// Past L1: other blocks of this launch wrote it.
__device__ inline void load_fresh(float (&to)[4], const float* from) {
  const float4 four = __ldcg(reinterpret_cast<const float4*>(from));
  to[0] = four.x;
  to[1] = four.y;
  to[2] = four.z;
  to[3] = four.w;
}
__device__ inline void load_fresh(float (&to)[2], const float* from) {
  const float2 two = __ldcg(reinterpret_cast<const float2*>(from));
  to[0] = two.x;
  to[1] = two.y;
}

// A warp's work: a head's `count` parts, in their order, as what attention gives. `first`: of its parts.
template <int kWidth, class T>
__device__ void join(T* to, const Splits& splits, std::int64_t first, int count) {
  constexpr int kEach = kWidth / 32, kBatch = 17;  // columns of a lane; parts on their way together
  const int lane = threadIdx.x % 32;
  float values[kBatch][kEach], sum[kEach] = {};
  const auto fetch = [&](int begin) {
#pragma unroll
    for (int k = 0; k < kBatch; ++k) load_fresh(values[k], splits.parts + (first + min(begin + k, count - 1)) * kWidth + lane * kEach);
  };
  fetch(0);
  float factor[kMostParts / 32], of_part[kMostParts / 32], total = 0, most = -INFINITY;  // of parts lane, lane + 32, ...
#pragma unroll
  for (int i = 0; i < kMostParts / 32; ++i) {
    const int part = lane + 32 * i;
    factor[i] = part < count ? __ldcg(splits.largest + first + part) : -INFINITY;
    of_part[i] = part < count ? __ldcg(splits.total + first + part) : 0;
    most = fmaxf(most, factor[i]);
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2) most = fmaxf(most, __shfl_xor_sync(~0u, most, step));
#pragma unroll
  for (int i = 0; i < kMostParts / 32; ++i) {
    factor[i] = __expf(factor[i] - most);
    total += factor[i] * of_part[i];
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2) total += __shfl_xor_sync(~0u, total, step);
  for (int begin = 0; begin < count; begin += kBatch) {
    if (begin > 0) fetch(begin);
#pragma unroll
    for (int k = 0; k < kBatch; ++k) {
      const int part = begin + k;
      const float mine = __shfl_sync(~0u, part < 32 ? factor[0] : factor[1], part % 32);
      if (part >= count) break;
#pragma unroll
      for (int i = 0; i < kEach; ++i) sum[i] += mine * values[k][i];
    }
  }
#pragma unroll
  for (int i = 0; i < kEach; ++i) to[lane * kEach + i] = narrowed<T>(sum[i] / total);
}

// A block's shared memory: tiles of keys and of values, as many of each as `buffers`, then q's halves and what those leave of it.
template <int kWidth, bool kTurned>
constexpr int kSplitTile = kSplitTokens<kTurned>* kWidth;
template <int kWidth>
constexpr int kSplitQuery = kWidth + kChunk;  // a row of q: words 0..3 of all rows lie in different banks
template <int kWidth, bool kTurned>
constexpr int split_bytes(int buffers) {
  return (buffers * 2 * kSplitTile<kWidth, kTurned> + 2 * kShared * kSplitQuery<kWidth>)*static_cast<int>(sizeof(__half));
}

// A block an item, 16 tokens of a tile a warp, on the tensor cores in f16: q and the weights of values in two columns a head, what f16 has
// of them and the rest. kTurned: q, k and v come as they left their products; q and k are turned here, and the block that has a row's own
// token writes its page. Known keys and values are asked for before the wait then: they are of passes that ended before this one began.
template <int kWidth, bool kTurned, class T>
__global__ void __launch_bounds__(kSplitThreads<kTurned>)
    split_kernel(Tables at, Shape4 shape, Splits splits, const std::int32_t* rows, T* out, const T* q, const __half* keys,
                 const __half* values, [[maybe_unused]] Turn<T> turn) {
  constexpr int kWarps = kSplitWarps<kTurned>, kThreads = kSplitThreads<kTurned>, kTokens = kSplitTokens<kTurned>;
  constexpr int kTile = kSplitTile<kWidth, kTurned>;
  constexpr int kLanes = kWidth / 8, kRuns = kThreads / kLanes;  // of a row; runs of lanes in a block
  constexpr int kSumStep = kWidth + 8;
  extern __shared__ __align__(128) Bf16 tiles[];
  __shared__ float best[kWarps][kShared], totals[kWarps][kShared];
  if constexpr (!kTurned) let_next_begin();
  const auto which = static_cast<int>(blockIdx.z);
  const SplitItem item{static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.x), which / splits.together,
                       which % splits.together * kShared};
  const SplitRange range = range_of(at, splits, kTurned ? item.place : rows[item.place], item, kTokens);
  const int number = range.number, begin = range.begin, end = range.end;
  if (begin >= end) return;
  const int in_group = shape.heads / shape.groups, head_of_item = item.group * in_group + item.first_head;
  const int heads = min(kShared, in_group - item.first_head);
  const int lane = threadIdx.x % kLanes, run = threadIdx.x / kLanes, warp = static_cast<int>(threadIdx.x) / 32;
  const int buffers = splits.buffers, count = (end - begin + kTokens - 1) / kTokens;
  auto* const query = reinterpret_cast<__half*>(tiles + buffers * 2 * kTile);
  const auto tile_of = [&](int number_of_tile) { return tiles + number_of_tile % buffers * 2 * kTile; };
  const auto line_of = [&](int token) {
    return (place_of_token(at, range.sequence, token, shape.page_tokens) * shape.groups + item.group) * kWidth + lane * 8;
  };
  const int known = kTurned ? min(range.known, end) : end;
  // Keys and values of a tile, as far as they are known; zeros behind the end.
  const auto fetch = [&](int number_of_tile) {
    if (number_of_tile < count) {
      Bf16* const to = tile_of(number_of_tile);
      const int first = begin + number_of_tile * kTokens;
      std::int64_t lines[kTokens / kRuns];  // looked up together
#pragma unroll
      for (int i = 0; i < kTokens / kRuns; ++i) lines[i] = line_of(min(first + run + i * kRuns, end - 1));
#pragma unroll
      for (int i = 0; i < kTokens / kRuns; ++i) {
        const int in_tile = run + i * kRuns, token = first + in_tile;
        if (token >= known && token < end) continue;
        copy_async(to + place_of<kWidth>(in_tile, lane), keys + lines[i], token < end);
        copy_async(to + kTile + place_of<kWidth>(in_tile, lane), values + lines[i], token < end);
      }
    }
    end_copies();
  };
  // Those of this pass, whose runs of lanes are others than q's, as long as they are few.
  const auto put_new = [&](int number_of_tile, const auto& angles_for) {
    if constexpr (kTurned) {
      Bf16* const to = tile_of(number_of_tile);
      const int first = begin + number_of_tile * kTokens;
#pragma unroll 1
      for (int token = max(first, known) + kRuns - 1 - run; token < min(end, first + kTokens); token += kRuns) {
        const int row = range.first_new + token - range.known;
        const std::int64_t head = (std::int64_t{row} * shape.groups + item.group) * kWidth;
        float columns[8];
        load_turned<kWidth>(columns, turn.k + head, angles_for(row), turn.halves, lane);
        const uint4 key = as_halves(columns);
        load(columns, turn.v + head + lane * 8);
        const uint4 value = as_halves(columns);
        *reinterpret_cast<uint4*>(to + place_of<kWidth>(token - first, lane)) = key;
        *reinterpret_cast<uint4*>(to + kTile + place_of<kWidth>(token - first, lane)) = value;
        if (row == number && item.first_head == 0) {  // its page is this block's to write
          const std::int64_t line = line_of(token);
          *reinterpret_cast<uint4*>(turn.keys + line) = key;
          *reinterpret_cast<uint4*>(turn.values + line) = value;
        }
      }
    }
  };
  Angles<kWidth> angles;
  if constexpr (kTurned) {
    angles = angles_of<kWidth>(turn, number, lane);
    for (int i = 0; i < buffers; ++i) fetch(i);
  }
  wait_for_previous();
  if constexpr (kTurned)
    let_next_begin();  // not before: the weights that it asks for would stand before the keys of blocks that begin late
  else
    for (int i = 0; i < buffers; ++i) fetch(i);

  if (run < kShared) {
    const T* const from = q + (std::int64_t{number} * shape.heads + head_of_item + min(run, heads - 1)) * kWidth;
    float columns[8];
    if constexpr (kTurned)
      load_turned<kWidth>(columns, from, angles, turn.halves, lane);
    else
      load(columns, from + lane * 8);
    std::uint32_t most[4], rest[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      most[i] = halves_of(columns[2 * i], columns[2 * i + 1]);
      rest[i] = rest_of(columns[2 * i], columns[2 * i + 1], most[i]);
    }
    __half* const to = query + 2 * run * kSplitQuery<kWidth> + lane * 8;
    *reinterpret_cast<uint4*>(to) = make_uint4(most[0], most[1], most[2], most[3]);
    *reinterpret_cast<uint4*>(to + kSplitQuery<kWidth>) = make_uint4(rest[0], rest[1], rest[2], rest[3]);
  }
  for (int i = 0; i < min(buffers, count); ++i)
    put_new(i, [&](int row) { return row == number ? angles : angles_of<kWidth>(turn, row, lane); });

  // A lane's columns 2 t and 2 t + 1 are head t's two, of scores and of the values' sums.
  const int in_warp = threadIdx.x % 32, g = in_warp / 4, t = in_warp % 4;
  float sum[kWidth / 16][4] = {}, largest = -INFINITY, total = 0;
  for (int number_of_tile = 0; number_of_tile < count; ++number_of_tile) {
    if (buffers == 1)
      wait_for_copies<0>();
    else
      wait_for_copies<1>();
    __syncthreads();
    const Bf16* const key = tile_of(number_of_tile);
    const Bf16* const value = key + kTile;
    const int first = begin + number_of_tile * kTokens + warp * 16;  // of this warp's tokens
    if (first < end) {
      float score[4] = {};
#pragma unroll
      for (int depth = 0; depth < kWidth; depth += 16) {
        Fragment left;
        load_left<kWidth>(left, key, warp * 16, depth);
        const __half* const right = query + g * kSplitQuery<kWidth> + depth + 2 * t;
        multiply_add_halves(score, left, *reinterpret_cast<const std::uint32_t*>(right),
                            *reinterpret_cast<const std::uint32_t*>(right + 8));
      }
      float weight[2];  // of tokens g and g + 8
#pragma unroll
      for (int i = 0; i < 2; ++i) weight[i] = first + g + 8 * i < end ? (score[2 * i] + score[2 * i + 1]) * shape.scale : -INFINITY;
      float larger = fmaxf(largest, fmaxf(weight[0], weight[1]));
#pragma unroll
      for (int step = 4; step < 32; step *= 2) larger = fmaxf(larger, __shfl_xor_sync(~0u, larger, step));
      const float base = larger == -INFINITY ? 0 : larger, shrink = __expf(largest - base);
      largest = larger;
#pragma unroll
      for (int i = 0; i < 2; ++i) weight[i] = __expf(weight[i] - base);
      total = total * shrink + weight[0] + weight[1];
      // The tensor cores want this lane to have column g's of tokens 2 t, 2 t + 1 and 8 more.
      std::uint32_t right[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int from = 8 * t + g / 2;
        const float low = __shfl_sync(~0u, weight[i], from), high = __shfl_sync(~0u, weight[i], from + 4);
        right[i] = halves_of(low, high);
        if (g % 2 == 1) right[i] = rest_of(low, high, right[i]);
      }
#pragma unroll
      for (int m = 0; m < kWidth / 16; ++m) {
        Fragment turned;
        load_right<kWidth>(turned, value, warp * 16, 16 * m);
        const Fragment left = {turned[0], turned[2], turned[1], turned[3]};
#pragma unroll
        for (int i = 0; i < 4; ++i) sum[m][i] *= shrink;
        multiply_add_halves(sum[m], left, right[0], right[1]);
      }
    }
    if (number_of_tile + buffers < count) {
      __syncthreads();  // before the tile is fetched anew
      fetch(number_of_tile + buffers);
      put_new(number_of_tile + buffers, [&](int row) { return angles_of<kWidth>(turn, row, lane); });
    } else {
      end_copies();
    }
  }
#pragma unroll
  for (int step = 4; step < 32; step *= 2) total += __shfl_xor_sync(~0u, total, step);
  __syncthreads();                                     // the sums lie where tiles did
  auto* const sums = reinterpret_cast<float*>(tiles);  // (warps, kShared, kSumStep)
  static_assert(kWarps * kShared * kSumStep * sizeof(float) <= 2 * kTile * sizeof(Bf16));
  if (g == 0) {
    best[warp][t] = largest;
    totals[warp][t] = total;
  }
#pragma unroll
  for (int m = 0; m < kWidth / 16; ++m)
#pragma unroll
    for (int i = 0; i < 2; ++i) sums[(warp * kShared + t) * kSumStep + 16 * m + g + 8 * i] = sum[m][2 * i] + sum[m][2 * i + 1];
  __syncthreads();
  const std::int64_t to = (std::int64_t{number} * shape.heads + head_of_item) * kWidth;
  const std::int64_t first_part = (std::int64_t{item.place} * shape.heads + head_of_item) * splits.count;
#pragma unroll 1
  for (int i = threadIdx.x; i < heads * kWidth; i += kThreads) {
    const int h = i / kWidth, d = i % kWidth;
    float most = -INFINITY, all = 0, of_column = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) most = fmaxf(most, best[w][h]);
    const float base = most == -INFINITY ? 0 : most;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      const float factor = __expf(best[w][h] - base);
      all += factor * totals[w][h];
      of_column += factor * sums[(w * kShared + h) * kSumStep + d];
    }
    if (splits.count == 1) {
      out[to + i] = narrowed<T>(of_column / all);
      continue;
    }
    const std::int64_t at_part = first_part + h * splits.count + item.part;
    splits.parts[at_part * kWidth + d] = of_column;
    if (d == 0) {
      splits.largest[at_part] = most;
      splits.total[at_part] = all;
    }
  }
  if (splits.count == 1) return;
  // Whoever comes last of those that share heads joins their parts: the sum's order is the same whoever does.
  static_assert(kShared <= kWarps);
  __shared__ bool is_last;
  __syncthreads();
  const int busy = (range.position + range.each) / range.each;  // parts that have tokens
  if (threadIdx.x == 0) {
    __threadfence();
    int* const arrived = splits.arrived + item.place * static_cast<int>(gridDim.z) + which;
    is_last = atomicAdd(arrived, 1) + 1 == busy;
    if (is_last) *arrived = 0;  // as it was found
    __threadfence();
  }
  __syncthreads();
  if (is_last && warp < heads) join<kWidth>(out + to + warp * kWidth, splits, first_part + warp * splits.count, busy);
}

#endif

}  // namespace deskhand::cuda
