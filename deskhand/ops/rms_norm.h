// out = x * rstd * weight, rstd = 1 / sqrt(mean(x^2) + epsilon), a row at a time (Zhang and Sennrich, 2019). x, out (N, C) f32; weight (C)
// f32. `rstd` (N) f32 is written if given: backward needs it. out may be x.
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

void rms_norm(const Backend& on, View out, ConstView x, ConstView weight, float epsilon, View rstd = {});

namespace reference {
void rms_norm(View out, ConstView x, ConstView weight, float epsilon, View rstd);
}
namespace cpu {
void rms_norm(const Backend& on, View out, ConstView x, ConstView weight, float epsilon, View rstd);
}

}  // namespace deskhand
