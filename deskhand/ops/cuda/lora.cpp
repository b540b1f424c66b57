// Four products and dropout, each a pass of its own. Where activations are bf16 the pair is rounded to it before it is multiplied; its
// gradients are sums in f32.
#include "deskhand/ops/lora.h"

#include "deskhand/ops/cuda/dequantize.cuh"
#include "deskhand/ops/cuda/multiply.h"
#include "deskhand/ops/linear.h"

namespace deskhand::cuda {
namespace {

View scratch_matrix(const Backend& on, Slot slot, DType type, const Shape& shape) {
  return {on.cuda->scratch(slot, shape.elements() * block_bytes(type)), type, shape, Device::kCuda};
}

ConstView dropped_input(const Backend& on, ConstView x, const Dropout& dropped) {
  if (dropped.probability == 0) return x;
  const View copy = scratch_matrix(on, kDropped, x.type(), x.shape());
  cuda::dropout(on, copy, x, dropped, Into::kOverwrite);
  return copy;
}

// One half of the pair in the type that it is multiplied in.
ConstView half(const Backend& on, Slot slot, ConstView values, DType type) {
  if (type == DType::kF32) return values;
  const View rounded = scratch_matrix(on, slot, type, values.shape());
  widen(on, reinterpret_cast<__nv_bfloat16*>(rounded.data()), values, values.shape()[0]);
  return rounded;
}

}  // namespace

void lora(const Backend& on, View out, View low, ConstView x, const LoraWeights& weights) {
  require_gpu(on, {out, low, x, weights.a, weights.b});
  const std::int64_t tokens = x.shape()[0], inputs = x.shape()[1], rank = low.shape()[1], outputs = out.shape()[1];
  const ConstView in = dropped_input(on, x, weights.dropout);
  const Product::Type type = product_type(x.type());
  multiply(on, {.rows = tokens,
                .columns = rank,
                .depth = inputs,
                .a = in.data(),
                .a_step = inputs,
                .b = half(on, kHalfA, weights.a, x.type()).data(),
                .b_step = inputs,
                .b_turned = true,
                .c = low.data(),
                .c_step = rank,
                .type = type,
                .result = type,
                .scale = weights.scale});
  multiply(on, {.rows = tokens,
                .columns = outputs,
                .depth = rank,
                .a = low.data(),
                .a_step = rank,
                .b = half(on, kHalfB, weights.b, x.type()).data(),
                .b_step = rank,
                .b_turned = true,
                .c = out.data(),
                .c_step = outputs,
                .type = type,
                .result = type,
                .add = true});
}

void lora_backward(const Backend& on, const LoraGradients& gradients, ConstView d_out, ConstView x, ConstView low,
                   const LoraWeights& weights) {
  require_gpu(on, {gradients.d_a, gradients.d_b, gradients.d_x, d_out, x, low, weights.a, weights.b});
  const std::int64_t tokens = x.shape()[0], inputs = x.shape()[1], rank = low.shape()[1], outputs = d_out.shape()[1];
  const Product::Type type = product_type(x.type());
  if (!gradients.d_b.empty()) cuda::linear_backward_weight(on, gradients.d_b, d_out, low);
  if (gradients.d_a.empty() && gradients.d_x.empty()) return;
  const View d_low = scratch_matrix(on, kLow, x.type(), low.shape());
  multiply(on, {.rows = tokens,
                .columns = rank,
                .depth = outputs,
                .a = d_out.data(),
                .a_step = outputs,
                .b = half(on, kHalfB, weights.b, x.type()).data(),
                .b_step = rank,
                .c = d_low.data(),
                .c_step = rank,
                .type = type,
                .result = type,
                .scale = weights.scale});
  if (!gradients.d_a.empty()) cuda::linear_backward_weight(on, gradients.d_a, d_low, dropped_input(on, x, weights.dropout));
  if (gradients.d_x.empty()) return;
  const bool drops = weights.dropout.probability != 0;
  const View d_in = drops ? scratch_matrix(on, kDropped, x.type(), x.shape()) : gradients.d_x;
  multiply(on, {.rows = tokens,
                .columns = inputs,
                .depth = rank,
                .a = d_low.data(),
                .a_step = rank,
                .b = half(on, kHalfA, weights.a, x.type()).data(),
                .b_step = inputs,
                .c = d_in.data(),
                .c_step = inputs,
                .type = type,
                .result = type,
                .add = !drops});
  if (drops) cuda::dropout(on, gradients.d_x, d_in, weights.dropout, Into::kAdd);
}

}  // namespace deskhand::cuda
