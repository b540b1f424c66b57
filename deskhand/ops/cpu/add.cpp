#include "deskhand/ops/add.h"

#include "deskhand/ops/cpu/highway.h"
#include "deskhand/ops/cpu/split.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "deskhand/ops/cpu/add.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace deskhand::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void add_run(float* out, const float* a, const float* b, std::size_t count) {
  const hn::ScalableTag<float> d;
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) hn::StoreU(hn::Add(hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, out + i);
  for (; i < count; ++i) out[i] = a[i] + b[i];
}

}  // namespace deskhand::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace deskhand::cpu {

void add(const Backend& on, View out, ConstView a, ConstView b) {
  split(on, out.shape().elements(), 16384, [&](std::int64_t begin, std::int64_t end, int) {
    DESKHAND_CHOOSE(on, add_run)
    (out.floats().data() + begin, a.floats().data() + begin, b.floats().data() + begin, static_cast<std::size_t>(end - begin));
  });
}

}  // namespace deskhand::cpu
#endif
