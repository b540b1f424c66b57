#include "deskhand/ops/lora.h"

#include "deskhand/ops/cpu/panels.h"
#include "deskhand/ops/linear.h"

namespace deskhand::cpu {
namespace {

enum Slot : int { kDropped = 11, kLow };  // above those of the products

ConstView dropped_input(const Backend& on, ConstView x, const Dropout& dropped) {
  if (dropped.probability == 0) return x;
  const std::int64_t count = x.shape().elements();
  const View copy(std::span(on.workspace->get<float>(kDropped, count), static_cast<std::size_t>(count)), x.shape());
  cpu::dropout(on, copy, x, dropped, Into::kOverwrite);
  return copy;
}

void scale_by(View values, float factor) {
  if (factor != 1)
    for (float& value : values.floats()) value *= factor;
}

}  // namespace

void lora(const Backend& on, View out, View low, ConstView x, const LoraWeights& weights) {
  const ConstView in = dropped_input(on, x, weights.dropout);
  const std::int64_t tokens = x.shape()[0], rank = low.shape()[1];
  multiply_panels(
      on, {.a = in.floats().data(), .rows = tokens, .a_step = x.shape()[1], .b = weights.a, .b_is_turned = true, .c = low.floats().data()});
  scale_by(low, weights.scale);
  multiply_panels(on, {.a = low.floats().data(),
                       .rows = tokens,
                       .a_step = rank,
                       .b = weights.b,
                       .b_is_turned = true,
                       .c = out.floats().data(),
                       .into = Into::kAdd});
}

void lora_backward(const Backend& on, const LoraGradients& gradients, ConstView d_out, ConstView x, ConstView low,
                   const LoraWeights& weights) {
  const std::int64_t tokens = x.shape()[0], inputs = x.shape()[1], rank = low.shape()[1];
  if (!gradients.d_b.empty()) cpu::linear_backward_weight(on, gradients.d_b, d_out, low);
  if (gradients.d_a.empty() && gradients.d_x.empty()) return;
  const View d_low(std::span(on.workspace->get<float>(kLow, tokens * rank), static_cast<std::size_t>(tokens * rank)), {tokens, rank});
  multiply_panels(on, {.a = d_out.floats().data(), .rows = tokens, .a_step = d_out.shape()[1], .b = weights.b, .c = d_low.floats().data()});
  scale_by(d_low, weights.scale);
  if (!gradients.d_a.empty()) cpu::linear_backward_weight(on, gradients.d_a, d_low, dropped_input(on, x, weights.dropout));
  if (gradients.d_x.empty()) return;
  const bool drops = weights.dropout.probability != 0;
  float* const d_in = drops ? on.workspace->get<float>(kDropped, tokens * inputs) : gradients.d_x.floats().data();
  multiply_panels(on, {.a = d_low.floats().data(),
                       .rows = tokens,
                       .a_step = rank,
                       .b = weights.a,
                       .c = d_in,
                       .into = drops ? Into::kOverwrite : Into::kAdd});
  if (drops)
    cpu::dropout(on, gradients.d_x, ConstView(std::span<const float>(d_in, static_cast<std::size_t>(tokens * inputs)), x.shape()),
            weights.dropout, Into::kAdd);
}

}  // namespace deskhand::cpu
