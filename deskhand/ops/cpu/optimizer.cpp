// Both are bound by memory: the norm reads 4 bytes a weight, AdamW reads 16 and writes 12.
#include "deskhand/ops/optimizer.h"

#include <algorithm>
#include <cmath>

#include "deskhand/ops/cpu/highway.h"
#include "deskhand/ops/cpu/split.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "deskhand/ops/cpu/optimizer.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

#ifndef DESKHAND_ADAMW_FACTORS
#define DESKHAND_ADAMW_FACTORS
namespace deskhand::cpu {

// What an AdamW step multiplies by, worked out in double, in the order in which torch's f32 operations take them.
struct AdamWFactors {
  float gradient, keep /* 1 - learning rate * decay */, beta1_rest, beta2, beta2_rest, step /* learning rate / (1 - beta1^t) */,
      root /* 1 / sqrt(1 - beta2^t) */, epsilon;
};
struct SquareSum {
  double squares = 0;
  std::int64_t not_finite = 0;
};

}  // namespace deskhand::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace deskhand::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D>
void adamw_at(D d, const AdamWFactors& f, float* w, float* m, float* v, const float* gradient) {
  const auto g = hn::Mul(hn::LoadU(d, gradient), hn::Set(d, f.gradient)), old = hn::LoadU(d, m);
  const auto first = hn::MulAdd(hn::Sub(g, old), hn::Set(d, f.beta1_rest), old);
  const auto second = hn::MulAdd(hn::Mul(g, g), hn::Set(d, f.beta2_rest), hn::Mul(hn::LoadU(d, v), hn::Set(d, f.beta2)));
  const auto below = hn::MulAdd(hn::Sqrt(second), hn::Set(d, f.root), hn::Set(d, f.epsilon));
  const auto kept = hn::Mul(hn::LoadU(d, w), hn::Set(d, f.keep));
  hn::StoreU(hn::NegMulAdd(hn::Set(d, f.step), hn::Div(first, below), kept), d, w);
  hn::StoreU(first, d, m);
  hn::StoreU(second, d, v);
}

void adamw_run(const AdamWFactors& f, float* w, float* m, float* v, const float* gradient, std::int64_t count) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) adamw_at(d, f, w + i, m + i, v + i, gradient + i);
  for (; i < count; ++i) adamw_at(hn::CappedTag<float, 1>(), f, w + i, m + i, v + i, gradient + i);
}

// Lanes add up in double. A sum that is not finite is looked into: squares of finite floats cannot overflow a double.
SquareSum squares_of(const float* gradient, std::int64_t count) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> df;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto a = hn::Zero(d), b = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    const auto x = hn::PromoteTo(d, hn::LoadU(df, gradient + i)), y = hn::PromoteTo(d, hn::LoadU(df, gradient + i + lanes));
    a = hn::MulAdd(x, x, a);
    b = hn::MulAdd(y, y, b);
  }
  SquareSum sum{.squares = hn::GetLane(hn::SumOfLanes(d, hn::Add(a, b)))};
  for (; i < count; ++i) sum.squares += static_cast<double>(gradient[i]) * gradient[i];
  if (!std::isfinite(sum.squares))
    for (i = 0; i < count; ++i) sum.not_finite += !std::isfinite(gradient[i]);
  return sum;
}

}  // namespace deskhand::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace deskhand::cpu {
namespace {

constexpr std::int64_t kBlock = 65536;  // weights whose squares are one sum

}  // namespace

GradientNorm gradient_norm(const Backend& on, ConstView gradient) {
  const std::int64_t count = gradient.shape().elements(), blocks = (count + kBlock - 1) / kBlock;
  SquareSum* const sums = on.workspace->get<SquareSum>(0, blocks);
  split(on, blocks, 1, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t block = begin; block < end; ++block)
      sums[block] = DESKHAND_CHOOSE(on, squares_of)(gradient.floats().data() + block * kBlock, std::min(kBlock, count - block * kBlock));
  });
  SquareSum total;
  for (std::int64_t block = 0; block < blocks; ++block) {
    total.squares += sums[block].squares;
    total.not_finite += sums[block].not_finite;
  }
  return {std::sqrt(total.squares), total.not_finite};
}

void adamw(const Backend& on, View weights, const AdamWState& state, ConstView gradient, const AdamW& s) {
  const double first = 1 - std::pow(s.beta1, static_cast<double>(s.step)), second = 1 - std::pow(s.beta2, static_cast<double>(s.step));
  const AdamWFactors factors{.gradient = static_cast<float>(s.gradient_scale),
                             .keep = static_cast<float>(1 - s.learning_rate * s.weight_decay),
                             .beta1_rest = static_cast<float>(1 - s.beta1),
                             .beta2 = static_cast<float>(s.beta2),
                             .beta2_rest = static_cast<float>(1 - s.beta2),
                             .step = static_cast<float>(s.learning_rate / first),
                             .root = static_cast<float>(1 / std::sqrt(second)),
                             .epsilon = static_cast<float>(s.epsilon)};
  split(on, weights.shape().elements(), 16384, [&](std::int64_t begin, std::int64_t end, int) {
    DESKHAND_CHOOSE(on, adamw_run)
    (factors, weights.floats().data() + begin, state.m.floats().data() + begin, state.v.floats().data() + begin,
     gradient.floats().data() + begin, end - begin);
  });
}

}  // namespace deskhand::cpu
#endif
