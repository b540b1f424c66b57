#include <algorithm>

#include "deskhand/ops/cpu/panels.h"
#include "deskhand/ops/cpu/split.h"
#include "deskhand/ops/linear.h"

namespace deskhand::cpu {
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
  multiply_panels(on, {.a = d_out.floats().data(),
                       .rows = d_out.shape()[1],
                       .a_step = d_out.shape()[1],
                       .a_is_turned = true,
                       .b = x,
                       .c = d_weight.floats().data(),
                       .into = Into::kAdd});
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
