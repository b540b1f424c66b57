// AVX2. vpmaddubsw multiplies 32 pairs of bytes (first operand unsigned) and adds twos of them into 16-bit sums that saturate: 4-bit
// weights may be added up over 8 steps (8 * 2 * 15 * 127 < 2^15), 5-bit ones over 4, 6-bit ones over 2. 8-bit weights stay signed: |w|
// times a with w's sign, one step at a time.
#if defined(__x86_64__)
#include <immintrin.h>

#include <algorithm>

#include "deskhand/base/error.h"
#include "deskhand/ops/cpu/quantised.h"

#define TARGET __attribute__((target("avx2,fma,f16c")))
#define INLINE TARGET __attribute__((always_inline)) inline

namespace deskhand::cpu::avx2 {
namespace {

using Bytes = const std::uint8_t*;

INLINE __m256i load(const void* at) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(at));
}
INLINE __m128i load_half(const void* at) {
  return _mm_loadu_si128(static_cast<const __m128i*>(at));
}
INLINE void store(void* at, __m256i value) {
  _mm256_storeu_si256(static_cast<__m256i*>(at), value);
}

INLINE float half_at(Bytes at) {
  std::uint16_t bits;
  __builtin_memcpy(&bits, at, sizeof bits);
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits)));
}

INLINE float sum_of(__m256 v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

INLINE std::int32_t sum_of(__m128i v) {
  v = _mm_add_epi32(v, _mm_shuffle_epi32(v, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(v, _mm_shuffle_epi32(v, 0xb1)));
}

// 16 where bit i of the word is set, for byte i.
INLINE __m256i fifth_bits(Bytes at) {
  std::int32_t word;
  __builtin_memcpy(&word, at, sizeof word);
  const __m256i bytes =
      _mm256_shuffle_epi8(_mm256_set1_epi32(word), _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0));
  const __m256i bit = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ULL));
  return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit), _mm256_set1_epi8(16));
}

// One block of 32, unsigned; q8_0 as it is, signed.
template <DType kType>
INLINE __m256i one_block(Bytes block) {
  if constexpr (kType == DType::kQ8_0) {
    return load(block + 2);
  } else {
    constexpr bool kFive = kType == DType::kQ5_0 || kType == DType::kQ5_1;
    constexpr int kHead = kType == DType::kQ4_0 || kType == DType::kQ5_0 ? 2 : 4;
    const __m128i nibbles = load_half(block + kHead + (kFive ? 4 : 0));
    const __m256i u = _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(nibbles, 4), nibbles), _mm256_set1_epi8(15));
    if constexpr (!kFive) return u;
    return _mm256_or_si256(u, fifth_bits(block + kHead));
  }
}

// Eight 6-bit scales, then eight 6-bit minima, one byte each.
INLINE void k_scales(Bytes packed, std::uint8_t* bytes) {
  std::uint32_t word[3];
  __builtin_memcpy(word, packed, sizeof word);
  const std::uint32_t out[4] = {word[0] & 0x3f3f3f3f, (word[2] & 0x0f0f0f0f) | (word[0] >> 6 & 0x03030303) << 4, word[1] & 0x3f3f3f3f,
                                (word[2] >> 4 & 0x0f0f0f0f) | (word[1] >> 6 & 0x03030303) << 4};
  __builtin_memcpy(bytes, out, sizeof out);
}

// Sub-blocks 2 pair and 2 pair + 1 of a q4_k or q5_k block.
template <DType kType>
INLINE void k_pair(Bytes block, int pair, __m256i& first, __m256i& second) {
  const __m256i nibble = _mm256_set1_epi8(15);
  const __m256i q = load(block + (kType == DType::kQ5_K ? 48 : 16) + 32 * pair);
  first = _mm256_and_si256(q, nibble);
  second = _mm256_and_si256(_mm256_srli_epi16(q, 4), nibble);
  if constexpr (kType == DType::kQ5_K) {
    const __m256i bits = load(block + 16), sixteen = _mm256_set1_epi8(16);
    const __m256i low = _mm256_set1_epi8(static_cast<char>(1 << (2 * pair))), high = _mm256_set1_epi8(static_cast<char>(2 << (2 * pair)));
    first = _mm256_or_si256(first, _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(bits, low), low), sixteen));
    second = _mm256_or_si256(second, _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(bits, high), high), sixteen));
  }
}

// The four runs of 32 of one half of a q6_k block.
INLINE void q6_half(Bytes block, int half, __m256i (&u)[4]) {
  const __m256i nibble = _mm256_set1_epi8(15), two_bits = _mm256_set1_epi8(0x30);
  const __m256i a = load(block + 64 * half), b = load(block + 64 * half + 32), high = load(block + 128 + 32 * half);
  u[0] = _mm256_or_si256(_mm256_and_si256(a, nibble), _mm256_and_si256(_mm256_slli_epi16(high, 4), two_bits));
  u[1] = _mm256_or_si256(_mm256_and_si256(b, nibble), _mm256_and_si256(_mm256_slli_epi16(high, 2), two_bits));
  u[2] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(a, 4), nibble), _mm256_and_si256(high, two_bits));
  u[3] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(b, 4), nibble), _mm256_and_si256(_mm256_srli_epi16(high, 2), two_bits));
}

// Panels -----------------------------------------------------------------------------------------------------------------------------

template <DType kType>
TARGET void unpack_simple(Bytes row, std::int64_t inputs, int height, bool keep_sign, std::uint8_t* u, float* d, float* m) {
  constexpr bool kAffine = kType == DType::kQ4_1 || kType == DType::kQ5_1;
  const std::int64_t bytes = block_bytes(kType);
  const __m256i flip = _mm256_set1_epi8(kType == DType::kQ8_0 && !keep_sign ? -128 : 0);
  for (std::int64_t at = 0; at < inputs; at += kBlock, row += bytes, d += height) {
    store(u + at, _mm256_xor_si256(one_block<kType>(row), flip));
    *d = half_at(row);
    if constexpr (kAffine) {
      *m = -half_at(row + 2);  // the file adds its minimum
      m += height;
    }
  }
}

template <DType kType>
TARGET void unpack_k(Bytes block, std::int64_t inputs, int height, std::uint8_t* u, float* d, float* m) {
  for (std::int64_t at = 0; at < inputs; at += 256, block += block_bytes(kType)) {
    std::uint8_t scales[16];
    k_scales(block + 4, scales);
    const float scale = half_at(block), minimum = half_at(block + 2);
    for (int sub = 0; sub < 8; ++sub, d += height, m += height) {
      *d = scale * scales[sub];
      *m = minimum * scales[8 + sub];
    }
    for (int pair = 0; pair < 4; ++pair) {
      __m256i first, second;
      k_pair<kType>(block, pair, first, second);
      store(u + at + 64 * pair, first);
      store(u + at + 64 * pair + 32, second);
    }
  }
}

TARGET void unpack_q6_k(Bytes block, std::int64_t inputs, int height, std::uint8_t* u, float* d) {
  for (std::int64_t at = 0; at < inputs; at += 256, block += 210) {
    const float scale = half_at(block + 208);
    for (int sub = 0; sub < 16; ++sub, d += height) *d = scale * static_cast<std::int8_t>(block[192 + sub]);
    for (int half = 0; half < 2; ++half) {
      __m256i runs[4];
      q6_half(block, half, runs);
      for (int run = 0; run < 4; ++run) store(u + at + 128 * half + 32 * run, runs[run]);
    }
  }
}

// 8 rows of 8 words become 8 columns of 8 words, `height` words apart.
INLINE void interleave_words(const std::uint8_t* rows, std::int64_t stride, std::int64_t bytes, int height, std::uint8_t* out) {
  for (std::int64_t at = 0; at < bytes; at += 32, out += 32 * height) {
    __m256i a[8], b[8];
    for (int i = 0; i < 8; ++i) a[i] = load(rows + i * stride + at);
    for (int i = 0; i < 4; ++i) {
      b[2 * i] = _mm256_unpacklo_epi32(a[2 * i], a[2 * i + 1]);
      b[2 * i + 1] = _mm256_unpackhi_epi32(a[2 * i], a[2 * i + 1]);
    }
    for (int i = 0; i < 2; ++i) {
      a[4 * i] = _mm256_unpacklo_epi64(b[4 * i], b[4 * i + 2]);
      a[4 * i + 1] = _mm256_unpackhi_epi64(b[4 * i], b[4 * i + 2]);
      a[4 * i + 2] = _mm256_unpacklo_epi64(b[4 * i + 1], b[4 * i + 3]);
      a[4 * i + 3] = _mm256_unpackhi_epi64(b[4 * i + 1], b[4 * i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
      store(out + i * 4 * height, _mm256_permute2x128_si256(a[i], a[4 + i], 0x20));
      store(out + (4 + i) * 4 * height, _mm256_permute2x128_si256(a[i], a[4 + i], 0x31));
    }
  }
}

// Columns that are unpacked and turned together: a row's part, the panel's and their scales stay in the first cache level. Whole blocks.
constexpr std::int64_t kColumns = 512;

// Columns [column, column + inputs) of a panel; `panel` and the rows of `task` begin there.
TARGET void unpack_columns(const RowTask& task, std::int64_t inputs, int height, bool keep_sign, const Panel& panel) {
  const std::int64_t scales = inputs / (panel_kind(task.type) == PanelKind::kCentred16 ? 16 : 32);
  for (int first = 0; first < height; first += 8) {
    for (int i = 0; i < 8; ++i) {
      const int row = first + i;
      std::uint8_t* const u = panel.rows + i * inputs;
      float* const d = panel.scale + row;
      float* const m = panel.minimum + row;
      if (row >= task.rows) {
        __builtin_memset(u, 0, static_cast<std::size_t>(inputs));
        for (std::int64_t s = 0; s < scales; ++s) d[s * height] = 0;
        if (panel_kind(task.type) == PanelKind::kAffine)
          for (std::int64_t s = 0; s < scales; ++s) m[s * height] = 0;
        continue;
      }
      Bytes from = task.weight + row * task.row_bytes;
      const std::int64_t bytes = row_bytes(task.type, inputs);
      for (std::int64_t at = 0; at < bytes; at += 64) _mm_prefetch(from + bytes + at, _MM_HINT_T0);  // the next columns
      switch (task.type) {
        case DType::kQ4_0:
          unpack_simple<DType::kQ4_0>(from, inputs, height, keep_sign, u, d, m);
          break;
        case DType::kQ4_1:
          unpack_simple<DType::kQ4_1>(from, inputs, height, keep_sign, u, d, m);
          break;
        case DType::kQ5_0:
          unpack_simple<DType::kQ5_0>(from, inputs, height, keep_sign, u, d, m);
          break;
        case DType::kQ5_1:
          unpack_simple<DType::kQ5_1>(from, inputs, height, keep_sign, u, d, m);
          break;
        case DType::kQ8_0:
          unpack_simple<DType::kQ8_0>(from, inputs, height, keep_sign, u, d, m);
          break;
        case DType::kQ4_K:
          unpack_k<DType::kQ4_K>(from, inputs, height, u, d, m);
          break;
        case DType::kQ5_K:
          unpack_k<DType::kQ5_K>(from, inputs, height, u, d, m);
          break;
        default:
          unpack_q6_k(from, inputs, height, u, d);
          break;
      }
    }
    interleave_words(panel.rows, inputs, inputs, height, panel.u + 4 * first);
  }
}

// Steps of 4 inputs whose 16-bit sums cannot saturate together.
constexpr int run_of(DType type) {
  switch (type) {
    case DType::kQ4_0:
    case DType::kQ4_1:
    case DType::kQ4_K:
      return 8;
    case DType::kQ6_K:
      return 2;
    case DType::kQ8_0:
      return 1;
    default:
      return 4;
  }
}

// 16 outputs of 3 tokens.
template <DType kType>
TARGET void multiply_all(const RowTask& task, const Panel& panel, const InputTiles& x, std::int64_t tokens) {
  constexpr int W = kTileTokens;
  constexpr bool kSixteen = kType == DType::kQ6_K, kSigned = kType == DType::kQ8_0;
  constexpr bool kCentred = kType == DType::kQ4_0 || kType == DType::kQ5_0 || kSixteen, kAffine = !kCentred && !kSigned;
  constexpr int kHalves = kSixteen ? 2 : 1, kSteps = 8 / kHalves, kRun = run_of(kType);
  const std::int64_t blocks = x.inputs / kBlock;
  const __m256i ones = _mm256_set1_epi16(1);
  for (std::int64_t tile = 0; tile * W < tokens; ++tile) {
    const std::uint8_t* u = panel.u;
    const float* d = panel.scale;
    const float* m = panel.minimum;
    const std::int8_t* q = x.q + tile * x.inputs * W;
    const float* scale = x.scale + tile * blocks * W;
    const float* sum = x.sum + tile * blocks * W;
    const std::int32_t* start = x.start(kType) + (kCentred ? tile * blocks * W * kHalves : 0);
    __m256 total[W][2];
    for (int t = 0; t < W; ++t) total[t][0] = total[t][1] = _mm256_setzero_ps();
    for (std::int64_t block = 0; block < blocks; ++block) {
      for (int half = 0; half < kHalves; ++half, d += 16) {
        __m256i dot[W][2];
        for (int t = 0; t < W; ++t) dot[t][0] = dot[t][1] = kCentred ? _mm256_set1_epi32(start[t]) : _mm256_setzero_si256();
        if constexpr (kCentred) start += W;
        for (int step = 0; step < kSteps; step += kRun) {
          __m256i part[W][2];
#pragma GCC unroll 8
          for (int i = 0; i < kRun; ++i, u += 64, q += 4 * W) {
            const __m256i w0 = load(u), w1 = load(u + 32);
#pragma GCC unroll 4
            for (int t = 0; t < W; ++t) {
              std::int32_t four;
              __builtin_memcpy(&four, q + 4 * t, sizeof four);
              const __m256i a = _mm256_set1_epi32(four);
              __m256i p0, p1;
              if constexpr (kSigned) {
                p0 = _mm256_maddubs_epi16(_mm256_abs_epi8(w0), _mm256_sign_epi8(a, w0));
                p1 = _mm256_maddubs_epi16(_mm256_abs_epi8(w1), _mm256_sign_epi8(a, w1));
              } else {
                p0 = _mm256_maddubs_epi16(w0, a);
                p1 = _mm256_maddubs_epi16(w1, a);
              }
              part[t][0] = i == 0 ? p0 : _mm256_add_epi16(part[t][0], p0);
              part[t][1] = i == 0 ? p1 : _mm256_add_epi16(part[t][1], p1);
            }
          }
#pragma GCC unroll 4
          for (int t = 0; t < W; ++t) {
            dot[t][0] = _mm256_add_epi32(dot[t][0], _mm256_madd_epi16(part[t][0], ones));
            dot[t][1] = _mm256_add_epi32(dot[t][1], _mm256_madd_epi16(part[t][1], ones));
          }
        }
#pragma GCC unroll 4
        for (int t = 0; t < W; ++t) {
          const __m256 s = _mm256_set1_ps(scale[t]);
          total[t][0] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot[t][0]), _mm256_mul_ps(_mm256_loadu_ps(d), s), total[t][0]);
          total[t][1] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot[t][1]), _mm256_mul_ps(_mm256_loadu_ps(d + 8), s), total[t][1]);
        }
      }
      if constexpr (kAffine) {
        for (int t = 0; t < W; ++t) {
          const __m256 s = _mm256_set1_ps(sum[t]);
          total[t][0] = _mm256_fnmadd_ps(_mm256_loadu_ps(m), s, total[t][0]);
          total[t][1] = _mm256_fnmadd_ps(_mm256_loadu_ps(m + 8), s, total[t][1]);
        }
        m += 16;
      }
      scale += W;
      sum += W;
    }
    for (int t = 0; t < W && tile * W + t < tokens; ++t) {
      float* const out = task.out + (tile * W + t) * task.out_stride;
      float sums[16];
      _mm256_storeu_ps(sums, total[t][0]);
      _mm256_storeu_ps(sums + 8, total[t][1]);
      for (std::int64_t o = 0; o < 16 && o < task.rows; ++o) out[o] = sums[o] + (task.bias ? task.bias[o] : 0);
    }
  }
}

// Few tokens -------------------------------------------------------------------------------------------------------------------------

template <DType kType>
INLINE __m256i dot_block(__m256i w, const std::int8_t* q) {
  const __m256i a = load(q);
  const __m256i twos =
      kType == DType::kQ8_0 ? _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(a, w)) : _mm256_maddubs_epi16(w, a);
  return _mm256_madd_epi16(twos, _mm256_set1_epi16(1));
}

INLINE __m256 accumulate(__m256i dot, float scale, __m256 total) {
  return _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_set1_ps(scale), total);
}

template <DType kType, int T>
TARGET void dot_rows_of(const RowTask& task, const InputRows& x, std::int64_t first_token) {
  constexpr float kCentre = kType == DType::kQ4_0 ? 8 : kType == DType::kQ5_0 ? 16 : 0;
  constexpr bool kK = kType == DType::kQ4_K || kType == DType::kQ5_K;
  const std::int8_t* q[T];
  const float *scale[T], *sum[T], *half_sum[T];
  for (int t = 0; t < T; ++t) {
    const std::int64_t token = first_token + t;
    q[t] = x.q + token * x.padded;
    scale[t] = x.scale + token * (x.padded / 32);
    sum[t] = x.sum + token * (x.padded / 32);
    half_sum[t] = x.half_sum + token * (x.padded / 16);
  }
  for (std::int64_t o = 0; o < task.rows; ++o) {
    Bytes block = task.weight + o * task.row_bytes;
    __m256 total[T];
    float rest[T];  // what centres and minima add
    for (int t = 0; t < T; ++t) total[t] = _mm256_setzero_ps(), rest[t] = 0;
    if constexpr (kType == DType::kQ6_K) {
      for (std::int64_t at = 0; at < x.inputs; at += 256, block += 210) {
        const float d = half_at(block + 208);
        const auto* scales = reinterpret_cast<const std::int8_t*>(block + 192);
        for (int half = 0; half < 2; ++half) {
          __m256i u[4];
          q6_half(block, half, u);
          for (int run = 0; run < 4; ++run) {
            const int sub = 8 * half + 2 * run;
            const float d0 = d * scales[sub], d1 = d * scales[sub + 1];
            const __m256 both = _mm256_set_m128(_mm_set1_ps(d1), _mm_set1_ps(d0));
            for (int t = 0; t < T; ++t) {
              const std::int64_t b = at / 32 + 4 * half + run;
              const __m256 dot = _mm256_cvtepi32_ps(dot_block<kType>(u[run], q[t] + 32 * b));
              total[t] = _mm256_fmadd_ps(dot, _mm256_mul_ps(both, _mm256_set1_ps(scale[t][b])), total[t]);
              rest[t] -= 32 * (d0 * half_sum[t][2 * b] + d1 * half_sum[t][2 * b + 1]);
            }
          }
        }
      }
    } else if constexpr (kK) {
      for (std::int64_t at = 0; at < x.inputs; at += 256, block += block_bytes(kType)) {
        std::uint8_t scales[16];
        k_scales(block + 4, scales);
        const float d = half_at(block), minimum = half_at(block + 2);
        for (int pair = 0; pair < 4; ++pair) {
          __m256i u[2];
          k_pair<kType>(block, pair, u[0], u[1]);
          for (int i = 0; i < 2; ++i)
            for (int t = 0; t < T; ++t) {
              const std::int64_t b = at / 32 + 2 * pair + i;
              total[t] = accumulate(dot_block<kType>(u[i], q[t] + 32 * b), d * scales[2 * pair + i] * scale[t][b], total[t]);
              rest[t] -= minimum * scales[8 + 2 * pair + i] * sum[t][b];
            }
        }
      }
    } else {
      for (std::int64_t b = 0; b < x.inputs / kBlock; ++b, block += block_bytes(kType)) {
        const float d = half_at(block);
        const __m256i w = one_block<kType>(block);
        for (int t = 0; t < T; ++t) {
          total[t] = accumulate(dot_block<kType>(w, q[t] + 32 * b), d * scale[t][b], total[t]);
          if constexpr (kType == DType::kQ4_1 || kType == DType::kQ5_1)
            rest[t] += half_at(block + 2) * sum[t][b];
          else if constexpr (kCentre > 0)
            rest[t] -= kCentre * d * sum[t][b];
        }
      }
    }
    for (int t = 0; t < T; ++t)
      task.out[(first_token + t) * task.out_stride + o] = (task.bias ? task.bias[o] : 0) + sum_of(total[t]) + rest[t];
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

TARGET void quantise(const float* x, std::int64_t inputs, std::int64_t padded, std::int8_t* q, float* scale, float* sum, float* half_sum,
                     std::int32_t* whole) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  const __m256i order = _mm256_set_epi32(7, 3, 6, 2, 5, 1, 4, 0);
  for (std::int64_t at = 0; at < inputs; at += kBlock, x += kBlock) {
    __m256 v[4];
    for (int i = 0; i < 4; ++i) v[i] = _mm256_loadu_ps(x + 8 * i);
    __m256 most = _mm256_max_ps(_mm256_max_ps(_mm256_andnot_ps(sign, v[0]), _mm256_andnot_ps(sign, v[1])),
                                _mm256_max_ps(_mm256_andnot_ps(sign, v[2]), _mm256_andnot_ps(sign, v[3])));
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(most), _mm256_extractf128_ps(most, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    const float largest = _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
    const float step = largest / 127, inverse = largest > 0 ? 127 / largest : 0;
    __m256i n[4];
    for (int i = 0; i < 4; ++i) n[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], _mm256_set1_ps(inverse)));
    const __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(n[0], n[1]), _mm256_packs_epi32(n[2], n[3]));
    store(q + at, _mm256_permutevar8x32_epi32(packed, order));
    const __m256i low = _mm256_add_epi32(n[0], n[1]), high = _mm256_add_epi32(n[2], n[3]);
    const std::int32_t whole_first = sum_of(_mm_add_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1))),
                       whole_second = sum_of(_mm_add_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1)));
    const auto first = static_cast<float>(whole_first), second = static_cast<float>(whole_second);
    if (whole) {
      *whole++ = whole_first;
      *whole++ = whole_second;
    }
    *scale++ = step;
    *sum++ = step * (first + second);
    *half_sum++ = step * first;
    *half_sum++ = step * second;
  }
  for (std::int64_t at = inputs; at < padded; at += kBlock) {
    store(q + at, _mm256_setzero_si256());
    *scale++ = *sum++ = *half_sum++ = 0;
    *half_sum++ = 0;
  }
}

TARGET void interleave(const float* rows, std::int64_t stride, std::int64_t columns, int height, float* out) {
  interleave_words(reinterpret_cast<const std::uint8_t*>(rows), stride * 4, columns * 4, height, reinterpret_cast<std::uint8_t*>(out));
}

// 256 weights at a time: unpacked as for a panel of one row, then scaled.
TARGET void dequantise(DType type, const std::uint8_t* row, std::int64_t inputs, float* out) {
  const std::int64_t step = block_elements(type), share = type == DType::kQ6_K ? 16 : 32;
  const bool affine = panel_kind(type) == PanelKind::kAffine;
  const float centre = type == DType::kQ4_0 ? 8 : type == DType::kQ5_0 ? 16 : type == DType::kQ6_K ? 32 : 128;
  for (std::int64_t at = 0; at < inputs; at += step, row += block_bytes(type)) {
    std::uint8_t u[256];
    float d[16], m[8];
    switch (type) {
      case DType::kQ4_0:
        unpack_simple<DType::kQ4_0>(row, step, 1, false, u, d, m);
        break;
      case DType::kQ4_1:
        unpack_simple<DType::kQ4_1>(row, step, 1, false, u, d, m);
        break;
      case DType::kQ5_0:
        unpack_simple<DType::kQ5_0>(row, step, 1, false, u, d, m);
        break;
      case DType::kQ5_1:
        unpack_simple<DType::kQ5_1>(row, step, 1, false, u, d, m);
        break;
      case DType::kQ8_0:
        unpack_simple<DType::kQ8_0>(row, step, 1, false, u, d, m);
        break;
      case DType::kQ4_K:
        unpack_k<DType::kQ4_K>(row, step, 1, u, d, m);
        break;
      case DType::kQ5_K:
        unpack_k<DType::kQ5_K>(row, step, 1, u, d, m);
        break;
      default:
        unpack_q6_k(row, step, 1, u, d);
        break;
    }
    for (std::int64_t i = 0; i < step; i += 8) {
      const float scale = d[i / share], minimum = affine ? m[i / share] : scale * centre;
      const __m256 w = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(u + i))));
      _mm256_storeu_ps(out + at + i, _mm256_fmsub_ps(w, _mm256_set1_ps(scale), _mm256_set1_ps(minimum)));
    }
  }
}

void unpack_panel(const RowTask& task, std::int64_t inputs, int height, bool keep_sign, const Panel& panel) {
  const std::int64_t scales_a_block = panel_kind(task.type) == PanelKind::kCentred16 ? 2 : 1;
  RowTask part = task;
  for (std::int64_t column = 0; column < inputs; column += kColumns) {
    part.weight = task.weight + row_bytes(task.type, column);
    const std::int64_t block = column / kBlock;
    unpack_columns(part, std::min(kColumns, inputs - column), height, keep_sign,
                   {.u = panel.u + column * height,
                    .scale = panel.scale + block * scales_a_block * height,
                    .minimum = panel.minimum + block * height,
                    .rows = panel.rows});
  }
}

void multiply_panel(const RowTask& task, const Panel& panel, const InputTiles& x, std::int64_t tokens) {
  switch (task.type) {
    case DType::kQ4_0:
      return multiply_all<DType::kQ4_0>(task, panel, x, tokens);
    case DType::kQ4_1:
      return multiply_all<DType::kQ4_1>(task, panel, x, tokens);
    case DType::kQ5_0:
      return multiply_all<DType::kQ5_0>(task, panel, x, tokens);
    case DType::kQ5_1:
      return multiply_all<DType::kQ5_1>(task, panel, x, tokens);
    case DType::kQ8_0:
      return multiply_all<DType::kQ8_0>(task, panel, x, tokens);
    case DType::kQ4_K:
      return multiply_all<DType::kQ4_K>(task, panel, x, tokens);
    case DType::kQ5_K:
      return multiply_all<DType::kQ5_K>(task, panel, x, tokens);
    case DType::kQ6_K:
      return multiply_all<DType::kQ6_K>(task, panel, x, tokens);
    default:
      DESKHAND_ASSERT(false, "a quantised type");
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

}  // namespace deskhand::cpu::avx2
#endif
