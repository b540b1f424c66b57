#include "deskhand/ops/fp8.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "deskhand/ops/linear.h"
#include "deskhand/ops/rms_norm.h"
#include "deskhand/ops/swiglu.h"
#include "deskhand/ops/testing.h"

namespace deskhand {
namespace {

using testing::random_tensor;

const Backend kPlain{.kind = Backend::Kind::kReference};

struct Narrow {
  Narrow(std::int64_t rows, std::int64_t width) : values(DType::kI8, {rows, width}), scales(DType::kF32, {rows}) {}
  Fp8Rows rows() { return {values, scales}; }
  float at(std::int64_t row, std::int64_t column) const {
    const auto bits = values.view().as<std::uint8_t>();
    return reference::from_e4m3(bits[row * values.shape()[1] + column]) * scales.floats()[row];
  }

  Tensor values, scales;
};

}  // namespace

TEST_CASE("e4m3 rounds to the nearest of its numbers, halves to the even one, and what is too large to 448") {
  std::vector<float> numbers;
  for (int bits = 0; bits < 128; ++bits) {
    const float value = reference::from_e4m3(static_cast<std::uint8_t>(bits));
    if (bits == 127) {
      CHECK(std::isnan(value));
      continue;
    }
    CHECK(reference::to_e4m3(value) == bits);
    CHECK(reference::to_e4m3(-value) == (bits | 128));
    numbers.push_back(value);
  }
  CHECK(numbers[1] == 0x1p-9f);
  CHECK(numbers[8] == 0x1p-6f);
  CHECK(numbers.back() == 448);
  for (std::size_t i = 1; i < numbers.size(); ++i) {
    const float middle = (numbers[i - 1] + numbers[i]) / 2;
    CHECK(reference::to_e4m3(middle) == (i % 2 == 0 ? i : i - 1));
    CHECK(reference::to_e4m3(std::nextafter(middle, 0.f)) == i - 1);
    CHECK(reference::to_e4m3(std::nextafter(middle, 500.f)) == i);
  }
  CHECK(reference::to_e4m3(1e30f) == 126);
  CHECK((reference::to_e4m3(NAN) & 127) == 127);
}

TEST_CASE("a matrix in FP8 keeps each row's largest size, all else within a sixteenth, and rows of zeros") {
  Tensor x = random_tensor({5, 48}, 1);
  for (std::int64_t i = 0; i < 48; ++i) x.floats()[i] *= 1e-12f, x.floats()[2 * 48 + i] = 0;
  Narrow narrow(5, 48), turned(48, 16);
  to_fp8(kPlain, narrow.rows(), x);
  for (std::int64_t row = 0; row < 5; ++row) {
    float largest = 0;
    for (std::int64_t i = 0; i < 48; ++i) largest = std::max(largest, std::abs(x.floats()[row * 48 + i]));
    CHECK(narrow.scales.floats()[row] == doctest::Approx(std::max(largest, 1e-30f) / 448));
    for (std::int64_t i = 0; i < 48; ++i) {
      const float value = x.floats()[row * 48 + i];
      CHECK(std::abs(narrow.at(row, i) - value) <= std::abs(value) / 16 + largest / 448 * 0x1p-10f);
    }
  }
  const Tensor y = random_tensor({16, 48}, 2);
  Tensor by_hand(DType::kF32, {48, 16});
  for (std::int64_t i = 0; i < 16; ++i)
    for (std::int64_t j = 0; j < 48; ++j) by_hand.floats()[j * 16 + i] = y.floats()[i * 48 + j];
  Narrow wanted(48, 16);
  to_fp8(kPlain, wanted.rows(), by_hand);
  to_fp8_turned(kPlain, turned.rows(), y);
  CHECK(std::ranges::equal(turned.values.view().raw(), wanted.values.view().raw()));
  CHECK(std::ranges::equal(turned.scales.floats(), wanted.scales.floats()));
}

TEST_CASE("parts side by side are one row under one scale") {
  const Tensor a = random_tensor({3, 32}, 1), b = random_tensor({3, 16}, 2, 100), c = random_tensor({3, 48}, 3);
  Tensor whole(DType::kF32, {3, 96});
  for (std::int64_t row = 0; row < 3; ++row) {
    float* to = whole.floats().data() + row * 96;
    for (const Tensor* part : {&a, &b, &c}) {
      const std::int64_t width = part->shape()[1];
      to = std::copy_n(part->floats().data() + row * width, width, to);
    }
  }
  Narrow wanted(3, 96), found(3, 96);
  to_fp8(kPlain, wanted.rows(), whole);
  const ConstView parts[] = {a, b, c};
  to_fp8(kPlain, found.rows(), parts);
  CHECK(std::ranges::equal(found.values.view().raw(), wanted.values.view().raw()));
  CHECK(std::ranges::equal(found.scales.floats(), wanted.scales.floats()));
}

TEST_CASE("a product in FP8 is the f32 one within some percent, and bias and what is added come whole") {
  const Tensor x = random_tensor({7, 64}, 1), weight = random_tensor({32, 64}, 2), bias = random_tensor({32}, 3),
               before = random_tensor({7, 32}, 4, 10);
  Narrow narrow_x(7, 64), narrow_weight(32, 64);
  to_fp8(kPlain, narrow_x.rows(), x);
  to_fp8(kPlain, narrow_weight.rows(), weight);
  Tensor exact(DType::kF32, {7, 32}), found(DType::kF32, {7, 32}), in_place = before.copy();
  linear(kPlain, exact, x, weight);
  fp8_linear(kPlain, found, narrow_x.rows(), narrow_weight.rows());
  CHECK(testing::worst_difference(found.floats(), exact.floats()) < 0.04);
  CHECK(testing::worst_difference(found.floats(), exact.floats()) > 1e-4);  // it is FP8
  fp8_linear(kPlain, in_place, narrow_x.rows(), narrow_weight.rows(), bias, in_place);
  for (std::int64_t i = 0; i < 7 * 32; ++i)
    CHECK(in_place.floats()[i] == doctest::Approx(found.floats()[i] + bias.floats()[i % 32] + before.floats()[i]).epsilon(1e-5));
  CHECK_FALSE(fits_fp8({32, 40}));
  CHECK(fits_fp8({32, 48}));
  CHECK_FALSE(has_fp8({}));
}

TEST_CASE("what leaves its result in FP8 is the op and then to_fp8, whether the result itself is wanted or not") {
  const Tensor gate = random_tensor({3, 32}, 1), up = random_tensor({3, 32}, 2), d = random_tensor({3, 32}, 3),
               weight = random_tensor({32}, 4);
  Tensor plain(DType::kF32, {3, 32}), other(DType::kF32, {3, 32});
  Narrow wanted(3, 32), found(3, 32), wanted_both(3, 64), found_both(3, 64);
  const auto same = [](const Narrow& a, const Narrow& b) {
    return std::ranges::equal(a.values.view().raw(), b.values.view().raw()) && std::ranges::equal(a.scales.floats(), b.scales.floats());
  };
  for (const View kept : {View(plain), View()}) {
    swiglu(kPlain, plain, gate, up);
    to_fp8(kPlain, wanted.rows(), plain);
    swiglu_fp8(kPlain, found.rows(), kept, gate, up);
    CHECK(same(found, wanted));
    rms_norm(kPlain, plain, gate, weight, 1e-5f);
    to_fp8(kPlain, wanted.rows(), plain);
    rms_norm_fp8(kPlain, found.rows(), kept, gate, weight, 1e-5f);
    CHECK(same(found, wanted));
    Tensor rstd(DType::kF32, {3}), wanted_d_x = up.copy(), found_d_x = up.copy();
    rms_norm(kPlain, plain, gate, weight, 1e-5f, rstd);
    rms_norm_backward(kPlain, {wanted_d_x, Into::kAdd}, d, gate, weight, rstd);
    to_fp8(kPlain, wanted.rows(), wanted_d_x);
    rms_norm_backward_fp8(kPlain, found.rows(), {found_d_x, Into::kAdd}, d, gate, weight, rstd);
    CHECK(same(found, wanted));
    CHECK(std::ranges::equal(found_d_x.floats(), wanted_d_x.floats()));
    swiglu_backward(kPlain, plain, other, d, gate, up);
    const ConstView parts[] = {plain, other};
    to_fp8(kPlain, wanted_both.rows(), parts);
    swiglu_backward_fp8(kPlain, found_both.rows(), kept, kept.empty() ? View() : View(other), d, gate, up);
    CHECK(same(found_both, wanted_both));
  }
}

}  // namespace deskhand
