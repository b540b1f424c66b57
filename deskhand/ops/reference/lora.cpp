#include "deskhand/ops/lora.h"

#include <vector>

namespace deskhand::reference {
namespace {

std::vector<float> dropped_input(ConstView x, const Dropout& dropped) {
  std::vector<float> values(x.floats().size());
  dropout(View(std::span(values), x.shape()), x, dropped, Into::kOverwrite);
  return values;
}

}  // namespace

void lora(View out, View low, ConstView x, const LoraWeights& weights) {
  const std::int64_t tokens = x.shape()[0], inputs = x.shape()[1], rank = low.shape()[1], outputs = out.shape()[1];
  const std::vector<float> in = dropped_input(x, weights.dropout);
  for (std::int64_t token = 0; token < tokens; ++token) {
    for (std::int64_t r = 0; r < rank; ++r) {
      double sum = 0;
      for (std::int64_t i = 0; i < inputs; ++i) sum += static_cast<double>(in[token * inputs + i]) * weights.a.floats()[r * inputs + i];
      low.floats()[token * rank + r] = static_cast<float>(sum * weights.scale);
    }
    for (std::int64_t o = 0; o < outputs; ++o) {
      double sum = out.floats()[token * outputs + o];
      for (std::int64_t r = 0; r < rank; ++r) sum += static_cast<double>(low.floats()[token * rank + r]) * weights.b.floats()[o * rank + r];
      out.floats()[token * outputs + o] = static_cast<float>(sum);
    }
  }
}

void lora_backward(const LoraGradients& gradients, ConstView d_out, ConstView x, ConstView low, const LoraWeights& weights) {
  const std::int64_t tokens = x.shape()[0], inputs = x.shape()[1], rank = low.shape()[1], outputs = d_out.shape()[1];
  const std::vector<float> in = dropped_input(x, weights.dropout);
  std::vector<double> d_low(static_cast<std::size_t>(tokens * rank));
  for (std::int64_t token = 0; token < tokens; ++token)
    for (std::int64_t r = 0; r < rank; ++r)
      for (std::int64_t o = 0; o < outputs; ++o)
        d_low[token * rank + r] +=
            static_cast<double>(weights.scale) * d_out.floats()[token * outputs + o] * weights.b.floats()[o * rank + r];
  if (!gradients.d_b.empty())
    for (std::int64_t o = 0; o < outputs; ++o)
      for (std::int64_t r = 0; r < rank; ++r) {
        double sum = gradients.d_b.floats()[o * rank + r];
        for (std::int64_t token = 0; token < tokens; ++token)
          sum += static_cast<double>(d_out.floats()[token * outputs + o]) * low.floats()[token * rank + r];
        gradients.d_b.floats()[o * rank + r] = static_cast<float>(sum);
      }
  if (!gradients.d_a.empty())
    for (std::int64_t r = 0; r < rank; ++r)
      for (std::int64_t i = 0; i < inputs; ++i) {
        double sum = gradients.d_a.floats()[r * inputs + i];
        for (std::int64_t token = 0; token < tokens; ++token) sum += d_low[token * rank + r] * in[token * inputs + i];
        gradients.d_a.floats()[r * inputs + i] = static_cast<float>(sum);
      }
  if (gradients.d_x.empty()) return;
  std::vector<float> d_in(in.size());
  for (std::int64_t token = 0; token < tokens; ++token)
    for (std::int64_t i = 0; i < inputs; ++i) {
      double sum = 0;
      for (std::int64_t r = 0; r < rank; ++r) sum += d_low[token * rank + r] * weights.a.floats()[r * inputs + i];
      d_in[token * inputs + i] = static_cast<float>(sum);
    }
  dropout(gradients.d_x, ConstView(std::span<const float>(d_in), x.shape()), weights.dropout, Into::kAdd);
}

}  // namespace deskhand::reference
