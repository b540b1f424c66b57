// out = silu(gate) * up, the decoder's feed-forward gate (Shazeer, 2020). All (N, F) f32; out may be gate or up.
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

void swiglu(const Backend& on, View out, ConstView gate, ConstView up);

namespace reference {
void swiglu(View out, ConstView gate, ConstView up);
}
namespace cpu {
void swiglu(const Backend& on, View out, ConstView gate, ConstView up);
}

}  // namespace deskhand
