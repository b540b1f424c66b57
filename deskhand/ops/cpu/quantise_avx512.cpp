// Inputs for panels, quantised with AVX-512 and VNNI straight into their tile: the same numbers as avx2::quantise, to the bit. Two blocks
// of six tokens go together: their twelve scales are one register, and lie in the tile as they stand in it.
#if defined(__x86_64__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 warns inside its own intrinsics (PR 105593)
#include <immintrin.h>

#include "deskhand/ops/cpu/quantised.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define INLINE TARGET __attribute__((always_inline)) inline

namespace deskhand::cpu::avx512 {
namespace {

constexpr int W = kTileTokens;
static_assert(W == 6, "registers below are filled by six tokens");

// Where the tile's words come from: (8, W) words of a block out of three registers, each with two tokens t and t', whose 128-bit lane l is
// [t's word l, its word 4 + l, those of t'].
struct TileOrder {
  alignas(64) std::int32_t from[3][16];  // of the first two registers, 16 on is the second
  __mmask16 third[3];                    // the lanes that the third register gives
};
constexpr TileOrder tile_order() {
  TileOrder order{};
  for (int to = 0; to < 8 * W; ++to) {
    const int word = to / W, token = to % W;
    order.from[to / 16][to % 16] = word % 4 * 4 + token % 2 * 2 + word / 4 + (token / 2 == 1 ? 16 : 0);
    if (token / 2 == 2) order.third[to / 16] = static_cast<__mmask16>(order.third[to / 16] | 1 << to % 16);
  }
  return order;
}
constexpr TileOrder kTileOrder = tile_order();
alignas(64) constexpr std::int32_t kHalvesApart[16] = {0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11, 12, 13, 14, 15};

INLINE __m512 max_of_lanes(__m512 a, __m512 b) {
  return _mm512_max_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}
INLINE __m512i sum_of_lanes(__m512i a, __m512i b) {
  return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
}

// Lane i: the largest of row i; the last four lanes are zero.
INLINE __m512 largest_of_each(const __m512 (&row)[2 * W]) {
  __m512 two[W], four[W / 2];
#pragma GCC unroll 6
  for (int i = 0; i < W; ++i)
    two[i] = _mm512_max_ps(_mm512_unpacklo_ps(row[2 * i], row[2 * i + 1]), _mm512_unpackhi_ps(row[2 * i], row[2 * i + 1]));
#pragma GCC unroll 3
  for (int i = 0; i < W / 2; ++i) {
    const __m512d a = _mm512_castps_pd(two[2 * i]), b = _mm512_castps_pd(two[2 * i + 1]);
    four[i] = _mm512_max_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  }
  return max_of_lanes(max_of_lanes(four[0], four[1]), max_of_lanes(four[2], _mm512_setzero_ps()));
}

}  // namespace

TARGET void quantise_tile(const float* x, int tokens, const InputTiles& tiles, std::int64_t tile) {
  const std::int64_t inputs = tiles.inputs, blocks = inputs / kBlock;
  const auto load = [&](std::int64_t at, int token) TARGET {  // tokens that are not there are zero
    return _mm512_maskz_loadu_ps(token < tokens ? 0xffff : 0, x + token * inputs + at);
  };
  std::int8_t* q = tiles.q + tile * inputs * W;
  for (std::int64_t first = 0; first < blocks; first += 2) {
    const int together = blocks - first < 2 ? 1 : 2;
    __m512 row[2 * W];
#pragma GCC unroll 2
    for (int block = 0; block < 2; ++block)
#pragma GCC unroll 6
      for (int token = 0; token < W; ++token) {
        const std::int64_t at = (first + (block < together ? block : 0)) * kBlock;
        row[block * W + token] = _mm512_max_ps(_mm512_abs_ps(load(at, token)), _mm512_abs_ps(load(at + 16, token)));
      }
    const __m512 largest = largest_of_each(row), most = _mm512_set1_ps(127);
    const __m512 step = _mm512_div_ps(largest, most);
    alignas(64) float inverse[16];
    _mm512_store_ps(inverse, _mm512_maskz_div_ps(_mm512_cmp_ps_mask(largest, _mm512_setzero_ps(), _CMP_GT_OQ), most, largest));
    _mm512_mask_storeu_ps(tiles.scale + (tile * blocks + first) * W, static_cast<__mmask16>((1 << together * W) - 1), step);
    for (int block = 0; block < together; ++block, q += kBlock * W) {
      __m512i bytes[3], sums[3];
#pragma GCC unroll 3
      for (int i = 0; i < 3; ++i) {
        __m512i words[2];
#pragma GCC unroll 2
        for (int t = 0; t < 2; ++t) {
          const int token = 2 * i + t;
          const std::int64_t at = (first + block) * kBlock;
          const __m512 by = _mm512_set1_ps(inverse[block * W + token]);
          words[t] = _mm512_packs_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(load(at, token), by)),
                                        _mm512_cvtps_epi32(_mm512_mul_ps(load(at + 16, token), by)));
        }
        bytes[i] = _mm512_packs_epi16(words[0], words[1]);
        sums[i] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(1), bytes[i]);
      }
#pragma GCC unroll 3
      for (int i = 0; i < 3; ++i) {
        const __m512i from = _mm512_load_si512(kTileOrder.from[i]);
        const __m512i of_two = _mm512_permutex2var_epi32(bytes[0], from, bytes[1]);
        _mm512_store_si512(q + 64 * i, _mm512_mask_permutexvar_epi32(of_two, kTileOrder.third[i], from, bytes[2]));
      }
      // Sums of q: each token's first half, then each token's second.
      const __m512i pairs = sum_of_lanes(sum_of_lanes(sums[0], sums[1]), sum_of_lanes(sums[2], _mm512_setzero_si512()));
      const __m512i halves = _mm512_permutexvar_epi32(_mm512_load_si512(kHalvesApart), pairs), none = _mm512_setzero_si512();
      const __m512i whole = _mm512_add_epi32(halves, _mm512_alignr_epi32(halves, halves, W));
      constexpr __mmask16 kSix = (1 << W) - 1, kTwelve = (1 << 2 * W) - 1;
      const std::int64_t at = (tile * blocks + first + block) * W;
      const __m512 own_step =
          block == 0 ? step : _mm512_castsi512_ps(_mm512_alignr_epi32(_mm512_castps_si512(step), _mm512_castps_si512(step), W));
      _mm512_mask_storeu_ps(tiles.sum + at, kSix, _mm512_mul_ps(own_step, _mm512_cvtepi32_ps(whole)));
      if (tiles.start8) _mm512_mask_storeu_epi32(tiles.start8 + at, kSix, _mm512_sub_epi32(none, _mm512_slli_epi32(whole, 3)));
      if (tiles.start16) _mm512_mask_storeu_epi32(tiles.start16 + at, kSix, _mm512_sub_epi32(none, _mm512_slli_epi32(whole, 4)));
      if (tiles.start128) _mm512_mask_storeu_epi32(tiles.start128 + at, kSix, _mm512_sub_epi32(none, _mm512_slli_epi32(whole, 7)));
      if (tiles.start32) _mm512_mask_storeu_epi32(tiles.start32 + 2 * at, kTwelve, _mm512_sub_epi32(none, _mm512_slli_epi32(halves, 5)));
    }
  }
}

}  // namespace deskhand::cpu::avx512
#endif
