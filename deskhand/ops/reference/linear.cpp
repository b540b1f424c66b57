#include "deskhand/ops/linear.h"

#include <vector>

#include "deskhand/ops/dequantize.h"

namespace deskhand::reference {

void linear(std::span<const LinearPart> parts, ConstView x) {
  const std::int64_t inputs = x.shape()[1], tokens = x.shape()[0];
  std::vector<float> row(static_cast<std::size_t>(inputs));
  for (const LinearPart& part : parts) {
    const std::int64_t outputs = part.weight.shape()[0];
    for (std::int64_t o = 0; o < outputs; ++o) {
      dequantize(View(std::span(row), {1, inputs}), part.weight.rows(o, 1));
      for (std::int64_t token = 0; token < tokens; ++token) {
        double sum = part.bias.empty() ? 0 : part.bias.floats()[o];
        for (std::int64_t i = 0; i < inputs; ++i) sum += static_cast<double>(row[i]) * x.floats()[token * inputs + i];
        part.out.floats()[token * outputs + o] = static_cast<float>(sum);
      }
    }
  }
}

void linear_backward_input(View d_x, ConstView d_out, ConstView weight, Into into) {
  const std::int64_t outputs = weight.shape()[0], inputs = weight.shape()[1];
  std::vector<float> widened(static_cast<std::size_t>(outputs * inputs));
  dequantize(View(std::span(widened), weight.shape()), weight);
  for (std::int64_t token = 0; token < d_out.shape()[0]; ++token)
    for (std::int64_t i = 0; i < inputs; ++i) {
      float& to = d_x.floats()[token * inputs + i];
      double sum = into == Into::kAdd ? to : 0;
      for (std::int64_t o = 0; o < outputs; ++o) sum += static_cast<double>(d_out.floats()[token * outputs + o]) * widened[o * inputs + i];
      to = static_cast<float>(sum);
    }
}

void linear_backward_weight(View d_weight, ConstView d_out, ConstView x) {
  const std::int64_t outputs = d_out.shape()[1], inputs = x.shape()[1];
  for (std::int64_t o = 0; o < outputs; ++o)
    for (std::int64_t i = 0; i < inputs; ++i) {
      double sum = d_weight.floats()[o * inputs + i];
      for (std::int64_t token = 0; token < x.shape()[0]; ++token)
        sum += static_cast<double>(d_out.floats()[token * outputs + o]) * x.floats()[token * inputs + i];
      d_weight.floats()[o * inputs + i] = static_cast<float>(sum);
    }
}

void linear_backward_bias(View d_bias, ConstView d_out) {
  const std::int64_t outputs = d_out.shape()[1];
  for (std::int64_t o = 0; o < outputs; ++o) {
    double sum = d_bias.floats()[o];
    for (std::int64_t token = 0; token < d_out.shape()[0]; ++token) sum += d_out.floats()[token * outputs + o];
    d_bias.floats()[o] = static_cast<float>(sum);
  }
}

}  // namespace deskhand::reference
