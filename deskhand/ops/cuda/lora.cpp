// The passes of lora_passes.h where they take the pairs; otherwise products and dropout, each a pass of its own. Where activations are bf16
// the pair is rounded to it before it is multiplied; its gradients are sums in f32.
#include "deskhand/ops/lora.h"

#include <algorithm>

#include "deskhand/ops/cuda/dequantize.cuh"
#include "deskhand/ops/cuda/lora_passes.h"
#include "deskhand/ops/cuda/multiply.h"
#include "deskhand/ops/linear.h"
#include "deskhand/ops/rms_norm.h"

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

void multiply_low(const Backend& on, View low, ConstView x, const LoraWeights& weights) {
  const std::int64_t inputs = x.shape()[1], rank = low.shape()[1];
  multiply(on, {.rows = x.shape()[0],
                .columns = rank,
                .depth = inputs,
                .a = dropped_input(on, x, weights.dropout).data(),
                .a_step = inputs,
                .b = half(on, kHalfA, weights.a, x.type()).data(),
                .b_step = inputs,
                .b_turned = true,
                .c = low.data(),
                .c_step = rank,
                .type = product_type(x.type()),
                .result = product_type(x.type()),
                .scale = weights.scale});
}

void add_to_out(const Backend& on, View out, ConstView low, const LoraWeights& weights) {
  const std::int64_t outputs = out.shape()[1], rank = low.shape()[1];
  multiply(on, {.rows = out.shape()[0],
                .columns = outputs,
                .depth = rank,
                .a = low.data(),
                .a_step = rank,
                .b = half(on, kHalfB, weights.b, out.type()).data(),
                .b_step = rank,
                .b_turned = true,
                .c = out.data(),
                .c_step = outputs,
                .type = product_type(out.type()),
                .result = product_type(out.type()),
                .add = true});
}

void multiply_d_low(const Backend& on, View d_low, ConstView d_out, const LoraWeights& weights) {
  const std::int64_t outputs = d_out.shape()[1], rank = d_low.shape()[1];
  multiply(on, {.rows = d_out.shape()[0],
                .columns = rank,
                .depth = outputs,
                .a = d_out.data(),
                .a_step = outputs,
                .b = half(on, kHalfB, weights.b, d_out.type()).data(),
                .b_step = rank,
                .c = d_low.data(),
                .c_step = rank,
                .type = product_type(d_out.type()),
                .result = product_type(d_out.type()),
                .scale = weights.scale});
}

// What d_low owes to a and the input.
void pull_low(const Backend& on, View d_a, View d_x, ConstView d_low, ConstView x, const LoraWeights& weights) {
  const std::int64_t inputs = x.shape()[1], rank = d_low.shape()[1];
  if (!d_a.empty()) cuda::linear_backward_weight(on, d_a, d_low, dropped_input(on, x, weights.dropout));
  if (d_x.empty()) return;
  const bool drops = weights.dropout.probability != 0;
  const View d_in = drops ? scratch_matrix(on, kDropped, x.type(), x.shape()) : d_x;
  multiply(on, {.rows = x.shape()[0],
                .columns = inputs,
                .depth = rank,
                .a = d_low.data(),
                .a_step = rank,
                .b = half(on, kHalfA, weights.a, x.type()).data(),
                .b_step = inputs,
                .c = d_in.data(),
                .c_step = inputs,
                .type = product_type(x.type()),
                .result = product_type(x.type()),
                .add = !drops});
  if (drops) cuda::dropout(on, d_x, d_in, weights.dropout, Into::kAdd);
}

}  // namespace

void lora(const Backend& on, View out, View low, ConstView x, const LoraWeights& weights) {
  require_gpu(on, {out, low, x, weights.a, weights.b});
  multiply_low(on, low, x, weights);
  add_to_out(on, out, low, weights);
}

void lora_backward(const Backend& on, const LoraGradients& gradients, ConstView d_out, ConstView x, ConstView low,
                   const LoraWeights& weights) {
  require_gpu(on, {gradients.d_a, gradients.d_b, gradients.d_x, d_out, x, low, weights.a, weights.b});
  if (!gradients.d_b.empty()) cuda::linear_backward_weight(on, gradients.d_b, d_out, low);
  if (gradients.d_a.empty() && gradients.d_x.empty()) return;
  const View d_low = scratch_matrix(on, kLow, x.type(), low.shape());
  multiply_d_low(on, d_low, d_out, weights);
  pull_low(on, gradients.d_a, gradients.d_x, d_low, x, weights);
}

void lora(const Backend& on, std::span<const LoraPart> parts, ConstView x, const Turn& turn) {
  if (have_low_pass(parts))
    pass_low(on, parts, x);
  else
    for (const LoraPart& part : parts)
      if (!part.weights.a.empty()) multiply_low(on, part.low, x, part.weights);
  if (have_out_pass(parts, turn)) return pass_out(on, parts, turn);
  for (const LoraPart& part : parts) {
    if (!part.weights.a.empty()) add_to_out(on, part.out, part.low, part.weights);
    if (part.head_width > 0) cuda::rope(on, heads_of(part.out, part.head_width), turn.positions, turn.table, false);
  }
}

void lora_backward(const Backend& on, std::span<const LoraSlope> parts, View d_x, const LoraInput& in) {
  if (std::all_of(parts.begin(), parts.end(), [](const LoraSlope& part) { return part.weights.a.empty(); })) return;
  if (have_passes(parts)) return pass_backward(on, parts, d_x, in);
  if (!in.norm_weight.empty()) cuda::rms_norm(on, in.normed, in.x, in.norm_weight, in.epsilon, {});
  for (const LoraSlope& part : parts)
    if (!part.weights.a.empty())
      cuda::lora_backward(on, {part.d_a, part.d_b, d_x}, part.d_out, in.norm_weight.empty() ? in.x : ConstView(in.normed), part.low,
                          part.weights);
}

}  // namespace deskhand::cuda
