#include "deskhand/ops/layer_norm.h"

#include <cmath>

#include "deskhand/ops/cpu/highway.h"
#include "deskhand/ops/cpu/split.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "deskhand/ops/cpu/layer_norm.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace deskhand::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// residual, shift: rows that are added to x, or null.
void layer_norm_row(float* out, const float* x, const float* residual, const float* shift, const float* weight, const float* bias,
                    std::size_t width, float epsilon) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  auto total = hn::Zero(d);
  float rest = 0;
  std::size_t i = 0;
  for (; i + lanes <= width; i += lanes) {
    auto v = hn::LoadU(d, x + i);
    if (residual) v = hn::Add(v, hn::LoadU(d, residual + i));
    if (shift) v = hn::Add(v, hn::LoadU(d, shift + i));
    hn::StoreU(v, d, out + i);
    total = hn::Add(total, v);
  }
  for (; i < width; ++i) rest += out[i] = x[i] + (residual ? residual[i] : 0) + (shift ? shift[i] : 0);
  const float mean = (hn::GetLane(hn::SumOfLanes(d, total)) + rest) / static_cast<float>(width);
  const auto centre = hn::Set(d, mean);
  auto squares = hn::Zero(d);
  rest = 0;
  for (i = 0; i + lanes <= width; i += lanes) {
    const auto v = hn::Sub(hn::LoadU(d, out + i), centre);
    squares = hn::MulAdd(v, v, squares);
  }
  for (; i < width; ++i) rest += (out[i] - mean) * (out[i] - mean);
  const float variance = (hn::GetLane(hn::SumOfLanes(d, squares)) + rest) / static_cast<float>(width);
  const float scale = 1 / std::sqrt(variance + epsilon);
  const auto by = hn::Set(d, scale);
  for (i = 0; i + lanes <= width; i += lanes) {
    const auto v = hn::Mul(hn::Sub(hn::LoadU(d, out + i), centre), by);
    hn::StoreU(hn::MulAdd(v, hn::LoadU(d, weight + i), hn::LoadU(d, bias + i)), d, out + i);
  }
  for (; i < width; ++i) out[i] = (out[i] - mean) * scale * weight[i] + bias[i];
}

}  // namespace deskhand::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace deskhand::cpu {

void layer_norm(const Backend& on, View out, ConstView x, const Residual& residual, const LayerNormWeights& norm) {
  const std::int64_t width = x.shape().last();
  const auto row_kernel = DESKHAND_CHOOSE(on, layer_norm_row);
  split(on, x.shape().rows(), grain_of_rows(width), [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t at = begin * width; at < end * width; at += width)
      row_kernel(out.floats().data() + at, x.floats().data() + at, residual.rows.empty() ? nullptr : residual.rows.floats().data() + at,
                 residual.bias.empty() ? nullptr : residual.bias.floats().data(), norm.weight.floats().data(), norm.bias.floats().data(),
                 static_cast<std::size_t>(width), norm.epsilon);
  });
}

}  // namespace deskhand::cpu
#endif
