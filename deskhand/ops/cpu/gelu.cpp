#include "deskhand/ops/gelu.h"

#include "deskhand/ops/cpu/highway.h"
#include "deskhand/ops/cpu/split.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "deskhand/ops/cpu/gelu.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

#include "deskhand/ops/cpu/exp_negative-inl.h"

HWY_BEFORE_NAMESPACE();
namespace deskhand::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// erf by Abramowitz and Stegun 7.1.26, off by at most 1.5e-7.
template <class D>
hn::Vec<D> gelu_of(D d, hn::Vec<D> x) {
  const auto one = hn::Set(d, 1.0f), z = hn::Mul(hn::Abs(x), hn::Set(d, 0.70710678118654752f));
  const auto below = hn::MulAdd(hn::Set(d, 0.3275911f), z, one), guess = hn::ApproximateReciprocal(below);
  const auto t = hn::Mul(guess, hn::NegMulAdd(below, guess, hn::Set(d, 2.0f)));  // 1 / below after one step of Newton's
  auto p = hn::Set(d, 1.061405429f);
  for (const float c : {-1.453152027f, 1.421413741f, -0.284496736f, 0.254829592f}) p = hn::MulAdd(p, t, hn::Set(d, c));
  const auto tail = hn::Mul(hn::Mul(p, t), exp_negative(d, hn::Neg(hn::Mul(z, z))));  // 1 - erf(|x| / sqrt 2)
  const auto half = hn::Mul(hn::Set(d, 0.5f), x);
  return hn::Mul(half, hn::IfThenElse(hn::Lt(x, hn::Zero(d)), tail, hn::Sub(hn::Set(d, 2.0f), tail)));
}

// bias: of these elements, or null.
void gelu_run(float* out, const float* x, const float* bias, std::size_t count) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  const auto at = [&](auto tag, std::size_t first) {
    auto v = hn::LoadU(tag, x + first);
    if (bias) v = hn::Add(v, hn::LoadU(tag, bias + first));
    hn::StoreU(gelu_of(tag, v), tag, out + first);
  };
  for (; i + lanes <= count; i += lanes) at(d, i);
  const hn::CappedTag<float, 1> one;
  for (; i < count; ++i) at(one, i);
}

}  // namespace deskhand::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace deskhand::cpu {

void gelu(const Backend& on, View out, ConstView x, ConstView bias) {
  constexpr std::int64_t kGrain = 8192;
  const auto run = DESKHAND_CHOOSE(on, gelu_run);
  const std::int64_t width = x.shape().last();
  const auto part = [&](const float* added, std::int64_t begin, std::int64_t end) {
    run(out.floats().data() + begin, x.floats().data() + begin, added, static_cast<std::size_t>(end - begin));
  };
  if (bias.empty())
    return split(on, out.shape().elements(), kGrain, [&](std::int64_t begin, std::int64_t end, int) { part(nullptr, begin, end); });
  split(on, x.shape().rows(), std::max<std::int64_t>(1, kGrain / width), [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row) part(bias.floats().data(), row * width, (row + 1) * width);
  });
}

}  // namespace deskhand::cpu
#endif
