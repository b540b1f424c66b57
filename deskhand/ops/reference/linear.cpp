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

}  // namespace deskhand::reference
