// exp(x) for x at most 0, as softmax and gelu need it: off by some 1e-7 of the value, 0 below -87. Cephes' polynomial (Moshier) after
// taking out powers of two. Included after hwy/highway.h, once a target.
#if defined(DESKHAND_EXP_NEGATIVE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef DESKHAND_EXP_NEGATIVE_INL_H
#undef DESKHAND_EXP_NEGATIVE_INL_H
#else
#define DESKHAND_EXP_NEGATIVE_INL_H
#endif

HWY_BEFORE_NAMESPACE();
namespace deskhand::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D>
HWY_INLINE hn::Vec<D> exp_negative(D d, hn::Vec<D> x) {
  const hn::RebindToSigned<D> di;
  const auto lowest = hn::Set(d, -87.0f), one = hn::Set(d, 1.0f);
  const auto limited = hn::Max(x, lowest);
  const auto twos = hn::NearestInt(hn::Mul(limited, hn::Set(d, 1.44269504089f)));
  const auto n = hn::ConvertTo(d, twos);
  const auto r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), hn::NegMulAdd(n, hn::Set(d, 0.693359375f), limited));
  auto p = hn::Set(d, 1.9875691500e-4f);
  p = hn::MulAdd(p, r, hn::Set(d, 1.3981999507e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1f));
  p = hn::MulAdd(hn::Mul(p, r), r, hn::Add(r, one));
  const auto scaled = hn::BitCast(d, hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(twos)));
  return hn::IfThenElseZero(hn::Ge(x, lowest), scaled);
}

}  // namespace deskhand::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
