// out = x - log(sum(exp(x))), a row at a time, the largest taken out first. Both (N, V) f32; out may be x.
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

void log_softmax(const Backend& on, View out, ConstView x);

namespace reference {
void log_softmax(View out, ConstView x);
}
namespace cpu {
void log_softmax(const Backend& on, View out, ConstView x);
}
namespace cuda {
void log_softmax(const Backend& on, View out, ConstView x);
}

}  // namespace deskhand
