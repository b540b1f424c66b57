// AVX-512 with VNNI. vpdpbusd multiplies 64 pairs of bytes (first operand unsigned) and adds fours of them into 16 sums.
#if defined(__x86_64__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 warns inside its own intrinsics (PR 105593)
#include <immintrin.h>

#include "deskhand/base/error.h"
#include "deskhand/ops/cpu/quantised.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")))
#define INLINE TARGET __attribute__((always_inline)) inline

namespace deskhand::cpu::avx512 {
namespace {

using Bytes = const std::uint8_t*;

// Many tokens ------------------------------------------------------------------------------------------------------------------------

// 32 outputs of W tokens: 2 W sums in int32 inside a block, 2 W in f32 across blocks; with W = 6 they and their operands fill the
// registers. A block costs 16 W products, then 2 W conversions, scales and additions.
template <PanelKind kKind, int W>
TARGET void multiply_tile(const Panel& panel, std::int64_t inputs, const std::int8_t* q, const float* scale, const float* sum,
                          const std::int32_t* start, __m512 (&out)[W][2]) {
  constexpr int kHalves = kKind == PanelKind::kCentred16 ? 2 : 1, kSteps = 8 / kHalves;
  const std::uint8_t* u = panel.u;
  const float* d = panel.scale;
  const float* m = panel.minimum;
  __m512 total[W][2];
#pragma GCC unroll 8
  for (int t = 0; t < W; ++t) total[t][0] = total[t][1] = _mm512_setzero_ps();
  for (std::int64_t block = 0; block < inputs / kBlock; ++block) {
#pragma GCC unroll 2
    for (int half = 0; half < kHalves; ++half) {
      __m512i dot[W][2];
#pragma GCC unroll 8
      for (int t = 0; t < W; ++t)
        dot[t][0] = dot[t][1] = kKind == PanelKind::kAffine ? _mm512_setzero_si512() : _mm512_set1_epi32(start[t]);
#pragma GCC unroll 8
      for (int step = 0; step < kSteps; ++step) {
        const __m512i w0 = _mm512_load_si512(u), w1 = _mm512_load_si512(u + 64);
        u += 128;
#pragma GCC unroll 8
        for (int t = 0; t < W; ++t) {
          std::int32_t four;
          __builtin_memcpy(&four, q + 4 * t, sizeof four);
          const __m512i a = _mm512_set1_epi32(four);
          dot[t][0] = _mm512_dpbusd_epi32(dot[t][0], w0, a);
          dot[t][1] = _mm512_dpbusd_epi32(dot[t][1], w1, a);
        }
        q += 4 * W;
      }
      const __m512 d0 = _mm512_load_ps(d), d1 = _mm512_load_ps(d + 16);
      d += 32;
      if constexpr (kKind != PanelKind::kAffine) start += W;
#pragma GCC unroll 8
      for (int t = 0; t < W; ++t) {
        const __m512 s = _mm512_set1_ps(scale[t]);
        total[t][0] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[t][0]), _mm512_mul_ps(d0, s), total[t][0]);
        total[t][1] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[t][1]), _mm512_mul_ps(d1, s), total[t][1]);
      }
    }
    if constexpr (kKind == PanelKind::kAffine) {
      const __m512 m0 = _mm512_load_ps(m), m1 = _mm512_load_ps(m + 16);
      m += 32;
#pragma GCC unroll 8
      for (int t = 0; t < W; ++t) {
        const __m512 s = _mm512_set1_ps(sum[t]);
        total[t][0] = _mm512_fnmadd_ps(m0, s, total[t][0]);
        total[t][1] = _mm512_fnmadd_ps(m1, s, total[t][1]);
      }
      sum += W;
    }
    scale += W;
  }
#pragma GCC unroll 8
  for (int t = 0; t < W; ++t) {
    out[t][0] = total[t][0];
    out[t][1] = total[t][1];
  }
}

template <PanelKind kKind>
TARGET void multiply_all(const RowTask& task, const Panel& panel, const InputTiles& x, std::int64_t tokens) {
  constexpr int W = kTileTokens;
  const std::int64_t blocks = x.inputs / kBlock;
  const std::uint32_t live = task.rows >= 32 ? ~0u : (1u << task.rows) - 1;
  const auto low = static_cast<__mmask16>(live), high = static_cast<__mmask16>(live >> 16);
  const __m512 bias0 = task.bias ? _mm512_maskz_loadu_ps(low, task.bias) : _mm512_setzero_ps();
  const __m512 bias1 = task.bias ? _mm512_maskz_loadu_ps(high, task.bias + 16) : _mm512_setzero_ps();
  const std::int32_t* start = x.start(task.type);
  constexpr std::int64_t kStarts = kKind == PanelKind::kCentred16 ? 2 * W : kKind == PanelKind::kCentred ? W : 0;
  for (std::int64_t tile = 0; tile * W < tokens; ++tile) {
    __m512 sums[W][2];
    multiply_tile<kKind, W>(panel, x.inputs, x.q + tile * x.inputs * W, x.scale + tile * blocks * W, x.sum + tile * blocks * W,
                            start + tile * blocks * kStarts, sums);
    for (int t = 0; t < W && tile * W + t < tokens; ++t) {
      float* out = task.out + (tile * W + t) * task.out_stride;
      _mm512_mask_storeu_ps(out, low, _mm512_add_ps(sums[t][0], bias0));
      if (high) _mm512_mask_storeu_ps(out + 16, high, _mm512_add_ps(sums[t][1], bias1));
    }
  }
}

// Few tokens -------------------------------------------------------------------------------------------------------------------------

// Lane i of a register that holds two blocks belongs to block i / 8; four half blocks: i / 4.
alignas(64) constexpr std::int32_t kPairLanes[8][16] = {{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1},
                                                        {2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3},
                                                        {4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5},
                                                        {6, 6, 6, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7, 7},
                                                        {8, 8, 8, 8, 8, 8, 8, 8, 9, 9, 9, 9, 9, 9, 9, 9},
                                                        {10, 10, 10, 10, 10, 10, 10, 10, 11, 11, 11, 11, 11, 11, 11, 11},
                                                        {12, 12, 12, 12, 12, 12, 12, 12, 13, 13, 13, 13, 13, 13, 13, 13},
                                                        {14, 14, 14, 14, 14, 14, 14, 14, 15, 15, 15, 15, 15, 15, 15, 15}};
alignas(64) constexpr std::int32_t kHalfLanes[4][16] = {{0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3},
                                                        {4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7},
                                                        {8, 8, 8, 8, 9, 9, 9, 9, 10, 10, 10, 10, 11, 11, 11, 11},
                                                        {12, 12, 12, 12, 13, 13, 13, 13, 14, 14, 14, 14, 15, 15, 15, 15}};
alignas(64) constexpr std::int32_t kEachTwice[16] = {0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7};

INLINE __m512 lanes_of(__m512 values, const std::int32_t* lanes) {
  return _mm512_permutexvar_ps(_mm512_load_si512(lanes), values);
}

// 16-bit floats of 16 blocks, `bytes` apart.
INLINE __m512 gather_halves(Bytes first, __m512i offsets, __mmask16 live) {
  const __m512i words = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), live, offsets, first, 1);
  return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(words));
}

// Two blocks side by side, unsigned. `high` bits of shift lanes: even 128-bit lanes keep the low nibbles, odd ones take the high nibbles.
template <DType kType>
INLINE __m512i two_blocks(Bytes first, Bytes second) {
  if constexpr (kType == DType::kQ8_0) {
    const __m512i q = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(first + 2))),
                                         _mm256_loadu_si256(reinterpret_cast<const __m256i*>(second + 2)), 1);
    return _mm512_xor_si512(q, _mm512_set1_epi8(-128));
  } else {
    constexpr bool kFive = kType == DType::kQ5_0 || kType == DType::kQ5_1;
    constexpr int kHead = kType == DType::kQ4_0 || kType == DType::kQ5_0 ? 2 : 4, kNibbles = kHead + (kFive ? 4 : 0);
    const __m512i a = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(first + kNibbles)));
    const __m512i both = _mm512_mask_broadcast_i32x4(a, 0xff00, _mm_loadu_si128(reinterpret_cast<const __m128i*>(second + kNibbles)));
    const __m512i shift = _mm512_set_epi64(0x0004000400040004, 0x0004000400040004, 0, 0, 0x0004000400040004, 0x0004000400040004, 0, 0);
    const __m512i u = _mm512_and_si512(_mm512_srlv_epi16(both, shift), _mm512_set1_epi8(15));
    if constexpr (!kFive) return u;
    std::uint32_t low, high;
    __builtin_memcpy(&low, first + kHead, sizeof low);
    __builtin_memcpy(&high, second + kHead, sizeof high);
    return _mm512_mask_add_epi8(u, low | std::uint64_t{high} << 32, u, _mm512_set1_epi8(16));
  }
}

// Blocks of 32 with a 16-bit scale each (and a minimum): runs of 16 blocks, so that scales are converted and multiplied 16 at a time.
template <DType kType, int T>
INLINE void dot_simple(Bytes row, const InputRows& x, const std::int8_t* const (&q)[T], const float* const (&scale)[T],
                       const float* const (&sum)[T], __m512 (&total)[T][2]) {
  constexpr bool kAffine = kType == DType::kQ4_1 || kType == DType::kQ5_1;
  constexpr int kBytes = kType == DType::kQ4_0   ? 18
                         : kType == DType::kQ4_1 ? 20
                         : kType == DType::kQ5_0 ? 22
                         : kType == DType::kQ5_1 ? 24
                                                 : 34;
  constexpr float kCentre = kType == DType::kQ4_0 ? 8 : kType == DType::kQ5_0 ? 16 : 128;
  const __m512i offsets =
      _mm512_mullo_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), _mm512_set1_epi32(kBytes));
  const std::int64_t blocks = x.inputs / kBlock;
  for (std::int64_t first = 0; first < blocks; first += 16, row += 16 * kBytes) {
    const int count = static_cast<int>(blocks - first < 16 ? blocks - first : 16);
    const auto live = static_cast<__mmask16>((1u << count) - 1);
    const __m512 d = gather_halves(row, offsets, live);
    __m512 ds[T];
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) {
      ds[t] = _mm512_mul_ps(d, _mm512_loadu_ps(scale[t] + first));
      const __m512 s = _mm512_loadu_ps(sum[t] + first);
      if constexpr (kAffine)
        total[t][0] = _mm512_fmadd_ps(gather_halves(row + 2, offsets, live), s, total[t][0]);
      else
        total[t][0] = _mm512_fnmadd_ps(_mm512_mul_ps(d, _mm512_set1_ps(kCentre)), s, total[t][0]);
    }
    int block = 0;
    for (; block + 2 <= count; block += 2) {
      const __m512i u = two_blocks<kType>(row + block * kBytes, row + (block + 1) * kBytes);
#pragma GCC unroll 4
      for (int t = 0; t < T; ++t) {
        const __m512i dot = _mm512_dpbusd_epi32(_mm512_setzero_si512(), u, _mm512_loadu_si512(q[t] + (first + block) * kBlock));
        total[t][block / 2 % 2] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), lanes_of(ds[t], kPairLanes[block / 2]), total[t][block / 2 % 2]);
      }
    }
    if (block < count) {  // an odd last block meets itself, against a scale of zero
      const __m512i u = two_blocks<kType>(row + block * kBytes, row + block * kBytes);
#pragma GCC unroll 4
      for (int t = 0; t < T; ++t) {
        const __m512i dot = _mm512_dpbusd_epi32(_mm512_setzero_si512(), u, _mm512_loadu_si512(q[t] + (first + block) * kBlock));
        total[t][1] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), lanes_of(ds[t], kPairLanes[block / 2]), total[t][1]);
      }
    }
  }
}

// Eight 6-bit scales, then eight 6-bit minima, one byte each, from their 12 bytes.
INLINE __m128i k_scales(Bytes packed) {
  std::uint32_t word[3];
  __builtin_memcpy(word, packed, sizeof word);
  const std::uint32_t scales_high = (word[2] & 0x0f0f0f0f) | (word[0] >> 6 & 0x03030303) << 4;
  const std::uint32_t minima_high = (word[2] >> 4 & 0x0f0f0f0f) | (word[1] >> 6 & 0x03030303) << 4;
  return _mm_set_epi32(static_cast<int>(minima_high), static_cast<int>(word[1] & 0x3f3f3f3f), static_cast<int>(scales_high),
                       static_cast<int>(word[0] & 0x3f3f3f3f));
}

INLINE float half_at(Bytes at) {
  std::uint16_t bits;
  __builtin_memcpy(&bits, at, sizeof bits);
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits)));
}

INLINE __m512i twice(Bytes at) {
  return _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
}

template <DType kType, int T>
INLINE void dot_k(Bytes block, const InputRows& x, const std::int8_t* const (&q)[T], const float* const (&scale)[T],
                  const float* const (&sum)[T], __m512 (&total)[T][2]) {
  constexpr bool kFive = kType == DType::kQ5_K;
  constexpr int kNibbles = kFive ? 48 : 16, kBytes = kNibbles + 128;
  const __m512i nibble_shift = _mm512_set_epi64(0x0004000400040004, 0x0004000400040004, 0x0004000400040004, 0x0004000400040004, 0, 0, 0, 0);
  for (std::int64_t at = 0; at < x.inputs; at += 256, block += kBytes) {
    const __m512 d = _mm512_mask_broadcastss_ps(_mm512_set1_ps(half_at(block)), 0xff00, _mm_set_ss(-half_at(block + 2)));
    const __m512 factors = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(k_scales(block + 4))), d);  // 8 scales, 8 minima
    __m512 ds[T];
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) {
      const __m512 a =
          _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(scale[t] + at / 32)), _mm256_loadu_ps(sum[t] + at / 32), 1);
      ds[t] = _mm512_mul_ps(factors, a);
      total[t][0] = _mm512_mask_add_ps(total[t][0], 0xff00, total[t][0], ds[t]);
    }
    __m512i fifth;
    if constexpr (kFive) fifth = twice(block + 16);
#pragma GCC unroll 4
    for (int pair = 0; pair < 4; ++pair) {
      __m512i u = _mm512_and_si512(_mm512_srlv_epi16(twice(block + kNibbles + 32 * pair), nibble_shift), _mm512_set1_epi8(15));
      if constexpr (kFive) {
        const __m512i bit = _mm512_inserti64x4(_mm512_set1_epi8(static_cast<char>(1 << (2 * pair))),
                                               _mm256_set1_epi8(static_cast<char>(2 << (2 * pair))), 1);
        u = _mm512_mask_add_epi8(u, _mm512_test_epi8_mask(fifth, bit), u, _mm512_set1_epi8(16));
      }
#pragma GCC unroll 4
      for (int t = 0; t < T; ++t) {
        const __m512i dot = _mm512_dpbusd_epi32(_mm512_setzero_si512(), u, _mm512_loadu_si512(q[t] + at + 64 * pair));
        total[t][pair % 2] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), lanes_of(ds[t], kPairLanes[pair]), total[t][pair % 2]);
      }
    }
  }
}

template <int T>
INLINE void dot_q6_k(Bytes block, const InputRows& x, const std::int8_t* const (&q)[T], const float* const (&scale)[T],
                     const float* const (&half_sum)[T], __m512 (&total)[T][2]) {
  const __m512i up = _mm512_set_epi64(0x0002000200020002, 0x0002000200020002, 0x0002000200020002, 0x0002000200020002, 0x0004000400040004,
                                      0x0004000400040004, 0x0004000400040004, 0x0004000400040004);
  const __m512i down = _mm512_set_epi64(0x0002000200020002, 0x0002000200020002, 0x0002000200020002, 0x0002000200020002, 0, 0, 0, 0);
  const __m512i two_bits = _mm512_set1_epi8(0x30), nibble = _mm512_set1_epi8(15);
  for (std::int64_t at = 0; at < x.inputs; at += 256, block += 210) {
    const __m512i scales = _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 192)));
    const __m512 d = _mm512_mul_ps(_mm512_cvtepi32_ps(scales), _mm512_set1_ps(half_at(block + 208)));  // 16
    __m512 ds[T];
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) {
      ds[t] = _mm512_mul_ps(d, lanes_of(_mm512_castps256_ps512(_mm256_loadu_ps(scale[t] + at / 32)), kEachTwice));
      total[t][0] = _mm512_fnmadd_ps(_mm512_mul_ps(d, _mm512_set1_ps(32)), _mm512_loadu_ps(half_sum[t] + at / 16), total[t][0]);
    }
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const __m512i low = _mm512_loadu_si512(block + 64 * half), high = twice(block + 128 + 32 * half);
      const __m512i u[2] = {
          _mm512_or_si512(_mm512_and_si512(low, nibble), _mm512_and_si512(_mm512_sllv_epi16(high, up), two_bits)),
          _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(low, 4), nibble), _mm512_and_si512(_mm512_srlv_epi16(high, down), two_bits))};
#pragma GCC unroll 2
      for (int part = 0; part < 2; ++part) {
#pragma GCC unroll 4
        for (int t = 0; t < T; ++t) {
          const __m512i dot = _mm512_dpbusd_epi32(_mm512_setzero_si512(), u[part], _mm512_loadu_si512(q[t] + at + 128 * half + 64 * part));
          total[t][part] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), lanes_of(ds[t], kHalfLanes[2 * half + part]), total[t][part]);
        }
      }
    }
  }
}

constexpr std::int64_t kAhead = 4096;  // bytes of weights on their way from memory while a row is multiplied

template <DType kType, int T>
TARGET void dot_rows_of(const RowTask& task, const InputRows& x, std::int64_t first_token) {
  const std::int8_t* q[T];
  const float *scale[T], *sum[T];
  for (int t = 0; t < T; ++t) {
    const std::int64_t token = first_token + t;
    q[t] = x.q + token * x.padded;
    scale[t] = x.scale + token * (x.padded / 32);
    sum[t] = kType == DType::kQ6_K ? x.half_sum + token * (x.padded / 16) : x.sum + token * (x.padded / 32);
  }
  for (std::int64_t o = 0; o < task.rows; ++o) {
    Bytes row = task.weight + o * task.row_bytes;
    for (std::int64_t at = 0; at < task.row_bytes; at += 64)
      _mm_prefetch(row + kAhead + at, _MM_HINT_T0);  // rows are one stream: no fault beyond
    __m512 total[T][2];
    for (int t = 0; t < T; ++t) total[t][0] = total[t][1] = _mm512_setzero_ps();
    if constexpr (kType == DType::kQ6_K)
      dot_q6_k<T>(row, x, q, scale, sum, total);
    else if constexpr (kType == DType::kQ4_K || kType == DType::kQ5_K)
      dot_k<kType, T>(row, x, q, scale, sum, total);
    else
      dot_simple<kType, T>(row, x, q, scale, sum, total);
    const float bias = task.bias ? task.bias[o] : 0;
    for (int t = 0; t < T; ++t)
      task.out[(first_token + t) * task.out_stride + o] = bias + _mm512_reduce_add_ps(_mm512_add_ps(total[t][0], total[t][1]));
  }
}

template <DType kType>
void dot_rows_of(const RowTask& task, const InputRows& x, std::int64_t first_token, int tokens) {
  switch (tokens) {
    case 1:
      return dot_rows_of<kType, 1>(task, x, first_token);
    case 2:
      return dot_rows_of<kType, 2>(task, x, first_token);
    case 3:
      return dot_rows_of<kType, 3>(task, x, first_token);
    default:
      return dot_rows_of<kType, 4>(task, x, first_token);
  }
}

}  // namespace

void multiply_panel(const RowTask& task, const Panel& panel, const InputTiles& x, std::int64_t tokens) {
  switch (panel_kind(task.type)) {
    case PanelKind::kCentred:
      return multiply_all<PanelKind::kCentred>(task, panel, x, tokens);
    case PanelKind::kAffine:
      return multiply_all<PanelKind::kAffine>(task, panel, x, tokens);
    case PanelKind::kCentred16:
      return multiply_all<PanelKind::kCentred16>(task, panel, x, tokens);
  }
}

void dot_rows(const RowTask& task, const InputRows& x, std::int64_t first_token, int tokens) {
  switch (task.type) {
    case DType::kQ4_0:
      return dot_rows_of<DType::kQ4_0>(task, x, first_token, tokens);
    case DType::kQ4_1:
      return dot_rows_of<DType::kQ4_1>(task, x, first_token, tokens);
    case DType::kQ5_0:
      return dot_rows_of<DType::kQ5_0>(task, x, first_token, tokens);
    case DType::kQ5_1:
      return dot_rows_of<DType::kQ5_1>(task, x, first_token, tokens);
    case DType::kQ8_0:
      return dot_rows_of<DType::kQ8_0>(task, x, first_token, tokens);
    case DType::kQ4_K:
      return dot_rows_of<DType::kQ4_K>(task, x, first_token, tokens);
    case DType::kQ5_K:
      return dot_rows_of<DType::kQ5_K>(task, x, first_token, tokens);
    case DType::kQ6_K:
      return dot_rows_of<DType::kQ6_K>(task, x, first_token, tokens);
    default:
      DESKHAND_ASSERT(false, "a quantised type");
  }
}

}  // namespace deskhand::cpu::avx512
#endif
