#include "deskhand/ops/log_softmax.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "deskhand/ops/cpu/highway.h"
#include "deskhand/ops/cpu/split.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "deskhand/ops/cpu/log_softmax.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace deskhand::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

float largest_of(const float* x, std::size_t count) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  auto most = hn::Set(d, -std::numeric_limits<float>::infinity());
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) most = hn::Max(most, hn::LoadU(d, x + i));
  float largest = hn::GetLane(hn::MaxOfLanes(d, most));
  for (; i < count; ++i) largest = std::max(largest, x[i]);
  return largest;
}

// The sum of exp(x - largest), in double across vectors: a vocabulary has 150,000 terms.
double sum_of_exponentials(const float* x, float largest, std::size_t count) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto shift = hn::Set(d, largest);
  double sum = 0;
  std::size_t i = 0;
  while (i + lanes <= count) {
    auto part = hn::Zero(d);
    for (int run = 0; run < 64 && i + lanes <= count; ++run, i += lanes)
      part = hn::Add(part, hn::Exp(d, hn::Sub(hn::LoadU(d, x + i), shift)));
    sum += hn::GetLane(hn::SumOfLanes(d, part));
  }
  for (; i < count; ++i) sum += std::exp(x[i] - largest);
  return sum;
}

bool holds_nan(const float* x, std::size_t count) {  // which Exp would take for a number
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  auto found = hn::FirstN(d, 0);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) found = hn::Or(found, hn::IsNaN(hn::LoadU(d, x + i)));
  bool is_there = !hn::AllFalse(d, found);
  for (; i < count; ++i) is_there |= std::isnan(x[i]);
  return is_there;
}

double log_sum_exp_row(const float* x, std::size_t count) {
  if (holds_nan(x, count)) return std::numeric_limits<double>::quiet_NaN();
  const float largest = largest_of(x, count);
  return largest + std::log(sum_of_exponentials(x, largest, count));
}

void log_softmax_row(float* out, const float* x, std::size_t count) {
  const float largest = largest_of(x, count);
  const double logarithm = std::log(sum_of_exponentials(x, largest, count));
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto first = hn::Set(d, largest), second = hn::Set(d, static_cast<float>(logarithm));
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(hn::Sub(hn::Sub(hn::LoadU(d, x + i), first), second), d, out + i);
  for (; i < count; ++i) out[i] = x[i] - largest - static_cast<float>(logarithm);
}

}  // namespace deskhand::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace deskhand::cpu {

double log_sum_exp(std::span<const float> row, const CpuFeatures& cpu) {
  const Backend on{.cpu = cpu};
  return DESKHAND_CHOOSE(on, log_sum_exp_row)(row.data(), row.size());
}

void log_softmax(const Backend& on, View out, ConstView x) {
  const std::int64_t width = x.shape().last();
  const auto row_kernel = DESKHAND_CHOOSE(on, log_softmax_row);
  split(on, x.shape().rows(), grain_of_rows(width), [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row)
      row_kernel(out.floats().data() + row * width, x.floats().data() + row * width, static_cast<std::size_t>(width));
  });
}

}  // namespace deskhand::cpu
#endif
