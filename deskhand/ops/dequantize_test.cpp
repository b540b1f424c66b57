#include "deskhand/ops/dequantize.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <limits>

#include "deskhand/ops/quantize.h"
#include "deskhand/ops/testing.h"

using namespace deskhand;
using namespace deskhand::testing;

namespace {

constexpr DType kQuantised[] = {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1,
                                DType::kQ8_0, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};

}  // namespace

// tools/save_golden_quant.py. Tolerance: the package multiplies in another order, one or two roundings of values below 10.
TEST_CASE("every quantised type is read as the gguf package reads it, by the reference and by the CPU") {
  for (const DType type : kQuantised) {
    std::ifstream file(std::string(DESKHAND_SOURCE_DIR "/tests/golden/quant/") + std::string(dtype_name(type)) + ".bin", std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    const auto blocks = static_cast<std::size_t>(4 * row_bytes(type, 512));
    REQUIRE(bytes.size() == blocks + 2048 * sizeof(float));
    const ConstView in(reinterpret_cast<const std::byte*>(bytes.data()), type, {4, 512});
    std::vector<float> wanted(2048);
    std::memcpy(wanted.data(), bytes.data() + blocks, 2048 * sizeof(float));
    INFO(dtype_name(type));
    Tensor out(DType::kF32, {4, 512});
    reference::dequantize(out, in);
    CHECK(worst_difference(out.floats(), wanted) < 3e-7);
    for (const CpuFeatures& cpu : feature_levels()) {
      Machine machine(3, cpu);
      Tensor found(DType::kF32, {4, 512});
      dequantize(machine.on, found, in);
      INFO(cpu.text());
      CHECK(worst_difference(found.floats(), wanted) < 3e-7);
    }
  }
}

TEST_CASE("every f16 and bf16 is widened exactly, subnormal numbers too") {
  for (const DType type : {DType::kF16, DType::kBF16})
    for (const CpuFeatures& cpu : feature_levels()) {
      Machine machine(1, cpu);
      Tensor in(type, {1, 65536}), out(DType::kF32, {1, 65536});
      for (std::size_t bits = 0; bits < 65536; ++bits) in.view().as<std::uint16_t>()[bits] = static_cast<std::uint16_t>(bits);
      dequantize(machine.on, out, in);
      int wrong = 0;
      for (std::size_t bits = 0; bits < 65536; ++bits) {
        const auto narrow = static_cast<std::uint16_t>(bits);
        const float wanted = type == DType::kF16 ? from_f16(narrow) : from_bf16(narrow), found = out.floats()[bits];
        wrong += !(found == wanted || (std::isnan(found) && std::isnan(wanted)));
      }
      INFO(cpu.text(), ", ", dtype_name(type));
      CHECK(wrong == 0);
    }
}

TEST_CASE("weights become the very blocks that the gguf package makes of them") {
  for (const DType type : {DType::kQ4_0, DType::kQ8_0}) {
    INFO(dtype_name(type));
    std::ifstream file(std::string(DESKHAND_SOURCE_DIR "/tests/golden/quant/packed_") + std::string(dtype_name(type)) + ".bin",
                       std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    Tensor weights(DType::kF32, {4, 512}), blocks(type, {4, 512});
    const std::size_t plain = weights.floats().size() * sizeof(float), packed = blocks.view().raw().size();
    REQUIRE(bytes.size() == plain + packed);
    std::memcpy(weights.view().data(), bytes.data(), plain);
    for (const auto kind : {Backend::Kind::kReference, Backend::Kind::kCpu}) {
      Machine machine(3);
      machine.on.kind = kind;
      quantize(machine.on, blocks, weights);
      CHECK(std::memcmp(blocks.view().data(), bytes.data() + plain, packed) == 0);
    }
  }
}

TEST_CASE("a block with a number that is none is read back as NaN, and its neighbours are not") {
  for (const DType type : {DType::kQ4_0, DType::kQ8_0})
    for (const float value : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
      Machine machine(2);
      Tensor weights = random_tensor({1, 96}, 4), blocks(type, {1, 96}), back(DType::kF32, {1, 96});
      weights.floats()[40] = value;
      quantize(machine.on, blocks, weights);
      dequantize(machine.on, back, blocks);
      for (std::size_t i = 0; i < 96; ++i) CHECK(std::isnan(back.floats()[i]) == (i / 32 == 1));
    }
}

TEST_CASE("rows quantised to q8_0 are read back within half a step, whole numbers that reach 127 exactly, and zeros as zeros") {
  Tensor rows = random_tensor({5, 96}, 3);
  for (std::size_t i = 0; i < 32; ++i) rows.floats()[i] = i == 9 ? -127.0f : static_cast<float>(i);
  for (std::size_t i = 32; i < 64; ++i) rows.floats()[i] = 0;
  for (const auto kind : {Backend::Kind::kReference, Backend::Kind::kCpu}) {
    Machine machine(3);
    machine.on.kind = kind;
    Tensor narrow(DType::kQ8_0, {5, 96}), back(DType::kF32, {5, 96});
    quantize(machine.on, narrow, rows);
    dequantize(machine.on, back, narrow);
    for (std::size_t i = 0; i < 64; ++i) CHECK(back.floats()[i] == rows.floats()[i]);
    for (std::size_t first = 64; first < rows.floats().size(); first += 32) {
      float largest = 0;
      for (std::size_t i = first; i < first + 32; ++i) largest = std::max(largest, std::abs(rows.floats()[i]));
      for (std::size_t i = first; i < first + 32; ++i)  // and the scale is rounded to 11 bits
        CHECK(std::abs(back.floats()[i] - rows.floats()[i]) <= largest * (0.5f / 127 + 1.0f / 2048));
    }
  }
}
