// Every gradient against PyTorch's (tools/save_golden_ops_backward.py), on every set of kernels.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "deskhand/ops/attention.h"
#include "deskhand/ops/embed.h"
#include "deskhand/ops/head_loss.h"
#include "deskhand/ops/linear.h"
#include "deskhand/ops/lora.h"
#include "deskhand/ops/optimizer.h"
#include "deskhand/ops/rms_norm.h"
#include "deskhand/ops/rope.h"
#include "deskhand/ops/swiglu.h"
#include "deskhand/ops/testing.h"

using namespace deskhand;
using namespace deskhand::testing;

namespace {

constexpr double kTolerance = 1e-5;  // of the largest: inputs are f32, a few dozen products are added in f32

class Golden {
 public:
  Golden() {
    std::ifstream file(std::filesystem::path(DESKHAND_SOURCE_DIR) / "tests/golden/ops/backward.bin", std::ios::binary);
    char name[32];
    std::int64_t count = 0;
    while (file.read(name, sizeof name) && file.read(reinterpret_cast<char*>(&count), sizeof count)) {
      auto& values = entries_[std::string(name, strnlen(name, sizeof name))];
      values.resize(static_cast<std::size_t>(count));
      file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(count) * 4);
    }
    REQUIRE_FALSE(entries_.empty());
  }

  Tensor tensor(const std::string& name, Shape shape) const {
    Tensor made(DType::kF32, shape);
    const auto& values = entries_.at(name);
    REQUIRE(values.size() == made.floats().size());
    std::copy(values.begin(), values.end(), made.floats().begin());
    return made;
  }
  double difference(const Tensor& found, const std::string& name) const { return worst_difference(found.floats(), entries_.at(name)); }

 private:
  std::map<std::string, std::vector<float>> entries_;
};

template <class Check>
void on_every_machine(Check&& check) {
  for (const CpuFeatures& cpu : feature_levels()) {
    Machine machine(2, cpu);
    INFO(cpu.text());
    check(machine.on);
  }
}

}  // namespace

TEST_CASE("gradients of norm, gate, rotation and embedding are PyTorch's") {
  const Golden golden;
  on_every_machine([&](const Backend& on) {
    const Tensor x = golden.tensor("rms_norm.x", {5, 24}), weight = golden.tensor("rms_norm.weight", {24});
    Tensor out(DType::kF32, {5, 24}), rstd(DType::kF32, {5}), d_x(DType::kF32, {5, 24}), d_weight(DType::kF32, {24});
    rms_norm(on, out, x, weight, 1e-5f, rstd);
    rms_norm_backward(on, {.d_x = d_x, .d_weight = d_weight}, golden.tensor("rms_norm.d_out", {5, 24}), x, weight, rstd);
    CHECK(golden.difference(out, "rms_norm.out") < kTolerance);
    CHECK(golden.difference(d_x, "rms_norm.d_x") < kTolerance);
    CHECK(golden.difference(d_weight, "rms_norm.d_weight") < kTolerance);

    const Shape gates{5, 17};
    Tensor d_gate(DType::kF32, gates), d_up(DType::kF32, gates);
    swiglu_backward(on, d_gate, d_up, golden.tensor("swiglu.d_out", gates), golden.tensor("swiglu.gate", gates),
                    golden.tensor("swiglu.up", gates));
    CHECK(golden.difference(d_gate, "swiglu.d_gate") < kTolerance);
    CHECK(golden.difference(d_up, "swiglu.d_up") < kTolerance);

    Tensor turned = golden.tensor("rope.d_out", {4, 2, 8});
    const Tensor cosine = golden.tensor("rope.cosine", {4, 4}), sine = golden.tensor("rope.sine", {4, 4});
    const std::int32_t positions[] = {0, 1, 2, 3};
    rope(on, turned, positions, {cosine, sine, RopePairs::kHalves}, true);
    CHECK(golden.difference(turned, "rope.d_x") < kTolerance);

    Tensor d_table(DType::kF32, {11, 6});
    const std::int32_t tokens[] = {10, 3, 3, 0, 10};
    embed_backward(on, d_table, tokens, golden.tensor("embed.d_out", {5, 6}));
    CHECK(golden.difference(d_table, "embed.d_table") < kTolerance);
  });
}

TEST_CASE("gradients of packed causal attention with shared keys are PyTorch's") {
  const Golden golden;
  on_every_machine([&](const Backend& on) {
    const Shape queries{12, 4, 8}, keys{12, 2, 8};
    const Tensor q = golden.tensor("attention.q", queries), k = golden.tensor("attention.k", keys), v = golden.tensor("attention.v", keys);
    Tensor out(DType::kF32, queries), logsumexp(DType::kF32, {12, 4});
    const std::int32_t bounds[] = {0, 5, 12};
    attention(on, out, q, k, v, bounds, {}, logsumexp);
    CHECK(golden.difference(out, "attention.out") < kTolerance);
    CHECK(golden.difference(logsumexp, "attention.logsumexp") < kTolerance);
    Tensor d_q(DType::kF32, queries), d_k(DType::kF32, keys), d_v(DType::kF32, keys);
    attention_backward(on, {d_q, d_k, d_v}, golden.tensor("attention.d_out", queries), {q, k, v, out, logsumexp}, bounds);
    CHECK(golden.difference(d_q, "attention.d_q") < kTolerance);
    CHECK(golden.difference(d_k, "attention.d_k") < kTolerance);
    CHECK(golden.difference(d_v, "attention.d_v") < kTolerance);
  });
}

TEST_CASE("gradients of linear and of LoRA are PyTorch's") {
  const Golden golden;
  on_every_machine([&](const Backend& on) {
    const Tensor x = golden.tensor("linear.x", {7, 24}), weight = golden.tensor("linear.weight", {10, 24}),
                 d_out = golden.tensor("linear.d_out", {7, 10});
    Tensor d_x(DType::kF32, {7, 24}), d_weight(DType::kF32, {10, 24}), d_bias(DType::kF32, {10});
    linear_backward_input(on, d_x, d_out, weight);
    linear_backward_weight(on, d_weight, d_out, x);
    linear_backward_bias(on, d_bias, d_out);
    CHECK(golden.difference(d_x, "linear.d_x") < kTolerance);
    CHECK(golden.difference(d_weight, "linear.d_weight") < kTolerance);
    CHECK(golden.difference(d_bias, "linear.d_bias") < kTolerance);

    const Tensor in = golden.tensor("lora.x", {7, 24}), a = golden.tensor("lora.a", {3, 24}), b = golden.tensor("lora.b", {10, 3});
    Tensor out(DType::kF32, {7, 10}), low(DType::kF32, {7, 3}), d_in(DType::kF32, {7, 24}), d_a(DType::kF32, {3, 24}),
        d_b(DType::kF32, {10, 3});
    lora(on, out, low, in, {a, b, 2});
    lora_backward(on, {d_a, d_b, d_in}, golden.tensor("lora.d_out", {7, 10}), in, low, {a, b, 2});
    CHECK(golden.difference(out, "lora.out") < kTolerance);
    CHECK(golden.difference(d_in, "lora.d_x") < kTolerance);
    CHECK(golden.difference(d_a, "lora.d_a") < kTolerance);
    CHECK(golden.difference(d_b, "lora.d_b") < kTolerance);
  });
}

TEST_CASE("the head's loss, entropy, hits and gradients are PyTorch's") {
  const Golden golden;
  const Tensor sums = golden.tensor("head.sums", {3}), saved = golden.tensor("head.targets", {6});
  const std::vector<std::int32_t> targets(saved.floats().begin(), saved.floats().end());
  on_every_machine([&](const Backend& on) {
    const Tensor hidden = golden.tensor("head.hidden", {6, 24}), weight = golden.tensor("head.weight", {50, 24});
    Tensor d_hidden(DType::kF32, {6, 24}), d_weight(DType::kF32, {50, 24});
    const HeadLoss found = head_loss(on, {d_hidden, d_weight}, hidden, weight, targets, {.scale = 1.0f / 9});
    CHECK(found.loss == doctest::Approx(sums.floats()[0]).epsilon(1e-6));
    CHECK(found.entropy == doctest::Approx(sums.floats()[1]).epsilon(1e-6));
    CHECK(static_cast<float>(found.correct) == sums.floats()[2]);
    CHECK(golden.difference(d_hidden, "head.d_hidden") < kTolerance);
    CHECK(golden.difference(d_weight, "head.d_weight") < kTolerance);
  });
}

TEST_CASE("ten steps of clipped AdamW with and without decay are torch.optim.AdamW's") {
  const Golden golden;
  const Tensor gradients = golden.tensor("adamw.gradients", {10, 39}), norms = golden.tensor("adamw.norms", {10}),
               wanted = golden.tensor("adamw.weights", {11, 39});
  on_every_machine([&](const Backend& on) {
    Tensor weights(DType::kF32, {39}), m(DType::kF32, {39}), v(DType::kF32, {39});
    std::copy_n(wanted.floats().begin(), 39, weights.floats().begin());
    for (std::int64_t step = 0; step < 10; ++step) {
      const ConstView gradient = gradients.view().rows(step, 1).reshaped({39});
      const GradientNorm norm = gradient_norm(on, gradient);
      CHECK(norm.norm == doctest::Approx(norms.floats()[static_cast<std::size_t>(step)]).epsilon(1e-6));
      AdamW settings{.learning_rate = 1e-2 * (1 - static_cast<double>(step) / 10), .beta2 = 0.98, .epsilon = 1e-6, .weight_decay = 0.1};
      settings.step = step + 1;
      settings.gradient_scale = clip_scale(norm.norm, 4);
      adamw(on, weights.view().rows(0, 30), {m.view().rows(0, 30), v.view().rows(0, 30)}, gradient.rows(0, 30), settings);
      settings.weight_decay = 0;
      adamw(on, weights.view().rows(30, 9), {m.view().rows(30, 9), v.view().rows(30, 9)}, gradient.rows(30, 9), settings);
      CHECK(worst_difference(weights.floats(), wanted.view().rows(step + 1, 1).floats()) < 1e-6);
    }
  });
}
