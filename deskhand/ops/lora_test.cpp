#include "deskhand/ops/lora.h"

#include <doctest/doctest.h>

#include "deskhand/ops/rms_norm.h"
#include "deskhand/ops/testing.h"

using namespace deskhand;
using namespace deskhand::testing;

namespace {

struct Size {
  std::int64_t tokens, inputs, outputs, rank;
};
constexpr Size kSizes[] = {{1, 1, 1, 1}, {7, 33, 20, 3}, {70, 300, 129, 16}, {130, 96, 40, 40}};

struct Gradients {
  explicit Gradients(const Size& size)
      : d_a(random_tensor({size.rank, size.inputs}, 11)),
        d_b(random_tensor({size.outputs, size.rank}, 12)),
        d_x(random_tensor({size.tokens, size.inputs}, 13)) {}
  operator LoraGradients() { return {d_a, d_b, d_x}; }
  Tensor d_a, d_b, d_x;
};

}  // namespace

// The first three lines of kat_vectors of the authors' Random123.
TEST_CASE("Philox gives the numbers that its authors publish") {
  using Words = std::array<std::uint32_t, 4>;
  CHECK(reference::philox({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  constexpr std::uint32_t kOnes = 0xffffffff;
  CHECK(reference::philox({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(reference::philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("dropout agrees with the reference on every feature level, and rows do not care which pass they are in") {
  const Dropout dropped{.probability = 0.3f, .seed = 0x123456789abcdef, .step = 7, .layer = 3, .first_row = 2};
  for (const Shape shape : {Shape{1, 1}, Shape{3, 17}, Shape{65, 1000}}) {
    const Tensor x = random_tensor(shape, 1), before = random_tensor(shape, 2);
    for (const Into into : {Into::kOverwrite, Into::kAdd}) {
      Tensor wanted = before.copy();
      reference::dropout(wanted, x, dropped, into);
      for (const CpuFeatures& cpu : feature_levels())
        for (const int threads : {1, 3}) {
          Machine machine(threads, cpu);
          Tensor out = before.copy();
          dropout(machine.on, out, x, dropped, into);
          CHECK(worst_difference(out.floats(), wanted.floats()) < 2e-7);
        }
    }
  }
  Machine machine(1);
  const Tensor x = random_tensor({5, 40}, 1);
  Tensor whole(DType::kF32, x.shape()), part(DType::kF32, {2, 40});
  dropout(machine.on, whole, x, dropped);
  Dropout later = dropped;
  later.first_row += 3;
  dropout(machine.on, part, x.view().rows(3, 2), later);
  CHECK(worst_difference(part.floats(), whole.view().rows(3, 2).floats()) == 0);
}

TEST_CASE("dropout lets the share fall that it is told to, keeps the mean, and differs by seed, step, layer and row") {
  Machine machine(2);
  Tensor ones(DType::kF32, {400, 1000}), first(DType::kF32, ones.shape());
  std::fill(ones.floats().begin(), ones.floats().end(), 1.0f);
  const Dropout dropped{.probability = 0.1f, .seed = 5};
  dropout(machine.on, first, ones, dropped);
  double sum = 0;
  for (const float value : first.floats()) sum += value;
  CHECK(std::count(first.floats().begin(), first.floats().end(), 0.0f) / 4e5 == doctest::Approx(0.1).epsilon(0.02));  // 4 deviations
  CHECK(sum / 4e5 == doctest::Approx(1).epsilon(0.0025));
  for (const Dropout& other : {Dropout{.probability = 0.1f, .seed = 6}, Dropout{.probability = 0.1f, .seed = 5ull + (1ull << 32)},
                               Dropout{.probability = 0.1f, .seed = 5, .step = 1}, Dropout{.probability = 0.1f, .seed = 5, .layer = 1},
                               Dropout{.probability = 0.1f, .seed = 5, .first_row = 1}}) {
    Tensor second(DType::kF32, ones.shape());
    dropout(machine.on, second, ones, other);
    std::int64_t both = 0;
    for (std::size_t i = 0; i < first.floats().size(); ++i) both += first.floats()[i] == 0 && second.floats()[i] == 0;
    CHECK(static_cast<double>(both) / 4e5 == doctest::Approx(0.01).epsilon(0.07));  // fall together by chance alone
  }
  dropout(machine.on, first, ones, {});
  CHECK(worst_difference(first.floats(), ones.floats()) == 0);
}

// Tolerance: two f32 sums after one another, of up to 300 products.
TEST_CASE("LoRA forward and backward agree with the reference, with and without dropout, whatever the threads") {
  for (const Size& size : kSizes)
    for (const float probability : {0.0f, 0.25f}) {
      const Tensor a = random_tensor({size.rank, size.inputs}, 1), b = random_tensor({size.outputs, size.rank}, 2),
                   x = random_tensor({size.tokens, size.inputs}, 3), d_out = random_tensor({size.tokens, size.outputs}, 4),
                   before = random_tensor({size.tokens, size.outputs}, 5);
      const LoraWeights weights{a, b, 1.7f, {.probability = probability, .seed = 9, .step = 2, .layer = 4}};
      Tensor wanted_out = before.copy(), wanted_low(DType::kF32, {size.tokens, size.rank});
      Gradients wanted(size);
      reference::lora(wanted_out, wanted_low, x, weights);
      reference::lora_backward(wanted, d_out, x, wanted_low, weights);
      for (const CpuFeatures& cpu : feature_levels()) {
        Tensor first;
        for (const int threads : {1, 3}) {
          Machine machine(threads, cpu);
          Tensor out = before.copy(), low(DType::kF32, wanted_low.shape());
          Gradients found(size);
          lora(machine.on, out, low, x, weights);
          lora_backward(machine.on, found, d_out, x, low, weights);
          INFO(cpu.text(), ", (", size.tokens, ", ", size.inputs, ", ", size.outputs, ", ", size.rank, "), dropout ", probability);
          CHECK(worst_difference(out.floats(), wanted_out.floats()) < 5e-6);
          CHECK(worst_difference(low.floats(), wanted_low.floats()) < 5e-6);
          CHECK(worst_difference(found.d_a.floats(), wanted.d_a.floats()) < 5e-6);
          CHECK(worst_difference(found.d_b.floats(), wanted.d_b.floats()) < 5e-6);
          CHECK(worst_difference(found.d_x.floats(), wanted.d_x.floats()) < 5e-6);
          if (first.empty()) first = found.d_a.copy();
          CHECK(worst_difference(found.d_a.floats(), first.floats()) == 0);
          Gradients one(size);  // each gradient may be left out
          lora_backward(machine.on, {.d_x = one.d_x}, d_out, x, low, weights);
          CHECK(worst_difference(one.d_x.floats(), found.d_x.floats()) == 0);
        }
      }
    }
}

TEST_CASE("LoRA backward is the slope of LoRA forward, dropout and all") {
  const Size size{4, 9, 5, 2};
  Tensor a = random_tensor({2, 9}, 1), b = random_tensor({5, 2}, 2), x = random_tensor({4, 9}, 3), low(DType::kF32, {4, 2});
  const Tensor d_out = random_tensor({4, 5}, 4);
  const LoraWeights weights{a, b, 0.5f, {.probability = 0.4f, .seed = 1}};
  const auto loss = [&] {
    Tensor out(DType::kF32, {4, 5});
    reference::lora(out, low, x, weights);
    return inner_product(out.floats(), d_out.floats());
  };
  Machine machine(1);
  Gradients found(size);
  for (Tensor* gradient : {&found.d_a, &found.d_b, &found.d_x}) std::fill(gradient->floats().begin(), gradient->floats().end(), 0.0f);
  loss();
  lora_backward(machine.on, found, d_out, x, low, weights);
  CHECK(worst_difference(slopes(a, loss).floats(), found.d_a.floats()) < 1e-3);
  CHECK(worst_difference(slopes(b, loss).floats(), found.d_b.floats()) < 1e-3);
  CHECK(worst_difference(slopes(x, loss).floats(), found.d_x.floats()) < 1e-3);
}

TEST_CASE("pairs of one input together are each of them alone, turned where that is asked for, the input normed or to be normed") {
  const std::int64_t tokens = 9, inputs = 40, outputs[] = {24, 16, 8}, ranks[] = {8, 0, 16};
  const std::int32_t positions[] = {0, 1, 2, 3, 0, 1, 2, 3, 4};
  const Tensor cosine = random_tensor({5, 4}, 1), sine = random_tensor({5, 4}, 2);
  for (const float dropped : {0.f, 0.3f})
    for (const bool is_normed : {false, true}) {
      Machine machine(2);
      const Tensor before = random_tensor({tokens, inputs}, 3), weight = random_tensor({inputs}, 4);
      Tensor x(DType::kF32, before.shape()), room = random_tensor(before.shape(), 5), rstd(DType::kF32, {tokens});
      rms_norm(machine.on, x, before, weight, 1e-5f, rstd);
      Tensor d_x = random_tensor({tokens, inputs}, 6), wanted_d_x = d_x.copy();
      std::vector<Tensor> a, b, low, wanted_low, out, wanted, d_a, d_b, wanted_d_a, wanted_d_b, d_out;
      std::vector<LoraPart> parts;
      std::vector<LoraSlope> slopes;
      for (unsigned i = 0; i < 3; ++i) {
        const std::int64_t rank = std::max<std::int64_t>(ranks[i], 1);
        a.push_back(random_tensor({rank, inputs}, 10 + i));
        b.push_back(random_tensor({outputs[i], rank}, 20 + i));
        out.push_back(random_tensor({tokens, outputs[i]}, 30 + i));
        d_out.push_back(random_tensor({tokens, outputs[i]}, 40 + i));
        d_a.push_back(random_tensor({rank, inputs}, 50 + i));
        d_b.push_back(random_tensor({outputs[i], rank}, 60 + i));
        low.emplace_back(DType::kF32, Shape{tokens, rank});
        for (auto [from, to] : {std::pair(&out, &wanted), {&d_a, &wanted_d_a}, {&d_b, &wanted_d_b}, {&low, &wanted_low}})
          to->push_back(from->back().copy());
      }
      for (unsigned i = 0; i < 3; ++i) {
        LoraWeights weights;
        if (ranks[i] > 0) weights = {a[i], b[i], 0.5f, {.probability = dropped, .seed = 3, .layer = i}};
        const std::int64_t head_width = i < 2 ? 8 : 0;
        parts.push_back({out[i], low[i], weights, head_width});
        slopes.push_back({d_a[i], d_b[i], d_out[i], low[i], weights});
        if (ranks[i] > 0) lora(machine.on, wanted[i], wanted_low[i], x, weights);
        if (head_width > 0)
          rope(machine.on, wanted[i].view().reshaped({tokens, outputs[i] / head_width, head_width}), positions, {cosine, sine});
        if (ranks[i] > 0) lora_backward(machine.on, {wanted_d_a[i], wanted_d_b[i], wanted_d_x}, d_out[i], x, wanted_low[i], weights);
      }
      lora(machine.on, parts, x, {positions, {cosine, sine}});
      lora_backward(machine.on, slopes, d_x, is_normed ? LoraInput{x} : LoraInput{before, weight, rstd, 1e-5f, room});
      CHECK(worst_difference(d_x.floats(), wanted_d_x.floats()) == 0);
      for (unsigned i = 0; i < 3; ++i) {
        CHECK(worst_difference(out[i].floats(), wanted[i].floats()) == 0);
        CHECK(worst_difference(d_a[i].floats(), wanted_d_a[i].floats()) == 0);
        CHECK(worst_difference(d_b[i].floats(), wanted_d_b[i].floats()) == 0);
      }
    }
}
