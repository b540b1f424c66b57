#include "deskhand/ops/linear.h"

namespace deskhand {

void linear(const Backend& on, std::span<const LinearPart> parts, ConstView x) {
  DESKHAND_ASSERT(x.type() == DType::kF32 && x.shape().rank() == 2, "(N, I) f32 of x");
  for (const LinearPart& part : parts) {
    DESKHAND_ASSERT(part.weight.shape().rank() == 2 && part.weight.shape()[1] == x.shape()[1], "(O, I) of weight");
    DESKHAND_ASSERT(part.weight.type() != DType::kI32 && part.weight.type() != DType::kI8, "a type of weights");
    DESKHAND_ASSERT(part.out.type() == DType::kF32 && (part.out.shape() == Shape{x.shape()[0], part.weight.shape()[0]}),
                    "(N, O) f32 of out");
    DESKHAND_ASSERT(part.bias.empty() || (part.bias.type() == DType::kF32 && part.bias.shape().elements() == part.weight.shape()[0]),
                    "(O) f32 of bias");
  }
  if (on.kind == Backend::Kind::kReference) return reference::linear(parts, x);
  require_cpu(on);
  cpu::linear(on, parts, x);
}

}  // namespace deskhand
