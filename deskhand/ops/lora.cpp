#include "deskhand/ops/lora.h"

namespace deskhand {
namespace {

void check(const Backend& on, ConstView out, ConstView low, ConstView x, const LoraWeights& weights) {
  for (const ConstView& view : {out, low, x})
    DESKHAND_ASSERT(is_activation(on, view.type()) && view.type() == x.type() && view.shape().rank() == 2, "activations of one type");
  for (const ConstView& view : {weights.a, weights.b})
    DESKHAND_ASSERT(view.type() == DType::kF32 && view.shape().rank() == 2, "f32 matrices of the pair");
  const std::int64_t tokens = x.shape()[0], rank = weights.a.shape()[0];
  DESKHAND_ASSERT(weights.a.shape()[1] == x.shape()[1] && weights.b.shape()[1] == rank, "(R, I) of a, (O, R) of b");
  DESKHAND_ASSERT((out.shape() == Shape{tokens, weights.b.shape()[0]}), "(N, O) of out");
  DESKHAND_ASSERT((low.shape() == Shape{tokens, rank}), "(N, R) of low");
}

}  // namespace

void lora(const Backend& on, View out, View low, ConstView x, const LoraWeights& weights) {
  check(on, out, low, x, weights);
  if (on.kind == Backend::Kind::kReference) return reference::lora(out, low, x, weights);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::lora(on, out, low, x, weights);
  require_cpu(on);
  cpu::lora(on, out, low, x, weights);
}

void lora_backward(const Backend& on, const LoraGradients& gradients, ConstView d_out, ConstView x, ConstView low,
                   const LoraWeights& weights) {
  check(on, d_out, low, x, weights);
  const auto fits = [](const View& gradient, const ConstView& value) {
    return gradient.empty() || (gradient.type() == value.type() && gradient.shape() == value.shape());
  };
  DESKHAND_ASSERT(fits(gradients.d_a, weights.a) && fits(gradients.d_b, weights.b) && fits(gradients.d_x, x), "gradients of their shapes");
  if (on.kind == Backend::Kind::kReference) return reference::lora_backward(gradients, d_out, x, low, weights);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::lora_backward(on, gradients, d_out, x, low, weights);
  require_cpu(on);
  cpu::lora_backward(on, gradients, d_out, x, low, weights);
}

}  // namespace deskhand
