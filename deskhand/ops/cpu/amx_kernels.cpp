// The instructions of amx.h. Tiles are named in inline assembly: the compiler's own intrinsics take numbers that a template cannot give.
// Two strips of rows and two of columns make four tiles of sums, which is as many as hide the multiplication's latency; the other four hold
// the operands.
#pragma GCC diagnostic ignored "-Wuninitialized"
#if defined(__x86_64__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 warns inside its own intrinsics (PR 105593)
#include <immintrin.h>

#include <algorithm>

#include "deskhand/ops/cpu/amx.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")))
#define ALWAYS __attribute__((always_inline)) inline
#define INLINE TARGET ALWAYS

namespace deskhand::cpu::amx {
namespace {

// Intel SDM, volume 1, 18.3: palette 1 has 8 tiles of up to 16 rows of 64 bytes.
struct TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

template <int kTile>
ALWAYS void load(const void* from) {
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(std::int64_t{64}), "i"(kTile) : "memory");
}
template <int kTile>
ALWAYS void store(void* to) {
  __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(std::int64_t{64}), "i"(kTile) : "memory");
}
template <int kTile>
ALWAYS void clear() {
  __asm__ volatile("tilezero %%tmm%c0" : : "i"(kTile));
}
template <int kSum, int kA, int kB>
ALWAYS void add_product() {
  __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kA), "i"(kB));
}

constexpr int kOfA = 4, kOfB = 6;

// One depth of tiles: each call loads a piece of a or b, or multiplies what is loaded.
template <int kRows, int kColumns>
struct Step {
  const std::uint16_t *a, *b;
  std::int64_t a_step, b_step;

  ALWAYS void load_a(int piece) const {
    load<kOfA>(a + piece * kTileWords);
    if constexpr (kRows == 2) load<kOfA + 1>(a + a_step + piece * kTileWords);
  }
  ALWAYS void load_b(int piece) const {
    load<kOfB>(b + piece * kTileWords);
    if constexpr (kColumns == 2) load<kOfB + 1>(b + b_step + piece * kTileWords);
  }
  ALWAYS void multiply() const {
    add_product<0, kOfA, kOfB>();
    if constexpr (kColumns == 2) add_product<1, kOfA, kOfB + 1>();
    if constexpr (kRows == 2) add_product<2, kOfA + 1, kOfB>();
    if constexpr (kRows == 2 && kColumns == 2) add_product<3, kOfA + 1, kOfB + 1>();
  }
};

// Small products before large ones, and no operand loaded twice but b's first.
template <int kRows, int kColumns, int kPiecesOfA, int kPiecesOfB>
ALWAYS void multiply_depth(const Step<kRows, kColumns>& step) {
  step.load_b(0);
  if constexpr (kPiecesOfA == 3) {
    step.load_a(2);
    step.multiply();
    step.load_a(1);
    step.multiply();
    if constexpr (kPiecesOfB > 1) {
      step.load_b(1);
      step.multiply();
    }
  }
  step.load_a(0);
  if constexpr (kPiecesOfB > 1) {
    step.multiply();
    if constexpr (kPiecesOfB > 2) {
      step.load_b(2);
      step.multiply();
    }
    step.load_b(0);
  }
  step.multiply();
}

// `fetched`: a's strips after these, which come from the third cache level, are fetched into the second meanwhile, a share for each pair of
// columns.
template <int kRows, int kColumns, int kPiecesOfA, int kPiecesOfB>
void multiply_strips(const Block& block, std::int64_t row, std::int64_t column, std::int64_t share) {
  float* const c0 = block.c + (row * block.column_strips + column) * kTileFloats;
  float* const c1 = c0 + block.column_strips * kTileFloats;
  const auto each_sum = [&](auto&& one) __attribute__((always_inline)) {
    one.template operator()<0>(c0);
    if constexpr (kColumns == 2) one.template operator()<1>(c0 + kTileFloats);
    if constexpr (kRows == 2) one.template operator()<2>(c1);
    if constexpr (kRows == 2 && kColumns == 2) one.template operator()<3>(c1 + kTileFloats);
  };
  if (block.adds)
    each_sum([]<int kTile>(float* sums) __attribute__((always_inline)) { load<kTile>(sums); });
  else
    each_sum([]<int kTile>(float*) __attribute__((always_inline)) { clear<kTile>(); });
  Step<kRows, kColumns> step{block.a + row * block.a_step, block.b + column * block.b_step, block.a_step, block.b_step};
  const std::uint16_t* ahead = block.a + (row + 2) * block.a_step + column / 2 * share;
  for (std::int64_t tile = 0; tile < block.tiles; ++tile, ahead += share / block.tiles) {
    for (std::int64_t i = 0; i < share / block.tiles; i += 32) __builtin_prefetch(ahead + i, 0, 2);
    multiply_depth<kRows, kColumns, kPiecesOfA, kPiecesOfB>(step);
    step.a += kPiecesOfA * kTileWords;
    step.b += kPiecesOfB * kTileWords;
  }
  each_sum([]<int kTile>(float* sums) __attribute__((always_inline)) { store<kTile>(sums); });
}

template <int kPiecesOfA, int kPiecesOfB>
void multiply(const Block& block) {
  const std::int64_t share = 2 * block.a_step / ((block.column_strips + 1) / 2);
  for (std::int64_t row = 0; row < block.row_strips; row += 2)
    for (std::int64_t column = 0; column < block.column_strips; column += 2) {
      const bool two_rows = row + 1 < block.row_strips, two_columns = column + 1 < block.column_strips;
      if (two_rows && two_columns)
        multiply_strips<2, 2, kPiecesOfA, kPiecesOfB>(block, row, column, share);
      else if (two_rows)
        multiply_strips<2, 1, kPiecesOfA, kPiecesOfB>(block, row, column, share);
      else if (two_columns)
        multiply_strips<1, 2, kPiecesOfA, kPiecesOfB>(block, row, column, share);
      else
        multiply_strips<1, 1, kPiecesOfA, kPiecesOfB>(block, row, column, share);
    }
}

INLINE __mmask16 first_lanes(std::int64_t count) {
  return count >= 16 ? 0xffff : count <= 0 ? 0 : static_cast<__mmask16>((1 << count) - 1);
}

// Lanes of 32 bits, rows and columns exchanged.
INLINE void turn(__m512i (&v)[16]) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  // v[4 q + c] holds columns c, c + 4, c + 8, c + 12 of rows 4 q .. 4 q + 3, a quarter each.
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    t[c] = _mm512_shuffle_i32x4(v[c], v[4 + c], 0x88);
    t[4 + c] = _mm512_shuffle_i32x4(v[c], v[4 + c], 0xdd);
    t[8 + c] = _mm512_shuffle_i32x4(v[8 + c], v[12 + c], 0x88);
    t[12 + c] = _mm512_shuffle_i32x4(v[8 + c], v[12 + c], 0xdd);
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    v[c] = _mm512_shuffle_i32x4(t[c], t[8 + c], 0x88);
    v[8 + c] = _mm512_shuffle_i32x4(t[c], t[8 + c], 0xdd);
    v[4 + c] = _mm512_shuffle_i32x4(t[4 + c], t[12 + c], 0x88);
    v[12 + c] = _mm512_shuffle_i32x4(t[4 + c], t[12 + c], 0xdd);
  }
}

// 32 numbers in order give a piece of 32 words in order, and keep what it leaves.
INLINE __m512i cut_in_order(__m512& first, __m512& second) {
  const auto piece = (__m512i)_mm512_cvtne2ps_pbh(second, first);
  const __m512i low = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(piece)), 16);
  const __m512i high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(piece, 1)), 16);
  first = _mm512_sub_ps(first, _mm512_castsi512_ps(low));
  second = _mm512_sub_ps(second, _mm512_castsi512_ps(high));
  return piece;
}

// Word i of the lower half and of the upper half become pair i.
INLINE __m512i pair_up(__m512i halves) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3,
                                         18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, halves);
}

// 16 numbers of each of two lines give a piece of 16 pairs.
INLINE __m512i cut_in_pairs(__m512& first, __m512& second) {
  const __m512i piece = pair_up((__m512i)_mm512_cvtne2ps_pbh(second, first));
  first = _mm512_sub_ps(first, _mm512_castsi512_ps(_mm512_slli_epi32(piece, 16)));
  second = _mm512_sub_ps(second, _mm512_castsi512_ps(_mm512_and_si512(piece, _mm512_set1_epi32(static_cast<int>(0xffff0000)))));
  return piece;
}

// Lines along the depth: 16 of 32 numbers, a line a row of the tile unless it is `turned`.
template <bool kTurned>
TARGET void cut_deep(std::uint16_t* to, const Square& square, int pieces) {
  const __mmask16 low = first_lanes(square.depth), high = first_lanes(square.depth - 16);
  __m512 first[kSide], second[kSide];
  for (std::int64_t i = 0; i < kSide; ++i) {
    const float* const line = static_cast<const float*>(square.from) + i * square.step;
    const bool there = i < square.count;
    first[i] = there ? _mm512_maskz_loadu_ps(low, line) : _mm512_setzero_ps();
    second[i] = there && high ? _mm512_maskz_loadu_ps(high, line + 16) : _mm512_setzero_ps();
  }
  for (int piece = 0; piece < pieces; ++piece, to += kTileWords) {
    __m512i words[kSide];
    for (int i = 0; i < kSide; ++i) words[i] = cut_in_order(first[i], second[i]);
    if constexpr (kTurned) turn(words);
    for (int i = 0; i < kSide; ++i) _mm512_store_si512(to + i * kTileDepth, words[i]);
  }
}

// Lines across it: 32 of 16 numbers, two lines a row of pairs unless it is `turned`.
template <bool kTurned>
TARGET void cut_wide(std::uint16_t* to, const Square& square, int pieces) {
  const __mmask16 live = first_lanes(square.count);
  __m512 first[kSide], second[kSide];
  for (std::int64_t i = 0; i < kSide; ++i) {
    const float* const line = static_cast<const float*>(square.from) + 2 * i * square.step;
    first[i] = 2 * i < square.depth ? _mm512_maskz_loadu_ps(live, line) : _mm512_setzero_ps();
    second[i] = 2 * i + 1 < square.depth ? _mm512_maskz_loadu_ps(live, line + square.step) : _mm512_setzero_ps();
  }
  for (int piece = 0; piece < pieces; ++piece, to += kTileWords) {
    __m512i words[kSide];
    for (int i = 0; i < kSide; ++i) words[i] = cut_in_pairs(first[i], second[i]);
    if constexpr (kTurned) turn(words);
    for (int i = 0; i < kSide; ++i) _mm512_store_si512(to + i * kTileDepth, words[i]);
  }
}

}  // namespace

Tiles::Tiles() {
  alignas(64) static constexpr TileConfig config;
  __asm__ volatile("ldtilecfg %0" : : "m"(config));
}
Tiles::~Tiles() {
  __asm__ volatile("tilerelease");
}

void cut_deep_for_a(std::uint16_t* to, const Square& square, int pieces) {
  cut_deep<false>(to, square, pieces);
}
void cut_wide_for_a(std::uint16_t* to, const Square& square, int pieces) {
  cut_wide<true>(to, square, pieces);
}
void cut_deep_for_b(std::uint16_t* to, const Square& square, int pieces) {
  cut_deep<true>(to, square, pieces);
}
void cut_wide_for_b(std::uint16_t* to, const Square& square, int pieces) {
  cut_wide<false>(to, square, pieces);
}

TARGET void lay_deep_for_b(std::uint16_t* to, const Square& square, int) {
  const auto live = static_cast<__mmask32>(first_lanes(square.depth) | static_cast<std::uint32_t>(first_lanes(square.depth - 16)) << 16);
  __m512i words[kSide];
  for (std::int64_t i = 0; i < kSide; ++i) {
    const auto* const line = static_cast<const std::uint16_t*>(square.from) + i * square.step;
    words[i] = i < square.count ? _mm512_maskz_loadu_epi16(live, line) : _mm512_setzero_si512();
  }
  turn(words);
  for (int i = 0; i < kSide; ++i) _mm512_store_si512(to + i * kTileDepth, words[i]);
}

TARGET void lay_wide_for_b(std::uint16_t* to, const Square& square, int) {
  const __mmask16 live = first_lanes(square.count);
  for (std::int64_t i = 0; i < kSide; ++i) {
    const auto* const line = static_cast<const std::uint16_t*>(square.from) + 2 * i * square.step;
    const __m256i first = 2 * i < square.depth ? _mm256_maskz_loadu_epi16(live, line) : _mm256_setzero_si256();
    const __m256i second = 2 * i + 1 < square.depth ? _mm256_maskz_loadu_epi16(live, line + square.step) : _mm256_setzero_si256();
    _mm512_store_si512(to + i * kTileDepth, pair_up(_mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1)));
  }
}

Multiply multiply_of(int pieces_of_a, int pieces_of_b) {
  if (pieces_of_a == 1) return multiply<1, 1>;
  return pieces_of_b == 1 ? multiply<3, 1> : pieces_of_b == 2 ? multiply<3, 2> : multiply<3, 3>;
}

TARGET void deliver(const Delivery& at) {
  for (std::int64_t row = 0; row < at.rows; ++row) {
    const float* from = at.tiles + (row / kSide * at.column_strips * kSide + row % kSide) * kSide;
    float* const to = at.to + row * at.step;
    for (std::int64_t column = 0; column < at.columns; column += kSide, from += kTileFloats) {
      const __mmask16 live = first_lanes(at.columns - column);
      __m512 sum = _mm512_load_ps(from);
      if (at.bias) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(live, at.bias + column));
      if (at.adds) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(live, to + column), sum);
      _mm512_mask_storeu_ps(to + column, live, sum);
    }
  }
}

}  // namespace deskhand::cpu::amx
#endif
