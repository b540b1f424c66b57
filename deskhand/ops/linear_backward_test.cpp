#include <doctest/doctest.h>

#include "deskhand/ops/dequantize.h"
#include "deskhand/ops/linear.h"
#include "deskhand/ops/testing.h"

using namespace deskhand;
using namespace deskhand::testing;

namespace {

constexpr DType kWeightTypes[] = {DType::kF32,  DType::kF16,  DType::kBF16, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,
                                  DType::kQ5_1, DType::kQ8_0, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};

struct Size {
  std::int64_t tokens, outputs, inputs;
};

}  // namespace

// Tolerance: f32 sums of up to 2100 products of mixed signs, some 1e-6 of the largest.
TEST_CASE("linear's input gradient agrees with the reference for every weight type, feature level, thread count and odd size") {
  for (const DType type : kWeightTypes)
    for (const Size size : {Size{1, 1, 1}, Size{7, 33, 3}, Size{25, 300, 17}, Size{13, 2100, 9}, Size{33, 45, 5}, Size{530, 300, 31}}) {
      const std::int64_t inputs = is_quantised(type) ? block_elements(type) * (1 + size.inputs % 3) : size.inputs * 11;
      const Tensor d_out = random_tensor({size.tokens, size.outputs}, 3), weight = random_weights(type, {size.outputs, inputs}, 4);
      for (const Into into : {Into::kOverwrite, Into::kAdd}) {
        Tensor wanted = random_tensor({size.tokens, inputs}, 5);
        reference::linear_backward_input(wanted, d_out, weight, into);
        for (const CpuFeatures& cpu : feature_levels()) {
          Machine machine(3, cpu), alone(1, cpu);
          Tensor d_x = random_tensor(wanted.shape(), 5), d_x_alone = d_x.copy();
          linear_backward_input(machine.on, d_x, d_out, weight, into);
          linear_backward_input(alone.on, d_x_alone, d_out, weight, into);
          INFO(cpu.text(), ", ", dtype_name(type), ", (", size.tokens, ", ", size.outputs, ", ", inputs, ")");
          CHECK(worst_difference(d_x.floats(), wanted.floats()) < 5e-6);
          CHECK(worst_difference(d_x.floats(), d_x_alone.floats()) == 0);
        }
      }
    }
}

TEST_CASE("a head's input gradient is a sum over more words than are laid out at once") {
  const std::int64_t words = 70000, width = 37, tokens = 41;
  const Tensor d_out = random_tensor({tokens, words}, 3), weight = random_tensor({words, width}, 4);
  Tensor wanted = random_tensor({tokens, width}, 5);
  reference::linear_backward_input(wanted, d_out, weight, Into::kAdd);
  for (const CpuFeatures& cpu : feature_levels()) {
    Machine machine(3, cpu);
    Tensor d_x = random_tensor({tokens, width}, 5);
    linear_backward_input(machine.on, d_x, d_out, weight, Into::kAdd);
    INFO(cpu.text());
    CHECK(worst_difference(d_x.floats(), wanted.floats()) < 5e-6);
  }
}

TEST_CASE("kBF16 rounds weights and gradients to bf16 and nothing else") {
  const Tensor d_out = random_tensor({19, 70}, 3), weight = random_weights(DType::kF16, {70, 45}, 4);
  Tensor rounded_d = d_out.copy(), rounded(DType::kF32, weight.shape()), wanted(DType::kF32, {19, 45}), d_x(DType::kF32, {19, 45});
  reference::dequantize(rounded, weight);
  for (Tensor* tensor : {&rounded_d, &rounded})
    for (float& value : tensor->floats()) value = from_bf16(to_bf16(value));
  reference::linear_backward_input(wanted, rounded_d, rounded, Into::kOverwrite);
  for (const CpuFeatures& cpu : feature_levels()) {
    Machine machine(2, cpu);
    machine.on.compute = Compute::kBF16;
    linear_backward_input(machine.on, d_x, d_out, weight);
    CHECK(worst_difference(d_x.floats(), wanted.floats()) < 2e-6);
  }
}

TEST_CASE("linear's weight and bias gradients are added, agree with the reference and do not depend on threads") {
  for (const Size size :
       {Size{1, 1, 1}, Size{7, 33, 3}, Size{300, 17, 40}, Size{70, 130, 129}, Size{3, 4100, 5}, Size{33, 4200, 45}, Size{270, 40, 300}}) {
    const Tensor d_out = random_tensor({size.tokens, size.outputs}, 3), x = random_tensor({size.tokens, size.inputs}, 4);
    const Tensor before = random_tensor({size.outputs, size.inputs}, 5), bias_before = random_tensor({size.outputs}, 6);
    Tensor wanted = before.copy(), wanted_bias = bias_before.copy();
    reference::linear_backward_weight(wanted, d_out, x);
    reference::linear_backward_bias(wanted_bias, d_out);
    for (const CpuFeatures& cpu : feature_levels()) {
      Machine machine(3, cpu), alone(1, cpu);
      Tensor found = before.copy(), found_alone = before.copy(), bias = bias_before.copy(), bias_alone = bias_before.copy();
      linear_backward_weight(machine.on, found, d_out, x);
      linear_backward_weight(alone.on, found_alone, d_out, x);
      linear_backward_bias(machine.on, bias, d_out);
      linear_backward_bias(alone.on, bias_alone, d_out);
      INFO(cpu.text(), ", (", size.tokens, ", ", size.outputs, ", ", size.inputs, ")");
      CHECK(worst_difference(found.floats(), wanted.floats()) < 5e-6);
      CHECK(worst_difference(bias.floats(), wanted_bias.floats()) < 5e-6);
      CHECK(worst_difference(found.floats(), found_alone.floats()) == 0);
      CHECK(worst_difference(bias.floats(), bias_alone.floats()) == 0);
    }
  }
}

TEST_CASE("a pass of no tokens gives no gradient") {
  Machine machine(2);
  const Tensor weight = random_tensor({3, 4}, 1), none(DType::kF32, {0, 3}), no_x(DType::kF32, {0, 4});
  Tensor d_x(DType::kF32, {0, 4}), d_weight = random_tensor({3, 4}, 2);
  linear_backward_input(machine.on, d_x, none, weight);
  linear_backward_weight(machine.on, d_weight, none, no_x);
  CHECK(worst_difference(d_weight.floats(), random_tensor({3, 4}, 2).floats()) == 0);
}

TEST_CASE("linear backward is the slope of linear forward") {
  Tensor x = random_tensor({3, 5}, 1), weight = random_tensor({4, 5}, 2), bias = random_tensor({4}, 3), out(DType::kF32, {3, 4});
  const Tensor d_out = random_tensor({3, 4}, 4);
  const auto loss = [&] {
    const LinearPart part{out, weight, bias};
    reference::linear({&part, 1}, x);
    return inner_product(out.floats(), d_out.floats());
  };
  Machine machine(2);
  Tensor d_x(DType::kF32, x.shape()), d_weight(DType::kF32, weight.shape()), d_bias(DType::kF32, bias.shape());
  linear_backward_input(machine.on, d_x, d_out, weight);
  linear_backward_weight(machine.on, d_weight, d_out, x);
  linear_backward_bias(machine.on, d_bias, d_out);
  CHECK(worst_difference(slopes(x, loss).floats(), d_x.floats()) < 1e-3);
  CHECK(worst_difference(slopes(weight, loss).floats(), d_weight.floats()) < 1e-3);
  CHECK(worst_difference(slopes(bias, loss).floats(), d_bias.floats()) < 1e-3);
}
