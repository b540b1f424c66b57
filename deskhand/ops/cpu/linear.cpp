#include "deskhand/ops/linear.h"

#include "deskhand/ops/dequantize.h"

#include "deskhand/ops/cpu/split.h"

namespace deskhand::cpu {

void linear(const Backend& on, std::span<const LinearPart> parts, ConstView x) {
  const std::int64_t inputs = x.shape()[1], tokens = x.shape()[0];
  float* const rows = on.workspace->get<float>(0, on.pool->size() * inputs);
  for (const LinearPart& part : parts) {
    const std::int64_t outputs = part.weight.shape()[0];
    split(on, outputs, 8, [&](std::int64_t begin, std::int64_t end, int worker) {
      float* const row = rows + worker * inputs;
      for (std::int64_t o = begin; o < end; ++o) {
        reference::dequantize(View(std::span(row, static_cast<std::size_t>(inputs)), {1, inputs}), part.weight.rows(o, 1));
        for (std::int64_t token = 0; token < tokens; ++token) {
          const float* in = x.floats().data() + token * inputs;
          float sums[8] = {};
          std::int64_t i = 0;
          for (; i + 8 <= inputs; i += 8)
            for (int lane = 0; lane < 8; ++lane) sums[lane] += row[i + lane] * in[i + lane];
          float sum = part.bias.empty() ? 0 : part.bias.floats()[o];
          for (const float lane : sums) sum += lane;
          for (; i < inputs; ++i) sum += row[i] * in[i];
          part.out.floats()[token * outputs + o] = sum;
        }
      }
    });
  }
}

}  // namespace deskhand::cpu
