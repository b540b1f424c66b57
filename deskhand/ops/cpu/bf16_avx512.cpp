// vdpbf16ps multiplies 32 pairs of bf16 and adds twos of them into 16 f32 sums. A tile of 4 rows and up to 6 tokens keeps 24 such registers
// of sums and adds up their lanes at the end: neither rows nor tokens need to be laid out anew. On a Sapphire Rapids the instruction runs a
// quarter as often as an f32 FMA (86 against 175 GOP/s a core): what is won is the width of the weights, so this serves few tokens.
#pragma GCC diagnostic ignored "-Wuninitialized"
#if defined(__x86_64__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 warns inside its own intrinsics (PR 105593)
#include <immintrin.h>

#include <algorithm>

#include "deskhand/ops/cpu/bf16.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")))
#define INLINE TARGET __attribute__((always_inline)) inline

namespace deskhand::cpu::avx512_bf16 {
namespace {

constexpr int kRows = 4, kTokens = 6;

INLINE __mmask32 first_lanes(std::int64_t count) {
  return count >= 32 ? ~__mmask32{0} : (__mmask32{1} << count) - 1;
}

INLINE __m128 fold(__m512 v) {
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

template <int R, int T>
TARGET void multiply_tile(const Bf16Task& task, std::int64_t row, std::int64_t token) {
  const std::uint16_t* const w = task.weight + row * task.weight_stride;
  const std::uint16_t* const x = task.x + token * task.x_stride;
  __m512 sum[R][T];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) sum[r][t] = _mm512_setzero_ps();
  const auto step = [&](std::int64_t i, __mmask32 live)
      __attribute__((always_inline, target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16"))) {
    __m512i weights[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) weights[r] = _mm512_maskz_loadu_epi16(live, w + r * task.weight_stride + i);
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      const __m512i in = _mm512_maskz_loadu_epi16(live, x + t * task.x_stride + i);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) sum[r][t] = _mm512_dpbf16_ps(sum[r][t], (__m512bh)weights[r], (__m512bh)in);
    }
  };
  std::int64_t i = 0;
  for (; i + 32 <= task.inputs; i += 32) step(i, ~__mmask32{0});
  if (i < task.inputs) step(i, first_lanes(task.inputs - i));
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
    float* const out = task.out + (token + t) * task.out_stride + row;
    // A row alone goes through the same additions as with three neighbours.
    const __m128 a = fold(sum[0][t]), b = R > 1 ? fold(sum[R > 1 ? 1 : 0][t]) : a, c = R > 2 ? fold(sum[R > 2 ? 2 : 0][t]) : a,
                 d = R > 3 ? fold(sum[R > 3 ? 3 : 0][t]) : a;
    __m128 total = _mm_hadd_ps(_mm_hadd_ps(a, b), _mm_hadd_ps(c, d));
    if constexpr (R == 4) {
      if (task.bias) total = _mm_add_ps(total, _mm_loadu_ps(task.bias + row));
      _mm_storeu_ps(out, total);
    } else {
      *out = _mm_cvtss_f32(total) + (task.bias ? task.bias[row] : 0);
    }
  }
}

template <int R>
void multiply_tokens(const Bf16Task& task, std::int64_t row, std::int64_t token, std::int64_t count) {
  switch (count) {
    case 1:
      return multiply_tile<R, 1>(task, row, token);
    case 2:
      return multiply_tile<R, 2>(task, row, token);
    case 3:
      return multiply_tile<R, 3>(task, row, token);
    case 4:
      return multiply_tile<R, 4>(task, row, token);
    case 5:
      return multiply_tile<R, 5>(task, row, token);
    default:
      return multiply_tile<R, kTokens>(task, row, token);
  }
}

}  // namespace

void multiply(const Bf16Task& task) {
  for (std::int64_t row = 0; row < task.rows;) {
    const bool full = task.rows - row >= kRows;
    for (std::int64_t token = 0; token < task.tokens; token += kTokens)
      (full ? multiply_tokens<kRows> : multiply_tokens<1>)(task, row, token, std::min<std::int64_t>(kTokens, task.tokens - token));
    row += full ? kRows : 1;
  }
}

TARGET void round_row(std::uint16_t* to, const float* from, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + 32 <= count; i += 32)
    _mm512_storeu_si512(to + i, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + i + 16), _mm512_loadu_ps(from + i)));
  for (; i < count; i += 16) {
    const auto live = static_cast<__mmask16>(first_lanes(std::min<std::int64_t>(16, count - i)));
    _mm256_mask_storeu_epi16(to + i, live, (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(live, from + i)));
  }
}

}  // namespace deskhand::cpu::avx512_bf16
#endif
