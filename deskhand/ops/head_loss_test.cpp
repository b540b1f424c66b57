#include "deskhand/ops/head_loss.h"

#include <doctest/doctest.h>

#include <limits>

#include "deskhand/ops/testing.h"

using namespace deskhand;
using namespace deskhand::testing;

namespace {

std::vector<std::int32_t> some_targets(std::int64_t tokens, std::int64_t vocabulary) {
  std::vector<std::int32_t> targets;
  for (std::int64_t i = 0; i < tokens; ++i) targets.push_back(static_cast<std::int32_t>(i * 7919 % vocabulary));
  return targets;
}

}  // namespace

// Tolerance: f32 logits of up to 256 products and an exponential good to 2e-7.
TEST_CASE("the head's loss and gradients agree with the reference for every type of head, in one chunk or many, whatever the threads") {
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ6_K})
    for (const auto& [tokens, vocabulary] : {std::pair{1, 2}, {5, 37}, {50, 1300}}) {
      const std::int64_t width = is_quantised(type) ? 256 : 45;
      const Tensor hidden = random_tensor({tokens, width}, 1, is_quantised(type) ? 0.01f : 0.2f),
                   weight = random_weights(type, {vocabulary, width}, 2);
      const std::vector<std::int32_t> targets = some_targets(tokens, vocabulary);
      const Tensor before = random_tensor({vocabulary, width}, 3, 0.1f);
      Tensor wanted_hidden(DType::kF32, hidden.shape()), wanted_weight = before.copy();
      const HeadLoss wanted = reference::head_loss({wanted_hidden, wanted_weight}, hidden, weight, targets, 0.25f);
      Tensor wanted_alone = random_tensor({vocabulary, width}, 4, 1e6f);
      Backend plain;
      plain.kind = Backend::Kind::kReference;
      head_loss(plain, {.d_weight = wanted_alone, .into = Into::kOverwrite}, hidden, weight, targets, {.scale = 0.25f});
      Tensor added = wanted_weight.copy();
      for (std::size_t i = 0; i < before.floats().size(); ++i) added.floats()[i] -= before.floats()[i];
      CHECK(worst_difference(added.floats(), wanted_alone.floats()) < 1e-4);
      for (const CpuFeatures& cpu : feature_levels()) {
        for (const std::int64_t rows : {1, 20, 1000}) {
          Tensor first;
          for (const int threads : {1, 3}) {
            Machine machine(threads, cpu);
            machine.on.compute = Compute::kF32;
            Tensor d_hidden = hidden.copy(), d_weight = before.copy();
            const HeadLoss found = head_loss(machine.on, {d_hidden, d_weight}, d_hidden, weight, targets,
                                             {.scale = 0.25f, .logit_bytes = rows * vocabulary * 4});
            INFO(cpu.text(), ", ", dtype_name(type), ", vocabulary ", vocabulary, ", rows ", rows);
            CHECK(found.loss == doctest::Approx(wanted.loss).epsilon(1e-5));
            CHECK(found.entropy == doctest::Approx(wanted.entropy).epsilon(1e-5));
            CHECK(found.correct == wanted.correct);
            CHECK(worst_difference(d_hidden.floats(), wanted_hidden.floats()) < 1e-5);
            CHECK(worst_difference(d_weight.floats(), wanted_weight.floats()) < 1e-5);
            if (first.empty()) first = d_weight.copy();
            CHECK(worst_difference(d_weight.floats(), first.floats()) == 0);
            CHECK(head_loss(machine.on, {}, hidden, weight, targets, {.logit_bytes = rows * vocabulary * 4}).loss == found.loss);
            Tensor alone = random_tensor({vocabulary, width}, 4, 1e6f);
            head_loss(machine.on, {.d_weight = alone, .into = Into::kOverwrite}, hidden, weight, targets,
                      {.scale = 0.25f, .logit_bytes = rows * vocabulary * 4});
            CHECK(worst_difference(alone.floats(), wanted_alone.floats()) < 1e-5);
          }
        }
      }
    }
}

TEST_CASE("cross entropy over a large vocabulary is good to seven digits, and its gradients of a row add up to nothing") {
  Machine machine(2);
  Tensor logits = random_tensor({3, 151937}, 1, 3), wanted = logits.copy();
  const std::int32_t targets[] = {0, 151936, 77};
  const HeadLoss expected = reference::cross_entropy(wanted, targets, 1), found = cross_entropy(machine.on, logits, targets, 1);
  CHECK(found.loss == doctest::Approx(expected.loss).epsilon(1e-7));
  CHECK(found.entropy == doctest::Approx(expected.entropy).epsilon(1e-7));
  CHECK(worst_difference(logits.floats(), wanted.floats()) < 1e-6);
  for (std::int64_t row = 0; row < 3; ++row) {
    double sum = 0;
    for (const float value : logits.view().rows(row, 1).floats()) sum += value;
    CHECK(std::abs(sum) < 1e-6);
  }
}

TEST_CASE("of equally large logits the first is the prediction; huge ones overflow nothing, a NaN is not hidden") {
  Machine machine(1);
  Tensor logits(DType::kF32, {3, 4});
  const float values[] = {5, 5, 1, 0, 5, 5, 1, 0, 3e38f, -3e38f, 0, 0};
  std::copy(std::begin(values), std::end(values), logits.floats().begin());
  const std::int32_t targets[] = {0, 1, 0};
  const HeadLoss found = cross_entropy(machine.on, logits, targets, 1);
  CHECK(found.correct == 2);
  CHECK(std::isfinite(found.loss));
  CHECK(std::isfinite(found.entropy));
  logits.floats()[2] = std::numeric_limits<float>::quiet_NaN();
  CHECK(std::isnan(cross_entropy(machine.on, logits, targets, 1).loss));
}

TEST_CASE("a token that weighs twice is two tokens, one that weighs nothing is none") {
  const Tensor hidden = random_tensor({4, 45}, 1, 0.2f), weight = random_weights(DType::kF32, {37, 45}, 2);
  const std::int32_t targets[] = {3, 36, 0, 3};
  const float weights[] = {2, 0, 1, 1};
  Tensor repeated(DType::kF32, {4, 45});  // the first one twice, then the last two
  const std::int64_t order[] = {0, 0, 2, 3};
  const std::int32_t of_repeated[] = {3, 3, 0, 3};
  for (std::int64_t row = 0; row < 4; ++row) {
    const auto from = hidden.view().rows(order[row], 1).floats();
    std::copy(from.begin(), from.end(), repeated.view().rows(row, 1).floats().begin());
  }
  Tensor wanted_hidden(DType::kF32, {4, 45}), wanted(DType::kF32, {37, 45});
  const HeadLoss expected = reference::head_loss({wanted_hidden, wanted}, repeated, weight, of_repeated, 0.25f);
  for (const std::int64_t rows : {1, 3, 1000}) {
    Machine machine(2);
    machine.on.compute = Compute::kF32;
    Tensor d_hidden(DType::kF32, {4, 45}), d_weight(DType::kF32, {37, 45});
    const HeadLoss found = head_loss(machine.on, {d_hidden, d_weight}, hidden, weight, targets,
                                     {.scale = 0.25f, .weights = weights, .logit_bytes = rows * 37 * 4});
    CHECK(found.loss == doctest::Approx(expected.loss).epsilon(1e-5));
    CHECK(worst_difference(d_weight.floats(), wanted.floats()) < 1e-5);
    for (const float value : d_hidden.view().rows(1, 1).floats()) CHECK(value == 0);
  }
  Tensor logits = random_tensor({4, 37}, 3), wanted_logits = logits.copy();
  Machine machine(1);
  CHECK(cross_entropy(machine.on, logits, targets, 1, weights).loss ==
        doctest::Approx(reference::cross_entropy(wanted_logits, targets, 1, weights).loss).epsilon(1e-6));
  CHECK(worst_difference(logits.floats(), wanted_logits.floats()) < 1e-6);
}

TEST_CASE("no target tokens, no loss; a target outside the vocabulary is refused") {
  Machine machine(1);
  const Tensor weight = random_tensor({5, 4}, 1), none(DType::kF32, {0, 4}), one = random_tensor({1, 4}, 2);
  CHECK(head_loss(machine.on, {}, none, weight, {}).loss == 0);
  const std::int32_t beyond[] = {5};
  CHECK_THROWS_AS(head_loss(machine.on, {}, one, weight, beyond), AssertionError);
}

TEST_CASE("the head's gradients are the slope of its loss") {
  Tensor hidden = random_tensor({3, 5}, 1), weight = random_tensor({7, 5}, 2);
  const std::int32_t targets[] = {6, 0, 3};
  const auto loss = [&] { return reference::head_loss({}, hidden, weight, targets, 1).loss / 3; };
  Machine machine(2);
  Tensor d_hidden(DType::kF32, hidden.shape()), d_weight(DType::kF32, weight.shape());
  head_loss(machine.on, {d_hidden, d_weight}, hidden, weight, targets, {.scale = 1.0f / 3});
  CHECK(worst_difference(slopes(hidden, loss).floats(), d_hidden.floats()) < 1e-3);
  CHECK(worst_difference(slopes(weight, loss).floats(), d_weight.floats()) < 1e-3);
}
