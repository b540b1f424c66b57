// The tiny models of tests/golden/models: 16 greedy tokens each, as transformers gives them in double.
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <numeric>

#include "deskhand/base/error.h"
#include "deskhand/generate/generator.h"
#include "deskhand/generate/perplexity.h"
#include "deskhand/ops/cuda/testing.h"

namespace deskhand {
namespace {

const std::filesystem::path kModels = std::filesystem::path(DESKHAND_SOURCE_DIR) / "tests/golden/models";

constexpr const char* kNames[] = {"llama-tied",     "llama-untied",    "qwen2",          "mistral",      "smollm",
                                  "gguf-llama-f32", "gguf-qwen2-half", "gguf-llama-old", "gguf-llama-k", "gguf-qwen2-q8_0"};

struct Engine {
  Engine() {
    on.pool = &pool;
    on.workspace = &workspace;
    on.cpu = CpuFeatures::detect();
    on.compute = Compute::kF32;
  }
  ThreadPool pool{2};
  Workspace workspace;
  Backend on;
};

std::shared_ptr<const TokenTrie> any_vocabulary(std::int64_t size) {
  std::vector<std::string> bytes(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = std::string(1 + i / 256, static_cast<char>(i % 256));
  return std::make_shared<const TokenTrie>(std::move(bytes));
}

TEST_CASE("greedy completions are transformers' on every golden model, with and without drafts, in one pass or in chunks") {
  for (const char* name : kNames) {
    CAPTURE(name);
    Engine engine;
    const auto expected = Safetensors::open(kModels / name / "expected.safetensors");
    const auto prompt = expected.view("prompt").as<std::int32_t>(), greedy = expected.view("greedy").as<std::int32_t>();
    const Decoder decoder = Decoder::load(kModels / name);
    for (const std::int64_t pass : {5, 512})
      for (const bool drafts : {true, false}) {
        const DecoderLimits limits{.tokens = pass, .positions = 64};
        Generator generator(std::make_unique<DecoderLogits>(decoder, engine.on, limits), any_vocabulary(decoder.config().vocabulary), {},
                            {.cache = {.tokens = 256, .page_tokens = 8, .type = DType::kF32}, .drafts = {.least_match = 1}});
        const auto completion = generator.complete(prompt, {.max_new_tokens = static_cast<std::int32_t>(greedy.size()), .drafts = drafts});
        CHECK(completion.tokens == std::vector<std::int32_t>(greedy.begin(), greedy.end()));
      }
  }
}

// f32 products on both sides; the tiny models' logits are far apart.
TEST_CASE("greedy completions on the GPU are transformers' on every golden model, and logits those of the CPU") {
  const auto at = testing::gpu();
  if (!at) return;
  Engine engine;
  Backend there = engine.on;
  there.kind = Backend::Kind::kCuda;
  there.cuda = &at->context;
  for (const char* name : kNames) {
    CAPTURE(name);
    const auto expected = Safetensors::open(kModels / name / "expected.safetensors");
    const auto prompt = expected.view("prompt").as<std::int32_t>(), greedy = expected.view("greedy").as<std::int32_t>();
    Decoder decoder = Decoder::load(kModels / name);
    const std::vector<std::int32_t> bounds{0, static_cast<std::int32_t>(prompt.size())},
        rows{0, static_cast<std::int32_t>(prompt.size()) - 1};
    Tensor wanted(DType::kF32, {2, decoder.config().vocabulary}), found(DType::kF32, wanted.shape());
    auto buffers = decoder.make_buffers({.tokens = 64, .positions = 64});
    decoder.forward_packed(engine.on, buffers, prompt, bounds, rows, wanted);
    decoder.place(Device::kCuda);
    auto buffers_there = decoder.make_buffers({.tokens = 64, .positions = 64});
    decoder.forward_packed(there, buffers_there, prompt, bounds, rows, found);
    for (std::size_t i = 0; i < found.floats().size(); ++i)
      if (!(std::abs(found.floats()[i] - wanted.floats()[i]) < 1e-3f))
        FAIL_CHECK("logit ", i, ": ", found.floats()[i], " instead of ", wanted.floats()[i]);
    for (const std::int64_t pass : {5, 512})
      for (const bool drafts : {true, false}) {
        Generator generator(std::make_unique<DecoderLogits>(decoder, there, DecoderLimits{.tokens = pass, .positions = 64}),
                            any_vocabulary(decoder.config().vocabulary), {},
                            {.cache = {.tokens = 256, .page_tokens = 8, .type = DType::kF32}, .drafts = {.least_match = 1}});
        const auto completion = generator.complete(prompt, {.max_new_tokens = static_cast<std::int32_t>(greedy.size()), .drafts = drafts});
        CHECK(completion.tokens == std::vector<std::int32_t>(greedy.begin(), greedy.end()));
      }
  }
}

TEST_CASE("perplexity counts the second half of each whole window, as the definition written out does") {
  Engine engine;
  const Decoder decoder = Decoder::load(kModels / "qwen2");
  DecoderBuffers buffers = decoder.make_buffers({.tokens = 64, .positions = 64});
  const auto vocabulary = decoder.config().vocabulary;
  std::vector<std::int32_t> tokens(50);
  for (std::size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = static_cast<std::int32_t>((i * i * 7 + 3) % static_cast<std::size_t>(vocabulary));
  const auto found = perplexity(decoder, engine.on, buffers, tokens, {.window = 16});

  double sum = 0;
  Tensor logits(DType::kF32, {16, vocabulary});
  std::vector<std::int32_t> rows(16);
  std::iota(rows.begin(), rows.end(), 0);
  const std::vector<std::int32_t> bounds{0, 16};
  for (std::size_t w = 0; w < 3; ++w) {
    const auto window = std::span(tokens).subspan(16 * w, 16);
    decoder.forward_packed(engine.on, buffers, window, bounds, rows, logits);
    for (std::int64_t i = 8; i + 1 < 16; ++i) {
      double whole = 0;
      for (const float logit : logits_row(logits, i)) whole += std::exp(static_cast<double>(logit));
      sum += std::log(whole) - logits_row(logits, i)[static_cast<std::size_t>(window[static_cast<std::size_t>(i + 1)])];
    }
  }
  CHECK(found.tokens == 21);
  CHECK(found.mean_nll == doctest::Approx(sum / 21).epsilon(1e-6));
  CHECK(found.value() == doctest::Approx(std::exp(sum / 21)).epsilon(1e-5));
  CHECK(perplexity(decoder, engine.on, buffers, tokens, {.window = 16, .most_windows = 1}).tokens == 7);
  CHECK_THROWS_AS(perplexity(decoder, engine.on, buffers, tokens, {.window = 60}), Error);
}

}  // namespace
}  // namespace deskhand
