// Kernels that several files compile for each set of instructions: a few rows times a matrix, and the widening of rows. Included after
// hwy/highway.h, once a target.
#if defined(DESKHAND_MULTIPLY_ROWS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef DESKHAND_MULTIPLY_ROWS_INL_H
#undef DESKHAND_MULTIPLY_ROWS_INL_H
#else
#define DESKHAND_MULTIPLY_ROWS_INL_H
#endif

#include <cstddef>
#include <cstdint>

#include "deskhand/tensor/dtype.h"

HWY_BEFORE_NAMESPACE();
namespace deskhand::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// c = c * keep + a b for kCount rows of a (k long) and `columns` columns of b, whole vectors of them. `keep` null: c is overwritten.
template <int kCount>
void multiply_rows(const float* a, std::int64_t a_step, const float* b, std::int64_t b_step, std::int64_t k, float* c, std::int64_t c_step,
                   std::int64_t columns, const float* keep) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t column = 0;
  for (; column + 2 * lanes <= columns; column += 2 * lanes) {
    V sum[kCount][2];
#pragma GCC unroll 8
    for (int r = 0; r < kCount; ++r) sum[r][0] = sum[r][1] = hn::Zero(d);
    const float* from = b + column;
    for (std::int64_t i = 0; i < k; ++i, from += b_step) {
      const V b0 = hn::LoadU(d, from), b1 = hn::LoadU(d, from + lanes);
#pragma GCC unroll 8
      for (int r = 0; r < kCount; ++r) {
        const V value = hn::Set(d, a[r * a_step + i]);
        sum[r][0] = hn::MulAdd(value, b0, sum[r][0]);
        sum[r][1] = hn::MulAdd(value, b1, sum[r][1]);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kCount; ++r) {
      float* to = c + r * c_step + column;
      if (keep) {
        const V by = hn::Set(d, keep[r]);
        sum[r][0] = hn::MulAdd(by, hn::LoadU(d, to), sum[r][0]);
        sum[r][1] = hn::MulAdd(by, hn::LoadU(d, to + lanes), sum[r][1]);
      }
      hn::StoreU(sum[r][0], d, to);
      hn::StoreU(sum[r][1], d, to + lanes);
    }
  }
  if (column < columns)  // an odd last vector
    for (int r = 0; r < kCount; ++r) {
      V sum = hn::Zero(d);
      for (std::int64_t i = 0; i < k; ++i) sum = hn::MulAdd(hn::Set(d, a[r * a_step + i]), hn::LoadU(d, b + i * b_step + column), sum);
      float* to = c + r * c_step + column;
      if (keep) sum = hn::MulAdd(hn::Set(d, keep[r]), hn::LoadU(d, to), sum);
      hn::StoreU(sum, d, to);
    }
}

inline void multiply_rows(int count, const float* a, std::int64_t a_step, const float* b, std::int64_t b_step, std::int64_t k, float* c,
                          std::int64_t c_step, std::int64_t columns, const float* keep) {
  switch (count) {
    case 1:
      return multiply_rows<1>(a, a_step, b, b_step, k, c, c_step, columns, keep);
    case 2:
      return multiply_rows<2>(a, a_step, b, b_step, k, c, c_step, columns, keep);
    case 3:
      return multiply_rows<3>(a, a_step, b, b_step, k, c, c_step, columns, keep);
    case 4:
      return multiply_rows<4>(a, a_step, b, b_step, k, c, c_step, columns, keep);
    case 5:
      return multiply_rows<5>(a, a_step, b, b_step, k, c, c_step, columns, keep);
    default:
      return multiply_rows<6>(a, a_step, b, b_step, k, c, c_step, columns, keep);
  }
}

// Floats of a row that is f32, f16 or bf16.
inline void widen(float* to, const std::byte* from, DType type, std::int64_t width) {
  const hn::ScalableTag<float> d;
  if (type == DType::kF32) {  // rows are short: a call of memcpy costs more
    const auto* floats = reinterpret_cast<const float*>(from);
    std::int64_t i = 0;
    for (; i + static_cast<std::int64_t>(hn::Lanes(d)) <= width; i += static_cast<std::int64_t>(hn::Lanes(d)))
      hn::StoreU(hn::LoadU(d, floats + i), d, to + i);
    for (; i < width; ++i) to[i] = floats[i];
    return;
  }
  const auto* bits = reinterpret_cast<const std::uint16_t*>(from);
  const hn::RebindToUnsigned<decltype(d)> dw;
  const hn::Rebind<std::uint16_t, decltype(d)> du;
  const hn::Rebind<hwy::float16_t, decltype(d)> dh;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  if (type == DType::kBF16) {
    for (; i + lanes <= width; i += lanes)
      hn::StoreU(hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(dw, hn::LoadU(du, bits + i)))), d, to + i);
    for (; i < width; ++i) to[i] = from_bf16(bits[i]);
    return;
  }
#if HWY_TARGET <= HWY_AVX2  // without F16C, Highway takes subnormal numbers for zero
  for (; i + lanes <= width; i += lanes) hn::StoreU(hn::PromoteTo(d, hn::BitCast(dh, hn::LoadU(du, bits + i))), d, to + i);
#else
  (void)dh;
#endif
  for (; i < width; ++i) to[i] = from_f16(bits[i]);
}

}  // namespace deskhand::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
