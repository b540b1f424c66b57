#include "deskhand/ops/linear.h"

#include <doctest/doctest.h>

#include "deskhand/ops/testing.h"

using namespace deskhand;
using namespace deskhand::testing;

namespace {

constexpr DType kWeightTypes[] = {DType::kF32,  DType::kF16,  DType::kBF16, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,
                                  DType::kQ5_1, DType::kQ8_0, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};

// Inputs on a grid that 8 bits hold exactly: whole numbers, and the largest of each block is 127 times a power of two. Then 8-bit products
// must agree with the reference to f32 rounding, and a wrong nibble or scale cannot hide in the noise of quantising.
Tensor exact_inputs(std::int64_t tokens, std::int64_t inputs, unsigned seed) {
  Tensor x(DType::kF32, {tokens, inputs});
  std::mt19937 random(seed);
  for (std::int64_t i = 0; i < tokens * inputs; ++i) {
    const int whole = i % 32 == static_cast<std::int64_t>(random() % 32) || i % 32 == 31 ? 127 : static_cast<int>(random() % 255) - 127;
    x.floats()[static_cast<std::size_t>(i)] = static_cast<float>(random() % 2 ? whole : -whole);
  }
  for (std::int64_t block = 0; block < tokens * inputs / 32; ++block) {
    const float step = std::ldexp(1.0f, static_cast<int>(random() % 5) - 6);
    for (std::int64_t i = 0; i < 32; ++i) x.floats()[static_cast<std::size_t>(block * 32 + i)] *= step;
  }
  return x;
}

}  // namespace

TEST_CASE("linear agrees with the reference for every weight type, feature level, thread count and odd size") {
  for (const CpuFeatures& cpu : feature_levels())
    for (const int threads : {1, 3}) {
      Machine machine(threads, cpu);
      for (const DType type : kWeightTypes)
        for (const std::int64_t tokens : {1, 2, 3, 4, 7, 8, 13, 25})
          for (const std::int64_t outputs : {1, 33, 70})
            for (const std::int64_t blocks : {1, 2, 3, 17}) {
              const std::int64_t inputs = blocks * std::max<std::int64_t>(32, block_elements(type));
              if (inputs > 1000 && tokens > 4 && outputs > 40) continue;  // enough is enough
              const Tensor x = exact_inputs(tokens, inputs, 7), weight = random_weights(type, {outputs, inputs}, 11);
              const Tensor bias = random_tensor({outputs}, 13);
              Tensor out(DType::kF32, {tokens, outputs}), wanted(DType::kF32, {tokens, outputs});
              linear(machine.on, out, x, weight, bias);
              const LinearPart part{wanted, weight, bias};
              reference::linear({&part, 1}, x);
              INFO(cpu.text(), ", ", dtype_name(type), ", tokens ", tokens, ", outputs ", outputs, ", inputs ", inputs);
              // f32 sums of up to 4352 products of mixed signs: some 1e-6 of the largest.
              CHECK(worst_difference(out.floats(), wanted.floats()) < 1e-5);
            }
    }
}
