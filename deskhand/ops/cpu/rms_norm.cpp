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

// d_x = scale d_out weight - x scale^3 mean, or added to d_x.
template <class D>
void slope_at(D d, float* d_x, const float* d_out, const float* x, const float* weight, float scale, float shift, bool adds) {
  auto slope = hn::Mul(hn::Mul(hn::LoadU(d, d_out), hn::LoadU(d, weight)), hn::Set(d, scale));
  slope = hn::NegMulAdd(hn::LoadU(d, x), hn::Set(d, shift), slope);
  hn::StoreU(adds ? hn::Add(hn::LoadU(d, d_x), slope) : slope, d, d_x);
}

void rms_norm_backward_row(float* d_x, const float* d_out, const float* x, const float* weight, std::int64_t width, float scale,
                           bool adds) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto part = [&](std::int64_t i) {
    return hn::Mul(hn::Mul(hn::LoadU(d, d_out + i), hn::LoadU(d, weight + i)), hn::LoadU(d, x + i));
  };
  auto a = hn::Zero(d), b = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + 2 * lanes <= width; i += 2 * lanes) {
    a = hn::Add(a, part(i));
    b = hn::Add(b, part(i + lanes));
  }
  float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(a, b)));
  for (; i < width; ++i) sum += d_out[i] * weight[i] * x[i];
  const float shift = scale * scale * scale * (sum / static_cast<float>(width));
  for (i = 0; i + lanes <= width; i += lanes) slope_at(d, d_x + i, d_out + i, x + i, weight + i, scale, shift, adds);
  for (; i < width; ++i) slope_at(hn::CappedTag<float, 1>(), d_x + i, d_out + i, x + i, weight + i, scale, shift, adds);
}

template <class D>
void weight_slope_at(D d, float* d_weight, const float* d_out, const float* x, float scale) {
  // One rounding said outright: left to the compiler, vectors are contracted and single columns are not, and which columns stand alone
  // depends on the threads.
  const auto product = hn::Mul(hn::LoadU(d, d_out), hn::LoadU(d, x));
  hn::StoreU(hn::MulAdd(product, hn::Set(d, scale), hn::LoadU(d, d_weight)), d, d_weight);
}

void rms_norm_weight_row(float* d_weight, const float* d_out, const float* x, std::int64_t width, float scale) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= width; i += lanes) weight_slope_at(d, d_weight + i, d_out + i, x + i, scale);
  for (; i < width; ++i) weight_slope_at(hn::CappedTag<float, 1>(), d_weight + i, d_out + i, x + i, scale);
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

void rms_norm_backward(const Backend& on, const RmsNormGradients& gradients, ConstView d_out, ConstView x, ConstView weight,
                       ConstView rstd) {
  const std::int64_t rows = x.shape()[0], width = x.shape()[1];
  const float* const d = d_out.floats().data();
  const float* const in = x.floats().data();
  if (!gradients.d_weight.empty()) {  // first: d_x may be d_out. Threads take columns, so that rows are added in their order
    const auto weight_row = DESKHAND_CHOOSE(on, rms_norm_weight_row);
    split(on, width, std::max<std::int64_t>(64, grain_of_rows(rows)), [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t row = 0; row < rows; ++row)
        weight_row(gradients.d_weight.floats().data() + begin, d + row * width + begin, in + row * width + begin, end - begin,
                   rstd.floats()[static_cast<std::size_t>(row)]);
    });
  }
  const auto row_kernel = DESKHAND_CHOOSE(on, rms_norm_backward_row);
  split(on, rows, grain_of_rows(width), [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row)
      row_kernel(gradients.d_x.floats().data() + row * width, d + row * width, in + row * width, weight.floats().data(), width,
                 rstd.floats()[static_cast<std::size_t>(row)], gradients.into == Into::kAdd);
  });
}

}  // namespace deskhand::cpu
#endif
