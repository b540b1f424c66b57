#include "deskhand/ops/cpu/attend.h"

#include <algorithm>
#include <cmath>

#include "deskhand/ops/cpu/highway.h"
#include "deskhand/ops/cpu/quantised.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "deskhand/ops/cpu/attend.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

#include "deskhand/ops/cpu/exp_negative-inl.h"
#include "deskhand/ops/cpu/multiply_rows-inl.h"

#ifndef DESKHAND_ATTEND_LAYOUT
#define DESKHAND_ATTEND_LAYOUT
namespace deskhand::cpu {

constexpr int kMostRows = 6;  // queries met at once, as multiply_rows takes them
constexpr std::int64_t kKeysTurned = 8;
constexpr float kHidden = -1e30f;  // the score of a key that a query may not see

// Keys met at once. Narrow heads have room for more in the first cache level, and meet their maxima and sums half as often.
inline std::int64_t run_of(std::int64_t width) {
  return width <= 32 ? 128 : 64;
}

// Of any set of instructions.
inline std::int64_t whole_vectors(std::int64_t count) {
  return (count + 15) / 16 * 16;
}

// Scratch of one block.
struct AttendScratch {
  std::int64_t run;
  float* keys;     // (D, run): transposed
  float* values;   // (run, padded D)
  float* queries;  // (rows, D), scaled
  float* sums;     // (rows, padded D)
  float* largest;  // (rows)
  float* total;    // (rows)
  float* scores;   // (kMostRows, run)
  float* rows;     // (kKeysTurned, padded D): keys, widened
};

inline AttendScratch attend_layout(float* at, std::int64_t rows, std::int64_t width) {
  const std::int64_t padded = whole_vectors(width);
  AttendScratch scratch{.run = run_of(width)};
  const auto take = [&at](std::int64_t count) {
    float* piece = at;
    at += (count + 15) / 16 * 16;
    return piece;
  };
  scratch.keys = take(width * scratch.run);
  scratch.values = take(padded * scratch.run);
  scratch.queries = take(rows * width);
  scratch.sums = take(rows * padded);
  scratch.largest = take(rows);
  scratch.total = take(rows);
  scratch.scores = take(kMostRows * scratch.run);
  scratch.rows = take(kKeysTurned * padded);
  return scratch;
}

}  // namespace deskhand::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace deskhand::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Values of a run: the copy in `scratch`, or where they lie.
struct RunValues {
  const float* first;
  std::int64_t step;
};

RunValues load_run(const AttendBlock& block, const AttendScratch& scratch, std::int64_t first, std::int64_t count) {
  const std::int64_t width = block.width, padded = whole_vectors(width), bytes = block.from.is_half ? 2 : 4;
  const DType type = block.from.is_half ? DType::kF16 : DType::kF32;
  const bool one_stream = !block.from.is_half && !block.from.pages;
  const auto key_at = [&](std::int64_t key) { return block.from.keys + block.from.offset(first + key) * bytes; };
  const auto value_at = [&](std::int64_t key) { return block.from.values + block.from.offset(first + key) * bytes; };
  std::int64_t key = 0;
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
  if (width % 8 == 0)
    for (; key + kKeysTurned <= count; key += kKeysTurned) {
      const float* rows = scratch.rows;
      if (one_stream)
        rows = reinterpret_cast<const float*>(key_at(key));
      else
        for (std::int64_t i = 0; i < kKeysTurned; ++i) widen(scratch.rows + i * padded, key_at(key + i), type, width);
      avx2::interleave(rows, one_stream ? block.from.row : padded, width, static_cast<int>(scratch.run), scratch.keys + key);
    }
#endif
  for (; key < count; ++key) {
    widen(scratch.rows, key_at(key), type, width);
    for (std::int64_t i = 0; i < width; ++i) scratch.keys[i * scratch.run + key] = scratch.rows[i];
  }
  for (; key < whole_vectors(count); ++key)
    for (std::int64_t i = 0; i < width; ++i) scratch.keys[i * scratch.run + key] = 0;
  if (one_stream && width == padded) return {reinterpret_cast<const float*>(value_at(0)), block.from.row};
  for (key = 0; key < count; ++key) {
    float* const value = scratch.values + key * padded;
    widen(value, value_at(key), type, width);
    std::fill(value + width, value + padded, 0.0f);
  }
  return {scratch.values, padded};
}

// Turns a row of `count` scores, whole vectors of them, into weights; returns by how much earlier sums shrink.
float soften(float* scores, std::int64_t count, float& largest, float& total) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto most = hn::Set(d, largest);
  for (std::int64_t i = 0; i < count; i += lanes) most = hn::Max(most, hn::LoadU(d, scores + i));
  const float now = hn::GetLane(hn::MaxOfLanes(d, most));
  const auto shift = hn::Set(d, now);
  auto sum = hn::Zero(d);
  for (std::int64_t i = 0; i < count; i += lanes) {
    const auto weight = exp_negative(d, hn::Sub(hn::LoadU(d, scores + i), shift));
    hn::StoreU(weight, d, scores + i);
    sum = hn::Add(sum, weight);
  }
  const hn::CappedTag<float, 1> one;
  const float keep = largest == now ? 1.0f : hn::GetLane(exp_negative(one, hn::Set(one, largest - now)));
  largest = now;
  total = total * keep + hn::GetLane(hn::SumOfLanes(d, sum));
  return keep;
}

void attend_block(const AttendBlock& block, float* memory) {
  const std::int64_t rows = block.tokens * block.heads, width = block.width, padded = whole_vectors(width);
  const AttendScratch scratch = attend_layout(memory, block_tokens(block.heads) * block.heads, width);
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* q = block.q + row / block.heads * block.stride + row % block.heads * width;
    for (std::int64_t i = 0; i < width; ++i) scratch.queries[row * width + i] = q[i] * block.scale;
    scratch.largest[row] = kHidden;
    scratch.total[row] = 0;
  }
  std::fill_n(scratch.sums, rows * padded, 0.0f);
  const std::int64_t most = block.seen + (block.causal ? block.tokens - 1 : 0);
  for (std::int64_t first = 0; first < most; first += scratch.run) {
    const std::int64_t keys = std::min(scratch.run, most - first), padded_keys = whole_vectors(keys);
    const RunValues values = load_run(block, scratch, first, keys);
    for (std::int64_t row = 0; row < rows; row += kMostRows) {
      const int count = static_cast<int>(std::min<std::int64_t>(kMostRows, rows - row));
      if (block.causal && block.seen + (row + count - 1) / block.heads <= first) continue;  // none of them sees any of these keys
      multiply_rows(count, scratch.queries + row * width, width, scratch.keys, scratch.run, width, scratch.scores, scratch.run, padded_keys,
                    nullptr);
      float keep[kMostRows];
      for (int r = 0; r < count; ++r) {
        const std::int64_t visible = block.seen + (block.causal ? (row + r) / block.heads : 0) - first;
        for (std::int64_t key = std::max<std::int64_t>(visible, 0); key < padded_keys; ++key)
          scratch.scores[r * scratch.run + key] = kHidden;
        keep[r] = soften(scratch.scores + r * scratch.run, padded_keys, scratch.largest[row + r], scratch.total[row + r]);
      }
      multiply_rows(count, scratch.scores, scratch.run, values.first, values.step, keys, scratch.sums + row * padded, padded, padded, keep);
    }
  }
  for (std::int64_t row = 0; row < rows; ++row) {
    const float by = 1 / scratch.total[row];
    float* out = block.out + row / block.heads * block.stride + row % block.heads * width;
    for (std::int64_t i = 0; i < width; ++i) out[i] = scratch.sums[row * padded + i] * by;
    if (block.logsumexp)
      block.logsumexp[row / block.heads * block.logsumexp_stride + row % block.heads] = scratch.largest[row] + std::log(scratch.total[row]);
  }
}

void narrow(std::uint16_t* to, const float* from, std::int64_t count) {
  std::int64_t i = 0;
#if HWY_TARGET <= HWY_AVX2  // without F16C, Highway's own conversion cuts instead of rounding
  const hn::ScalableTag<float> d;
  const hn::Rebind<std::uint16_t, decltype(d)> du;
  const hn::Rebind<hwy::float16_t, decltype(d)> dh;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (; i + lanes <= count; i += lanes) hn::StoreU(hn::BitCast(du, hn::DemoteTo(dh, hn::LoadU(d, from + i))), du, to + i);
#endif
  for (; i < count; ++i) to[i] = to_f16(from[i]);
}

}  // namespace deskhand::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace deskhand::cpu {

std::int64_t attend_scratch(std::int64_t heads, std::int64_t width) {
  const std::int64_t rows = block_tokens(heads) * heads, padded = whole_vectors(width), run = run_of(width);
  return 2 * padded * run + 2 * rows * padded + 2 * rows + kMostRows * run + kKeysTurned * padded + 8 * 16;
}

void attend(const Backend& on, const AttendBlock& block, float* scratch) {
  DESKHAND_CHOOSE(on, attend_block)(block, scratch);
}

void narrow_to_f16(const Backend& on, std::uint16_t* to, const float* from, std::int64_t count) {
  DESKHAND_CHOOSE(on, narrow)(to, from, count);
}

}  // namespace deskhand::cpu
#endif
