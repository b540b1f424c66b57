#include <doctest/doctest.h>

#include <cmath>
#include <fstream>

#include "deskhand/model/config.h"
#include "tests/temporary_folder.h"

using namespace deskhand;

namespace {

const std::filesystem::path kModels = std::filesystem::path(DESKHAND_SOURCE_DIR) / "tests/golden/models";

// Llama 3.1 8B as published, in the layout before transformers 5.
constexpr std::string_view kLlama31 = R"({"model_type": "llama", "vocab_size": 128256, "hidden_size": 4096, "num_hidden_layers": 32,
  "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336, "rms_norm_eps": 1e-05, "rope_theta": 500000.0,
  "max_position_embeddings": 131072, "hidden_act": "silu", "tie_word_embeddings": false, "attention_bias": false, "mlp_bias": false,
  "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
  "rope_type": "llama3"}, "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009]})";

void write(const std::filesystem::path& path, std::string_view text) {
  std::ofstream(path) << text;
}

DecoderConfig read(std::string_view json, std::string_view generation = {}) {
  const TemporaryFolder folder;
  write(folder.path() / "config.json", json);
  if (!generation.empty()) write(folder.path() / "generation_config.json", generation);
  return read_decoder_config(folder.path());
}

// kLlama31 with one setting written otherwise.
std::string with(std::string_view found, std::string_view instead) {
  std::string json(kLlama31);
  const auto at = json.find(found);
  REQUIRE(at != std::string::npos);
  return json.replace(at, found.size(), instead);
}

std::string fault_of(std::string_view json) {
  try {
    read(json);
    return "";
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::kBadInput);
    return error.what();
  }
}

bool says(const std::string& fault, std::string_view part) {
  CAPTURE(fault);
  return fault.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("Llama 3.1's config.json is read whole") {
  const auto c = read(kLlama31);
  CHECK(c.family == "llama");
  CHECK(c.vocabulary == 128256);
  CHECK(c.head_width == 128);
  CHECK(c.kv_width() == 1024);
  CHECK(c.rope_theta == 500000);
  CHECK(c.rope_scaling.kind == RopeScaling::Kind::kLlama3);
  CHECK(c.rope_scaling.factor == 8);
  CHECK(c.rope_pairs == RopePairs::kHalves);
  CHECK(!c.qkv_bias);
  CHECK(!c.tied_head);
  CHECK(c.bos == 128000);
  CHECK(c.eos == std::vector<std::int32_t>{128001, 128008, 128009});
}

TEST_CASE("generation_config.json adds tokens that end an answer") {
  const auto c = read(with("[128001, 128008, 128009]", "128001"), R"({"eos_token_id": [128001, 128009], "bos_token_id": null})");
  CHECK(c.eos == std::vector<std::int32_t>{128001, 128009});
  CHECK(c.bos == 128000);
}

TEST_CASE("Llama 3's frequencies keep the fast pairs, stretch the slow ones and go smoothly between") {
  const auto stretched = rope_frequencies(read(kLlama31)), plain = rope_frequencies(read(with("\"llama3\"", "\"default\"")));
  REQUIRE(stretched.size() == 64);
  // LlamaRotaryEmbedding of transformers with this configuration, in f32.
  const std::pair<std::size_t, double> saved[] = {{1, 0.814617217},     {28, 0.00321144611},  {29, 0.00216657063},  {30, 0.00137189368},
                                                  {32, 0.000524846022}, {34, 0.000178507791}, {35, 9.55621217e-05}, {63, 3.06892588e-07}};
  for (const auto& [pair, frequency] : saved) CHECK(stretched[pair] == doctest::Approx(frequency).epsilon(1e-6));
  CHECK(stretched[28] == plain[28]);
  CHECK(stretched[63] == doctest::Approx(plain[63] / 8).epsilon(1e-9));
  for (std::size_t i = 0; i < 64; ++i) {
    CHECK(stretched[i] <= plain[i]);
    CHECK(stretched[i] >= plain[i] / 8 * 0.999999);
  }
  const auto linear = rope_frequencies(read(with("\"llama3\"", "\"linear\"")));
  CHECK(linear[5] == doctest::Approx(plain[5] / 8));
}

TEST_CASE("a sliding window limits Mistral's positions, and Qwen's only if it is used") {
  const auto mistral = with("\"llama\"", R"("mistral", "sliding_window": 4096)");
  CHECK(read(mistral).max_positions == 4096);
  CHECK(read(with("\"llama\"", R"("mistral", "sliding_window": null)")).max_positions == 131072);
  CHECK(read(with("\"llama\"", R"("qwen2", "sliding_window": 4096, "use_sliding_window": false)")).max_positions == 131072);
  CHECK(read(with("\"llama\"", R"("qwen2", "sliding_window": 4096, "use_sliding_window": true)")).max_positions == 4096);
  CHECK(read(with("\"llama\"", "\"qwen2\"")).qkv_bias);
}

TEST_CASE("a missing or odd setting is named in one sentence") {
  CHECK(says(fault_of("[]"), "does not hold a JSON object"));
  CHECK(says(fault_of("{"), "not valid JSON"));
  CHECK(says(fault_of("{}"), "the model_type \"\" is not known; llama, qwen2, mistral are"));
  CHECK(says(fault_of(with("\"llama\"", "\"mamba\"")), "\"mamba\" is not known"));
  CHECK(says(fault_of(with("\"hidden_size\"", "\"hidden\"")), "\"hidden_size\" is missing"));
  CHECK(says(fault_of(with("4096", "\"4096\"")), "\"hidden_size\" is \"4096\"; a whole number was expected"));
  CHECK(says(fault_of(with("4096", "-1")), "\"hidden_size\" is -1; 1 to"));
  CHECK(says(fault_of(with("4096", "4611686018427387904")), "\"hidden_size\" is 4611686018427387904"));
  CHECK(says(fault_of(with("4096", "18446744073709551615")), "\"hidden_size\""));
  CHECK(says(fault_of(with("_layers\": 32", "_layers\": 1000000")), "\"num_hidden_layers\" is 1000000"));
  CHECK(says(fault_of(with("heads\": 32", "heads\": 33")), "cannot be cut into 33 heads"));
  CHECK(says(fault_of(with("_value_heads\": 8", "_value_heads\": 7")), "cannot share 7 key heads evenly"));
  CHECK(says(fault_of(with("500000.0", "0")), "\"rope_theta\" is 0; more than 0"));
  CHECK(says(fault_of(with("\"llama3\"", "\"yarn\"")), "the scaling \"yarn\" is not known"));
  CHECK(says(fault_of(with("\"low_freq_factor\": 1.0", "\"low_freq_factor\": 5")), "low must be below high"));
  CHECK(says(fault_of(with("\"silu\"", "\"gelu\"")), "\"hidden_act\" is gelu"));
  CHECK(says(fault_of(with("\"mlp_bias\": false", "\"mlp_bias\": true")), "\"mlp_bias\" is true"));
  CHECK(says(fault_of(with("[128001,", "[-1,")), "\"eos_token_id\" is -1; a token id"));
  const TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(read_decoder_config(folder.path()), doctest::Contains("config.json"), Error);
}

TEST_CASE("a GGUF says the same as the config.json that it was made from") {
  const auto file = Gguf::open(kModels / "gguf-llama-f32/model.gguf");
  const auto c = read_decoder_config(file);
  CHECK(c.family == "llama");
  CHECK(c.vocabulary == 256);
  CHECK(c.head_width == 16);
  CHECK(c.kv_heads == 2);
  CHECK(c.rope_pairs == RopePairs::kNeighbours);
  CHECK(c.tied_head);
  CHECK(c.eos == std::vector<std::int32_t>{2});
  const auto qwen = read_decoder_config(Gguf::open(kModels / "gguf-qwen2-q8_0/model.gguf"));
  CHECK(qwen.rope_pairs == RopePairs::kHalves);
  CHECK(qwen.qkv_bias);
  CHECK(!qwen.tied_head);
}

TEST_CASE("an encoder that pools or attends otherwise is refused") {
  const TemporaryFolder folder;
  const auto json = [](std::string_view more) {
    return fmt::format(R"({{"model_type": "bert", "vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
      "intermediate_size": 128, "max_position_embeddings": 512{}}})",
                       more);
  };
  const auto read = [&](std::string_view more) {
    write(folder.path() / "config.json", json(more));
    return read_encoder_config(folder.path());
  };
  CHECK(read("").max_tokens == 512);
  CHECK_THROWS_WITH_AS(read(R"(, "position_embedding_type": "relative_key")"), doctest::Contains("relative_key"), Error);
  CHECK_THROWS_WITH_AS(read(R"(, "hidden_act": "relu")"), doctest::Contains("relu"), Error);
  write(folder.path() / "sentence_bert_config.json", R"({"max_seq_length": 256})");
  CHECK(read("").max_tokens == 256);
  std::filesystem::create_directory(folder.path() / "1_Pooling");
  write(folder.path() / "1_Pooling/config.json", R"({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false})");
  CHECK_THROWS_WITH_AS(read(""), doctest::Contains("pooled"), Error);
}
