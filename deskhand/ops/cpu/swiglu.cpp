#include "deskhand/ops/swiglu.h"

#include "deskhand/ops/cpu/highway.h"
#include "deskhand/ops/cpu/split.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "deskhand/ops/cpu/swiglu.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace deskhand::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D>
hn::Vec<D> swiglu_of(D d, hn::Vec<D> gate, hn::Vec<D> up) {
  const auto one = hn::Set(d, 1.0f);
  return hn::Mul(hn::Div(gate, hn::Add(one, hn::Exp(d, hn::Neg(gate)))), up);
}

void swiglu_run(float* out, const float* gate, const float* up, std::size_t count) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(swiglu_of(d, hn::LoadU(d, gate + i), hn::LoadU(d, up + i)), d, out + i);
  const hn::CappedTag<float, 1> one;
  for (; i < count; ++i) hn::StoreU(swiglu_of(one, hn::LoadU(one, gate + i), hn::LoadU(one, up + i)), one, out + i);
}

template <class D>
void swiglu_backward_at(D d, float* d_gate, float* d_up, const float* d_out, const float* gate, const float* up) {
  const auto one = hn::Set(d, 1.0f), g = hn::LoadU(d, gate), u = hn::LoadU(d, up), slope = hn::LoadU(d, d_out);
  const auto s = hn::Div(one, hn::Add(one, hn::Exp(d, hn::Neg(g))));
  const auto turn = hn::MulAdd(g, hn::Sub(one, s), one);  // silu'(g) = s (1 + g (1 - s))
  hn::StoreU(hn::Mul(hn::Mul(slope, g), s), d, d_up);
  hn::StoreU(hn::Mul(hn::Mul(slope, u), hn::Mul(s, turn)), d, d_gate);
}

void swiglu_backward_run(float* d_gate, float* d_up, const float* d_out, const float* gate, const float* up, std::size_t count) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) swiglu_backward_at(d, d_gate + i, d_up + i, d_out + i, gate + i, up + i);
  for (; i < count; ++i) swiglu_backward_at(hn::CappedTag<float, 1>(), d_gate + i, d_up + i, d_out + i, gate + i, up + i);
}

}  // namespace deskhand::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace deskhand::cpu {

void swiglu(const Backend& on, View out, ConstView gate, ConstView up) {
  split(on, out.shape().elements(), 8192, [&](std::int64_t begin, std::int64_t end, int) {
    DESKHAND_CHOOSE(on, swiglu_run)
    (out.floats().data() + begin, gate.floats().data() + begin, up.floats().data() + begin, static_cast<std::size_t>(end - begin));
  });
}

void swiglu_backward(const Backend& on, View d_gate, View d_up, ConstView d_out, ConstView gate, ConstView up) {
  split(on, d_out.shape().elements(), 8192, [&](std::int64_t begin, std::int64_t end, int) {
    DESKHAND_CHOOSE(on, swiglu_backward_run)
    (d_gate.floats().data() + begin, d_up.floats().data() + begin, d_out.floats().data() + begin, gate.floats().data() + begin,
     up.floats().data() + begin, static_cast<std::size_t>(end - begin));
  });
}

}  // namespace deskhand::cpu
#endif
