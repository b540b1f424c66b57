#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "deskhand/model/encoder.h"
#include "deskhand/ops/cuda/testing.h"

using namespace deskhand;

namespace {

const std::filesystem::path kModels = std::filesystem::path(DESKHAND_SOURCE_DIR) / "tests/golden/models";

struct Engine {
  explicit Engine(Backend::Kind kind) : pool(2) {
    on.kind = kind;
    on.pool = &pool;
    on.workspace = &workspace;
    on.cpu = CpuFeatures::detect();
  }
  ThreadPool pool;
  Workspace workspace;
  Backend on;
};

// Largest difference of any component from the vectors that the Python library gave.
float difference(const Encoder& encoder, const Backend& on, const std::filesystem::path& fixture) {
  const auto expected = Safetensors::open(fixture);
  const auto tokens = expected.view("tokens").as<std::int32_t>(), bounds = expected.view("bounds").as<std::int32_t>();
  auto buffers = encoder.make_buffers(static_cast<std::int64_t>(tokens.size()));
  Tensor vectors(DType::kF32, {static_cast<std::int64_t>(bounds.size()) - 1, encoder.config().width});
  encoder.embed(on, buffers, tokens, bounds, vectors);
  const auto wanted = expected.view("vectors").floats();
  REQUIRE(wanted.size() == vectors.floats().size());
  float largest = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) largest = std::max(largest, std::abs(wanted[i] - vectors.floats()[i]));
  return largest;
}

}  // namespace

TEST_CASE("a tiny BERT gives transformers' vectors, texts packed without padding") {
  const Encoder encoder = Encoder::load(kModels / "bert");
  for (const auto kind : {Backend::Kind::kReference, Backend::Kind::kCpu}) {
    Engine engine(kind);
    CHECK(difference(encoder, engine.on, kModels / "bert/expected.safetensors") < 1e-5f);  // f32 against double, components below 1
  }
}

TEST_CASE("on the GPU a tiny BERT gives transformers' vectors, in bf16 to its step") {
  const auto at = testing::gpu();
  if (!at) return;
  Engine engine(Backend::Kind::kCuda);
  engine.on.cuda = &at->context;
  for (const DType activations : {DType::kF32, DType::kBF16}) {
    Encoder encoder = Encoder::load(kModels / "bert");
    encoder.place({Device::kCuda, activations});
    CHECK(difference(encoder, engine.on, kModels / "bert/expected.safetensors") < (activations == DType::kF32 ? 1e-5f : 1e-2f));
  }
}

TEST_CASE("MiniLM gives the vectors of sentence-transformers for 20 sentences") {
  const char* models = std::getenv("DESKHAND_MODELS");
  const auto folder = std::filesystem::path(models ? models : "") / "all-minilm-l6-v2";
  if (!models || !std::filesystem::exists(folder)) {
    MESSAGE("skipped: DESKHAND_MODELS/all-minilm-l6-v2 is not there; deskhand model get all-minilm-l6-v2 brings it");
    return;
  }
  const Encoder encoder = Encoder::load(folder);
  CHECK(encoder.config().max_tokens == 256);
  Engine engine(Backend::Kind::kCpu);
  CHECK(difference(encoder, engine.on, kModels / "minilm/expected.safetensors") < 1e-4f);
}

TEST_CASE("a foreign token, too long a text and too large a batch are refused by the encoder") {
  const Encoder encoder = Encoder::load(kModels / "bert");
  Engine engine(Backend::Kind::kCpu);
  auto buffers = encoder.make_buffers(100);
  Tensor out(DType::kF32, {1, 64});
  const auto embed = [&](std::vector<std::int32_t> tokens) {
    const std::vector<std::int32_t> bounds = {0, static_cast<std::int32_t>(tokens.size())};
    encoder.embed(engine.on, buffers, tokens, bounds, out);
  };
  CHECK_THROWS_WITH_AS(embed({300}), doctest::Contains("vocabulary of 256"), Error);
  CHECK_THROWS_WITH_AS(embed(std::vector<std::int32_t>(65, 3)), doctest::Contains("the encoder reads 64"), Error);
  CHECK_THROWS_WITH_AS(embed(std::vector<std::int32_t>(101, 3)), doctest::Contains("100 at a time"), Error);
}
