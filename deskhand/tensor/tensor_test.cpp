#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "deskhand/tensor/cuda/context.h"
#include "deskhand/tensor/tensor.h"

using namespace deskhand;

TEST_CASE("every f16 survives the way to f32 and back") {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = from_f16(static_cast<std::uint16_t>(bits));
    if (std::isnan(value)) continue;
    CHECK(to_f16(value) == bits);
  }
}

TEST_CASE("f16 rounds to nearest even and overflows to infinity") {
  CHECK(from_f16(to_f16(2049.0f)) == 2048.0f);
  CHECK(from_f16(to_f16(2051.0f)) == 2052.0f);
  CHECK(from_f16(to_f16(65519.0f)) == 65504.0f);
  CHECK(std::isinf(from_f16(to_f16(65520.0f))));
  CHECK(std::isnan(from_f16(to_f16(std::numeric_limits<float>::quiet_NaN()))));
}

TEST_CASE("bf16 rounds to nearest even and keeps NaN") {
  CHECK(from_bf16(to_bf16(1.00390625f)) == 1.0f);
  CHECK(from_bf16(to_bf16(1.01171875f)) == 1.015625f);
  CHECK(std::isnan(from_bf16(to_bf16(std::numeric_limits<float>::quiet_NaN()))));
}

TEST_CASE("a tensor is born zeroed and its rows are where they should be") {
  Tensor tensor(DType::kF32, {3, 4});
  for (const float value : tensor.floats()) CHECK(value == 0);
  tensor.floats()[8] = 7;
  CHECK(tensor.view().rows(2, 1).floats()[0] == 7);
  CHECK(tensor.view().rows(2, 1).shape() == Shape{1, 4});
  CHECK_THROWS_AS(tensor.view().rows(2, 2), AssertionError);
}

TEST_CASE("a quantised row has the bytes of its blocks") {
  CHECK(row_bytes(DType::kQ4_K, 512) == 288);
  CHECK_THROWS_AS(row_bytes(DType::kQ8_0, 33), AssertionError);
}

#ifndef DESKHAND_CUDA
TEST_CASE("a build without CUDA refuses the GPU in a sentence that says what to do") {
  CHECK_THROWS_WITH_AS(CudaContext(), doctest::Contains("this build has no CUDA"), Error);
  CHECK_THROWS_WITH_AS(Tensor(DType::kF32, {2, 2}, Device::kCuda), doctest::Contains("--device cpu"), Error);
}
#endif
