// The ops that go through a tensor element by element or row by row, each against its reference on odd sizes.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "deskhand/ops/add.h"
#include "deskhand/ops/argmax.h"
#include "deskhand/ops/copy.h"
#include "deskhand/ops/embed.h"
#include "deskhand/ops/gelu.h"
#include "deskhand/ops/layer_norm.h"
#include "deskhand/ops/log_probability.h"
#include "deskhand/ops/log_softmax.h"
#include "deskhand/ops/mean_pool.h"
#include "deskhand/ops/rms_norm.h"
#include "deskhand/ops/rope.h"
#include "deskhand/ops/swiglu.h"
#include "deskhand/ops/testing.h"

using namespace deskhand;
using namespace deskhand::testing;

namespace {

// Runs `op` on the CPU under every setting and on the reference, and compares the outputs, absolutely.
void compare(Shape shape, double tolerance, const std::function<void(const Backend&, View)>& op) {
  Backend plain;
  plain.kind = Backend::Kind::kReference;
  Tensor wanted(DType::kF32, shape);
  op(plain, wanted);
  for (const CpuFeatures& cpu : feature_levels())
    for (const int threads : {1, 3}) {
      Machine machine(threads, cpu);
      Tensor found(DType::kF32, shape);
      op(machine.on, found);
      INFO(cpu.text(), ", threads ", threads, ", shape ", shape.text());
      for (std::size_t i = 0; i < found.floats().size(); ++i)
        if (!(std::abs(found.floats()[i] - wanted.floats()[i]) <= tolerance * (1 + std::abs(wanted.floats()[i]))))
          FAIL_CHECK("element ", i, ": ", found.floats()[i], " instead of ", wanted.floats()[i]);
    }
}

const Shape kShapes[] = {{1, 1}, {3, 17}, {2, 384}, {65, 1000}};

}  // namespace

// Tolerances: one rounding for add; a few roundings and an exponential good to 2e-7 for the others.
TEST_CASE("add agrees with the reference") {
  for (const Shape shape : kShapes) {
    const Tensor a = random_tensor(shape, 1), b = random_tensor(shape, 2);
    compare(shape, 0, [&](const Backend& on, View out) { add(on, out, a, b); });
  }
}

TEST_CASE("swiglu agrees with the reference, far from zero too") {
  for (const Shape shape : kShapes) {
    const Tensor gate = random_tensor(shape, 1, 30), up = random_tensor(shape, 2);
    compare(shape, 1e-6, [&](const Backend& on, View out) { swiglu(on, out, gate, up); });
  }
}

TEST_CASE("gelu agrees with the reference, far from zero too") {
  for (const Shape shape : kShapes) {
    const Tensor x = random_tensor(shape, 1, 3);
    const Tensor bias = random_tensor({shape[1]}, 2);
    compare(shape, 1e-6, [&](const Backend& on, View out) { gelu(on, out, x); });
    compare(shape, 1e-6, [&](const Backend& on, View out) { gelu(on, out, x, bias); });
  }
}

TEST_CASE("log_sum_exp of a row agrees with the reference to seven digits on every processor; a NaN is not hidden") {
  for (const std::int64_t width : {1, 7, 64, 1000, 151937}) {
    Tensor row = random_tensor({width}, 1, 5);
    for (const CpuFeatures& cpu : feature_levels()) {
      INFO(cpu.text(), ", ", width);
      CHECK(cpu::log_sum_exp(row.floats(), cpu) == doctest::Approx(reference::log_sum_exp(row.floats())).epsilon(1e-7));
    }
    row.floats().back() = 300;  // exp(300) is no f32
    CHECK(log_sum_exp(row.floats()) == doctest::Approx(300).epsilon(1e-7));
    row.floats()[static_cast<std::size_t>(width / 2)] = std::numeric_limits<float>::quiet_NaN();
    CHECK(std::isnan(log_sum_exp(row.floats())));
  }
}

TEST_CASE("log_softmax agrees with the reference, and its exponentials add up to one") {
  for (const Shape shape : kShapes) {
    const Tensor x = random_tensor(shape, 1, 10);
    compare(shape, 1e-6, [&](const Backend& on, View out) { log_softmax(on, out, x); });
  }
  Machine machine(2);
  const Tensor x = random_tensor({1, 151936}, 3, 5);
  Tensor out(DType::kF32, x.shape());
  log_softmax(machine.on, out, x);
  double sum = 0;
  for (const float value : out.floats()) sum += std::exp(static_cast<double>(value));
  CHECK(sum == doctest::Approx(1).epsilon(1e-6));
}

TEST_CASE("log probabilities of tokens agree with the reference whatever the threads; a NaN in a row reaches all that is asked of it") {
  Tensor x = random_tensor({5, 151936}, 1, 8);
  const TokenAt wanted[] = {{0, 0}, {0, 151935}, {3, 77}, {3, 77}, {1, 100000}, {4, 1}};
  Backend plain;
  plain.kind = Backend::Kind::kReference;
  std::vector<double> truth(6), found(6);
  log_probabilities(plain, truth, x, wanted);
  for (const CpuFeatures& cpu : feature_levels())
    for (const int threads : {1, 3}) {
      Machine machine(threads, cpu);
      log_probabilities(machine.on, found, x, wanted);
      for (std::size_t k = 0; k < 6; ++k) CHECK(found[k] == doctest::Approx(truth[k]).epsilon(1e-7));
    }
  log_probabilities({.cpu = CpuFeatures::detect()}, found, x, wanted);  // without threads
  for (std::size_t k = 0; k < 6; ++k) CHECK(found[k] == doctest::Approx(truth[k]).epsilon(1e-7));
  x.floats()[3 * 151936 + 5] = std::numeric_limits<float>::quiet_NaN();
  log_probabilities({.cpu = CpuFeatures::detect()}, found, x, wanted);
  for (std::size_t k = 0; k < 6; ++k) CHECK(std::isnan(found[k]) == (wanted[k].row == 3));
}

TEST_CASE("log_sum_exp under a mask is the logarithm of the sum over what it names") {
  const Tensor x = random_tensor({1, 200}, 2, 5);
  std::vector<std::uint64_t> allowed(4);
  double sum = 0;
  for (const std::size_t i : {0, 63, 64, 130, 199}) {
    allowed[i / 64] |= std::uint64_t{1} << (i % 64);
    sum += std::exp(static_cast<double>(x.floats()[i]));
  }
  const Backend on;
  CHECK(log_sum_exp(on, x, allowed) == doctest::Approx(std::log(sum)).epsilon(1e-6));
  std::fill(allowed.begin(), allowed.end(), 0);
  CHECK(log_sum_exp(on, x, allowed) == -std::numeric_limits<double>::infinity());
}

TEST_CASE("argmax looks at the rows that are named, each under its own mask") {
  Tensor x = random_tensor({3, 70}, 3);
  x.floats()[70 + 9] = x.floats()[70 + 40] = 10;  // the first of equals
  x.floats()[2 * 70 + 69] = std::numeric_limits<float>::quiet_NaN();
  const std::uint64_t masks[] = {~std::uint64_t{0} << 10, 0x3f, 1 << 5, 0, 0, 0};  // all but the first ten; the sixth; none
  const Argmax rows[] = {{1}, {1, 0}, {1, 1}, {1, 2}, {2}, {2, 1}};
  std::vector<std::int32_t> best(6);
  argmax({}, best, x, rows, masks);
  CHECK(best == std::vector<std::int32_t>{9, 40, 5, Argmax::kNone, Argmax::kNaN, 5});
}

TEST_CASE("a block is copied in every plane and nothing else is touched") {
  Tensor x = random_tensor({3, 4, 2, 5}, 4);
  const Tensor before = x.copy();
  copy_block({}, x, 1, 3);
  for (std::size_t i = 0; i < x.floats().size(); ++i) {
    const std::size_t plane = i / 40, block = i / 10 % 4;
    CHECK(x.floats()[i] == before.floats()[block == 1 ? plane * 40 + 30 + i % 10 : i]);
  }
}

TEST_CASE("rms_norm agrees with the reference and gives the same rstd") {
  for (const Shape shape : kShapes) {
    const Tensor x = random_tensor(shape, 1), weight = random_tensor({shape[1]}, 2);
    compare(shape, 2e-6, [&](const Backend& on, View out) { rms_norm(on, out, x, weight, 1e-6f); });
    compare({shape[0]}, 2e-6, [&](const Backend& on, View rstd) {
      Tensor out(DType::kF32, shape);
      rms_norm(on, out, x, weight, 1e-6f, rstd);
    });
  }
}

TEST_CASE("layer_norm agrees with the reference with and without a residual and its bias") {
  for (const Shape shape : kShapes) {
    const Tensor x = random_tensor(shape, 1), residual = random_tensor(shape, 4), weight = random_tensor({shape[1]}, 2),
                 bias = random_tensor({shape[1]}, 3), shift = random_tensor({shape[1]}, 5);
    for (const Residual& added : {Residual{residual, {}}, Residual{}, Residual{residual, shift}, Residual{{}, shift}})
      compare(shape, 5e-6, [&](const Backend& on, View out) { layer_norm(on, out, x, added, {weight, bias, 1e-5f}); });
  }
}

TEST_CASE("mean_pool_unit agrees with the reference, also for a sequence of one token") {
  const Tensor x = random_tensor({20, 37}, 1);
  const std::int32_t bounds[] = {0, 1, 8, 20};
  compare({3, 37}, 1e-6, [&](const Backend& on, View out) { mean_pool_unit(on, out, x, bounds); });
}

TEST_CASE("rope agrees with the reference in both layouts, and its inverse turns back") {
  for (const RopePairs pairs : {RopePairs::kHalves, RopePairs::kNeighbours})
    for (const std::int64_t width : {2, 34, 64}) {
      const Tensor angle = random_tensor({50, width / 2}, 5);
      Tensor cosine(DType::kF32, angle.shape()), sine(DType::kF32, angle.shape());
      for (std::size_t i = 0; i < angle.floats().size(); ++i) {
        cosine.floats()[i] = std::cos(angle.floats()[i]);
        sine.floats()[i] = std::sin(angle.floats()[i]);
      }
      const RopeTable table{cosine, sine, pairs};
      const Tensor x = random_tensor({33, 3, width}, 6);
      std::vector<std::int32_t> positions(33);
      for (int i = 0; i < 33; ++i) positions[static_cast<std::size_t>(i)] = i * 7 % 50;
      const auto fill = [&](View out) { std::copy_n(x.floats().data(), x.floats().size(), out.floats().data()); };
      compare(x.shape(), 1e-6, [&](const Backend& on, View out) {
        fill(out);
        rope(on, out, positions, table);
      });
      Machine machine(1);
      Tensor back = x.copy();
      rope(machine.on, back, positions, table);
      CHECK(worst_difference(back.floats(), x.floats()) > 0.1);
      rope(machine.on, back, positions, table, true);
      CHECK(worst_difference(back.floats(), x.floats()) < 1e-6);
    }
}

TEST_CASE("embed gives the rows of the tokens for a quantised table") {
  const Tensor table = random_weights(DType::kQ5_0, {9, 64}, 1);
  const std::int32_t tokens[] = {8, 0, 3, 3};
  compare({4, 64}, 1e-6, [&](const Backend& on, View out) { embed(on, out, tokens, table); });
  Machine machine(1);
  Tensor out(DType::kF32, {1, 64});
  const std::int32_t beyond[] = {9};
  CHECK_THROWS_AS(embed(machine.on, out, beyond, table), AssertionError);
}
