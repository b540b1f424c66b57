// Every op with a CUDA kernel against its reference, on the GPU of this machine, with the tolerances of the CPU's tests. Without a GPU each
// case says that it is skipped, and why.
#include <doctest/doctest.h>

#include <algorithm>

#include <functional>
#include <limits>
#include <utility>

#include "deskhand/ops/add.h"
#include "deskhand/ops/attention.h"
#include "deskhand/ops/cuda/testing.h"
#include "deskhand/ops/dequantize.h"
#include "deskhand/ops/dropout.h"
#include "deskhand/ops/embed.h"
#include "deskhand/ops/gelu.h"
#include "deskhand/ops/head_loss.h"
#include "deskhand/ops/layer_norm.h"
#include "deskhand/ops/linear.h"
#include "deskhand/ops/log_softmax.h"
#include "deskhand/ops/lora.h"
#include "deskhand/ops/mean_pool.h"
#include "deskhand/ops/optimizer.h"
#include "deskhand/ops/paged_attention.h"
#include "deskhand/ops/rms_norm.h"
#include "deskhand/ops/rope.h"
#include "deskhand/ops/swiglu.h"

using namespace deskhand;
using namespace deskhand::testing;

namespace {

const Shape kShapes[] = {{1, 1}, {3, 17}, {2, 384}, {65, 1000}, {3, 8192}};
constexpr DType kWeightTypes[] = {DType::kF32,  DType::kF16,  DType::kBF16, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,
                                  DType::kQ5_1, DType::kQ8_0, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};

// out of the op on the GPU against the reference's, absolutely.
void compare(Gpu& gpu, Shape shape, double tolerance, const std::function<void(const Backend&, View)>& reference_op,
             const std::function<void(const Backend&, View)>& op) {
  Tensor wanted(DType::kF32, shape), out = gpu.empty(shape);
  reference_op(plain(), wanted);
  op(gpu.on, out);
  const Tensor found = gpu.context.to_host(out);
  INFO("shape ", shape.text());
  for (std::size_t i = 0; i < found.floats().size(); ++i)
    if (!(std::abs(found.floats()[i] - wanted.floats()[i]) <= tolerance * (1 + std::abs(wanted.floats()[i]))))
      FAIL_CHECK("element ", i, ": ", found.floats()[i], " instead of ", wanted.floats()[i]);
}

}  // namespace

TEST_CASE("tensors of the GPU are born zeroed, are copied by name, and what is too large is refused in a sentence") {
  const auto at = gpu();
  if (!at) return;
  const Tensor zero(DType::kF32, {3, 5}, Device::kCuda);
  CHECK(at->difference(zero, Tensor(DType::kF32, {3, 5})) == 0);
  const Tensor host = random_tensor({4, 7}, 1), there = at->up(host), twin = there.copy();
  CHECK(at->difference(twin, host) == 0);
  const auto too_large = [] { Tensor(DType::kF32, {1ll << 20, 1ll << 20}, Device::kCuda); };
  CHECK_THROWS_WITH(too_large(), doctest::Contains("a buffer of f32 (1048576, 1048576) needs"));
  CHECK(at->difference(at->up(host), host) == 0);  // and nothing is broken by it
  CHECK_THROWS_AS(CudaContext(1000), Error);
  CHECK_THROWS_AS(add(at->on, View(at->up(host)), host, host), AssertionError);  // tensors of the host
}

TEST_CASE("the host's memory that kernels read stays where it is until more is asked for, and nobody waits for what no kernel writes") {
  const auto at = gpu();
  if (!at) return;
  constexpr int kSlot = 7;
  CudaContext& context = at->context;
  auto* const first = context.pinned<std::int32_t>(kSlot, 10);
  first[9] = 5;
  context.synchronise();
  CHECK(context.pinned<std::int32_t>(kSlot, 4) == first);
  CHECK(first[9] == 5);
  auto* const more = context.pinned<std::int32_t>(kSlot, 1 << 20);
  more[(1 << 20) - 1] = 6;
  CHECK_THROWS_WITH(context.pinned(kSlot, 1ll << 50), doctest::Contains("the host has no"));
  CHECK(context.pinned<std::int32_t>(kSlot, 1) != nullptr);  // and nothing is broken by it
  int looks = 0;
  context.await([&] { return ++looks == 3; });
  CHECK(looks == 3);
  CHECK_THROWS_AS(context.await([] { return false; }), AssertionError);
}

TEST_CASE("add, swiglu, gelu and log_softmax agree with the reference on the GPU") {
  const auto at = gpu();
  if (!at) return;
  for (const Shape shape : kShapes) {
    const Tensor a = random_tensor(shape, 1, 30), b = random_tensor(shape, 2), x = random_tensor(shape, 3, 3);
    const Tensor a_there = at->up(a), b_there = at->up(b), x_there = at->up(x);
    const Tensor bias = random_tensor({shape[1]}, 4), bias_there = at->up(bias);
    compare(
        *at, shape, 0, [&](const Backend& on, View out) { add(on, out, a, b); },
        [&](const Backend& on, View out) { add(on, out, a_there, b_there); });
    compare(
        *at, shape, 1e-6, [&](const Backend& on, View out) { swiglu(on, out, a, b); },
        [&](const Backend& on, View out) { swiglu(on, out, a_there, b_there); });
    compare(
        *at, shape, 1e-6, [&](const Backend& on, View out) { gelu(on, out, x); },
        [&](const Backend& on, View out) { gelu(on, out, x_there); });
    compare(
        *at, shape, 1e-6, [&](const Backend& on, View out) { gelu(on, out, x, bias); },
        [&](const Backend& on, View out) { gelu(on, out, x_there, bias_there); });
    compare(
        *at, shape, 1e-6, [&](const Backend& on, View out) { log_softmax(on, out, a); },
        [&](const Backend& on, View out) { log_softmax(on, out, a_there); });
  }
}

TEST_CASE("layer_norm and mean_pool_unit agree with the reference on the GPU") {
  const auto at = gpu();
  if (!at) return;
  for (const Shape shape : kShapes) {
    const Tensor x = random_tensor(shape, 1), residual = random_tensor(shape, 4), weight = random_tensor({shape[1]}, 2),
                 bias = random_tensor({shape[1]}, 3), shift = random_tensor({shape[1]}, 5);
    const Tensor x_there = at->up(x), residual_there = at->up(residual), weight_there = at->up(weight), bias_there = at->up(bias),
                 shift_there = at->up(shift);
    for (const auto& [added, added_there] : {std::pair(Residual{residual, {}}, Residual{residual_there, {}}),
                                             {Residual{}, Residual{}},
                                             {Residual{residual, shift}, Residual{residual_there, shift_there}},
                                             {Residual{{}, shift}, Residual{{}, shift_there}}})
      compare(
          *at, shape, 5e-6,
          [&](const Backend& on, View out) {
            layer_norm(on, out, x, added, {weight, bias, 1e-5f});
          },
          [&](const Backend& on, View out) {
            layer_norm(on, out, x_there, added_there, {weight_there, bias_there, 1e-5f});
          });
  }
  const Tensor x = random_tensor({20, 37}, 1), x_there = at->up(x);
  const std::int32_t bounds[] = {0, 1, 8, 20};
  compare(
      *at, {3, 37}, 1e-6, [&](const Backend& on, View out) { mean_pool_unit(on, out, x, bounds); },
      [&](const Backend& on, View out) { mean_pool_unit(on, out, x_there, bounds); });
}

TEST_CASE("rms_norm and its backward agree with the reference on the GPU, in place and added") {
  const auto at = gpu();
  if (!at) return;
  for (const Shape shape : {Shape{1, 3}, Shape{3, 17}, Shape{65, 1000}, Shape{3, 8192}}) {
    const Tensor x = random_tensor(shape, 1), weight = random_tensor({shape[1]}, 2), d_out = random_tensor(shape, 3);
    const Tensor before = random_tensor(shape, 4), weight_before = random_tensor({shape[1]}, 5);
    const Tensor x_there = at->up(x), weight_there = at->up(weight), d_there = at->up(d_out);
    Tensor out(DType::kF32, shape), rstd(DType::kF32, {shape[0]}), out_there = at->up(x), rstd_there = at->empty({shape[0]});
    rms_norm(plain(), out, x, weight, 1e-6f, rstd);
    rms_norm(at->on, out_there, out_there, weight_there, 1e-6f, rstd_there);
    INFO("shape ", shape.text());
    CHECK(at->difference(out_there, out) < 2e-6);
    CHECK(at->difference(rstd_there, rstd) < 2e-6);
    for (const Into into : {Into::kOverwrite, Into::kAdd}) {
      Tensor wanted = before.copy(), wanted_weight = weight_before.copy(), d_x = at->up(before), d_weight = at->up(weight_before);
      rms_norm_backward(plain(), {.d_x = wanted, .into = into, .d_weight = wanted_weight}, d_out, x, weight, rstd);
      rms_norm_backward(at->on, {.d_x = d_x, .into = into, .d_weight = d_weight}, d_there, x_there, weight_there, rstd_there);
      CHECK(at->difference(d_x, wanted) < 3e-6);
      CHECK(at->difference(d_weight, wanted_weight) < 3e-6);
      if (into == Into::kAdd) continue;
      Tensor in_place = at->up(d_out), weight_in_place = at->up(weight_before);
      rms_norm_backward(at->on, {.d_x = in_place, .d_weight = weight_in_place}, in_place, x_there, weight_there, rstd_there);
      CHECK(at->difference(in_place, at->context.to_host(d_x)) == 0);
      CHECK(at->difference(weight_in_place, at->context.to_host(d_weight)) == 0);
    }
  }
}

TEST_CASE("swiglu backward agrees with the reference on the GPU and may write over what it reads") {
  const auto at = gpu();
  if (!at) return;
  for (const Shape shape : kShapes) {
    const Tensor gate = random_tensor(shape, 1, 30), up = random_tensor(shape, 2), d_out = random_tensor(shape, 3);
    Tensor wanted_gate(DType::kF32, shape), wanted_up(DType::kF32, shape), d_gate = at->up(gate), d_up = at->up(up);
    swiglu_backward(plain(), wanted_gate, wanted_up, d_out, gate, up);
    swiglu_backward(at->on, d_gate, d_up, at->up(d_out), d_gate, d_up);
    CHECK(at->difference(d_gate, wanted_gate) < 1e-6);
    CHECK(at->difference(d_up, wanted_up) < 1e-6);
  }
}

TEST_CASE("rope agrees with the reference on the GPU in both layouts, and its inverse turns back") {
  const auto at = gpu();
  if (!at) return;
  for (const RopePairs pairs : {RopePairs::kHalves, RopePairs::kNeighbours})
    for (const std::int64_t width : {2, 34, 64, 128}) {
      const Tensor angle = random_tensor({50, width / 2}, 5);
      Tensor cosine(DType::kF32, angle.shape()), sine(DType::kF32, angle.shape());
      for (std::size_t i = 0; i < angle.floats().size(); ++i) {
        cosine.floats()[i] = std::cos(angle.floats()[i]);
        sine.floats()[i] = std::sin(angle.floats()[i]);
      }
      std::vector<std::int32_t> positions(33);
      for (int i = 0; i < 33; ++i) positions[static_cast<std::size_t>(i)] = i * 7 % 50;
      const Tensor x = random_tensor({33, 3, width}, 6), cosine_there = at->up(cosine), sine_there = at->up(sine);
      Tensor wanted = x.copy(), found = at->up(x);
      rope(plain(), wanted, positions, {cosine, sine, pairs});
      rope(at->on, found, positions, {cosine_there, sine_there, pairs});
      CHECK(at->difference(found, wanted) < 1e-6);
      rope(at->on, found, positions, {cosine_there, sine_there, pairs}, true);
      CHECK(at->difference(found, x) < 1e-6);
    }
}

TEST_CASE("every type of weights is widened on the GPU as by the reference, and embed takes the tokens' rows") {
  const auto at = gpu();
  if (!at) return;
  for (const DType type : kWeightTypes) {
    INFO(dtype_name(type));
    const Tensor in = random_weights(type, {37, 512}, 1), in_there = at->up(in);
    Tensor wanted(DType::kF32, in.shape()), found = at->empty(in.shape());
    reference::dequantize(wanted, in);
    dequantize(at->on, found, in_there);
    CHECK(at->difference(found, wanted) < 3e-7);
    const std::int32_t tokens[] = {36, 0, 3, 3};
    Tensor rows(DType::kF32, {4, 512}), rows_there = at->empty({4, 512});
    embed(plain(), rows, tokens, in);
    embed(at->on, rows_there, tokens, in_there);
    CHECK(at->difference(rows_there, rows) < 3e-7);
    Tensor narrow = at->up(as_bf16(random_tensor(in.shape(), 99, 1e6f)));
    dequantize(at->on, narrow, in_there);
    const Tensor back = as_f32(at->context.to_host(narrow));
    for (std::size_t i = 0; i < wanted.floats().size(); ++i)
      if (!(std::abs(back.floats()[i] - wanted.floats()[i]) <= std::abs(wanted.floats()[i]) / 256 + 1e-6))
        FAIL_CHECK("element ", i, ": ", back.floats()[i], " instead of ", wanted.floats()[i]);
    if (is_quantised(type)) continue;
    const Tensor odd = random_weights(type, {5, 77}, 2), odd_there = at->up(odd);  // rows that do not begin on 16 bytes
    Tensor odd_wanted(DType::kF32, odd.shape()), odd_found = at->empty(odd.shape());
    reference::dequantize(odd_wanted, odd);
    dequantize(at->on, odd_found, odd_there);
    CHECK(at->difference(odd_found, odd_wanted) == 0);
  }
}

TEST_CASE("embed backward adds a token's rows in their order on the GPU and touches no other") {
  const auto at = gpu();
  if (!at) return;
  const Tensor d_out = random_tensor({5, 300}, 1), before = random_tensor({9, 300}, 2);
  const std::int32_t tokens[] = {8, 0, 3, 3, 8};
  Tensor wanted = before.copy(), found = at->up(before);
  embed_backward(plain(), wanted, tokens, d_out);
  embed_backward(at->on, found, tokens, at->up(d_out));
  CHECK(at->difference(found, wanted) == 0);
}

TEST_CASE("dropout on the GPU lets the very elements fall that the reference does") {
  const auto at = gpu();
  if (!at) return;
  const Dropout dropped{.probability = 0.3f, .seed = 0x123456789abcdef, .step = 7, .layer = 3, .first_row = 2};
  for (const Shape shape : kShapes)
    for (const Into into : {Into::kOverwrite, Into::kAdd}) {
      const Tensor x = random_tensor(shape, 1), before = random_tensor(shape, 2);
      Tensor wanted = before.copy(), found = at->up(before);
      reference::dropout(wanted, x, dropped, into);
      dropout(at->on, found, at->up(x), dropped, into);
      CHECK(at->difference(found, wanted) < 2e-7);
    }
}

// Tolerance: f32 sums of up to 2100 products of mixed signs, some 1e-6 of the largest.
TEST_CASE("linear and its input gradient agree with the reference on the GPU in f32 for every type of weights and odd size") {
  const auto at = gpu();
  if (!at) return;
  at->on.compute = Compute::kF32;
  struct Size {
    std::int64_t tokens, outputs, inputs;
  };
  for (const DType type : kWeightTypes)
    for (const Size size : {Size{1, 1, 1}, Size{7, 33, 3}, Size{25, 300, 17}, Size{13, 2100, 9}}) {
      const std::int64_t inputs = is_quantised(type) ? block_elements(type) * (1 + size.inputs % 3) : size.inputs * 11;
      const Tensor x = random_tensor({size.tokens, inputs}, 1), bias = random_tensor({size.outputs}, 2),
                   d_out = random_tensor({size.tokens, size.outputs}, 3), weight = random_weights(type, {size.outputs, inputs}, 4);
      const Tensor weight_there = at->up(weight), d_there = at->up(d_out);
      INFO(dtype_name(type), ", (", size.tokens, ", ", size.outputs, ", ", inputs, ")");
      Tensor wanted(DType::kF32, d_out.shape()), found = at->empty(d_out.shape());
      linear(plain(), wanted, x, weight, bias);
      linear(at->on, found, at->up(x), weight_there, at->up(bias));
      CHECK(at->difference(found, wanted) < 5e-6);
      for (const Into into : {Into::kOverwrite, Into::kAdd}) {
        Tensor wanted_x = random_tensor(x.shape(), 5), d_x = at->up(wanted_x);
        reference::linear_backward_input(wanted_x, d_out, weight, into);
        linear_backward_input(at->on, d_x, d_there, weight_there, into);
        CHECK(at->difference(d_x, wanted_x) < 5e-6);
      }
    }
}

TEST_CASE("kBF16 and kAuto on the GPU round weights and inputs to bf16 and nothing else") {
  const auto at = gpu();
  if (!at) return;
  const auto rounded = [](ConstView view) {
    Tensor wide(DType::kF32, view.shape());
    reference::dequantize(wide, view);
    for (float& value : wide.floats()) value = from_bf16(to_bf16(value));
    return wide;
  };
  for (const Compute compute : {Compute::kBF16, Compute::kAuto})
    for (const DType type : kWeightTypes) {
      if (compute == Compute::kAuto && type == DType::kF32) continue;
      at->on.compute = compute;
      const std::int64_t inputs = is_quantised(type) ? 256 : 45;
      const Tensor x = random_tensor({19, inputs}, 2), d_out = random_tensor({19, 70}, 3), weight = random_weights(type, {70, inputs}, 4);
      const Tensor weight_there = at->up(weight);
      INFO(dtype_name(type));
      Tensor wanted(DType::kF32, {19, 70}), found = at->empty({19, 70}), wanted_x(DType::kF32, x.shape()), d_x = at->empty(x.shape());
      linear(plain(), wanted, rounded(x), rounded(weight));
      linear(at->on, found, at->up(x), weight_there);
      CHECK(at->difference(found, wanted) < 2e-6);
      reference::linear_backward_input(wanted_x, rounded(d_out), rounded(weight), Into::kOverwrite);
      linear_backward_input(at->on, d_x, at->up(d_out), weight_there);
      CHECK(at->difference(d_x, wanted_x) < 2e-6);
    }
}

TEST_CASE("weights of more than one panel give the same products as weights of one") {
  const auto at = gpu();
  if (!at) return;
  constexpr std::int64_t kOutputs = 20000, kInputs = 2048;  // 78 MiB as bf16, 156 as f32: two panels and three
  const Tensor x = at->up(random_tensor({3, kInputs}, 1)), d_out = at->up(random_tensor({3, kOutputs}, 2));
  const Tensor weight = at->up(random_weights(DType::kQ8_0, {kOutputs, kInputs}, 3));
  Tensor wide(DType::kF32, weight.shape(), Device::kCuda), out = at->empty({3, kOutputs}), wanted = at->empty({3, kOutputs}),
                                                           d_x = at->empty({3, kInputs}), wanted_x = at->empty({3, kInputs});
  dequantize(at->on, wide, weight);
  for (const auto& [compute, tolerance] : {std::pair(Compute::kF32, 5e-6), {Compute::kAuto, 2e-2}}) {
    at->on.compute = compute;
    linear(at->on, out, x, weight);
    linear_backward_input(at->on, d_x, d_out, weight);
    at->on.compute = Compute::kF32;
    linear(at->on, wanted, x, wide);
    linear_backward_input(at->on, wanted_x, d_out, wide);
    CHECK(at->difference(out, at->context.to_host(wanted)) < tolerance);
    CHECK(at->difference(d_x, at->context.to_host(wanted_x)) < tolerance);
  }
}

TEST_CASE("linear's weight and bias gradients are added and agree with the reference on the GPU, the same every time") {
  const auto at = gpu();
  if (!at) return;
  struct Size {
    std::int64_t tokens, outputs, inputs;
  };
  for (const Size size : {Size{1, 1, 1}, Size{7, 33, 3}, Size{300, 17, 40}, Size{70, 130, 129}, Size{3, 4100, 5}, Size{4000, 16, 64}}) {
    const Tensor d_out = random_tensor({size.tokens, size.outputs}, 3), x = random_tensor({size.tokens, size.inputs}, 4);
    const Tensor before = random_tensor({size.outputs, size.inputs}, 5), bias_before = random_tensor({size.outputs}, 6);
    const Tensor d_there = at->up(d_out), x_there = at->up(x);
    Tensor wanted = before.copy(), wanted_bias = bias_before.copy(), first;
    reference::linear_backward_weight(wanted, d_out, x);
    reference::linear_backward_bias(wanted_bias, d_out);
    for (int time = 0; time < 5; ++time) {
      Tensor found = at->up(before), bias = at->up(bias_before);
      linear_backward_weight(at->on, found, d_there, x_there);
      linear_backward_bias(at->on, bias, d_there);
      INFO("(", size.tokens, ", ", size.outputs, ", ", size.inputs, ")");
      CHECK(at->difference(found, wanted) < 5e-6);
      CHECK(at->difference(bias, wanted_bias) < 5e-6);
      if (first.empty()) first = at->context.to_host(found);
      CHECK(at->difference(found, first) == 0);
    }
  }
}

TEST_CASE("a pass of no tokens gives no gradient on the GPU") {
  const auto at = gpu();
  if (!at) return;
  const Tensor before = random_tensor({3, 4}, 2), weight = at->up(before), none(DType::kF32, {0, 3}, Device::kCuda),
               no_x(DType::kF32, {0, 4}, Device::kCuda);
  Tensor d_x(DType::kF32, {0, 4}, Device::kCuda), d_weight = at->up(before);
  linear_backward_input(at->on, d_x, none, weight);
  linear_backward_weight(at->on, d_weight, none, no_x);
  CHECK(at->difference(d_weight, before) == 0);
  CHECK(head_loss(at->on, {}, no_x, weight, {}).loss == 0);
}

// Tolerance: two f32 sums after one another, of up to 300 products.
TEST_CASE("LoRA forward and backward agree with the reference on the GPU, with and without dropout") {
  const auto at = gpu();
  if (!at) return;
  struct Size {
    std::int64_t tokens, inputs, outputs, rank;
  };
  for (const Size size : {Size{1, 1, 1, 1}, Size{7, 33, 20, 3}, Size{70, 300, 129, 16}, Size{130, 96, 40, 40}})
    for (const float probability : {0.0f, 0.25f}) {
      const Tensor a = random_tensor({size.rank, size.inputs}, 1), b = random_tensor({size.outputs, size.rank}, 2),
                   x = random_tensor({size.tokens, size.inputs}, 3), d_out = random_tensor({size.tokens, size.outputs}, 4);
      const Tensor a_there = at->up(a), b_there = at->up(b), x_there = at->up(x), d_there = at->up(d_out);
      const Dropout dropped{.probability = probability, .seed = 9, .step = 2, .layer = 4};
      const LoraWeights weights{a, b, 1.7f, dropped}, weights_there{a_there, b_there, 1.7f, dropped};
      Tensor out = random_tensor(d_out.shape(), 5), low(DType::kF32, {size.tokens, size.rank}), d_a = random_tensor(a.shape(), 11),
             d_b = random_tensor(b.shape(), 12), d_x = random_tensor(x.shape(), 13);
      Tensor out_there = at->up(out), low_there = at->empty(low.shape()), d_a_there = at->up(d_a), d_b_there = at->up(d_b),
             d_x_there = at->up(d_x);
      reference::lora(out, low, x, weights);
      reference::lora_backward({d_a, d_b, d_x}, d_out, x, low, weights);
      lora(at->on, out_there, low_there, x_there, weights_there);
      lora_backward(at->on, {d_a_there, d_b_there, d_x_there}, d_there, x_there, low_there, weights_there);
      INFO("(", size.tokens, ", ", size.inputs, ", ", size.outputs, ", ", size.rank, "), dropout ", probability);
      CHECK(at->difference(out_there, out) < 5e-6);
      CHECK(at->difference(low_there, low) < 5e-6);
      CHECK(at->difference(d_a_there, d_a) < 5e-6);
      CHECK(at->difference(d_b_there, d_b) < 5e-6);
      CHECK(at->difference(d_x_there, d_x) < 5e-6);
    }
}

// Tolerance: f32 logits of up to 256 products and an exponential good to 2e-7.
TEST_CASE("the head's loss and gradients agree with the reference on the GPU, in one chunk or many") {
  const auto at = gpu();
  if (!at) return;
  at->on.compute = Compute::kF32;
  for (const DType type : {DType::kF32, DType::kBF16, DType::kQ6_K})
    for (const auto& [tokens, vocabulary] : {std::pair{1, 2}, {5, 37}, {50, 1300}})
      for (const std::int64_t rows : {1, 20, 1000}) {
        const std::int64_t width = is_quantised(type) ? 256 : 45;
        const Tensor hidden = random_tensor({tokens, width}, 1, is_quantised(type) ? 0.01f : 0.2f),
                     weight = random_weights(type, {vocabulary, width}, 2);
        std::vector<std::int32_t> targets;
        for (std::int64_t i = 0; i < tokens; ++i) targets.push_back(static_cast<std::int32_t>(i * 7919 % vocabulary));
        Tensor wanted_hidden(DType::kF32, hidden.shape()), wanted_weight = random_tensor({vocabulary, width}, 3, 0.1f);
        Tensor d_hidden = at->up(hidden), d_weight = at->up(wanted_weight);
        const HeadLoss wanted = reference::head_loss({wanted_hidden, wanted_weight}, hidden, weight, targets, 0.25f);
        const HeadLoss found = head_loss(at->on, {d_hidden, d_weight}, d_hidden, at->up(weight), targets,
                                         {.scale = 0.25f, .logit_bytes = rows * vocabulary * 4});
        INFO(dtype_name(type), ", vocabulary ", vocabulary, ", rows ", rows);
        CHECK(found.loss == doctest::Approx(wanted.loss).epsilon(1e-5));
        CHECK(found.entropy == doctest::Approx(wanted.entropy).epsilon(1e-5));
        CHECK(found.correct == wanted.correct);
        CHECK(at->difference(d_hidden, wanted_hidden) < 1e-5);
        CHECK(at->difference(d_weight, wanted_weight) < 1e-5);
      }
}

TEST_CASE("cross entropy over a large vocabulary is good to seven digits on the GPU; of equals the first wins, a NaN is not hidden") {
  const auto at = gpu();
  if (!at) return;
  for (const std::int64_t vocabulary : {151937, 151936, 128256, 100, 12}) {  // those that four divide are held by a cluster on Hopper
    INFO("vocabulary ", vocabulary);
    Tensor logits = random_tensor({3, vocabulary}, 1, 3), there = at->up(logits), again = at->up(logits);
    const std::int32_t last = static_cast<std::int32_t>(vocabulary) - 1, targets[] = {0, last, 7};
    const HeadLoss wanted = reference::cross_entropy(logits, targets, 1), found = cross_entropy(at->on, there, targets, 1);
    CHECK(found.loss == doctest::Approx(wanted.loss).epsilon(1e-7));
    CHECK(found.entropy == doctest::Approx(wanted.entropy).epsilon(1e-7));
    CHECK(found.correct == wanted.correct);
    CHECK(at->difference(there, logits) < 1e-6);
    CHECK(cross_entropy(at->on, again, targets, 1).loss == found.loss);
    CHECK(at->difference(again, at->context.to_host(there)) == 0);
    const float weights[] = {4, 0, 0.5f};
    Tensor weighed = random_tensor({3, vocabulary}, 1, 3), weighed_there = at->up(weighed);
    CHECK(cross_entropy(at->on, weighed_there, targets, 1, weights).loss ==
          doctest::Approx(reference::cross_entropy(weighed, targets, 1, weights).loss).epsilon(1e-7));
    CHECK(at->difference(weighed_there, weighed) < 4e-6);
  }
  Tensor few(DType::kF32, {3, 4});
  const float values[] = {5, 5, 1, 0, 5, 5, 1, 0, 3e38f, -3e38f, 0, 0};
  std::copy(std::begin(values), std::end(values), few.floats().begin());
  const std::int32_t few_targets[] = {0, 1, 0};
  const HeadLoss huge = cross_entropy(at->on, View(at->up(few)), few_targets, 1);
  CHECK(huge.correct == 2);
  CHECK(std::isfinite(huge.loss));
  CHECK(std::isfinite(huge.entropy));
  few.floats()[2] = std::numeric_limits<float>::quiet_NaN();
  CHECK(std::isnan(cross_entropy(at->on, View(at->up(few)), few_targets, 1).loss));
}

// Tolerance: an f32 step of up to ten roundings. The parts lie side by side, so that all but the first begin at odd addresses.
TEST_CASE("AdamW agrees with the reference on the GPU over five steps, parts of their own rates and decay in one pass") {
  const auto at = gpu();
  if (!at) return;
  const std::int64_t counts[] = {4096, 37, 40001, 0, 1024, 200001}, all = 245159;
  Tensor weights = random_tensor({all}, 1), m(DType::kF32, {all}), v(DType::kF32, {all});
  Tensor weights_there = at->up(weights), m_there = at->up(m), v_there = at->up(v), rounded = at->up(as_bf16(random_tensor({all}, 2)));
  for (std::int64_t step = 1; step <= 5; ++step) {
    const AdamW settings{.learning_rate = 1e-2 / static_cast<double>(step), .weight_decay = 0.1, .step = step, .gradient_scale = 0.7};
    const Tensor gradient = random_tensor({all}, static_cast<unsigned>(step) + 10), gradient_there = at->up(gradient);
    std::vector<AdamWPart> here, there;
    std::int64_t first = 0;
    for (const std::int64_t count : counts) {
      const double rate = 1 + static_cast<double>(here.size());
      const bool decays = here.size() % 2 == 0;
      const auto of = [&](auto& tensor) { return tensor.view().rows(first, count); };
      here.push_back({of(weights), {of(m), of(v)}, of(gradient), rate, decays});
      there.push_back({of(weights_there), {of(m_there), of(v_there)}, of(gradient_there), rate, decays, of(rounded)});
      first += count;
    }
    CHECK(first == all);
    adamw(plain(), here, settings);
    adamw(at->on, there, settings);
  }
  CHECK(at->difference(weights_there, weights) < 1e-6);
  CHECK(at->difference(m_there, m) < 1e-6);
  CHECK(at->difference(v_there, v) < 1e-6);
  const Tensor wanted = as_bf16(at->context.to_host(weights_there)), found = at->context.to_host(rounded);
  CHECK(std::ranges::equal(found.view().as<std::uint16_t>(), wanted.view().as<std::uint16_t>()));
}

TEST_CASE("the gradients' norm on the GPU is exact to double and counts what is not finite") {
  const auto at = gpu();
  if (!at) return;
  for (const std::int64_t count : {1, 37, 40001, 200001}) {
    Tensor gradient = random_tensor({count}, 1);
    const GradientNorm norm = gradient_norm(at->on, at->up(gradient));
    CHECK(norm.norm == doctest::Approx(reference::gradient_norm(gradient).norm).epsilon(1e-12));
    CHECK(norm.not_finite == 0);
    if (count < 10) continue;
    gradient.floats()[3] = std::numeric_limits<float>::quiet_NaN();
    gradient.floats()[static_cast<std::size_t>(count) - 1] = std::numeric_limits<float>::infinity();
    CHECK(gradient_norm(at->on, at->up(gradient)).not_finite == 2);
  }
}

// Tolerance: scores of up to 40 carry f32 rounding of some 4e-6 into the exponential; in backward weights times differences cancel.
TEST_CASE("attention and its backward agree with the reference on the GPU, and a sequence does not care what it is packed with") {
  const auto at = gpu();
  if (!at) return;
  struct Heads {
    std::int64_t queries, keys, width;
  };
  const std::int32_t bounds[] = {2, 3, 10, 10, 74, 311}, alone[] = {10, 74};
  for (const Heads heads : {Heads{1, 1, 1}, Heads{6, 2, 20}, Heads{14, 2, 64}, Heads{4, 4, 33}, Heads{3, 1, 128}, Heads{2, 1, 300}})
    for (const bool causal : {true, false}) {
      const AttentionOptions options{causal, 0.3f};
      const float size = heads.width > 200 ? 1 : 2;
      const Shape queries{313, heads.queries, heads.width}, keys{313, heads.keys, heads.width}, sums{313, heads.queries};
      const Tensor q = random_tensor(queries, 1, size), k = random_tensor(keys, 2, size), v = random_tensor(keys, 3, 2),
                   d_out = random_tensor(queries, 4);
      const Tensor q_there = at->up(q), k_there = at->up(k), v_there = at->up(v), d_there = at->up(d_out);
      Tensor out = random_tensor(queries, 5), logsumexp = random_tensor(sums, 6), out_there = at->up(out), sums_there = at->up(logsumexp);
      reference::attention(out, q, k, v, bounds, options, logsumexp);
      attention(at->on, out_there, q_there, k_there, v_there, bounds, options, sums_there);
      INFO("heads ", heads.queries, ", width ", heads.width, ", causal ", causal);
      CHECK(at->difference(out_there, out) < 2e-5);
      CHECK(at->difference(sums_there, logsumexp) < 2e-5);
      Tensor d_q = random_tensor(queries, 7), d_k = random_tensor(keys, 8), d_v = random_tensor(keys, 9);
      Tensor d_q_there = at->up(d_q), d_k_there = at->up(d_k), d_v_there = at->up(d_v);
      reference::attention_backward({d_q, d_k, d_v}, d_out, {q, k, v, out, logsumexp}, bounds, options);
      const Tensor out_up = at->up(out), sums_up = at->up(logsumexp);
      const AttentionForward forward{q_there, k_there, v_there, out_up, sums_up};
      attention_backward(at->on, {d_q_there, d_k_there, d_v_there}, d_there, forward, bounds, options);
      CHECK(at->difference(d_q_there, d_q) < 3e-5);
      CHECK(at->difference(d_k_there, d_k) < 3e-5);
      CHECK(at->difference(d_v_there, d_v) < 3e-5);
      Tensor q_alone = at->empty(queries), k_alone = at->empty(keys), v_alone = at->empty(keys);
      attention_backward(at->on, {q_alone, k_alone, v_alone}, d_there, forward, alone, options);
      for (const auto& [one, other] : {std::pair(&d_q_there, &q_alone), {&d_k_there, &k_alone}, {&d_v_there, &v_alone}}) {
        const Tensor a = at->context.to_host(*one), b = at->context.to_host(*other);
        CHECK(worst_difference(b.view().rows(10, 64).floats(), a.view().rows(10, 64).floats()) == 0);
      }
    }
}

TEST_CASE("paged attention agrees with the reference on the GPU when sequences go on from cached tokens and share pages") {
  const auto at = gpu();
  if (!at) return;
  struct Heads {
    std::int64_t queries, keys, width;
  };
  for (const Heads heads : {Heads{1, 1, 1}, Heads{4, 2, 16}, Heads{14, 2, 64}, Heads{8, 2, 128}, Heads{3, 1, 40}})
    for (const DType type : {DType::kF32, DType::kF16}) {
      const Shape shape{20, 16, heads.keys, heads.width};
      Tensor keys(type, shape, Device::kCuda), values(type, shape, Device::kCuda), keys_twin(type, shape), values_twin(type, shape);
      const KvPages pages{keys, values}, twin{keys_twin, values_twin};
      const std::int32_t first[] = {5, 2, 9, 11, 0, 1, 3, 4}, second[] = {5, 7, 8}, third[] = {19};
      const auto pass = [&](std::span<const KvSequence> sequences, std::span<const std::int32_t> bounds, unsigned seed) {
        const std::int64_t tokens = bounds.back();
        const Tensor q = random_tensor({tokens, heads.queries, heads.width}, seed, 2);
        const Tensor k = random_tensor({tokens, heads.keys, heads.width}, seed + 1, 2),
                     v = random_tensor({tokens, heads.keys, heads.width}, seed + 2);
        const Tensor q_there = at->up(q), k_there = at->up(k), v_there = at->up(v);
        Tensor wanted(DType::kF32, q.shape()), out = at->empty(q.shape());
        store_keys_values(at->on, pages, k_there, v_there, sequences, bounds);
        reference::store_keys_values(twin, k, v, sequences, bounds);
        const Tensor keys_here = at->context.to_host(keys);
        CHECK(std::equal(keys_here.view().raw().begin(), keys_here.view().raw().end(), keys_twin.view().raw().begin()));
        paged_attention(at->on, out, q_there, pages, sequences, bounds, 0.3f);
        reference::paged_attention(wanted, q, twin, sequences, bounds, 0.3f);
        INFO("heads ", heads.queries, ", ", dtype_name(type), ", tokens ", tokens);
        CHECK(at->difference(out, wanted) < (type == DType::kF16 ? 4e-3 : 2e-5));  // queries to pages of f16 are rounded to it
      };
      const KvSequence prompt[] = {{first, 100}};
      const std::int32_t prompt_bounds[] = {0, 100};
      pass(prompt, prompt_bounds, 1);
      const KvSequence mixed[] = {{first, 101}, {second, 40}, {third, 1}};
      const std::int32_t mixed_bounds[] = {0, 1, 25, 26};
      pass(mixed, mixed_bounds, 5);
    }
}
