#include "deskhand/ops/head_loss.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "deskhand/ops/linear.h"

namespace deskhand::reference {

HeadLoss cross_entropy(View logits, std::span<const std::int32_t> targets, float scale, std::span<const float> weights) {
  const std::int64_t vocabulary = logits.shape()[1];
  HeadLoss found;
  for (std::size_t row = 0; row < targets.size(); ++row) {
    const std::span<float> values =
        logits.floats().subspan(row * static_cast<std::size_t>(vocabulary), static_cast<std::size_t>(vocabulary));
    const auto target = static_cast<std::size_t>(targets[row]);
    const double weight = weights.empty() ? 1 : weights[row];
    const auto largest = std::max_element(values.begin(), values.end());
    double total = 0;
    for (const float value : values) total += std::exp(static_cast<double>(value) - *largest);
    const double log_total = *largest + std::log(total);
    found.loss += weight * (log_total - values[target]);
    found.correct += static_cast<std::size_t>(largest - values.begin()) == target;
    for (const float value : values) found.entropy -= std::exp(value - log_total) * (value - log_total);
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(scale * weight * (std::exp(values[i] - log_total) - (i == target ? 1 : 0)));
  }
  return found;
}

HeadLoss head_loss(const HeadGradients& gradients, ConstView hidden, ConstView weight, std::span<const std::int32_t> targets, float scale,
                   std::span<const float> weights) {
  const Shape shape{hidden.shape()[0], weight.shape()[0]};
  std::vector<float> memory(static_cast<std::size_t>(shape.elements()));
  const View logits{std::span(memory), shape};
  const LinearPart part{logits, weight, {}};
  linear({&part, 1}, hidden);
  const HeadLoss found = cross_entropy(logits, targets, scale, weights);
  if (!gradients.d_weight.empty()) linear_backward_weight(gradients.d_weight, logits, hidden);
  if (!gradients.d_hidden.empty()) linear_backward_input(gradients.d_hidden, logits, weight, Into::kOverwrite);
  return found;
}

}  // namespace deskhand::reference
