#include "deskhand/ops/rope.h"

#include "deskhand/ops/cpu/highway.h"
#include "deskhand/ops/cpu/split.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "deskhand/ops/cpu/rope.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace deskhand::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void rope_halves(float* x, const float* cosine, const float* sine, float sign, std::size_t half) {
  const hn::ScalableTag<float> d;
  const auto turn = hn::Set(d, sign);
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= half; i += hn::Lanes(d)) {
    const auto a = hn::LoadU(d, x + i), b = hn::LoadU(d, x + half + i), c = hn::LoadU(d, cosine + i),
               s = hn::Mul(turn, hn::LoadU(d, sine + i));
    hn::StoreU(hn::Sub(hn::Mul(a, c), hn::Mul(b, s)), d, x + i);
    hn::StoreU(hn::MulAdd(a, s, hn::Mul(b, c)), d, x + half + i);
  }
  for (; i < half; ++i) {
    const float a = x[i], b = x[half + i], s = sign * sine[i];
    x[i] = a * cosine[i] - b * s;
    x[half + i] = a * s + b * cosine[i];
  }
}

void rope_neighbours(float* x, const float* cosine, const float* sine, float sign, std::size_t half) {
  const hn::ScalableTag<float> d;
  const auto turn = hn::Set(d, sign);
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= half; i += hn::Lanes(d)) {
    hn::Vec<decltype(d)> a, b;
    hn::LoadInterleaved2(d, x + 2 * i, a, b);
    const auto c = hn::LoadU(d, cosine + i), s = hn::Mul(turn, hn::LoadU(d, sine + i));
    hn::StoreInterleaved2(hn::Sub(hn::Mul(a, c), hn::Mul(b, s)), hn::MulAdd(a, s, hn::Mul(b, c)), d, x + 2 * i);
  }
  for (; i < half; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1], s = sign * sine[i];
    x[2 * i] = a * cosine[i] - b * s;
    x[2 * i + 1] = a * s + b * cosine[i];
  }
}

}  // namespace deskhand::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace deskhand::cpu {

void rope(const Backend& on, View x, std::span<const std::int32_t> positions, const RopeTable& table, bool inverse) {
  const std::int64_t heads = x.shape()[1], width = x.shape()[2], half = width / 2;
  const auto turn = table.pairs == RopePairs::kHalves ? DESKHAND_CHOOSE(on, rope_halves) : DESKHAND_CHOOSE(on, rope_neighbours);
  split(on, x.shape()[0], grain_of_rows(heads * width), [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t token = begin; token < end; ++token) {
      const std::int64_t at = positions[static_cast<std::size_t>(token)] * half;
      for (std::int64_t head = 0; head < heads; ++head)
        turn(x.floats().data() + (token * heads + head) * width, table.cosine.floats().data() + at, table.sine.floats().data() + at,
             inverse ? -1.0f : 1.0f, static_cast<std::size_t>(half));
    }
  });
}

}  // namespace deskhand::cpu
#endif
