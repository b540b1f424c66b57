#include "deskhand/ops/dequantize.h"

namespace deskhand {

void dequantize(const Backend& on, View out, ConstView in) {
  DESKHAND_ASSERT(is_activation(on, out.type()) && out.shape() == in.shape(), "(N, I) f32 of out, or bf16 on CUDA");
  DESKHAND_ASSERT(in.type() != DType::kI32 && in.type() != DType::kI8, "a type of weights");
  if (on.kind == Backend::Kind::kReference) return reference::dequantize(out, in);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::dequantize(on, out, in);
  require_cpu(on);
  cpu::dequantize(on, out, in);
}

}  // namespace deskhand
