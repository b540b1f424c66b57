#include "deskhand/ops/lora.h"

#include "deskhand/ops/rms_norm.h"

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

bool fits(const View& gradient, const ConstView& value) {
  return gradient.empty() || (gradient.type() == value.type() && gradient.shape() == value.shape());
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
  DESKHAND_ASSERT(fits(gradients.d_a, weights.a) && fits(gradients.d_b, weights.b) && fits(gradients.d_x, x), "gradients of their shapes");
  if (on.kind == Backend::Kind::kReference) return reference::lora_backward(gradients, d_out, x, low, weights);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::lora_backward(on, gradients, d_out, x, low, weights);
  require_cpu(on);
  cpu::lora_backward(on, gradients, d_out, x, low, weights);
}

void lora(const Backend& on, std::span<const LoraPart> parts, ConstView x, const Turn& turn) {
  if (parts.empty() || parts[0].out.shape()[0] == 0) return;
  for (const LoraPart& part : parts) {
    if (!part.weights.a.empty()) check(on, part.out, part.low, x, part.weights);
    if (part.head_width > 0) check_turn(heads_of(part.out, part.head_width), turn.positions, turn.table);
  }
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::lora(on, parts, x, turn);
  for (const LoraPart& part : parts) {
    if (!part.weights.a.empty()) lora(on, part.out, part.low, x, part.weights);
    if (part.head_width > 0) rope(on, heads_of(part.out, part.head_width), turn.positions, turn.table);
  }
}

void lora_backward(const Backend& on, std::span<const LoraSlope> parts, View d_x, const LoraInput& in) {
  if (parts.empty() || parts[0].d_out.shape()[0] == 0) return;
  for (const LoraSlope& part : parts) {
    if (part.weights.a.empty()) continue;
    check(on, part.d_out, part.low, in.x, part.weights);
    DESKHAND_ASSERT(fits(part.d_a, part.weights.a) && fits(part.d_b, part.weights.b) && fits(d_x, in.x), "gradients of their shapes");
  }
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::lora_backward(on, parts, d_x, in);
  ConstView x = in.x;
  for (const LoraSlope& part : parts) {
    if (part.weights.a.empty()) continue;
    if (!in.norm_weight.empty() && x.data() == in.x.data()) {
      rms_norm(on, in.normed, in.x, in.norm_weight, in.epsilon);
      x = in.normed;
    }
    lora_backward(on, {part.d_a, part.d_b, d_x}, part.d_out, x, part.low, part.weights);
  }
}

}  // namespace deskhand
