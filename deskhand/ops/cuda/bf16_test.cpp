// The ops that training needs with bf16 activations, against the reference on the same rounded inputs. A result that is rounded once may be
// off by half a bf16 step, 2^-9 of its size: kStep leaves room for the sums before it.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>

#include "deskhand/ops/add.h"
#include "deskhand/ops/attention.h"
#include "deskhand/ops/cuda/few_rows.h"
#include "deskhand/ops/cuda/hopper/product.h"
#include "deskhand/ops/cuda/multiply.h"
#include "deskhand/ops/cuda/testing.h"
#include "deskhand/ops/dequantize.h"
#include "deskhand/ops/dropout.h"
#include "deskhand/ops/embed.h"
#include "deskhand/ops/fused.h"
#include "deskhand/ops/gather.h"
#include "deskhand/ops/gelu.h"
#include "deskhand/ops/head_loss.h"
#include "deskhand/ops/linear.h"
#include "deskhand/ops/lora.h"
#include "deskhand/ops/rms_norm.h"
#include "deskhand/ops/rope.h"
#include "deskhand/ops/swiglu.h"
#include "deskhand/ops/tiled.h"

using namespace deskhand;
using namespace deskhand::testing;

namespace {

constexpr double kStep = 1.0 / 256;
const Shape kShapes[] = {{1, 1}, {3, 17}, {2, 384}, {65, 1000}, {3, 8192}};

// The same values on both sides: bf16 on the GPU, f32 on the host.
struct Twin {
  Twin(Gpu& gpu, Shape shape, unsigned seed, float scale = 1)
      : there(gpu.up(as_bf16(random_tensor(shape, seed, scale)))), here(as_f32(gpu.context.to_host(there))) {}
  Tensor there, here;
};

// Each element within kStep of its own size, and `slack` of the largest.
void check_close(Gpu& gpu, const Tensor& found_there, const Tensor& wanted, double slack = 0) {
  const Tensor host = gpu.context.to_host(found_there), found = host.type() == DType::kBF16 ? as_f32(host) : host.copy();
  double largest = 0;
  for (const float value : wanted.floats()) largest = std::max(largest, std::abs(static_cast<double>(value)));
  for (std::size_t i = 0; i < found.floats().size(); ++i) {
    const double value = wanted.floats()[i];
    if (!(std::abs(found.floats()[i] - value) <= kStep * std::abs(value) + slack * largest + 1e-30))
      FAIL_CHECK("element ", i, ": ", found.floats()[i], " instead of ", value);
  }
}

Tensor poison(Gpu& gpu, Shape shape) {
  return gpu.up(as_bf16(random_tensor(shape, 99, 1e6f)));
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return std::ranges::equal(a.view().raw(), b.view().raw());
}

// a b by cuBLASLt, not rounded; b may lie turned.
Tensor product_in_f32(Gpu& gpu, const Twin& a, const Twin& b, bool turned) {
  const std::int64_t depth = a.here.shape()[1], columns = b.here.shape()[turned ? 0 : 1];
  Tensor made = gpu.up(Tensor(DType::kF32, {a.here.shape()[0], columns}));
  cuda::multiply(gpu.on, {.rows = a.here.shape()[0],
                          .columns = columns,
                          .depth = depth,
                          .a = a.there.view().data(),
                          .a_step = depth,
                          .b = b.there.view().data(),
                          .b_step = b.here.shape()[1],
                          .b_turned = turned,
                          .c = made.view().data(),
                          .c_step = columns,
                          .type = cuda::Product::Type::kBF16});
  return gpu.context.to_host(made);
}

}  // namespace

TEST_CASE("in bf16 add, gelu, swiglu and its backward round once") {
  const auto at = gpu();
  if (!at) return;
  for (const Shape shape : kShapes) {
    INFO("shape ", shape.text());
    Twin a(*at, shape, 1, 3), b(*at, shape, 2), d(*at, shape, 3);
    Tensor wanted(DType::kF32, shape), found = poison(*at, shape);
    add(plain(), wanted, a.here, b.here);
    add(at->on, found, a.there, b.there);
    check_close(*at, found, wanted);
    gelu(plain(), wanted, a.here);
    gelu(at->on, found, a.there);
    check_close(*at, found, wanted, 1e-6);
    const Tensor bias = random_tensor({shape[1]}, 4), bias_there = at->up(bias);
    found = a.there.copy();
    gelu(plain(), wanted, a.here, bias);
    gelu(at->on, found, found, bias_there);
    check_close(*at, found, wanted, 1e-6);
    swiglu(plain(), wanted, a.here, b.here);
    swiglu(at->on, found, a.there, b.there);
    check_close(*at, found, wanted, 1e-6);
    Tensor wanted_gate(DType::kF32, shape), wanted_up(DType::kF32, shape);
    swiglu_backward(plain(), wanted_gate, wanted_up, d.here, a.here, b.here);
    swiglu_backward(at->on, a.there, b.there, d.there, a.there, b.there);
    check_close(*at, a.there, wanted_gate, 1e-6);
    check_close(*at, b.there, wanted_up, 1e-6);
  }
}

TEST_CASE("in bf16 rms_norm and its backward round once, in place and added") {
  const auto at = gpu();
  if (!at) return;
  for (const Shape shape : {Shape{1, 3}, Shape{3, 17}, Shape{65, 1000}, Shape{300, 896}, Shape{3, 8192}}) {
    INFO("shape ", shape.text());
    const Twin x(*at, shape, 1), d_out(*at, shape, 3), before(*at, shape, 4);
    const Tensor weight = random_tensor({shape[1]}, 2), weight_there = at->up(weight);
    Tensor wanted(DType::kF32, shape), rstd(DType::kF32, {shape[0]}), found = x.there.copy(), rstd_there = at->empty({shape[0]});
    rms_norm(plain(), wanted, x.here, weight, 1e-6f, rstd);
    rms_norm(at->on, found, found, weight_there, 1e-6f, rstd_there);
    check_close(*at, found, wanted);
    CHECK(at->difference(rstd_there, rstd) < 2e-6);
    for (const Into into : {Into::kOverwrite, Into::kAdd}) {
      Tensor wanted_x = before.here.copy(), wanted_weight = random_tensor({shape[1]}, 5), d_x = before.there.copy(),
             d_weight = at->up(wanted_weight);
      rms_norm_backward(plain(), {wanted_x, into, wanted_weight}, d_out.here, x.here, weight, rstd);
      rms_norm_backward(at->on, {d_x, into, d_weight}, d_out.there, x.there, weight_there, rstd_there);
      check_close(*at, d_x, wanted_x, 1e-5);
      CHECK(at->difference(d_weight, wanted_weight) < 1e-5);
    }
  }
}

TEST_CASE("in bf16 rope turns both layouts, embed and its backward take rows, gather and scatter move them") {
  const auto at = gpu();
  if (!at) return;
  for (const RopePairs pairs : {RopePairs::kHalves, RopePairs::kNeighbours})
    for (const std::int64_t width : {2, 34, 64, 128}) {
      const Tensor cosine = random_tensor({50, width / 2}, 5), sine = random_tensor({50, width / 2}, 6), cosine_there = at->up(cosine),
                   sine_there = at->up(sine);
      std::vector<std::int32_t> positions;
      for (int i = 0; i < 33; ++i) positions.push_back(i * 7 % 50);
      for (const bool inverse : {false, true}) {
        Twin x(*at, {33, 3, width}, 6);
        rope(plain(), x.here, positions, {cosine, sine, pairs}, inverse);
        rope(at->on, x.there, positions, {cosine_there, sine_there, pairs}, inverse);
        check_close(*at, x.there, x.here, 1e-6);
      }
    }
  const std::int32_t tokens[] = {8, 0, 3, 3, 8}, rows[] = {0, 3, 4};
  for (const std::int64_t width : {300, 512}) {
    const Twin table(*at, {9, width}, 1), few(*at, {3, width}, 2);
    Tensor wanted(DType::kF32, {5, width}), found = poison(*at, {5, width});
    embed(plain(), wanted, tokens, table.here);
    embed(at->on, found, tokens, table.there);
    check_close(*at, found, wanted);
    Tensor d_table = random_tensor({9, width}, 3), d_table_there = at->up(d_table);
    embed_backward(plain(), d_table, tokens, wanted);
    embed_backward(at->on, d_table_there, tokens, found);
    CHECK(at->difference(d_table_there, d_table) < 1e-6);
    Tensor taken(DType::kF32, {3, width}), taken_there = poison(*at, {3, width});
    gather_rows(plain(), taken, wanted, rows);
    gather_rows(at->on, taken_there, found, rows);
    check_close(*at, taken_there, taken);
    scatter_rows(plain(), wanted, few.here, rows);
    scatter_rows(at->on, found, few.there, rows);
    check_close(*at, found, wanted);
  }
}

TEST_CASE("in bf16 dropout lets the very elements fall that the reference does") {
  const auto at = gpu();
  if (!at) return;
  const Dropout dropped{.probability = 0.3f, .seed = 0x123456789abcdef, .step = 7, .layer = 3, .first_row = 2};
  for (const Shape shape : kShapes)
    for (const Into into : {Into::kOverwrite, Into::kAdd}) {
      const Twin x(*at, shape, 1), before(*at, shape, 2);
      Tensor wanted = before.here.copy(), found = before.there.copy();
      reference::dropout(wanted, x.here, dropped, into);
      dropout(at->on, found, x.there, dropped, into);
      check_close(*at, found, wanted, 1e-6);
    }
}

// Sums of up to 700 products in f32; weights that are not bf16 are rounded to it before.
TEST_CASE("in bf16 linear and its backward agree with the reference for every type of weights") {
  const auto at = gpu();
  if (!at) return;
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ4_0, DType::kQ8_0, DType::kQ4_K, DType::kQ6_K})
    for (const Shape size : {Shape{1, 8}, Shape{7, 33}, Shape{130, 700}}) {
      const std::int64_t inputs = is_quantised(type) ? 256 : 88, outputs = size[1];
      const Tensor weight = random_weights(type, {outputs, inputs}, 4), bias = random_tensor({outputs}, 2), weight_there = at->up(weight);
      Tensor wide(DType::kF32, weight.shape());
      reference::dequantize(wide, weight);
      const Tensor used = as_f32(as_bf16(wide));
      const Twin x(*at, {size[0], inputs}, 1), d_out(*at, {size[0], outputs}, 3);
      INFO(dtype_name(type), ", (", size[0], ", ", outputs, ", ", inputs, ")");
      Tensor wanted(DType::kF32, {size[0], outputs}), found = poison(*at, {size[0], outputs});
      const LinearPart part{found, weight_there, {}};
      linear(plain(), wanted, x.here, cuda::are_few_rows(at->on, {&part, 1}, x.there) ? wide : used,
             bias);  // a few rows meet them as they are
      linear(at->on, found, x.there, weight_there, at->up(bias));
      check_close(*at, found, wanted, kStep / 2);  // rounded before and after the bias
      for (const Into into : {Into::kOverwrite, Into::kAdd}) {
        Twin d_x(*at, {size[0], inputs}, 5);
        reference::linear_backward_input(d_x.here, d_out.here, used, into);
        linear_backward_input(at->on, d_x.there, d_out.there, weight_there, into);
        check_close(*at, d_x.there, d_x.here, into == Into::kAdd ? kStep / 2 : 1e-5);  // the product may be rounded before it is added
      }
      Tensor d_weight = random_tensor(weight.shape(), 6), d_bias = random_tensor({outputs}, 7), d_weight_there = at->up(d_weight),
             d_bias_there = at->up(d_bias);
      reference::linear_backward_weight(d_weight, d_out.here, x.here);
      reference::linear_backward_bias(d_bias, d_out.here);
      linear_backward_weight(at->on, d_weight_there, d_out.there, x.there);
      linear_backward_bias(at->on, d_bias_there, d_out.there);
      CHECK(at->difference(d_weight_there, d_weight) < 1e-5);
      CHECK(at->difference(d_bias_there, d_bias) < 1e-5);
    }
}

TEST_CASE("in bf16 Hopper's own sums of products agree with the reference for any rows, and do not change from run to run") {
  const auto at = gpu();
  if (!at || at->context.card().capability_major != 9) return;
  struct Sides {
    std::int64_t rows, columns, depth;
  };
  // The last has more tiles than a card has processors.
  for (const auto& [rows, columns, depth] : {Sides{1, 64, 64}, {129, 320, 448}, {700, 1088, 72}, {4300, 1088, 128}}) {
    INFO(rows, " rows, ", columns, " columns, depth ", depth);
    constexpr std::int64_t kRank = 16;  // less than a stage's depth
    Twin x(*at, {rows, depth}, 1), weight(*at, {depth, columns}, 2), low(*at, {rows, kRank}, 4), pair(*at, {kRank, columns}, 5);
    const auto product = [&](const Twin& a, const Twin& b) {
      Tensor made(DType::kF32, {rows, columns});
      if (rows <= 1000)  // of more the reference would take seconds
        linear_backward_input(plain(), made, a.here, b.here);
      else
        made = product_in_f32(*at, a, b, false);
      return made;
    };
    const Tensor wanted = product(x, weight);
    Tensor two(DType::kF32, {rows, columns}), found = poison(*at, {rows, columns});
    add(plain(), two, wanted, product(low, pair));
    const cuda::HopperFactors factors[] = {{depth, x.there.view().data(), depth, weight.there.view().data(), columns},
                                           {kRank, low.there.view().data(), kRank, pair.there.view().data(), columns}};
    cuda::HopperProduct own{
        .rows = rows, .columns = columns, .factors = std::span(factors, 1), .c = found.view().data(), .c_step = columns};
    cuda::multiply_hopper(at->on, own);
    check_close(*at, found, wanted, 1e-5);
    own.factors = factors;
    cuda::multiply_hopper(at->on, own);
    check_close(*at, found, two, 1e-5);
    const Tensor once = at->context.to_host(found);
    found = poison(*at, {rows, columns});
    own.c = found.view().data();
    cuda::multiply_hopper(at->on, own);
    CHECK(same_bits(at->context.to_host(found), once));
  }
}

TEST_CASE("in bf16 Hopper's own gate and up agree with cuBLASLt's, and end in what SwiGLU makes of them, to the bit") {
  const auto at = gpu();
  if (!at || at->context.card().capability_major != 9) return;
  constexpr std::int64_t kDepth = 128;
  for (const std::int64_t rows : {1, 300, 5000})
    for (const std::int64_t columns : {64, 1088}) {
      const Shape shape{rows, columns};
      INFO(shape.text());
      Twin x(*at, {rows, kDepth}, 1), of_gate(*at, {columns, kDepth}, 2, 0.1f), of_up(*at, {columns, kDepth}, 3, 0.1f);
      const cuda::HopperFactors factors[] = {{kDepth, x.there.view().data(), kDepth, of_gate.there.view().data(), kDepth},
                                             {kDepth, x.there.view().data(), kDepth, of_up.there.view().data(), kDepth}};
      Tensor gate = poison(*at, shape), up = poison(*at, shape), found = poison(*at, shape), wanted = poison(*at, shape);
      cuda::multiply_hopper(at->on, {.rows = rows,
                                     .columns = columns,
                                     .factors = factors,
                                     .c = found.view().data(),
                                     .c_step = columns,
                                     .end = cuda::HopperProduct::End::kGated,
                                     .gate = gate.view().data(),
                                     .up = up.view().data()});
      check_close(*at, gate, product_in_f32(*at, x, of_gate, true), 1e-5);
      check_close(*at, up, product_in_f32(*at, x, of_up, true), 1e-5);
      swiglu(at->on, wanted, gate, up);
      CHECK(same_bits(at->context.to_host(found), at->context.to_host(wanted)));
    }
}

TEST_CASE("in bf16 Hopper's own product ends in gate's and up's gradients, those that SwiGLU's backward makes of its result, to the bit") {
  const auto at = gpu();
  if (!at || at->context.card().capability_major != 9) return;
  constexpr std::int64_t kDepth = 128;
  for (const std::int64_t rows : {1, 300, 5000})  // the last has blocks that take several tiles
    for (const std::int64_t columns : {64, 1088}) {
      const Shape shape{rows, columns};
      INFO(shape.text());
      Twin d_out(*at, {rows, kDepth}, 1), weight(*at, {kDepth, columns}, 2, 0.1f), gate(*at, shape, 3, 3), up(*at, shape, 4);
      Tensor d_product = poison(*at, shape), wanted_gate = gate.there.copy(), wanted_up = up.there.copy(), again_gate = gate.there.copy(),
             again_up = up.there.copy();
      const cuda::HopperFactors factors{kDepth, d_out.there.view().data(), kDepth, weight.there.view().data(), columns};
      cuda::HopperProduct own{.rows = rows, .columns = columns, .factors = {&factors, 1}, .c = d_product.view().data(), .c_step = columns};
      cuda::multiply_hopper(at->on, own);
      swiglu_backward(at->on, wanted_gate, wanted_up, d_product, wanted_gate, wanted_up);
      own.c = nullptr;
      own.end = cuda::HopperProduct::End::kGateGradients;
      for (auto& [of_gate, of_up] : {std::tie(gate.there, up.there), std::tie(again_gate, again_up)}) {  // the same every time
        own.gate = of_gate.view().data();
        own.up = of_up.view().data();
        cuda::multiply_hopper(at->on, own);
        CHECK(same_bits(at->context.to_host(of_gate), at->context.to_host(wanted_gate)));
        CHECK(same_bits(at->context.to_host(of_up), at->context.to_host(wanted_up)));
      }
    }
}

TEST_CASE("in bf16 gate and up with SwiGLU, and what several layers owe to their input, are what the reference makes of them") {
  const auto at = gpu();
  if (!at) return;
  constexpr std::int64_t kNarrow = 40, kOther = 16;
  const Shape shape{5, 200};
  Twin x(*at, {shape[0], kNarrow}, 1), of_gate(*at, {shape[1], kNarrow}, 2, 0.1f), of_up(*at, {shape[1], kNarrow}, 3, 0.1f);
  Tensor out(DType::kF32, shape), gate(DType::kF32, shape), up(DType::kF32, shape);
  Tensor found = poison(*at, shape), found_gate = poison(*at, shape), found_up = poison(*at, shape);
  linear_swiglu(plain(), {out, gate, up, of_gate.here, of_up.here}, x.here);
  linear_swiglu(at->on, {found, found_gate, found_up, of_gate.there, of_up.there}, x.there);
  check_close(*at, found, out, 2 * kStep);
  check_close(*at, found_gate, gate, 1e-5);
  check_close(*at, found_up, up, 1e-5);
  const Twin rounded_gate(*at, shape, 9), rounded_up(*at, shape, 10), d_out(*at, {shape[0], kNarrow}, 11),
      of_next(*at, {kNarrow, shape[1]}, 12, 0.1f);
  gate = rounded_gate.here.copy();
  up = rounded_up.here.copy();
  found_gate = rounded_gate.there.copy();
  found_up = rounded_up.there.copy();
  linear_swiglu_backward(plain(), gate, up, d_out.here, of_next.here, out);
  linear_swiglu_backward(at->on, found_gate, found_up, d_out.there, of_next.there, found);
  check_close(*at, found_gate, gate, kStep);
  check_close(*at, found_up, up, kStep);
  Twin of_down(*at, {kNarrow, shape[1]}, 6, 0.1f), other(*at, {shape[0], kOther}, 7), of_other(*at, {kOther, shape[1]}, 8, 0.1f);
  linear_backward_input(plain(), out, std::array{LinearSlope{x.here, of_down.here}, LinearSlope{other.here, of_other.here}});
  linear_backward_input(at->on, found, std::array{LinearSlope{x.there, of_down.there}, LinearSlope{other.there, of_other.there}});
  check_close(*at, found, out, kStep);
}

// k and v, or gate and up: of up to 128 tokens they are one launch where they lie equally far apart.
TEST_CASE("in bf16 layers of one input are what each is alone, with and without biases, and a product is added where it is asked to be") {
  const auto at = gpu();
  if (!at) return;
  constexpr std::int64_t kInputs = 264, kOutputs = 72;
  for (const std::int64_t tokens : {9, 64, 128, 129})
    for (const bool biased : {false, true}) {
      const Twin x(*at, {tokens, kInputs}, 1), weights(*at, {3 * kOutputs, kInputs}, 2), before(*at, {tokens, kOutputs}, 3);
      const Tensor biases = random_tensor({3, kOutputs}, 4), biases_there = at->up(biases);
      Tensor wanted(DType::kF32, {3 * tokens, kOutputs}), found = poison(*at, wanted.shape());
      const auto parts = [&](View out, ConstView of, ConstView bias) {
        std::vector<LinearPart> made;
        for (const std::int64_t i : {0, 1, 2})
          made.push_back({out.rows(i * tokens, tokens), of.rows(i * kOutputs, kOutputs), biased ? bias.rows(i, 1) : ConstView()});
        return made;
      };
      INFO("tokens ", tokens, ", biased ", biased);
      linear(plain(), parts(wanted, weights.here, biases), x.here);
      linear(at->on, parts(found, weights.there, biases_there), x.there);
      check_close(*at, found, wanted, kStep / 2);
      // Farther apart the second time than the first: not one launch.
      found = poison(*at, wanted.shape());
      std::vector<LinearPart> uneven = parts(found, weights.there, biases_there);
      std::swap(uneven[1].weight, uneven[2].weight);
      std::swap(uneven[1].bias, uneven[2].bias);
      std::swap(uneven[1].out, uneven[2].out);
      linear(at->on, uneven, x.there);
      check_close(*at, found, wanted, kStep / 2);
      Tensor sum = before.here.copy(), sum_there = before.there.copy(), room = poison(*at, sum.shape());
      Tensor room_here(DType::kF32, sum.shape());
      linear_add(plain(), sum, x.here, weights.here.view().rows(0, kOutputs), room_here);
      linear_add(at->on, sum_there, x.there, weights.there.view().rows(0, kOutputs), room);
      check_close(*at, sum_there, sum, kStep);  // the product may be rounded before it is added
    }
}

// Weights are rounded to bf16 where they are not, x is bf16 already: sums of up to 1280 products in f32. Panels, tiles and their parts of
// every size; 2100 outputs of 2048 are 136 chunks, more than there are processors.
TEST_CASE("in bf16 as many rows as sequences are written at a time: products, sums, gate and up agree with the reference for every type") {
  const auto at = gpu();
  if (!at) return;
  for (const DType type : {DType::kBF16, DType::kF16, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kQ4_K,
                           DType::kQ5_K, DType::kQ6_K})
    for (const auto& [outputs, inputs] :
         {std::pair<std::int64_t, std::int64_t>{1, 256}, {161, 1280}, {176, 1280}, {2100, 2048}, {2112, 2048}}) {
      const bool tiles = outputs % kTiledRows == 0;
      if (tiles && !can_be_tiled(ConstView(nullptr, type, {outputs, inputs}))) continue;
      const Tensor weight = random_weights(type, {2 * outputs, inputs}, 4);
      Tensor wide(DType::kF32, weight.shape());
      reference::dequantize(wide, weight);
      const Tensor used = as_f32(as_bf16(wide)), bias = random_tensor({outputs}, 2), bias_there = at->up(bias);
      const ConstView first = used.view().rows(0, outputs), second = used.view().rows(outputs, outputs);
      Tensor first_there(type, {outputs, inputs}, Device::kCuda), second_there(type, {outputs, inputs}, Device::kCuda);
      at->context.copy(first_there, weight.view().rows(0, outputs));
      at->context.copy(second_there, weight.view().rows(outputs, outputs));
      if (tiles) {
        first_there = tiled(first_there);
        second_there = tiled(second_there);
      }
      for (const std::int64_t rows : {9, 33, 64, 130}) {
        if (outputs > 2000 && (rows != 33 || type != DType::kQ8_0)) continue;  // the reference takes its time
        INFO(dtype_name(first_there.type()), ", (", rows, ", ", outputs, ", ", inputs, ")");
        const Twin x(*at, {rows, inputs}, 1), before(*at, {rows, outputs}, 3);
        Tensor wanted(DType::kF32, {rows, outputs}), other(DType::kF32, wanted.shape()), found = poison(*at, wanted.shape()),
                                                                                         found_other = at->empty(wanted.shape());
        const LinearPart parts[] = {{wanted, first, bias}, {other, second, {}}};
        const LinearPart parts_there[] = {{found, first_there, bias_there}, {found_other, second_there, {}}};
        linear(plain(), parts, x.here);
        linear(at->on, parts_there, x.there);
        check_close(*at, found, wanted, kStep);
        check_close(*at, found_other, other, 1e-5);
        Tensor again = poison(*at, wanted.shape());
        linear(at->on, again, x.there, first_there, bias_there);
        CHECK(worst_difference(as_f32(at->context.to_host(again)).floats(), as_f32(at->context.to_host(found)).floats()) < kStep);
        const Tensor norm = random_tensor({inputs}, 7), norm_there = at->up(norm);
        Tensor sum = before.here.copy(), room(DType::kF32, wanted.shape()), sum_there = before.there.copy(),
               room_there = poison(*at, wanted.shape());
        linear_add(plain(), sum, x.here, second, room);
        linear_add(at->on, sum_there, x.there, second_there, room_there);
        check_close(*at, sum_there, sum, kStep);  // where cuBLASLt makes it, the product may be rounded before
        Tensor normed(DType::kF32, x.here.shape()), normed_there = poison(*at, x.here.shape());
        norm_gate_up(plain(), wanted, first, second, {x.here, norm, 1e-5f, normed}, room);
        norm_gate_up(at->on, found, first_there, second_there, {x.there, norm_there, 1e-5f, normed_there}, room_there);
        check_close(*at, found, wanted, 2 * kStep);  // the norm is rounded, and without a kernel for the pair gate and up are too
      }
    }
}

// The pair, what lies between its halves and dropped inputs are rounded too.
TEST_CASE("in bf16 LoRA and its backward agree with the reference within bf16's steps") {
  const auto at = gpu();
  if (!at) return;
  for (const float probability : {0.0f, 0.25f}) {
    const std::int64_t tokens = 70, inputs = 304, outputs = 136, rank = 16;
    const Tensor a = random_tensor({rank, inputs}, 1), b = random_tensor({outputs, rank}, 2), a_there = at->up(a), b_there = at->up(b);
    const Dropout dropped{.probability = probability, .seed = 9, .step = 2, .layer = 4};
    const Twin x(*at, {tokens, inputs}, 3), d_out(*at, {tokens, outputs}, 4);
    Twin out(*at, {tokens, outputs}, 5), d_x(*at, {tokens, inputs}, 6);
    Tensor low(DType::kF32, {tokens, rank}), low_there = poison(*at, {tokens, rank}), d_a = random_tensor(a.shape(), 11),
                                             d_b = random_tensor(b.shape(), 12), d_a_there = at->up(d_a), d_b_there = at->up(d_b);
    const LoraWeights weights{a, b, 1.7f, dropped}, weights_there{a_there, b_there, 1.7f, dropped};
    reference::lora(out.here, low, x.here, weights);
    reference::lora_backward({d_a, d_b, d_x.here}, d_out.here, x.here, low, weights);
    lora(at->on, out.there, low_there, x.there, weights_there);
    lora_backward(at->on, {d_a_there, d_b_there, d_x.there}, d_out.there, x.there, low_there, weights_there);
    check_close(*at, low_there, low, 2 * kStep);
    check_close(*at, out.there, out.here, 2 * kStep);
    check_close(*at, d_x.there, d_x.here, 2 * kStep);
    CHECK(at->difference(d_a_there, d_a) < 2 * kStep);
    CHECK(at->difference(d_b_there, d_b) < 2 * kStep);
  }
}

// As few passes where sides are multiples of 64 and ranks of 8, one product after the other where not (the last sizes).
TEST_CASE("in bf16 pairs of one input and the rotation behind them agree with the reference, and are the same from run to run") {
  const auto at = gpu();
  if (!at) return;
  struct Size {
    std::int64_t tokens, inputs, head_width, queries, keys, rank_q, rank_v;
  };
  for (const Size size : {Size{1, 64, 64, 1, 1, 16, 16},
                          {70, 192, 128, 3, 1, 16, 8},
                          {100, 576, 64, 9, 2, 32, 32},
                          {4100, 64, 64, 3, 1, 16, 16},
                          {4100, 64, 64, 1, 1, 24, 24},
                          {4100, 64, 64, 1, 1, 8, 8},
                          {70, 304, 128, 2, 1, 16, 16},
                          {70, 192, 32, 2, 2, 12, 4}})
    for (const RopePairs pairs : {RopePairs::kHalves, RopePairs::kNeighbours})
      for (const float probability : {0.0f, 0.25f})
        for (const bool is_normed : {false, true}) {
          if (size.tokens > 70 && is_normed != (pairs == RopePairs::kHalves)) continue;  // the reference is slow
          INFO(size.tokens, " tokens of ", size.inputs, ", heads of ", size.head_width, ", ranks ", size.rank_q, " and ", size.rank_v,
               ", halves ", pairs == RopePairs::kHalves, ", dropout ", probability, ", normed ", is_normed);
          const std::int64_t n = size.tokens,
                             widths[] = {size.queries * size.head_width, size.keys * size.head_width, size.keys * size.head_width},
                             ranks[] = {size.rank_q, 0, size.rank_v};
          std::vector<std::int32_t> positions;
          for (std::int64_t i = 0; i < n; ++i) positions.push_back(static_cast<std::int32_t>(i * 31 % 97));
          Tensor cosine(DType::kF32, {97, size.head_width / 2}), sine(DType::kF32, cosine.shape());
          for (std::size_t i = 0; i < cosine.floats().size(); ++i) {
            cosine.floats()[i] = std::cos(0.37f * static_cast<float>(i));
            sine.floats()[i] = std::sin(0.37f * static_cast<float>(i));
          }
          const Tensor cosine_there = at->up(cosine), sine_there = at->up(sine);
          const Turn turn{positions, {cosine, sine, pairs}}, turn_there{positions, {cosine_there, sine_there, pairs}};
          const Twin before_norm(*at, {n, size.inputs}, 1), first_d_x(*at, {n, size.inputs}, 2);
          const Tensor weight = random_tensor({size.inputs}, 3), weight_there = at->up(weight);
          Tensor normed(DType::kF32, {n, size.inputs}), rstd(DType::kF32, {n}), normed_there = poison(*at, normed.shape());
          reference::rms_norm(normed, before_norm.here, weight, 1e-5f, rstd);
          const Tensor rstd_there = at->up(rstd);
          const LoraInput in = is_normed ? LoraInput{before_norm.here, weight, rstd, 1e-5f, normed} : LoraInput{before_norm.here},
                          in_there = is_normed ? LoraInput{before_norm.there, weight_there, rstd_there, 1e-5f, normed_there}
                                               : LoraInput{before_norm.there};
          struct Values {
            Tensor out[3], low[3], d_a[3], d_b[3], d_x;
          };
          std::vector<Tensor> a, b, a_there, b_there;
          std::vector<Twin> out, d_out;
          for (unsigned i = 0; i < 3; ++i) {
            const std::int64_t rank = std::max<std::int64_t>(ranks[i], 1);
            a.push_back(random_tensor({rank, size.inputs}, 10 + i, 0.1f));
            b.push_back(random_tensor({widths[i], rank}, 20 + i, 0.3f));
            a_there.push_back(at->up(a[i]));
            b_there.push_back(at->up(b[i]));
            out.emplace_back(*at, Shape{n, widths[i]}, 30 + i);
            d_out.emplace_back(*at, Shape{n, widths[i]}, 40 + i);
          }
          const auto run = [&](bool there) {
            Values made;
            std::vector<LoraPart> parts;
            std::vector<LoraSlope> slopes;
            for (unsigned i = 0; i < 3; ++i) {
              const Shape shape{n, std::max<std::int64_t>(ranks[i], 1)};
              made.out[i] = (there ? out[i].there : out[i].here).copy();
              made.low[i] = there ? poison(*at, shape) : Tensor(DType::kF32, shape);
              made.d_a[i] = random_tensor(a[i].shape(), 50 + i);
              made.d_b[i] = random_tensor(b[i].shape(), 60 + i);
              if (there) made.d_a[i] = at->up(made.d_a[i]);
              if (there) made.d_b[i] = at->up(made.d_b[i]);
              LoraWeights weights;
              if (ranks[i] > 0)
                weights = {there ? a_there[i] : a[i],
                           there ? b_there[i] : b[i],
                           0.7f,
                           {.probability = probability, .seed = 9, .step = 2, .layer = i}};
              const std::int64_t head_width = i < 2 ? size.head_width : 0;
              parts.push_back({made.out[i], made.low[i], weights, head_width});
              slopes.push_back({made.d_a[i], made.d_b[i], there ? d_out[i].there : d_out[i].here, made.low[i], weights});
            }
            made.d_x = (there ? first_d_x.there : first_d_x.here).copy();
            const Backend on = there ? at->on : plain();
            const LoraInput& input = there ? in_there : in;
            if (is_normed && there) rms_norm(on, normed_there, before_norm.there, weight_there, 1e-5f);
            lora(on, parts, is_normed ? ConstView(input.normed) : input.x, there ? turn_there : turn);
            lora_backward(on, slopes, made.d_x, input);
            return made;
          };
          const Values wanted = run(false), found = run(true), again = run(true);
          const auto same = [&](const Tensor& one, const Tensor& other) {
            const Tensor x = at->context.to_host(one), y = at->context.to_host(other);
            return std::memcmp(x.view().data(), y.view().data(), static_cast<std::size_t>(x.view().bytes())) == 0;
          };
          for (unsigned i = 0; i < 3; ++i) {
            check_close(*at, found.out[i], wanted.out[i], 2 * kStep);
            CHECK(same(found.out[i], again.out[i]));
            if (ranks[i] == 0) continue;
            check_close(*at, found.low[i], wanted.low[i], 2 * kStep);
            CHECK(at->difference(found.d_a[i], wanted.d_a[i]) < 2 * kStep);
            CHECK(at->difference(found.d_b[i], wanted.d_b[i]) < 2 * kStep);
            CHECK(same(found.d_a[i], again.d_a[i]));
            CHECK(same(found.d_b[i], again.d_b[i]));
          }
          check_close(*at, found.d_x, wanted.d_x, 2 * kStep);
          CHECK(same(found.d_x, again.d_x));
        }
}

TEST_CASE("in bf16 the head's loss is f32's, and its gradients are within bf16's steps, in one chunk or many") {
  const auto at = gpu();
  if (!at) return;
  for (const DType type : {DType::kF32, DType::kBF16, DType::kQ6_K})
    for (const auto& [tokens, vocabulary] : {std::pair{1, 2}, {5, 37}, {50, 1300}, {9, 9001}})
      for (const std::int64_t rows : {1, 20, 1000}) {
        if (type != DType::kBF16 && std::min<std::int64_t>(rows, tokens) <= 8) continue;  // few rows meet weights that are not rounded
        const Twin hidden(*at, {tokens, 256}, 1, 0.05f);
        const Tensor weight = random_weights(type, {vocabulary, 256}, 2), weight_there = at->up(weight);
        Tensor wide(DType::kF32, weight.shape());
        reference::dequantize(wide, weight);
        const Tensor used = as_f32(as_bf16(wide));
        std::vector<std::int32_t> targets;
        for (std::int64_t i = 0; i < tokens; ++i) targets.push_back(static_cast<std::int32_t>(i * 7919 % vocabulary));
        const Tensor before = random_tensor({vocabulary, 256}, 3, 0.01f);
        Tensor wanted_hidden(DType::kF32, hidden.here.shape()), wanted_weight = before.copy();
        Tensor d_hidden = hidden.there.copy(), d_weight = at->up(wanted_weight);
        const HeadLoss wanted = reference::head_loss({wanted_hidden, wanted_weight}, hidden.here, used, targets, 0.25f);
        const HeadLoss found = head_loss(at->on, {d_hidden, d_weight}, d_hidden, weight_there, targets,
                                         {.scale = 0.25f, .logit_bytes = rows * vocabulary * 4});
        INFO(dtype_name(type), ", vocabulary ", vocabulary, ", rows ", rows);
        CHECK(found.loss == doctest::Approx(wanted.loss).epsilon(1e-5));
        CHECK(found.entropy == doctest::Approx(wanted.entropy).epsilon(1e-5));
        CHECK(found.correct == wanted.correct);
        check_close(*at, d_hidden, wanted_hidden, kStep);
        CHECK(at->difference(d_weight, wanted_weight) < kStep);
        Tensor alone = wanted_weight.copy(), alone_there = at->up(random_tensor(alone.shape(), 4, 1e6f));  // what was there is not added to
        for (std::size_t i = 0; i < alone.floats().size(); ++i) alone.floats()[i] -= before.floats()[i];
        head_loss(at->on, {.d_weight = alone_there, .into = Into::kOverwrite}, hidden.there, weight_there, targets,
                  {.scale = 0.25f, .logit_bytes = rows * vocabulary * 4});
        CHECK(at->difference(alone_there, alone) < 2 * kStep);
        const HeadLoss measured = head_loss(at->on, {}, hidden.there, weight_there, targets);
        CHECK(measured.loss == doctest::Approx(found.loss).epsilon(1e-6));
      }
}

// Weights are rounded to bf16 before they meet values, and in backward slopes too: a few steps of the largest element.
TEST_CASE("in bf16 attention and its backward agree with the reference, and a sequence does not care what it is packed with") {
  const auto at = gpu();
  if (!at) return;
  struct Heads {
    std::int64_t queries, keys, width;
  };
  const std::int32_t bounds[] = {2, 3, 10, 10, 74, 311, 441}, alone[] = {10, 74};
  for (const Heads heads : {Heads{4, 2, 16}, Heads{2, 2, 32}, Heads{14, 2, 64}, Heads{4, 1, 128}, Heads{3, 3, 128}, Heads{2, 1, 40}})
    for (const bool causal : {true, false}) {
      const AttentionOptions options{causal, 0.3f};
      const Shape queries{443, heads.queries, heads.width}, keys{443, heads.keys, heads.width}, sums{443, heads.queries};
      const Twin q(*at, queries, 1), k(*at, keys, 2), v(*at, keys, 3), d_out(*at, queries, 4);
      Twin out(*at, queries, 5), d_q(*at, queries, 7), d_k(*at, keys, 8), d_v(*at, keys, 9);
      Tensor logsumexp = random_tensor(sums, 6), logsumexp_there = at->up(logsumexp);
      reference::attention(out.here, q.here, k.here, v.here, bounds, options, logsumexp);
      attention(at->on, out.there, q.there, k.there, v.there, bounds, options, logsumexp_there);
      INFO("heads ", heads.queries, ", width ", heads.width, ", causal ", causal);
      check_close(*at, out.there, out.here, 2 * kStep);
      CHECK(at->difference(logsumexp_there, logsumexp) < 1e-4);
      reference::attention_backward({d_q.here, d_k.here, d_v.here}, d_out.here, {q.here, k.here, v.here, out.here, logsumexp}, bounds,
                                    options);
      const AttentionForward forward{q.there, k.there, v.there, out.there, logsumexp_there};
      attention_backward(at->on, {d_q.there, d_k.there, d_v.there}, d_out.there, forward, bounds, options);
      check_close(*at, d_q.there, d_q.here, 3 * kStep);
      check_close(*at, d_k.there, d_k.here, 3 * kStep);
      check_close(*at, d_v.there, d_v.here, 3 * kStep);
      Tensor q_alone = poison(*at, queries), k_alone = poison(*at, keys), v_alone = poison(*at, keys);
      attention_backward(at->on, {q_alone, k_alone, v_alone}, d_out.there, forward, alone, options);
      for (const auto& [one, other] : {std::pair(&d_q.there, &q_alone), {&d_k.there, &k_alone}, {&d_v.there, &v_alone}}) {
        const Tensor a = as_f32(at->context.to_host(*one)), b = as_f32(at->context.to_host(*other));
        CHECK(worst_difference(b.view().rows(10, 64).floats(), a.view().rows(10, 64).floats()) == 0);
      }
    }
}
