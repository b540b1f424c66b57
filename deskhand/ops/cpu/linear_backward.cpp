#include <algorithm>

#include "deskhand/ops/cpu/panels.h"
#include "deskhand/ops/cpu/split.h"
#include "deskhand/ops/linear.h"

namespace deskhand::cpu {
namespace {

constexpr std::int64_t kSlab = 4096;  // outputs whose gradients are turned at once: bounds the workspace for a head's 150,000
constexpr std::int64_t kColumnsAUnit = 256;

enum Slot : int { kTurned = 10 };

}  // namespace

void linear_backward_input(const Backend& on, View d_x, ConstView d_out, ConstView weight, Into into) {
  multiply_panels(on, {.a = d_out.floats().data(),
                       .rows = d_out.shape()[0],
                       .a_step = d_out.shape()[1],
                       .b = weight,
                       .rounds = on.compute == Compute::kBF16,
                       .c = d_x.floats().data(),
                       .into = into});
}

void linear_backward_weight(const Backend& on, View d_weight, ConstView d_out, ConstView x) {
  const std::int64_t tokens = x.shape()[0], outputs = d_out.shape()[1], inputs = x.shape()[1];
  const std::int64_t step = tokens + 16;  // not a power of two, which would have all rows meet in a few lines of the cache
  float* const turned = on.workspace->get<float>(kTurned, std::min(kSlab, outputs) * step);
  for (std::int64_t first = 0; first < outputs; first += kSlab) {
    const std::int64_t count = std::min(kSlab, outputs - first);
    split(on, (count + kColumnsAUnit - 1) / kColumnsAUnit, 1, [&](std::int64_t begin, std::int64_t end, int) {
      const std::int64_t from = begin * kColumnsAUnit;
      turn(on, {.to = turned + from * step,
                .step = step,
                .from = d_out.floats().data() + first + from,
                .from_step = outputs,
                .rows = tokens,
                .columns = std::min(count, end * kColumnsAUnit) - from});
    });
    multiply_panels(
        on, {.a = turned, .rows = count, .a_step = step, .b = x, .c = d_weight.floats().data() + first * inputs, .into = Into::kAdd});
  }
}

void linear_backward_bias(const Backend& on, View d_bias, ConstView d_out) {
  const std::int64_t outputs = d_out.shape()[1];
  float* const to = d_bias.floats().data();
  const float* const from = d_out.floats().data();
  split(on, outputs, std::max<std::int64_t>(16, 16384 / std::max<std::int64_t>(1, d_out.shape()[0])),
        [&](std::int64_t begin, std::int64_t end, int) {
          for (std::int64_t row = 0; row < d_out.shape()[0]; ++row)
            for (std::int64_t o = begin; o < end; ++o) to[o] += from[row * outputs + o];
        });
}

}  // namespace deskhand::cpu
