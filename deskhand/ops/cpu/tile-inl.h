// The tile of a matrix product: kRows rows of a, whole or turned, meet kVectors vectors of columns of b in registers. Included after
// hwy/highway.h, once a target.
#if defined(DESKHAND_TILE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef DESKHAND_TILE_INL_H
#undef DESKHAND_TILE_INL_H
#else
#define DESKHAND_TILE_INL_H
#endif

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace deskhand::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// c (rows, columns) = a b, or added to c. a's element (r, k) is a[r * a_step + k], turned a[k * a_step + r].
struct TileProduct {
  const float* a = nullptr;
  std::int64_t a_step = 0;
  const float* b = nullptr;  // (depth, columns rounded up to whole vectors)
  std::int64_t b_step = 0;
  std::int64_t depth = 0;
  float* c = nullptr;
  std::int64_t c_step = 0;
  bool adds = false;
};

constexpr int kMostRows = HWY_TARGET <= HWY_AVX3 ? 12 : 6;  // with two vectors of columns: as many sums as there are registers for

template <int kRows, int kVectors, bool kTurned>
HWY_INLINE void multiply_tile(const TileProduct& at, const float* a, const float* b, float* c, std::int64_t columns) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V sum[kRows][kVectors];
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::Zero(d);
  for (std::int64_t k = 0; k < at.depth; ++k) {
    V of_b[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) of_b[v] = hn::Load(d, b + k * at.b_step + v * lanes);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const V value = hn::Set(d, kTurned ? a[k * at.a_step + r] : a[r * at.a_step + k]);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::MulAdd(value, of_b[v], sum[r][v]);
    }
  }
  if (columns >= kVectors * lanes) {
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        float* const to = c + r * at.c_step + v * lanes;
        hn::StoreU(at.adds ? hn::Add(hn::LoadU(d, to), sum[r][v]) : sum[r][v], d, to);
      }
    return;
  }
  HWY_ALIGN float tail[kVectors * HWY_LANES(float)];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) hn::Store(sum[r][v], d, tail + v * lanes);
    float* const to = c + r * at.c_step;
    for (std::int64_t i = 0; i < columns; ++i) to[i] = at.adds ? to[i] + tail[i] : tail[i];
  }
}

template <int kRows, bool kTurned>
HWY_NOINLINE void multiply_rows_of(const TileProduct& at, std::int64_t row, std::int64_t columns) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<float>()));
  const float* const a = at.a + row * (kTurned ? 1 : at.a_step);
  float* const c = at.c + row * at.c_step;
  std::int64_t i = 0;
  for (; i + lanes < columns; i += 2 * lanes) multiply_tile<kRows, 2, kTurned>(at, a, at.b + i, c + i, columns - i);
  if (i < columns) multiply_tile<kRows, 1, kTurned>(at, a, at.b + i, c + i, columns - i);
}

// All rows; the order of an element's sum is that of k alone.
template <bool kTurned>
void multiply_tiles(const TileProduct& at, std::int64_t rows, std::int64_t columns) {
  std::int64_t row = 0;
  for (; row + kMostRows <= rows; row += kMostRows) multiply_rows_of<kMostRows, kTurned>(at, row, columns);
  for (; row + 4 <= rows; row += 4) multiply_rows_of<4, kTurned>(at, row, columns);
  for (; row < rows; ++row) multiply_rows_of<1, kTurned>(at, row, columns);
}

}  // namespace deskhand::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
