// out = silu(gate) * up, the decoder's feed-forward gate (Shazeer, 2020). All (N, F), activations of one type; out may be gate or up.
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

void swiglu(const Backend& on, View out, ConstView gate, ConstView up);

// d_up = d_out silu(gate), d_gate = d_out up silu'(gate), both overwritten. d_gate may be gate, d_up may be up, and either may be d_out.
void swiglu_backward(const Backend& on, View d_gate, View d_up, ConstView d_out, ConstView gate, ConstView up);

namespace reference {
void swiglu(View out, ConstView gate, ConstView up);
void swiglu_backward(View d_gate, View d_up, ConstView d_out, ConstView gate, ConstView up);
}  // namespace reference
namespace cpu {
void swiglu(const Backend& on, View out, ConstView gate, ConstView up);
void swiglu_backward(const Backend& on, View d_gate, View d_up, ConstView d_out, ConstView gate, ConstView up);
}  // namespace cpu
namespace cuda {
void swiglu(const Backend& on, View out, ConstView gate, ConstView up);
void swiglu_backward(const Backend& on, View d_gate, View d_up, ConstView d_out, ConstView gate, ConstView up);
}  // namespace cuda

}  // namespace deskhand
