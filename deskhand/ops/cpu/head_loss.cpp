#include "deskhand/ops/head_loss.h"

#include <algorithm>
#include <cmath>

#include "deskhand/ops/cpu/highway.h"
#include "deskhand/ops/cpu/split.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "deskhand/ops/cpu/head_loss.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#ifndef DESKHAND_HEAD_LOSS_ROW
#define DESKHAND_HEAD_LOSS_ROW
namespace deskhand::cpu {

struct LossRow {
  double loss = 0, entropy = 0;
  bool is_correct = false;
};

}  // namespace deskhand::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace deskhand::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::int64_t kRun = 2048;  // exponentials that are added in f32 before they go into a double
constexpr float kLeast = 1e-30f;     // gradients below it are 0: products with subnormal numbers take a hundred times as long
constexpr float kLowest = -1e4f;     // a difference whose exponential is 0: times minus infinity that would be a NaN

// exp(x - largest) over a run, in place; their sum and the sum of them times x - largest.
void exponentials(float* values, std::int64_t count, float largest, double& total, double& weighted) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto off = hn::Set(d, largest), lowest = hn::Set(d, kLowest);
  auto sum = hn::Zero(d), sum_weighted = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto x = hn::Sub(hn::LoadU(d, values + i), off), e = hn::Exp(d, x);
    sum = hn::Add(sum, e);
    sum_weighted = hn::MulAdd(e, hn::Max(x, lowest), sum_weighted);
    hn::StoreU(e, d, values + i);
  }
  total += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum)));
  weighted += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum_weighted)));
  for (; i < count; ++i) {
    const float x = values[i] - largest, e = std::exp(x);
    total += static_cast<double>(e);
    weighted += static_cast<double>(e * std::max(x, kLowest));
    values[i] = e;
  }
}

LossRow loss_row(float* logits, std::int64_t count, std::int64_t target, float scale) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto most = hn::Set(d, logits[0]);
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) most = hn::Max(most, hn::LoadU(d, logits + i));
  float largest = hn::GetLane(hn::MaxOfLanes(d, most));
  for (; i < count; ++i) largest = std::max(largest, logits[i]);

  const float wanted = logits[target];
  LossRow found{.is_correct = wanted == largest && std::find(logits, logits + target, largest) == logits + target};
  double total = 0, weighted = 0;
  for (i = 0; i < count; i += kRun) exponentials(logits + i, std::min(kRun, count - i), largest, total, weighted);
  found.loss = std::log(total) + largest - wanted;
  found.entropy = std::log(total) - weighted / total;

  const auto factor = static_cast<float>(static_cast<double>(scale) / total);
  const auto by = hn::Set(d, factor);
  const auto least = hn::Set(d, kLeast);
  for (i = 0; i + lanes <= count; i += lanes) {
    const auto slope = hn::Mul(hn::LoadU(d, logits + i), by);
    hn::StoreU(hn::IfThenZeroElse(hn::Lt(hn::Abs(slope), least), slope), d, logits + i);
  }
  for (; i < count; ++i) logits[i] = std::abs(logits[i] * factor) < kLeast ? 0 : logits[i] * factor;
  logits[target] -= scale;
  return found;
}

}  // namespace deskhand::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace deskhand::cpu {
namespace {

enum Slot : int { kRows };

}  // namespace

HeadLoss cross_entropy(const Backend& on, View logits, std::span<const std::int32_t> targets, float scale, std::span<const float> weights) {
  const auto rows = static_cast<std::int64_t>(targets.size()), vocabulary = logits.shape()[1];
  LossRow* const found = on.workspace->get<LossRow>(kRows, rows);
  const auto loss_row = DESKHAND_CHOOSE(on, loss_row);
  split(on, rows, grain_of_rows(vocabulary), [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row) {
      const auto at = static_cast<std::size_t>(row);
      const float weight = weights.empty() ? 1 : weights[at];
      found[row] = loss_row(logits.floats().data() + row * vocabulary, vocabulary, targets[at], scale * weight);
      found[row].loss *= static_cast<double>(weight);
    }
  });
  HeadLoss total;
  for (std::int64_t row = 0; row < rows; ++row) {
    total.loss += found[row].loss;
    total.entropy += found[row].entropy;
    total.correct += found[row].is_correct;
  }
  return total;
}

}  // namespace deskhand::cpu
#endif
