// Attention of a few new tokens over pages: the context is cut in parts that are read side by side ("Flash-Decoding"), then their shares
// are summed in their order.
#pragma once
#include <cuda_fp16.h>

#include "deskhand/ops/cuda/map.cuh"
#include "deskhand/ops/cuda/overlap.cuh"

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

constexpr int kSplitWarps = 4, kSplitThreads = 32 * kSplitWarps;
constexpr int kShared = 4;  // query heads of one group that read its keys together

struct Splits {
  int count;     // parts of the context
  int together;  // blocks that share one group's heads
  float* parts;  // (rows, H, parts, width), then (rows, H, parts) largest and totals; unused where count is 1
  float *largest, *total;
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

// What one block does: the part `part` of the context of row `rows[place]`, kShared heads of a group.
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

__device__ inline uint4 as_halves(const float (&from)[8]) {
  const auto pair = [&](int i) {
    const __half2 two = __floats2half2_rn(from[i], from[i + 1]);
    return reinterpret_cast<const std::uint32_t&>(two);
  };
  return make_uint4(pair(0), pair(2), pair(4), pair(6));
}

// What an item reads: tokens [begin, end) of the sequence of row `number`. From the token `known` on they are rows of this pass, the first
// of them `first_new`.
struct SplitRange {
  int number, sequence, position, begin, end, known, first_new;
};
__device__ inline SplitRange range_of(const Tables& at, const Splits& splits, const std::int32_t* rows, const SplitItem& item) {
  const int number = rows[item.place];
  const Row row = row_of(at, number);
  const int seen = row.position + 1, each = (seen + splits.count - 1) / splits.count, begin = item.part * each;
  const int first_new = at.bounds[row.sequence];
  return {number, row.sequence, row.position, begin, min(seen, begin + each), row.position - (number - first_new), first_new};
}

// Asks L2 for keys and values of the item that are not of this pass.
template <int kWidth>
__device__ void prefetch_part(const Tables& at, const Shape4& shape, const __half* keys, const __half* values, int group,
                              const SplitRange& range) {
  constexpr int kLine = 64, kLines = kWidth / kLine;  // halves of 128 bytes
  for (int i = static_cast<int>(threadIdx.x); i < (min(range.end, range.known) - range.begin) * kLines * 2; i += blockDim.x) {
    const std::int64_t token = place_of_token(at, range.sequence, range.begin + i / (kLines * 2), shape.page_tokens);
    prefetch((i % 2 == 0 ? keys : values) + (token * shape.groups + group) * kWidth + i / 2 % kLines * kLine);
  }
}

// What parts of a context give a head together: their largest score, the weights' sum against it and the values' weighted sum.
struct Share {
  float largest, total, sum;
};
__device__ inline Share joined(const Share& a, const Share& b) {
  const float larger = fmaxf(a.largest, b.largest), base = larger == -INFINITY ? 0 : larger;  // neither has seen a key yet
  const float of_a = __expf(a.largest - base), of_b = __expf(b.largest - base);
  return {larger, a.total * of_a + b.total * of_b, a.sum * of_a + b.sum * of_b};
}

// A block an item. kWidth / 8 lanes share a key, 16 bytes each; a run of them has kTogether keys on their way. kTurned: q, k and v come as
// they left their products; q and k are turned here, and the block that has a row's own token writes its page.
template <int kWidth, bool kTurned, class T>
__global__ void __launch_bounds__(kSplitThreads)
    split_kernel(Tables at, Shape4 shape, Splits splits, const std::int32_t* rows, T* out, const T* q, const __half* keys,
                 const __half* values, [[maybe_unused]] Turn<T> turn) {
  constexpr int kTogether = 4, kLanes = kWidth / 8, kRuns = 32 / kLanes * kSplitWarps;  // runs of lanes in a block
  __shared__ float best[kSplitWarps][kShared], totals[kSplitWarps][kShared], sums[kSplitWarps][kShared][kWidth];
  let_next_begin();
  const auto which = static_cast<int>(blockIdx.z);
  const SplitItem item{static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.x), which / splits.together,
                       which % splits.together * kShared};
  const SplitRange range = range_of(at, splits, rows, item);
  const int number = range.number, begin = range.begin, end = range.end;
  const int in_group = shape.heads / shape.groups, head_of_item = item.group * in_group + item.first_head;
  const int heads = min(kShared, in_group - item.first_head);
  const int lane = threadIdx.x % kLanes, run = threadIdx.x / kLanes, warp = static_cast<int>(threadIdx.x) / 32;
  Angles<kWidth> angles;
  if constexpr (kTurned) {
    angles = angles_of<kWidth>(turn, number, lane);
    prefetch_part<kWidth>(at, shape, keys, values, item.group, range);
  }
  wait_for_previous();

  float query[kShared][8], sum[kShared][8] = {}, largest[kShared], total[kShared] = {};
#pragma unroll
  for (int h = 0; h < kShared; ++h) {
    largest[h] = -INFINITY;
    const T* const from = q + (std::int64_t{number} * shape.heads + head_of_item + min(h, heads - 1)) * kWidth;
    if constexpr (kTurned)
      load_turned<kWidth>(query[h], from, angles, turn.halves, lane);
    else
      load(query[h], from + lane * 8);
#pragma unroll
    for (int i = 0; i < 8; ++i) query[h][i] *= shape.scale;
  }
  // All lanes of a warp go round as often: shuffles want them.
  for (int first = begin; first < end; first += kRuns * kTogether) {
    uint4 key[kTogether], value[kTogether];
#pragma unroll
    for (int k = 0; k < kTogether; ++k) {
      const int token = min(first + run + k * kRuns, end - 1);
      const std::int64_t line =
          (place_of_token(at, range.sequence, token, shape.page_tokens) * shape.groups + item.group) * kWidth + lane * 8;
      if constexpr (kTurned)
        if (token >= range.known) {
          const int row = range.first_new + token - range.known;
          const std::int64_t head = (std::int64_t{row} * shape.groups + item.group) * kWidth;
          float columns[8];
          load_turned<kWidth>(columns, turn.k + head, row == number ? angles : angles_of<kWidth>(turn, row, lane), turn.halves, lane);
          key[k] = as_halves(columns);
          load(columns, turn.v + head + lane * 8);
          value[k] = as_halves(columns);
          if (row == number && item.first_head == 0 && first + run + k * kRuns == token) {  // its page is this block's to write
            *reinterpret_cast<uint4*>(turn.keys + line) = key[k];
            *reinterpret_cast<uint4*>(turn.values + line) = value[k];
          }
          continue;
        }
      key[k] = *reinterpret_cast<const uint4*>(keys + line);
      value[k] = *reinterpret_cast<const uint4*>(values + line);
    }
    float score[kShared][kTogether];
#pragma unroll
    for (int k = 0; k < kTogether; ++k) {
      const auto* const pairs = reinterpret_cast<const __half2*>(&key[k]);
      float wide[8];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float2 two = __half22float2(pairs[i]);
        wide[2 * i] = two.x;
        wide[2 * i + 1] = two.y;
      }
#pragma unroll
      for (int h = 0; h < kShared; ++h) {
        float dot = 0;
#pragma unroll
        for (int i = 0; i < 8; ++i) dot += query[h][i] * wide[i];
#pragma unroll
        for (int step = kLanes / 2; step > 0; step /= 2) dot += __shfl_xor_sync(~0u, dot, step);
        score[h][k] = first + run + k * kRuns < end ? dot : -INFINITY;
      }
    }
#pragma unroll
    for (int h = 0; h < kShared; ++h) {
      float larger = largest[h];
#pragma unroll
      for (int k = 0; k < kTogether; ++k) larger = fmaxf(larger, score[h][k]);
      const float base = larger == -INFINITY ? 0 : larger;  // a run that has seen no key yet
      const float shrink = __expf(largest[h] - base);
      largest[h] = larger;
      total[h] *= shrink;
#pragma unroll
      for (int i = 0; i < 8; ++i) sum[h][i] *= shrink;
#pragma unroll
      for (int k = 0; k < kTogether; ++k) {
        score[h][k] = __expf(score[h][k] - base);
        total[h] += score[h][k];
      }
    }
#pragma unroll
    for (int k = 0; k < kTogether; ++k) {
      const auto* const pairs = reinterpret_cast<const __half2*>(&value[k]);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float2 two = __half22float2(pairs[i]);
#pragma unroll
        for (int h = 0; h < kShared; ++h) {
          sum[h][2 * i] += score[h][k] * two.x;
          sum[h][2 * i + 1] += score[h][k] * two.y;
        }
      }
    }
  }
#pragma unroll
  for (int h = 0; h < kShared; ++h) {
#pragma unroll
    for (int step = kLanes; step < 32; step *= 2) {  // the warp's runs become one
      const float other = __shfl_xor_sync(~0u, largest[h], step), larger = fmaxf(largest[h], other);
      const float base = larger == -INFINITY ? 0 : larger, mine = __expf(largest[h] - base), theirs = __expf(other - base);
      largest[h] = larger;
      total[h] = total[h] * mine + __shfl_xor_sync(~0u, total[h], step) * theirs;
#pragma unroll
      for (int i = 0; i < 8; ++i) sum[h][i] = sum[h][i] * mine + __shfl_xor_sync(~0u, sum[h][i], step) * theirs;
    }
    if (threadIdx.x % 32 >= kLanes) continue;
    if (lane == 0) {
      best[warp][h] = largest[h];
      totals[warp][h] = total[h];
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) sums[warp][h][lane * 8 + i] = sum[h][i];
  }
  __syncthreads();
  const std::int64_t to = (std::int64_t{number} * shape.heads + head_of_item) * kWidth;
  for (int i = threadIdx.x; i < heads * kWidth; i += kSplitThreads) {
    const int h = i / kWidth, d = i % kWidth;
    Share share{best[0][h], totals[0][h], sums[0][h][d]};
#pragma unroll
    for (int w = 1; w < kSplitWarps; ++w) share = joined(share, {best[w][h], totals[w][h], sums[w][h][d]});
    if (splits.count == 1) {
      out[to + i] = narrowed<T>(share.sum / share.total);
      continue;
    }
    const std::int64_t at_part = (std::int64_t{item.place} * shape.heads + head_of_item + h) * splits.count + item.part;
    splits.parts[at_part * kWidth + d] = share.sum;
    if (d == 0) {
      splits.largest[at_part] = share.largest;
      splits.total[at_part] = share.total;
    }
  }
}

// A block a (row, head), a thread a column.
template <int kWidth, class T>
__global__ void __launch_bounds__(kWidth) join_kernel(Shape4 shape, Splits splits, const std::int32_t* rows, T* out) {
  let_next_begin();
  wait_for_previous();
  const int place = blockIdx.x, head = blockIdx.y, d = threadIdx.x;
  const std::int64_t first = (std::int64_t{place} * shape.heads + head) * splits.count;
  Share share{-INFINITY, 0, 0};
#pragma unroll 8
  for (int part = 0; part < splits.count; ++part)
    share = joined(share, {splits.largest[first + part], splits.total[first + part], splits.parts[(first + part) * kWidth + d]});
  out[(std::int64_t{rows[place]} * shape.heads + head) * kWidth + d] = narrowed<T>(share.sum / share.total);
}

#endif

}  // namespace deskhand::cuda
