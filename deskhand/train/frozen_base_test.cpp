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
  const DecoderLayer &layer = held.layers.front(), &stored = base.weights().layers.front();
  std::int64_t bytes = 0, wanted = 0;
  for (const LayerLinear& at : kLayerLinears) {
    const Linear& linear = layer.*at.linear;
    CHECK(linear.weight.shape() == (stored.*at.linear).weight.shape());
    bytes += linear.fp8.values.bytes() + linear.fp8.scales.bytes();
    wanted += fp8_bytes(linear.weight);
  }
  for (const ConstFp8Rows& rows : {layer.turned.qkv, layer.turned.attention_out, layer.turned.gate_up, layer.turned.down})
    bytes += rows.values.bytes() + rows.scales.bytes();
  CHECK(bytes <= wanted);
  CHECK(bytes > 0.98 * static_cast<double>(wanted));  // layers of one input share the scales of their turned copies
  CHECK((layer.turned.gate_up.values.shape() == Shape{stored.gate.weight.shape()[1], 2 * stored.gate.weight.shape()[0]}));
  CHECK(held.head.weight.data() == base.weights().head.weight.data());

  testing::Machine machine(1);
  CHECK_THROWS_WITH(hold_in_fp8(machine.on, base, base.weights()),
                    doctest::Contains("GPUs of compute capability 8.9 or newer; on the CPU"));
  DecoderWeights odd = base.weights().views();
  odd.layers.back().up.weight = odd.layers.back().up.weight.rows(0, 40);
  CHECK_THROWS_WITH(hold_in_fp8(plain, base, odd), doctest::Contains("this model's mlp.up_proj is (40, 64)"));
}

}  // namespace deskhand
