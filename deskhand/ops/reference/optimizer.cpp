#include "deskhand/ops/optimizer.h"

#include <cmath>

namespace deskhand::reference {

GradientNorm gradient_norm(ConstView gradient) {
  GradientNorm found;
  double squares = 0;
  for (const float value : gradient.floats()) {
    squares += static_cast<double>(value) * value;
    if (!std::isfinite(value)) ++found.not_finite;
  }
  found.norm = std::sqrt(squares);
  return found;
}

void adamw(View weights, const AdamWState& state, ConstView gradient, const AdamW& s) {
  const double first = 1 - std::pow(s.beta1, s.step), second = 1 - std::pow(s.beta2, s.step);
  for (std::int64_t i = 0; i < weights.shape().elements(); ++i) {
    const double g = gradient.floats()[i] * s.gradient_scale;
    const double w = weights.floats()[i] * (1 - s.learning_rate * s.weight_decay);
    const double m = s.beta1 * state.m.floats()[i] + (1 - s.beta1) * g, v = s.beta2 * state.v.floats()[i] + (1 - s.beta2) * g * g;
    weights.floats()[i] = static_cast<float>(w - s.learning_rate * (m / first) / (std::sqrt(v / second) + s.epsilon));
    state.m.floats()[i] = static_cast<float>(m);
    state.v.floats()[i] = static_cast<float>(v);
  }
}

}  // namespace deskhand::reference
