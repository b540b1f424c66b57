// Tiny random models against what transformers computed from them in double (tools/save_golden_models.py).
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <numeric>

#include "deskhand/model/decoder.h"
#include "tests/temporary_folder.h"

using namespace deskhand;

namespace {

const std::filesystem::path kModels = std::filesystem::path(DESKHAND_SOURCE_DIR) / "tests/golden/models";
constexpr const char* kPlain[] = {"llama-tied", "llama-untied", "qwen2", "mistral", "smollm", "gguf-llama-f32", "gguf-qwen2-half"};
constexpr const char* kQuantised[] = {"gguf-llama-old", "gguf-llama-k", "gguf-qwen2-q8_0"};

// Sums of f32 in another order than double's: logits of magnitude 5 after two layers.
constexpr float kF32Tolerance = 2e-4f;

struct Expected {
  std::vector<std::int32_t> prompt, greedy;
  std::vector<float> logits;  // (12, V)
};

std::vector<std::int32_t> integers(const Safetensors& file, const char* name) {
  const auto values = file.view(name).as<std::int32_t>();
  return {values.begin(), values.end()};
}

Expected expected_of(const std::string& model) {
  const auto file = Safetensors::open(kModels / model / "expected.safetensors");
  const auto logits = file.view("logits").floats();
  return {integers(file, "prompt"), integers(file, "greedy"), {logits.begin(), logits.end()}};
}

// A backend and what it borrows.
struct Engine {
  Engine(Backend::Kind kind, Compute compute, int threads = 2) : pool(threads) {
    on.kind = kind;
    on.pool = &pool;
    on.workspace = &workspace;
    on.cpu = CpuFeatures::detect();
    on.compute = compute;
  }
  ThreadPool pool;
  Workspace workspace;
  Backend on;
};

std::vector<std::int32_t> counted(std::size_t count, std::int32_t from = 0) {
  std::vector<std::int32_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), from);
  return numbers;
}

float largest_difference(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  float largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) return INFINITY;
    largest = std::max(largest, std::abs(a[i] - b[i]));
  }
  return largest;
}

Tensor packed_logits(const Decoder& decoder, const Backend& on, std::span<const std::int32_t> tokens,
                     std::span<const std::int32_t> bounds) {
  auto buffers = decoder.make_buffers({.tokens = 64, .positions = 64});
  Tensor logits(DType::kF32, {static_cast<std::int64_t>(tokens.size()), decoder.config().vocabulary});
  decoder.forward_packed(on, buffers, tokens, bounds, counted(tokens.size()), logits);
  return logits;
}

// Sequences over shared pages of four tokens, taken in a scattered order.
class PagedRun {
 public:
  PagedRun(const Decoder& decoder, const Backend& on)
      : decoder_(decoder), on_(on), buffers_(decoder.make_buffers({.tokens = 32, .positions = 64})) {
    const auto& c = decoder.config();
    for (std::int64_t layer = 0; layer < c.layers; ++layer) {
      memory_.emplace_back(DType::kF32, Shape{kPages, kPageTokens, c.kv_heads, c.head_width});
      memory_.emplace_back(DType::kF32, Shape{kPages, kPageTokens, c.kv_heads, c.head_width});
    }
    for (std::size_t layer = 0; layer < memory_.size() / 2; ++layer) pages_.push_back({memory_[2 * layer], memory_[2 * layer + 1]});
  }

  // Adds each text to its sequence in one batch; returns the logits of each one's last token, (texts, V).
  Tensor extend(const std::map<int, std::vector<std::int32_t>>& texts) {
    std::vector<std::int32_t> tokens, positions, bounds{0}, rows;
    std::vector<KvSequence> sequences;
    for (const auto& [name, text] : texts) {
      auto& [length, pages] = sequences_[name];
      const auto places = counted(text.size(), length);
      tokens.insert(tokens.end(), text.begin(), text.end());
      positions.insert(positions.end(), places.begin(), places.end());
      length += static_cast<std::int32_t>(text.size());
      while (static_cast<std::int64_t>(pages.size()) * kPageTokens < length)
        pages.push_back(static_cast<std::int32_t>(taken_++ * 7 % kPages));
      bounds.push_back(static_cast<std::int32_t>(tokens.size()));
      rows.push_back(bounds.back() - 1);
      sequences.push_back({pages, length});
    }
    Tensor logits(DType::kF32, {static_cast<std::int64_t>(rows.size()), decoder_.config().vocabulary});
    decoder_.forward(on_, buffers_, {tokens, positions, bounds, sequences, rows}, pages_, logits);
    return logits;
  }

 private:
  static constexpr std::int64_t kPages = 29, kPageTokens = 4;
  const Decoder& decoder_;
  const Backend& on_;
  DecoderBuffers buffers_;
  std::vector<Tensor> memory_;
  std::vector<KvPages> pages_;
  std::map<int, std::pair<std::int32_t, std::vector<std::int32_t>>> sequences_;
  std::int64_t taken_ = 1;
};

std::int32_t likeliest(std::span<const float> logits) {
  return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

std::vector<std::string> all_models() {
  std::vector<std::string> names(std::begin(kPlain), std::end(kPlain));
  names.insert(names.end(), std::begin(kQuantised), std::end(kQuantised));
  return names;
}

void check_model(const std::string& name, Engine& engine) {
  CAPTURE(name);
  const Decoder decoder = Decoder::load(kModels / name);
  const Expected expected = expected_of(name);
  const auto whole = std::vector<std::int32_t>{0, 12};
  const Tensor logits = packed_logits(decoder, engine.on, expected.prompt, whole);
  CHECK(largest_difference(logits.floats(), expected.logits) < kF32Tolerance);

  // The prompt in two chunks, then a token at a time.
  PagedRun run(decoder, engine.on);
  run.extend({{0, {expected.prompt.begin(), expected.prompt.begin() + 5}}});
  Tensor last = run.extend({{0, {expected.prompt.begin() + 5, expected.prompt.end()}}});
  CHECK(largest_difference(last.floats(), std::span(expected.logits).last(last.floats().size())) < kF32Tolerance);
  std::vector<std::int32_t> greedy{likeliest(last.floats())};
  while (greedy.size() < expected.greedy.size()) {
    last = run.extend({{0, {greedy.back()}}});
    greedy.push_back(likeliest(last.floats()));
  }
  CHECK(greedy == expected.greedy);
}

}  // namespace

TEST_CASE("every family and format gives transformers' logits and greedy tokens on the reference backend") {
  Engine engine(Backend::Kind::kReference, Compute::kF32, 1);
  for (const std::string& name : all_models()) check_model(name, engine);
}

TEST_CASE("every family and format gives transformers' logits and greedy tokens on the CPU backend in f32") {
  Engine engine(Backend::Kind::kCpu, Compute::kF32);
  for (const std::string& name : all_models()) check_model(name, engine);
}

TEST_CASE("products in 8 bits and bf16 stay near the exact logits") {
  // An input of 8 bits is off by up to 1/254 of its block's largest, one of bf16 by 1/256 of itself. Over 15 products in a row that leaves
  // a few percent of the logits' spread (1.5 to 2.7).
  Engine engine(Backend::Kind::kCpu, Compute::kAuto);
  for (const std::string& name : all_models()) {
    CAPTURE(name);
    const Expected expected = expected_of(name);
    const auto whole = std::vector<std::int32_t>{0, 12};
    const Tensor logits = packed_logits(Decoder::load(kModels / name), engine.on, expected.prompt, whole);
    CHECK(largest_difference(logits.floats(), expected.logits) < 0.3f);
  }
}

TEST_CASE("sequences of one batch do not see one another, packed or paged") {
  Engine engine(Backend::Kind::kCpu, Compute::kF32);
  const Decoder decoder = Decoder::load(kModels / "llama-tied");
  const std::vector<std::int32_t> a = {5, 9, 200, 31, 77, 8}, b = {17, 4, 4}, next_b = {99, 3};
  const auto alone = [&](std::vector<std::int32_t> text) {
    const auto bounds = std::vector<std::int32_t>{0, static_cast<std::int32_t>(text.size())};
    return packed_logits(decoder, engine.on, text, bounds);
  };
  const Tensor alone_a = alone(a), alone_b = alone({17, 4, 4, 99, 3});
  const auto last_row = [](const Tensor& logits) { return logits.floats().last(static_cast<std::size_t>(logits.shape()[1])); };

  std::vector<std::int32_t> both = a;
  both.insert(both.end(), b.begin(), b.end());
  both.insert(both.end(), next_b.begin(), next_b.end());
  const auto bounds = std::vector<std::int32_t>{0, 6, 11};
  const Tensor packed = packed_logits(decoder, engine.on, both, bounds);
  CHECK(largest_difference(packed.view().rows(0, 6).floats(), alone_a.floats()) < 1e-5f);
  CHECK(largest_difference(packed.view().rows(6, 5).floats(), alone_b.floats()) < 1e-5f);

  PagedRun run(decoder, engine.on);
  run.extend({{2, b}});
  const Tensor paged = run.extend({{1, a}, {2, next_b}});
  CHECK(largest_difference(paged.view().rows(0, 1).floats(), last_row(alone_a)) < 1e-4f);
  CHECK(largest_difference(paged.view().rows(1, 1).floats(), last_row(alone_b)) < 1e-4f);
}

TEST_CASE("only the rows asked for are answered, and the head on their hidden rows gives their logits") {
  Engine engine(Backend::Kind::kCpu, Compute::kF32);
  const Decoder decoder = Decoder::load(kModels / "qwen2");
  const Expected expected = expected_of("qwen2");
  const auto& c = decoder.config();
  auto buffers = decoder.make_buffers({.tokens = 12, .positions = 12});
  Tensor logits(DType::kF32, {2, c.vocabulary}), again(DType::kF32, {2, c.vocabulary}), hidden(DType::kF32, {2, c.width});
  const std::vector<std::int32_t> bounds = {0, 12}, rows = {3, 11};
  decoder.forward_packed(engine.on, buffers, expected.prompt, bounds, rows, logits, hidden);
  const auto width = static_cast<std::size_t>(c.vocabulary);
  CHECK(largest_difference(logits.floats().first(width), std::span(expected.logits).subspan(3 * width, width)) < kF32Tolerance);
  CHECK(largest_difference(logits.floats().last(width), std::span(expected.logits).last(width)) < kF32Tolerance);
  decoder.head(engine.on, again, hidden);
  CHECK(largest_difference(logits.floats(), again.floats()) < 1e-6f);
  decoder.forward_packed(engine.on, buffers, expected.prompt, bounds, {}, {});  // none at all is no fault
}

TEST_CASE("a foreign token, too long a text and too large a pass are refused") {
  Engine engine(Backend::Kind::kCpu, Compute::kF32);
  const Decoder decoder = Decoder::load(kModels / "llama-tied");
  auto buffers = decoder.make_buffers({.tokens = 8, .positions = 4});
  const auto pass = [&](std::vector<std::int32_t> tokens, std::int32_t position) {
    const std::vector<std::int32_t> positions(tokens.size(), position), bounds = {0, static_cast<std::int32_t>(tokens.size())};
    const std::vector<std::int32_t> pages = {0};
    const std::vector<KvSequence> sequences = {{pages, 1}};
    const std::vector<KvPages> layers(2);
    decoder.forward(engine.on, buffers, {tokens, positions, bounds, sequences, {}}, layers, {});
  };
  CHECK_THROWS_WITH_AS(pass({256}, 0), doctest::Contains("outside the model's vocabulary of 256"), Error);
  CHECK_THROWS_WITH_AS(pass({-1}, 0), doctest::Contains("outside the model's vocabulary"), Error);
  CHECK_THROWS_WITH_AS(pass({1}, 4), doctest::Contains("longer than 4 tokens"), Error);
  CHECK_THROWS_WITH_AS(pass(std::vector<std::int32_t>(9, 1), 0), doctest::Contains("9 tokens"), Error);
  CHECK(decoder.make_buffers({.tokens = 1, .positions = 1 << 20}).limits.positions == 128);
}

TEST_CASE("a GGUF in a folder is found, two are asked about, none is said") {
  CHECK(Decoder::load(kModels / "gguf-llama-f32").gguf() != nullptr);
  CHECK(Decoder::load(kModels / "gguf-llama-f32" / "model.gguf").gguf() != nullptr);
  CHECK(Decoder::load(kModels / "llama-tied").gguf() == nullptr);
  const TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(Decoder::load(folder.path()), doctest::Contains("neither config.json nor a .gguf"), Error);
  for (const char* name : {"a.gguf", "b.gguf"}) std::ofstream(folder.path() / name) << "GGUF";
  CHECK_THROWS_WITH_AS(Decoder::load(folder.path()), doctest::Contains("several"), Error);
}
