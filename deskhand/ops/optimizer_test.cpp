#include "deskhand/ops/optimizer.h"

#include <doctest/doctest.h>

#include <limits>

#include "deskhand/ops/testing.h"

using namespace deskhand;
using namespace deskhand::testing;

// Tolerance: an f32 step of up to ten roundings.
TEST_CASE("AdamW agrees with the reference over five steps, whatever the threads") {
  for (const std::int64_t count : {1, 37, 40001}) {
    const Tensor start = random_tensor({count}, 1);
    Tensor wanted = start.copy(), wanted_m(DType::kF32, {count}), wanted_v(DType::kF32, {count});
    const auto settings = [](std::int64_t step) {
      return AdamW{.learning_rate = 1e-2 / static_cast<double>(step), .weight_decay = 0.1, .step = step, .gradient_scale = 0.7};
    };
    for (std::int64_t step = 1; step <= 5; ++step)
      reference::adamw(wanted, {wanted_m, wanted_v}, random_tensor({count}, static_cast<unsigned>(step) + 10), settings(step));
    for (const CpuFeatures& cpu : feature_levels()) {
      Tensor first;
      for (const int threads : {1, 3}) {
        Machine machine(threads, cpu);
        Tensor weights = start.copy(), m(DType::kF32, {count}), v(DType::kF32, {count});
        for (std::int64_t step = 1; step <= 5; ++step)
          adamw(machine.on, weights, {m, v}, random_tensor({count}, static_cast<unsigned>(step) + 10), settings(step));
        CHECK(worst_difference(weights.floats(), wanted.floats()) < 1e-6);
        CHECK(worst_difference(m.floats(), wanted_m.floats()) < 1e-6);
        CHECK(worst_difference(v.floats(), wanted_v.floats()) < 1e-6);
        if (first.empty()) first = weights.copy();
        CHECK(worst_difference(weights.floats(), first.floats()) == 0);
      }
    }
  }
}

TEST_CASE("AdamW of several parts is AdamW of each, with its own rate and decay") {
  Machine machine(2);
  const AdamW settings{.learning_rate = 1e-2, .weight_decay = 0.1};
  Tensor together = random_tensor({50}, 1), alone = together.copy();
  Tensor state(DType::kF32, {4, 50});
  const auto of = [&](std::int64_t row, std::int64_t first, std::int64_t count) {
    return state.view().rows(row, 1).reshaped({50}).rows(first, count);
  };
  const Tensor gradient = random_tensor({50}, 2);
  Tensor rounded(DType::kBF16, {20});
  const AdamWPart parts[] = {
      {together.view().rows(0, 20), {of(0, 0, 20), of(1, 0, 20)}, gradient.view().rows(0, 20), 3, true, rounded},
      {together.view().rows(20, 30), {of(0, 20, 30), of(1, 20, 30)}, gradient.view().rows(20, 30), 1, false},
  };
  adamw(machine.on, parts, settings);
  adamw(machine.on, alone.view().rows(0, 20), {of(2, 0, 20), of(3, 0, 20)}, gradient.view().rows(0, 20),
        {.learning_rate = 3e-2, .weight_decay = 0.1});
  adamw(machine.on, alone.view().rows(20, 30), {of(2, 20, 30), of(3, 20, 30)}, gradient.view().rows(20, 30), {.learning_rate = 1e-2});
  CHECK(worst_difference(together.floats(), alone.floats()) == 0);
  for (std::size_t i = 0; i < 20; ++i) CHECK(rounded.view().as<std::uint16_t>()[i] == to_bf16(alone.floats()[i]));
}

TEST_CASE("the gradients' norm is exact to double, the same whatever the threads, and counts what is not finite") {
  for (const std::int64_t count : {0, 1, 33, 65536, 200001}) {
    Tensor gradient = random_tensor({count}, 3);
    const GradientNorm wanted = reference::gradient_norm(gradient);
    for (const CpuFeatures& cpu : feature_levels()) {
      Machine machine(3, cpu), alone(1, cpu);
      const GradientNorm found = gradient_norm(machine.on, gradient);
      CHECK(found.norm == doctest::Approx(wanted.norm).epsilon(1e-12));
      CHECK(found.norm == gradient_norm(alone.on, gradient).norm);
      CHECK(found.not_finite == 0);
    }
    if (count < 10) continue;
    gradient.floats()[3] = std::numeric_limits<float>::quiet_NaN();
    gradient.floats()[count - 1] = std::numeric_limits<float>::infinity();
    Machine machine(2);
    CHECK(gradient_norm(machine.on, gradient).not_finite == 2);
    CHECK(reference::gradient_norm(gradient).not_finite == 2);
    CHECK_FALSE(std::isfinite(gradient_norm(machine.on, gradient).norm));
  }
}

TEST_CASE("the largest finite gradients are not taken for infinite ones") {
  Tensor gradient(DType::kF32, {100});
  std::fill(gradient.floats().begin(), gradient.floats().end(), std::numeric_limits<float>::max());
  Machine machine(1);
  CHECK(gradient_norm(machine.on, gradient).not_finite == 0);
  CHECK(gradient_norm(machine.on, gradient).norm == doctest::Approx(10.0 * std::numeric_limits<float>::max()));
}

TEST_CASE("gradients shorter than the limit are left as they are, longer ones are cut to just below it") {
  CHECK(clip_scale(0.5, 1) == 1);
  CHECK(clip_scale(0, 1) == 1);
  CHECK(clip_scale(4, 1) == doctest::Approx(1 / 4.000001));
}
