#include "deskhand/ops/linear.h"

#include "deskhand/ops/add.h"

namespace deskhand {

void linear(const Backend& on, std::span<const LinearPart> parts, ConstView x) {
  DESKHAND_ASSERT(is_activation(on, x.type()) && x.shape().rank() == 2, "(N, I) of x");
  for (const LinearPart& part : parts) {
    DESKHAND_ASSERT(part.weight.shape().rank() == 2 && part.weight.shape()[1] == x.shape()[1], "(O, I) of weight");
    DESKHAND_ASSERT(part.weight.type() != DType::kI32 && part.weight.type() != DType::kI8, "a type of weights");
    DESKHAND_ASSERT((part.out.type() == x.type() || part.out.type() == DType::kF32) &&
                        (part.out.shape() == Shape{x.shape()[0], part.weight.shape()[0]}),
                    "(N, O) of out");
    DESKHAND_ASSERT(part.bias.empty() || (part.bias.type() == DType::kF32 && part.bias.shape().elements() == part.weight.shape()[0]),
                    "(O) f32 of bias");
    DESKHAND_ASSERT(part.add.empty() ||
                        (part.add.type() == part.out.type() && part.add.shape() == part.out.shape() && part.add.data() != part.out.data()),
                    "(N, O) of add, of out's type");
  }
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::linear(on, parts, x);
  if (on.kind == Backend::Kind::kReference) {
    reference::linear(parts, x);
  } else {
    require_cpu(on);
    cpu::linear(on, parts, x);
  }
  for (const LinearPart& part : parts)
    if (!part.add.empty()) add(on, part.out, part.out, part.add);
}

void linear_backward_input(const Backend& on, View d_x, ConstView d_out, ConstView weight, Into into) {
  DESKHAND_ASSERT(is_activation(on, d_out.type()) && d_out.shape().rank() == 2, "(N, O) of d_out");
  DESKHAND_ASSERT(weight.shape().rank() == 2 && weight.shape()[0] == d_out.shape()[1], "(O, I) of weight");
  DESKHAND_ASSERT(weight.type() != DType::kI32 && weight.type() != DType::kI8, "a type of weights");
  DESKHAND_ASSERT(d_x.type() == d_out.type() && (d_x.shape() == Shape{d_out.shape()[0], weight.shape()[1]}), "(N, I) of d_x");
  if (on.kind == Backend::Kind::kReference) return reference::linear_backward_input(d_x, d_out, weight, into);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::linear_backward_input(on, d_x, d_out, weight, into);
  require_cpu(on);
  cpu::linear_backward_input(on, d_x, d_out, weight, into);
}

void linear_backward_weight(const Backend& on, View d_weight, ConstView d_out, ConstView x) {
  DESKHAND_ASSERT(is_activation(on, d_out.type()) && d_out.shape().rank() == 2, "(N, O) of d_out");
  DESKHAND_ASSERT(x.type() == d_out.type() && x.shape().rank() == 2 && x.shape()[0] == d_out.shape()[0], "(N, I) of x");
  DESKHAND_ASSERT(d_weight.type() == DType::kF32 && (d_weight.shape() == Shape{d_out.shape()[1], x.shape()[1]}), "(O, I) f32 of d_weight");
  if (on.kind == Backend::Kind::kReference) return reference::linear_backward_weight(d_weight, d_out, x);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::linear_backward_weight(on, d_weight, d_out, x);
  require_cpu(on);
  cpu::linear_backward_weight(on, d_weight, d_out, x);
}

void linear_backward_bias(const Backend& on, View d_bias, ConstView d_out) {
  DESKHAND_ASSERT(is_activation(on, d_out.type()) && d_out.shape().rank() == 2, "(N, O) of d_out");
  DESKHAND_ASSERT(d_bias.type() == DType::kF32 && d_bias.shape().elements() == d_out.shape()[1], "(O) f32 of d_bias");
  if (on.kind == Backend::Kind::kReference) return reference::linear_backward_bias(d_bias, d_out);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::linear_backward_bias(on, d_bias, d_out);
  require_cpu(on);
  cpu::linear_backward_bias(on, d_bias, d_out);
}

}  // namespace deskhand
