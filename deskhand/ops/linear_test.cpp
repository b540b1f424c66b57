#include "deskhand/ops/linear.h"

#include <doctest/doctest.h>

#include <limits>

#include "deskhand/ops/dequantize.h"
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
  for (const DType type : kWeightTypes)
    for (const std::int64_t blocks : {1, 2, 3, 17})
      for (const std::int64_t outputs : {1, 33, 70}) {
        const std::int64_t most = 25, inputs = blocks * std::max<std::int64_t>(32, block_elements(type));
        if (inputs > 1000 && outputs > 40) continue;  // enough is enough
        const Tensor x = exact_inputs(most, inputs, 7), weight = random_weights(type, {outputs, inputs}, 11);
        const Tensor bias = random_tensor({outputs}, 13);
        Tensor wanted(DType::kF32, {most, outputs});
        const LinearPart part{wanted, weight, bias};
        reference::linear({&part, 1}, x);
        for (const CpuFeatures& cpu : feature_levels())
          for (const int threads : {1, 3}) {
            if (type == DType::kBF16 && cpu.avx512_bf16) continue;  // rounds its inputs: the test of kBF16
            Machine machine(threads, cpu);
            for (const std::int64_t tokens : {1, 2, 3, 4, 7, 8, 13, 25})
              for (const Compute compute : {Compute::kAuto, Compute::kF32}) {
                if (compute == Compute::kF32 && (!is_quantised(type) || tokens % 2 == 0)) continue;
                machine.on.compute = compute;
                Tensor out(DType::kF32, {tokens, outputs});
                linear(machine.on, out, x.view().rows(0, tokens), weight, bias);
                INFO(cpu.text(), ", ", dtype_name(type), ", tokens ", tokens, ", outputs ", outputs, ", inputs ", inputs);
                // f32 sums of up to 4352 products of mixed signs: some 1e-6 of the largest.
                CHECK(worst_difference(out.floats(), wanted.view().rows(0, tokens).floats()) < 1e-5);
              }
          }
      }
}

// Tolerance: f32 sums of up to 1280 products of mixed signs, one behind the other: 1.4e-6 of the largest was seen. On tiles, where sums are
// made of short ones, 5e-7 was; with any piece left out it is 2e-6 and more.
TEST_CASE("linear over many tokens in f32 is as exact as f32 sums, for every weight type, feature level, thread count and odd size") {
  struct Size {
    std::int64_t tokens, outputs, inputs;
  };
  for (const DType type : kWeightTypes)
    for (const Size size : {Size{32, 32, 32}, Size{33, 45, 77}, Size{47, 33, 1100}, Size{70, 300, 257}, Size{530, 63, 130}}) {
      const std::int64_t block = block_elements(type), inputs = block == 1 ? size.inputs : (size.inputs + block - 1) / block * block;
      const Tensor x = random_tensor({size.tokens, inputs}, 7), weight = random_weights(type, {size.outputs, inputs}, 11);
      const Tensor bias = random_tensor({size.outputs}, 13);
      Tensor wanted(DType::kF32, {size.tokens, size.outputs});
      const LinearPart part{wanted, weight, bias};
      reference::linear({&part, 1}, x);
      for (const CpuFeatures& cpu : feature_levels()) {
        Machine machine(3, cpu), alone(1, cpu);
        machine.on.compute = alone.on.compute = Compute::kF32;
        Tensor out(DType::kF32, wanted.shape()), out_alone(DType::kF32, wanted.shape());
        linear(machine.on, out, x, weight, bias);
        linear(alone.on, out_alone, x, weight, bias);
        INFO(cpu.text(), ", ", dtype_name(type), ", tokens ", size.tokens, ", outputs ", size.outputs, ", inputs ", inputs);
        CHECK(worst_difference(out.floats(), wanted.floats()) < (cpu.amx_bf16 ? 1e-6 : 2e-6));
        CHECK(worst_difference(out.floats(), out_alone.floats()) == 0);
      }
    }
}

TEST_CASE("products of the smallest and the largest numbers are f32's, and what is no number stays none") {
  constexpr std::int64_t kSide = 48;
  for (const CpuFeatures& cpu : feature_levels())
    for (const float size : {1e-30f, 1e-15f, 1e15f, 1e30f}) {
      Machine machine(2, cpu);
      machine.on.compute = Compute::kF32;
      const Tensor x = random_tensor({kSide, kSide}, 3, size), weight = random_tensor({kSide, kSide}, 4);
      Tensor out(DType::kF32, {kSide, kSide}), wanted(DType::kF32, {kSide, kSide});
      const LinearPart part{wanted, weight, {}};
      reference::linear({&part, 1}, x);
      linear(machine.on, out, x, weight);
      INFO(cpu.text(), ", ", size);
      std::vector<float> found(out.floats().begin(), out.floats().end()), expected(wanted.floats().begin(), wanted.floats().end());
      for (std::vector<float>* values : {&found, &expected})
        for (float& value : *values) value /= size;
      CHECK(worst_difference(found, expected) < 1e-6);
      for (const float odd : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        Tensor broken = x.copy();
        broken.floats()[kSide + 1] = odd;
        linear(machine.on, out, broken, weight);
        for (std::int64_t o = 0; o < kSide; ++o) {
          CHECK(std::isfinite(out.floats()[static_cast<std::size_t>(o)]));
          CHECK_FALSE(std::isfinite(out.floats()[static_cast<std::size_t>(kSide + o)]));
        }
      }
    }
}

TEST_CASE("several products of one x, of different types, are each what they are alone") {
  for (const CpuFeatures& cpu : feature_levels())
    for (const std::int64_t tokens : {1, 5, 40}) {
      Machine machine(3, cpu);
      const Tensor x = exact_inputs(tokens, 512, 3);
      const DType types[] = {DType::kQ5_0, DType::kQ6_K, DType::kF16, DType::kQ8_0, DType::kQ4_1};
      std::vector<Tensor> weights, outs, alone;
      std::vector<LinearPart> parts;
      for (std::size_t i = 0; i < 5; ++i) {
        const std::int64_t outputs = 20 + 31 * static_cast<std::int64_t>(i);
        weights.push_back(random_weights(types[i], {outputs, 512}, static_cast<unsigned>(i)));
        outs.emplace_back(DType::kF32, Shape{tokens, outputs});
        alone.emplace_back(DType::kF32, Shape{tokens, outputs});
      }
      for (std::size_t i = 0; i < 5; ++i) {
        parts.push_back({outs[i], weights[i], {}});
        linear(machine.on, alone[i], x, weights[i]);
      }
      linear(machine.on, parts, x);
      for (std::size_t i = 0; i < 5; ++i) CHECK(worst_difference(outs[i].floats(), alone[i].floats()) == 0);
    }
}

TEST_CASE("8-bit inputs cost what rounding to a 127th of a block's largest costs, no more") {
  Machine machine(2);
  const Tensor x = random_tensor({16, 1024}, 3), weight = random_weights(DType::kQ8_0, {64, 1024}, 4);
  Tensor out(DType::kF32, {16, 64}), wanted(DType::kF32, {16, 64});
  linear(machine.on, out, x, weight);
  const LinearPart part{wanted, weight, {}};
  reference::linear({&part, 1}, x);
  // A step is about 2.2 / 127 of a standard deviation, its error uniform: 0.5 % of the result's; the largest of 1024 is below 2 % of it.
  CHECK(worst_difference(out.floats(), wanted.floats()) < 0.01);
}

TEST_CASE("kBF16 rounds weights and inputs to bf16 and nothing else, whatever the weight type, feature level and odd size") {
  for (const DType type : kWeightTypes)
    for (const std::int64_t inputs : {32, 96, 77, 33, 1024})
      for (const std::int64_t outputs : {1, 6, 70}) {
        if (inputs % block_elements(type) != 0) continue;
        const std::int64_t most = 70;
        const Tensor x = random_tensor({most, inputs}, 3), weight = random_weights(type, {outputs, inputs}, 4),
                     bias = random_tensor({outputs}, 5);
        Tensor rounded_x = x.copy(), rounded(DType::kF32, {outputs, inputs}), wanted(DType::kF32, {most, outputs});
        reference::dequantize(rounded, weight);
        for (float& value : rounded_x.floats()) value = from_bf16(to_bf16(value));
        for (float& value : rounded.floats()) value = from_bf16(to_bf16(value));
        const LinearPart part{wanted, rounded, bias};
        reference::linear({&part, 1}, rounded_x);
        for (const CpuFeatures& cpu : feature_levels())
          for (const std::int64_t tokens : {1, 2, 5, 7, 13, 70}) {
            Machine machine(2, cpu);
            machine.on.compute = type == DType::kBF16 && cpu.avx512_bf16 && tokens <= 40 ? Compute::kAuto : Compute::kBF16;
            Tensor out(DType::kF32, {tokens, outputs});
            linear(machine.on, out, x.view().rows(0, tokens), weight, bias);
            INFO(cpu.text(), ", ", dtype_name(type), ", tokens ", tokens, ", outputs ", outputs, ", inputs ", inputs);
            // Sums of at most 1024 exact products in f32: 2^-24 a sum, and a weight whose f32 is a last bit off may round to the other
            // side in bf16 (2^-8 of one product of a thousand).
            CHECK(worst_difference(out.floats(), wanted.view().rows(0, tokens).floats()) < (is_quantised(type) ? 1e-3 : 2e-6));
          }
      }
}

TEST_CASE("a row of bf16 products is the same to the bit, whoever shares its pass") {
  for (const CpuFeatures& cpu : feature_levels()) {
    if (!cpu.avx512_bf16) continue;
    Machine machine(2, cpu);
    const Tensor x = random_tensor({17, 1000}, 3), weight = random_weights(DType::kBF16, {39, 1000}, 4);
    Tensor together(DType::kF32, {17, 39}), alone(DType::kF32, {1, 39});
    linear(machine.on, together, x, weight);
    for (std::int64_t row = 0; row < 17; ++row) {
      linear(machine.on, alone, x.view().rows(row, 1), weight);
      CHECK(worst_difference(together.view().rows(row, 1).floats(), alone.floats()) == 0);
    }
  }
}

TEST_CASE("the largest weights met with the largest inputs overflow no sum") {
  for (const DType type : kWeightTypes) {
    if (!is_quantised(type)) continue;
    for (const int fill : {0xff, 0x80, 0x7f, 0x00}) {
      Tensor weight(type, {33, 512});
      auto* bytes = reinterpret_cast<std::uint8_t*>(weight.view().data());
      const std::int64_t size = block_bytes(type);
      std::memset(bytes, fill, weight.view().raw().size());
      for (std::int64_t at = 0; at < weight.view().bytes(); at += size)
        for (const int offset : half_offsets(type)) {
          const std::uint16_t bits = to_f16(0.25f);
          std::memcpy(bytes + at + offset, &bits, sizeof bits);
        }
      for (const float sign : {1.0f, -1.0f}) {
        Tensor x(DType::kF32, {9, 512}), wanted(DType::kF32, {9, 33});
        std::fill(x.floats().begin(), x.floats().end(), 127 * sign);
        const LinearPart part{wanted, weight, {}};
        reference::linear({&part, 1}, x);
        for (const CpuFeatures& cpu : feature_levels())
          for (const std::int64_t tokens : {1, 9}) {
            Machine machine(1, cpu);
            Tensor out(DType::kF32, {tokens, 33});
            linear(machine.on, out, x.view().rows(0, tokens), weight);
            INFO(cpu.text(), ", ", dtype_name(type), ", bytes ", fill, ", tokens ", tokens);
            // Whole numbers times powers of two, but centres and minima are taken off in f32: some 1e-7 of terms a few times the result.
            CHECK(worst_difference(out.floats(), wanted.view().rows(0, tokens).floats()) < 1e-5);
          }
      }
    }
  }
}
