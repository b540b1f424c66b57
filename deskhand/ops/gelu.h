// out = x (1 + erf(x / sqrt 2)) / 2, the exact form that BERT uses (Hendrycks and Gimpel, 2016). Both (N, F), activations of one type; out
// may be x.
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

void gelu(const Backend& on, View out, ConstView x);

namespace reference {
void gelu(View out, ConstView x);
}
namespace cpu {
void gelu(const Backend& on, View out, ConstView x);
}
namespace cuda {
void gelu(const Backend& on, View out, ConstView x);
}

}  // namespace deskhand
