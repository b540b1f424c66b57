#include "deskhand/train/frozen_base.h"

#include <doctest/doctest.h>

#include "deskhand/model/training_pass.h"
#include "deskhand/ops/testing.h"

namespace deskhand {
namespace {

const std::filesystem::path kModels = std::filesystem::path(DESKHAND_SOURCE_DIR) / "tests/golden/models";

double loss_of(const Backend& on, const Decoder& base, const DecoderWeights& weights) {
  const std::vector<std::int32_t> tokens = {5, 9, 4, 31, 7, 8, 3}, bounds = {0, 7}, rows = {0, 1, 2, 3, 4, 5},
                                  targets = {9, 4, 31, 7, 8, 3};
  TrainingPass pass(base.config(), weights, {.tokens = 8, .positions = 8});
  return pass.evaluate(on, {tokens, bounds, rows, targets}).loss / 6;
}

}  // namespace

TEST_CASE("a base held in 8 or 4 bits takes less memory and says nearly the same, 8 bits nearer than 4") {
  testing::Machine machine(2);
  const Decoder base = Decoder::load(kModels / "llama-untied");
  const double exact = loss_of(machine.on, base, hold_base(machine.on, base, FrozenBase::kAsStored));
  const DecoderWeights eight = hold_base(machine.on, base, FrozenBase::kQ8), four = hold_base(machine.on, base, FrozenBase::kQ4);
  const double of_eight = std::abs(loss_of(machine.on, base, eight) - exact), of_four = std::abs(loss_of(machine.on, base, four) - exact);
  CHECK(of_eight > 0);
  CHECK(of_eight < 0.01 * exact);
  CHECK(of_four < 0.1 * exact);
  CHECK(of_eight < of_four);
  CHECK(eight.layers.front().gate.weight.type() == DType::kQ8_0);
  CHECK(four.layers.back().down.weight.bytes() * 16 < base.weights().layers.back().down.weight.bytes() * 10);
  CHECK(eight.head.weight.data() == base.weights().head.weight.data());
}

TEST_CASE("what a file holds in fewer bits already is left as it is") {
  testing::Machine machine(2);
  const Decoder base = Decoder::load(kModels / "gguf-llama-old");
  const DecoderWeights held = hold_base(machine.on, base, FrozenBase::kQ8);
  CHECK(held.layers.front().q.weight.data() == base.weights().layers.front().q.weight.data());
}

TEST_CASE("a base in FP8 takes two bytes a weight, and a machine without FP8 or odd widths are refused by name") {
  const Backend plain{.kind = Backend::Kind::kReference};
  const Decoder base = Decoder::load(kModels / "llama-untied");
  const DecoderWeights held = hold_in_fp8(plain, base, base.weights());
  const Linear& gate = held.layers.front().gate;
  const Shape& shape = base.weights().layers.front().gate.weight.shape();
  CHECK(gate.weight.shape() == shape);
  CHECK((gate.fp8.backward.values.shape() == Shape{shape[1], shape[0]}));
  std::int64_t bytes = 0;
  for (const ConstFp8Rows& rows : {gate.fp8.forward, gate.fp8.backward}) bytes += rows.values.bytes() + rows.scales.bytes();
  CHECK(bytes == fp8_bytes(base.weights().layers.front().gate.weight));
  CHECK(held.head.weight.data() == base.weights().head.weight.data());

  testing::Machine machine(1);
  CHECK_THROWS_WITH(hold_in_fp8(machine.on, base, base.weights()),
                    doctest::Contains("GPUs of compute capability 8.9 or newer; on the CPU"));
  DecoderWeights odd = base.weights().views();
  odd.layers.back().up.weight = odd.layers.back().up.weight.rows(0, 40);
  CHECK_THROWS_WITH(hold_in_fp8(plain, base, odd), doctest::Contains("this model's mlp.up_proj is (40, 64)"));
}

}  // namespace deskhand
