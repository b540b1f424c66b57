// Backward of the ops that go through a tensor element by element or row by row: against the reference, and against slopes.
#include <doctest/doctest.h>

#include "deskhand/ops/embed.h"
#include "deskhand/ops/rms_norm.h"
#include "deskhand/ops/rope.h"
#include "deskhand/ops/swiglu.h"
#include "deskhand/ops/testing.h"

using namespace deskhand;
using namespace deskhand::testing;

namespace {

const Shape kShapes[] = {{1, 3}, {3, 17}, {2, 384}, {65, 1000}};

Backend plain() {
  Backend on;
  on.kind = Backend::Kind::kReference;
  return on;
}

}  // namespace

// Tolerances: a few roundings and an exponential good to 2e-7.
TEST_CASE("swiglu backward agrees with the reference, far from zero too, and may write over what it reads") {
  for (const Shape shape : kShapes) {
    const Tensor gate = random_tensor(shape, 1, 30), up = random_tensor(shape, 2), d_out = random_tensor(shape, 3);
    Tensor wanted_gate(DType::kF32, shape), wanted_up(DType::kF32, shape);
    swiglu_backward(plain(), wanted_gate, wanted_up, d_out, gate, up);
    for (const CpuFeatures& cpu : feature_levels())
      for (const int threads : {1, 3}) {
        Machine machine(threads, cpu);
        Tensor d_gate = gate.copy(), d_up = up.copy();
        swiglu_backward(machine.on, d_gate, d_up, d_out, d_gate, d_up);
        INFO(cpu.text(), ", shape ", shape.text());
        CHECK(worst_difference(d_gate.floats(), wanted_gate.floats()) < 1e-6);
        CHECK(worst_difference(d_up.floats(), wanted_up.floats()) < 1e-6);
      }
  }
}

TEST_CASE("rms_norm backward agrees with the reference, adds where it is told to, and does not depend on threads") {
  for (const Shape shape : kShapes)
    for (const Into into : {Into::kOverwrite, Into::kAdd}) {
      const Tensor x = random_tensor(shape, 1), weight = random_tensor({shape[1]}, 2), d_out = random_tensor(shape, 3);
      const Tensor before = random_tensor(shape, 4), weight_before = random_tensor({shape[1]}, 5);
      Tensor out(DType::kF32, shape), rstd(DType::kF32, {shape[0]});
      rms_norm(plain(), out, x, weight, 1e-6f, rstd);
      const auto run = [&](const Backend& on, Tensor& d_x, Tensor& d_weight) {
        d_x = before.copy();
        d_weight = weight_before.copy();
        rms_norm_backward(on, {.d_x = d_x, .into = into, .d_weight = d_weight}, d_out, x, weight, rstd);
      };
      Tensor wanted, wanted_weight;
      run(plain(), wanted, wanted_weight);
      for (const CpuFeatures& cpu : feature_levels()) {
        Machine machine(3, cpu), alone(1, cpu);
        Tensor d_x, d_weight, d_x_alone, d_weight_alone;
        run(machine.on, d_x, d_weight);
        run(alone.on, d_x_alone, d_weight_alone);
        INFO(cpu.text(), ", shape ", shape.text());
        CHECK(worst_difference(d_x.floats(), wanted.floats()) < 3e-6);
        CHECK(worst_difference(d_weight.floats(), wanted_weight.floats()) < 3e-6);
        CHECK(worst_difference(d_x.floats(), d_x_alone.floats()) == 0);
        CHECK(worst_difference(d_weight.floats(), d_weight_alone.floats()) == 0);
        if (into == Into::kOverwrite) {
          Tensor in_place = d_out.copy();
          rms_norm_backward(machine.on, {.d_x = in_place}, in_place, x, weight, rstd);
          CHECK(worst_difference(in_place.floats(), d_x.floats()) == 0);
        }
      }
    }
}

TEST_CASE("embed backward adds a token's rows in their order and touches no other") {
  const Tensor d_out = random_tensor({5, 300}, 1), before = random_tensor({9, 300}, 2);
  const std::int32_t tokens[] = {8, 0, 3, 3, 8};
  Tensor wanted = before.copy();
  embed_backward(plain(), wanted, tokens, d_out);
  for (const int threads : {1, 3}) {
    Machine machine(threads);
    Tensor table = before.copy();
    embed_backward(machine.on, table, tokens, d_out);
    CHECK(worst_difference(table.floats(), wanted.floats()) == 0);
    CHECK(worst_difference(table.view().rows(4, 4).floats(), before.view().rows(4, 4).floats()) == 0);
  }
  Machine machine(1);
  const std::int32_t beyond[] = {9, 0, 0, 0, 0};
  CHECK_THROWS_AS(embed_backward(machine.on, wanted, beyond, d_out), AssertionError);
}

TEST_CASE("swiglu backward is the slope of swiglu forward") {
  Tensor gate = random_tensor({2, 5}, 1), up = random_tensor({2, 5}, 2), out(DType::kF32, {2, 5});
  const Tensor d_out = random_tensor({2, 5}, 3);
  const auto loss = [&] {
    swiglu(plain(), out, gate, up);
    return inner_product(out.floats(), d_out.floats());
  };
  Machine machine(1);
  Tensor d_gate(DType::kF32, {2, 5}), d_up(DType::kF32, {2, 5});
  swiglu_backward(machine.on, d_gate, d_up, d_out, gate, up);
  CHECK(worst_difference(slopes(gate, loss).floats(), d_gate.floats()) < 1e-3);
  CHECK(worst_difference(slopes(up, loss).floats(), d_up.floats()) < 1e-3);
}

TEST_CASE("rms_norm backward is the slope of rms_norm forward") {
  Tensor x = random_tensor({2, 7}, 1), weight = random_tensor({7}, 2), out(DType::kF32, {2, 7}), rstd(DType::kF32, {2});
  const Tensor d_out = random_tensor({2, 7}, 3);
  const auto loss = [&] {
    rms_norm(plain(), out, x, weight, 1e-3f, rstd);
    return inner_product(out.floats(), d_out.floats());
  };
  Machine machine(1);
  Tensor d_x(DType::kF32, {2, 7}), d_weight(DType::kF32, {7});
  loss();
  rms_norm_backward(machine.on, {.d_x = d_x, .d_weight = d_weight}, d_out, x, weight, rstd);
  CHECK(worst_difference(slopes(x, loss).floats(), d_x.floats()) < 1e-3);
  CHECK(worst_difference(slopes(weight, loss).floats(), d_weight.floats()) < 1e-3);
}

TEST_CASE("rope turned back is the slope of rope") {
  for (const RopePairs pairs : {RopePairs::kHalves, RopePairs::kNeighbours}) {
    Tensor x = random_tensor({3, 2, 6}, 1), cosine(DType::kF32, {4, 3}), sine(DType::kF32, {4, 3});
    for (std::size_t i = 0; i < 12; ++i) {
      cosine.floats()[i] = std::cos(static_cast<float>(i));
      sine.floats()[i] = std::sin(static_cast<float>(i));
    }
    const std::int32_t positions[] = {0, 3, 1};
    const Tensor d_out = random_tensor(x.shape(), 3);
    const auto loss = [&] {
      Tensor turned = x.copy();
      rope(plain(), turned, positions, {cosine, sine, pairs});
      return inner_product(turned.floats(), d_out.floats());
    };
    Machine machine(1);
    Tensor d_x = d_out.copy();
    rope(machine.on, d_x, positions, {cosine, sine, pairs}, true);
    CHECK(worst_difference(slopes(x, loss).floats(), d_x.floats()) < 1e-3);
  }
}
