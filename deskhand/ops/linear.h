// out (N, O) = x (N, I) weight^T + bias: the product that an engine lives on. x and out are activations of one type, or out stays f32 where
// x is not (logits); weight (O, I) of any dtype, bias (O) f32 or none. Several products of one x are given together: q, k and v, or gate
// and up, cost one pass over x and one meeting of the threads.
#pragma once
#include "deskhand/ops/backend.h"
#include "deskhand/ops/into.h"

namespace deskhand {

struct LinearPart {
  View out;          // (N, O), may not overlap x
  ConstView weight;  // (O, I)
  ConstView bias;    // (O), or empty
  ConstView add{};   // (N, O) of out's type: what the product is added to; or empty. May not overlap out
};

void linear(const Backend& on, std::span<const LinearPart> parts, ConstView x);
inline void linear(const Backend& on, View out, ConstView x, ConstView weight, ConstView bias = {}) {
  const LinearPart part{out, weight, bias};
  linear(on, {&part, 1}, x);
}

// Backward for the input: d_x (N, I) = d_out (N, O) weight, activations of one type. Weights of any type are widened to f32, a panel at
// a time; Compute::kBF16 rounds weight and d_out to bf16 first, and so does CUDA where activations are bf16. The input itself is not
// needed: a frozen layer keeps none. Layers that share x: the second on, kAdd.
void linear_backward_input(const Backend& on, View d_x, ConstView d_out, ConstView weight, Into into = Into::kOverwrite);
// Backward for trained weights: d_weight (O, I) f32 += d_out^T x, with sums in f32 whatever Backend::compute says.
void linear_backward_weight(const Backend& on, View d_weight, ConstView d_out, ConstView x);
// d_bias (O) f32 += the columns' sums of d_out.
void linear_backward_bias(const Backend& on, View d_bias, ConstView d_out);

namespace reference {
void linear(std::span<const LinearPart> parts, ConstView x);
void linear_backward_input(View d_x, ConstView d_out, ConstView weight, Into into);
void linear_backward_weight(View d_weight, ConstView d_out, ConstView x);
void linear_backward_bias(View d_bias, ConstView d_out);
}  // namespace reference
namespace cpu {
void linear(const Backend& on, std::span<const LinearPart> parts, ConstView x);
void linear_backward_input(const Backend& on, View d_x, ConstView d_out, ConstView weight, Into into);
void linear_backward_weight(const Backend& on, View d_weight, ConstView d_out, ConstView x);
void linear_backward_bias(const Backend& on, View d_bias, ConstView d_out);
}  // namespace cpu
namespace cuda {
void linear(const Backend& on, std::span<const LinearPart> parts, ConstView x);
void linear_backward_input(const Backend& on, View d_x, ConstView d_out, ConstView weight, Into into);
void linear_backward_weight(const Backend& on, View d_weight, ConstView d_out, ConstView x);
void linear_backward_bias(const Backend& on, View d_bias, ConstView d_out);
}  // namespace cuda

}  // namespace deskhand
