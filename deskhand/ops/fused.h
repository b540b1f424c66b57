// Neighbours in a decoder's layer that a backend may make in one pass over the weights. Each is what its composed form says, and where a
// backend has nothing better, that form itself: weights (O, I) of any dtype, all others activations of one type.
#pragma once
#include "deskhand/ops/linear.h"

namespace deskhand {

// rms_norm(x) as the input of products.
struct NormedInput {
  ConstView x, weight;  // (N, I), (I) f32
  float epsilon = 0;
  View room;  // (N, I): the normed rows, where they are made
};

// out = rms_norm(x) weight^T + bias, for each part.
void norm_linear(const Backend& on, std::span<const LinearPart> parts, const NormedInput& in);
// out (N, F) = swiglu of rms_norm(x) gate^T and rms_norm(x) up^T. `room` (N, F): for the second.
void norm_gate_up(const Backend& on, View out, ConstView gate, ConstView up, const NormedInput& in, View room);
// x (N, O) += in (N, I) weight^T. `room` (N, O): for the product.
void linear_add(const Backend& on, View x, ConstView in, ConstView weight, View room);

// gate, up (N, F) = x (N, I) weight^T each, and out (N, F) = swiglu of them.
struct GatedLinear {
  View out, gate, up;
  ConstView gate_weight, up_weight;  // (F, I)
};
void linear_swiglu(const Backend& on, const GatedLinear& to, ConstView x);
// The way back through the next linear, `weight` (O, F), and SwiGLU: gate and up (N, F) become their gradients. d_out (N, O); `room`
// (N, F): for what is owed to SwiGLU's result.
void linear_swiglu_backward(const Backend& on, View gate, View up, ConstView d_out, ConstView weight, View room);
// What layers of one input owe to it: d_x (N, I) = the sum of d_out (N, O) weight (O, I), overwritten.
struct LinearSlope {
  ConstView d_out, weight;
};
void linear_backward_input(const Backend& on, View d_x, std::span<const LinearSlope> parts);

namespace cuda {  // false: not done, the composed form is as good
bool norm_linear(const Backend& on, std::span<const LinearPart> parts, const NormedInput& in);
bool norm_gate_up(const Backend& on, View out, ConstView gate, ConstView up, const NormedInput& in);
bool linear_add(const Backend& on, View x, ConstView in, ConstView weight);
bool linear_swiglu(const Backend& on, const GatedLinear& to, ConstView x);
bool linear_swiglu_backward(const Backend& on, View gate, View up, ConstView d_out, ConstView weight);
bool linear_backward_input(const Backend& on, View d_x, std::span<const LinearSlope> parts);
}  // namespace cuda

}  // namespace deskhand
