#include "deskhand/ops/rms_norm.h"

#include <cmath>

#include "deskhand/ops/cpu/highway.h"
#include "deskhand/ops/cpu/split.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "deskhand/ops/cpu/rms_norm.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace deskhand::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

float rms_norm_row(float* out, const float* x, const float* weight, std::size_t width, float epsilon) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  auto a = hn::Zero(d), b = hn::Zero(d);
  std::size_t i = 0;
  for (; i + 2 * lanes <= width; i += 2 * lanes) {
    const auto v = hn::LoadU(d, x + i), u = hn::LoadU(d, x + i + lanes);
    a = hn::MulAdd(v, v, a);
    b = hn::MulAdd(u, u, b);
  }
  float squares = hn::GetLane(hn::SumOfLanes(d, hn::Add(a, b)));
  for (; i < width; ++i) squares += x[i] * x[i];
  const float scale = 1 / std::sqrt(squares / static_cast<float>(width) + epsilon);
  const auto by = hn::Set(d, scale);
  for (i = 0; i + lanes <= width; i += lanes) hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(d, x + i), by), hn::LoadU(d, weight + i)), d, out + i);
  for (; i < width; ++i) out[i] = x[i] * scale * weight[i];
  return scale;
}

}  // namespace deskhand::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace deskhand::cpu {

void rms_norm(const Backend& on, View out, ConstView x, ConstView weight, float epsilon, View rstd) {
  const std::int64_t width = x.shape().last();
  const auto row_kernel = DESKHAND_CHOOSE(on, rms_norm_row);
  split(on, x.shape().rows(), grain_of_rows(width), [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row) {
      const float scale = row_kernel(out.floats().data() + row * width, x.floats().data() + row * width, weight.floats().data(),
                                     static_cast<std::size_t>(width), epsilon);
      if (!rstd.empty()) rstd.floats()[static_cast<std::size_t>(row)] = scale;
    }
  });
}

}  // namespace deskhand::cpu
#endif
