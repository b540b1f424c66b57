// out = y (1 + erf(y / sqrt 2)) / 2 of y = x + bias, the exact form that BERT uses (Hendrycks and Gimpel, 2016). x, out (N, F) activations
// of one type; bias (F) f32, or empty. out may be x.
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

void gelu(const Backend& on, View out, ConstView x, ConstView bias = {});

namespace reference {
void gelu(View out, ConstView x, ConstView bias);
}
namespace cpu {
void gelu(const Backend& on, View out, ConstView x, ConstView bias);
}
namespace cuda {
void gelu(const Backend& on, View out, ConstView x, ConstView bias);
}

}  // namespace deskhand
