#include "deskhand/train/export_gguf.h"

#include <doctest/doctest.h>

#include "deskhand/base/error.h"
#include "deskhand/model/safetensors.h"
#include "deskhand/train/testing.h"
#include "tests/temporary_folder.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;
using testing::kGolden, testing::plain_backend, testing::base_of, testing::logits_of, testing::largest_difference;
const std::vector<std::int32_t> kPrompt = {1, 17, 99, 203, 5, 64};
const std::vector<std::string> kAdapters = {"qwen2-lora", "qwen2-hybrid", "llama-tied-hybrid", "llama-untied-patterns"};

// scale B A of a pair.
std::vector<float> product(const LoraPair& pair) {
  const auto a = pair.a.floats(), b = pair.b.floats();
  const auto rank = static_cast<std::size_t>(pair.a.shape()[0]), inputs = static_cast<std::size_t>(pair.a.shape()[1]);
  std::vector<float> sum(b.size() / rank * inputs);
  for (std::size_t o = 0; o < b.size() / rank; ++o)
    for (std::size_t r = 0; r < rank; ++r)
      for (std::size_t i = 0; i < inputs; ++i) sum[o * inputs + i] += pair.scale * b[o * rank + r] * a[r * inputs + i];
  return sum;
}

}  // namespace

TEST_CASE("a model written as GGUF answers as its Hugging Face folder does: every family, every type") {
  for (const char* name : {"llama-tied", "llama-untied", "mistral", "smollm", "qwen2"}) {
    const Decoder base = Decoder::load(kGolden / "models" / name);
    const Tensor wanted = logits_of(base, kPrompt);
    for (const auto& [type, most] : {std::pair{DType::kF32, 2e-5}, {DType::kF16, .02}, {DType::kBF16, .15}, {DType::kQ8_0, .6}}) {
      CAPTURE(name);
      CAPTURE(dtype_name(type));
      const TemporaryFolder folder;
      std::int64_t written = 0;
      write_gguf_model(plain_backend(), base, {}, folder.path() / "x.gguf",
                       {.stored = type, .written = [&](std::int64_t bytes) { written += bytes; }});
      CHECK(written == gguf_model_bytes(base, {}, type) +
                           (base.config().rope_scaling.kind == RopeScaling::Kind::kLlama3 ? base.config().head_width * 2 : 0));
      const Decoder again = Decoder::load(folder.path() / "x.gguf");
      CHECK(again.weights().unused.empty());
      CHECK(again.config().tied_head == base.config().tied_head);
      CHECK(again.config().max_positions == base.config().max_positions);
      CHECK(largest_difference(logits_of(again, kPrompt).floats(), wanted.floats()) < most);  // of logits up to 10
    }
  }
}

TEST_CASE("an adapter worked into a GGUF answers as peft does: pairs, head, norms, a tied head made its own") {
  for (const std::string& name : kAdapters) {
    CAPTURE(name);
    const TemporaryFolder folder;
    const Decoder base = Decoder::load(kGolden / "models" / base_of(name));
    write_gguf_model(plain_backend(), base, read_adapter(kGolden / "adapters" / name), folder.path() / "x.gguf", {.stored = DType::kF32});
    const auto expected = Safetensors::open(kGolden / "adapters" / name / "expected.safetensors");
    const Tensor logits = logits_of(Decoder::load(folder.path() / "x.gguf"), expected.view("prompt").as<std::int32_t>());
    CHECK(largest_difference(logits.floats(), expected.view("logits").floats()) < 2e-4);
  }
}

TEST_CASE("a GGUF base keeps its metadata and every quantised matrix that nothing changed, to the bit") {
  for (const char* name : {"gguf-llama-k", "gguf-llama-old", "gguf-llama-f32", "gguf-qwen2-half", "gguf-qwen2-q8_0"}) {
    CAPTURE(name);
    const TemporaryFolder folder;
    const Decoder base = Decoder::load(kGolden / "models" / name);
    write_gguf_model(plain_backend(), base, {}, folder.path() / "x.gguf", {.stored = DType::kQ8_0});
    const Gguf again = Gguf::open(folder.path() / "x.gguf");
    for (const auto& [key, value] : base.gguf()->metadata())
      if (key != "general.file_type" && key != "general.quantization_version" && key != "general.alignment")
        CHECK(again.raw(key) == base.gguf()->raw(key));
    REQUIRE(again.tensors().all().size() == base.gguf()->tensors().all().size());
    for (const StoredTensor& tensor : base.gguf()->tensors().all()) {
      if (!tensor.type || !is_quantised(*tensor.type)) continue;
      const StoredTensor* same = again.tensors().find(tensor.name);
      REQUIRE(same);
      CHECK(same->stored_type == tensor.stored_type);
      CHECK(std::equal(same->data.begin(), same->data.end(), tensor.data.begin(), tensor.data.end()));
    }
    CHECK(largest_difference(logits_of(Decoder::load(folder.path() / "x.gguf"), kPrompt).floats(), logits_of(base, kPrompt).floats()) < .6);
  }
}

TEST_CASE("an adapter as llama.cpp's LoRA file comes back as it was, scales of single pairs worked in") {
  for (const std::string name : {"qwen2-lora", "llama-untied-patterns"}) {
    CAPTURE(name);
    const TemporaryFolder folder;
    const DecoderConfig config = read_decoder_config(kGolden / "models" / base_of(name));
    const Adapter adapter = read_adapter(kGolden / "adapters" / name);
    write_gguf_lora(config, adapter, folder.path() / "x.gguf");
    const Gguf file = Gguf::open(folder.path() / "x.gguf");
    CHECK(file.text("general.type") == "adapter");
    CHECK(file.text("adapter.type") == "lora");
    CHECK(file.number("adapter.lora.alpha").value_or(0) > 0);
    const Adapter again = read_gguf_lora(config, folder.path() / "x.gguf");
    REQUIRE(again.lora.size() == adapter.lora.size());
    for (const auto& [layer, pair] : adapter.lora) CHECK(largest_difference(product(again.lora.at(layer)), product(pair)) < 1e-6);
  }
}

TEST_CASE("a LoRA file of a Llama has the rows of q's and k's B where llama.cpp turns them") {
  const TemporaryFolder folder;
  const DecoderConfig config = read_decoder_config(kGolden / "models/llama-untied");
  Adapter adapter;
  LoraPair& pair = adapter.lora["model.layers.0.self_attn.q_proj"];
  pair.a = Tensor(DType::kF32, {1, config.width});
  pair.b = Tensor(DType::kF32, {config.query_width(), 1});
  for (std::int64_t i = 0; i < config.query_width(); ++i) pair.b.floats()[static_cast<std::size_t>(i)] = static_cast<float>(i);
  write_gguf_lora(config, adapter, folder.path() / "x.gguf");
  const Gguf file = Gguf::open(folder.path() / "x.gguf");
  const StoredTensor* b = file.tensors().find("blk.0.attn_q.weight.lora_b");
  REQUIRE(b);
  const auto rows = ConstView(b->data.data(), DType::kF32, b->shape).floats();
  CHECK(rows[0] == 0);
  CHECK(rows[1] == static_cast<float>(config.head_width / 2));  // 0 turns with D / 2
  CHECK(rows[2] == 1);
}

TEST_CASE("a LoRA file is refused for what it cannot hold, with what to do") {
  const TemporaryFolder folder;
  const DecoderConfig qwen = read_decoder_config(kGolden / "models/qwen2"), tied = read_decoder_config(kGolden / "models/llama-tied");
  CHECK_THROWS_WITH_AS(write_gguf_lora(qwen, read_adapter(kGolden / "adapters/qwen2-hybrid"), folder.path() / "x.gguf"),
                       doctest::Contains("replaces 6 tensors, lm_head among them; export it merged"), Error);
  Adapter adapter;
  adapter.lora["lm_head"] = {.a = Tensor(DType::kF32, {2, tied.width}), .b = Tensor(DType::kF32, {tied.vocabulary, 2})};
  CHECK_THROWS_WITH_AS(write_gguf_lora(tied, adapter, folder.path() / "x.gguf"), doctest::Contains("export it merged"), Error);
  CHECK_THROWS_WITH_AS(write_gguf_lora(read_decoder_config(kGolden / "models/smollm"), read_adapter(kGolden / "adapters/qwen2-lora"),
                                       folder.path() / "x.gguf"),
                       doctest::Contains("another base model"), Error);
  CHECK_THROWS_AS(read_gguf_lora(qwen, kGolden / "models/gguf-qwen2-half/model.gguf"), Error);
}

TEST_CASE("a tokenizer with more tokens than the embedding has rows is refused; a row without a token is named") {
  const TemporaryFolder folder;
  const Decoder base = Decoder::load(kGolden / "models/qwen2");
  TokenizerTables tables = read_tokenizer_tables(kGolden / "text/qwen2/tokenizer.json");
  tables.tokens.resize(static_cast<std::size_t>(base.config().vocabulary) - 3, "x");
  tables.token_types.resize(tables.tokens.size(), 1);
  write_gguf_model(plain_backend(), base, {}, folder.path() / "x.gguf", {.tokenizer = tables});
  const Gguf file = Gguf::open(folder.path() / "x.gguf");
  CHECK(file.texts("tokenizer.ggml.tokens").back() == "[PAD255]");
  CHECK(file.integers("tokenizer.ggml.token_type").back() == 5);
  tables.tokens.resize(static_cast<std::size_t>(base.config().vocabulary) + 1);
  CHECK_THROWS_WITH_AS(write_gguf_model(plain_backend(), base, {}, folder.path() / "x.gguf", {.tokenizer = tables}),
                       doctest::Contains("belongs to another model"), Error);
}

}  // namespace deskhand
