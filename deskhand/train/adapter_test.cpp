#include "deskhand/train/adapter.h"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <random>

#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/model/decoder.h"
#include "deskhand/model/safetensors.h"
#include "deskhand/train/parameters.h"
#include "tests/temporary_folder.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;
const fs::path kGolden = fs::path(DESKHAND_SOURCE_DIR) / "tests/golden";

fs::path golden(std::string_view name) {
  return kGolden / "adapters" / name;
}
fs::path base_of(std::string_view name) {
  std::string base = read_text_file(golden(name) / "base.txt");
  base.pop_back();
  return kGolden / "models" / base;
}

Backend plain_backend() {
  return {.kind = Backend::Kind::kReference};
}

bool same(ConstView a, ConstView b) {
  return a.shape() == b.shape() && std::equal(a.floats().begin(), a.floats().end(), b.floats().begin());
}

std::string fault_of(const std::function<void()>& work) {
  try {
    work();
    return "";
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::kBadInput);
    return error.what();
  }
}

// A copy of a golden adapter with one place of its configuration replaced.
class ChangedAdapter {
 public:
  explicit ChangedAdapter(std::string_view name) { fs::copy(golden(name), folder_.path(), fs::copy_options::recursive); }
  void replace(const std::string& what, const std::string& by) {
    std::string text = read_text_file(folder_.path() / "adapter_config.json");
    const auto at = text.find(what);
    REQUIRE(at != std::string::npos);
    std::ofstream(folder_.path() / "adapter_config.json") << text.replace(at, what.size(), by);
  }
  std::string fault() const {
    return fault_of([&] { read_adapter(folder_.path()); });
  }
  const fs::path& path() const { return folder_.path(); }

 private:
  TemporaryFolder folder_;
};

}  // namespace

TEST_CASE("an adapter that peft saved, read and written again, is the same file to the byte and says the same in its configuration") {
  for (const auto& [name, type] : {std::pair{"qwen2-lora", DType::kF32}, std::pair{"qwen2-hybrid", DType::kF32},
                                   std::pair{"llama-tied-hybrid", DType::kBF16}, std::pair{"llama-untied-patterns", DType::kF32}}) {
    CAPTURE(name);
    const TemporaryFolder folder;
    const Adapter adapter = read_adapter(golden(name));
    check_adapter(adapter, read_decoder_config(base_of(name)), name);
    write_adapter(folder.path() / "out", adapter, type);
    CHECK(read_text_file(folder.path() / "out/adapter_model.safetensors") == read_text_file(golden(name) / "adapter_model.safetensors"));

    const auto config = [](const fs::path& at) { return nlohmann::json::parse(read_text_file(at / "adapter_config.json")); };
    const auto wrote = config(folder.path() / "out"), theirs = config(golden(name));
    for (const char* key : {"peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "bias", "use_rslora", "use_dora",
                            "base_model_name_or_path", "fan_in_fan_out"}) {
      CAPTURE(key);
      CHECK(wrote.at(key) == theirs.at(key));
    }
    const Adapter again = read_adapter(folder.path() / "out");
    for (const auto& [linear, pair] : adapter.lora) CHECK(again.lora.at(linear).scale == doctest::Approx(pair.scale).epsilon(1e-6));
  }
}

TEST_CASE("scales follow alpha, rank, patterns and rank stabilisation as in peft") {
  CHECK(read_adapter(golden("qwen2-lora")).lora.at("model.layers.1.mlp.up_proj").scale == 2);
  CHECK(read_adapter(golden("llama-tied-hybrid")).lora.at("model.layers.0.self_attn.v_proj").scale == doctest::Approx(32 / std::sqrt(2.0)));
  const Adapter patterns = read_adapter(golden("llama-untied-patterns"));
  CHECK(patterns.lora.at("model.layers.0.self_attn.q_proj").scale == 1.5f);
  CHECK(patterns.lora.at("model.layers.1.self_attn.q_proj").scale == 4);
  CHECK(patterns.lora.at("model.layers.0.self_attn.o_proj").scale == 3);
  CHECK(patterns.lora.at("model.layers.0.self_attn.o_proj").a.shape()[0] == 2);
  CHECK(patterns.lora.contains("model.layers.1.mlp.down_proj"));
  CHECK_FALSE(patterns.lora.contains("model.layers.0.mlp.down_proj"));
}

TEST_CASE("a hybrid holds the head and every norm, also where the base ties its head") {
  const Adapter hybrid = read_adapter(golden("llama-tied-hybrid"));
  CHECK(hybrid.replaced.size() == 6);
  CHECK(hybrid.replaced.at("lm_head.weight").shape() == Shape{256, 64});
  CHECK(hybrid.replaced.contains("model.norm.weight"));
  CHECK(hybrid.replaced.contains("model.layers.1.post_attention_layernorm.weight"));
  CHECK(hybrid.parameters() == 256 * 64 + 5 * 64 + 2 * (2 * 64 * 2 + (64 + 32) * 2));
}

TEST_CASE("parameters are counted without making them, for every method and for tied heads and own ones") {
  const LoraSettings settings{.targets = {"q_proj", "down_proj"}, .r = 3};
  for (const char* name : {"qwen2", "llama-tied"}) {
    const Decoder decoder = Decoder::load(kGolden / "models" / name);
    for (const Method method : {Method::kLora, Method::kHybrid, Method::kFull}) {
      CAPTURE(name);
      CAPTURE(name_of(method));
      CHECK(count_parameters(decoder.config(), method, settings) ==
            new_adapter(plain_backend(), decoder.weights(), decoder.config(), method, settings, 1).parameters());
    }
  }
}

TEST_CASE("a new adapter changes nothing yet, is the same from the same seed, and begins as peft's do") {
  const Decoder decoder = Decoder::load(kGolden / "models/qwen2");
  const LoraSettings settings{.targets = {"all-linear"}, .r = 8};
  const Adapter first = new_adapter(plain_backend(), decoder.weights(), decoder.config(), Method::kLora, settings, 5);
  CHECK(first.lora.size() == 14);
  CHECK(first.replaced.empty());
  double largest = 0;
  for (const auto& [name, pair] : first.lora) {
    for (const float value : pair.b.floats()) CHECK(value == 0);
    for (const float value : pair.a.floats())
      largest = std::max(largest, std::abs(value) * std::sqrt(static_cast<double>(pair.a.shape()[1])));
  }
  CHECK(largest <= 1.0001);
  CHECK(largest > 0.99);
  const LoraSettings two{.targets = {"q_proj", "v_proj"}, .r = 8};
  const Adapter hybrid = new_adapter(plain_backend(), decoder.weights(), decoder.config(), Method::kHybrid, two, 5);
  CHECK(hybrid.lora.size() == 4);
  CHECK(same(hybrid.lora.at("model.layers.0.self_attn.v_proj").a, first.lora.at("model.layers.0.self_attn.v_proj").a));
  CHECK(hybrid.replaced.size() == 6);
  CHECK(same(hybrid.replaced.at("model.norm.weight"), decoder.weights().final_norm));
  check_adapter(hybrid, decoder.config(), "new");
  const Adapter other = new_adapter(plain_backend(), decoder.weights(), decoder.config(), Method::kLora, settings, 6);
  CHECK_FALSE(same(other.lora.begin()->second.a, first.lora.begin()->second.a));
  CHECK_THROWS_WITH_AS(new_adapter(plain_backend(), decoder.weights(), decoder.config(), Method::kLora, {.targets = {"query"}}, 5),
                       doctest::Contains("it has down_proj, gate_proj"), Error);
}

TEST_CASE("full fine-tuning begins with every tensor of the base under its Hugging Face name, GGUF's rows turned back") {
  for (const char* name : {"qwen2", "llama-tied", "gguf-llama-f32"}) {
    CAPTURE(name);
    const Decoder decoder = Decoder::load(kGolden / "models" / name);
    const Adapter full = new_adapter(plain_backend(), decoder.weights(), decoder.config(), Method::kFull, {}, 1);
    CHECK(full.lora.empty());
    check_adapter(full, decoder.config(), name);
    CHECK(full.replaced.size() == tensor_shapes(decoder.config()).size() - (decoder.config().tied_head ? 1 : 0));
    if (decoder.gguf()) continue;
    const auto file = Safetensors::open(kGolden / "models" / name);
    for (const auto& [tensor, values] : full.replaced) CHECK(same(values, file.view(tensor)));
  }
  Tensor rows(DType::kF32, {8, 1}), turned(DType::kF32, {8, 1}), back(DType::kF32, {8, 1});
  for (int i = 0; i < 8; ++i) rows.floats()[static_cast<std::size_t>(i)] = static_cast<float>(i);
  reorder_to_neighbours(turned, rows, 4);
  CHECK(std::vector<float>(turned.floats().begin(), turned.floats().end()) == std::vector<float>{0, 2, 1, 3, 4, 6, 5, 7});
  reorder_to_halves(back, turned, 4);
  CHECK(same(back, rows));
}

TEST_CASE("an adapter for another base is refused with both shapes") {
  const Adapter adapter = read_adapter(golden("qwen2-lora"));
  DecoderConfig config = read_decoder_config(base_of("qwen2-lora"));
  config.feed_forward = 128;
  CHECK(fault_of([&] { check_adapter(adapter, config, "x"); }).find("goes from 96 to 64, the model's from 128 to 64") != std::string::npos);
  config = read_decoder_config(base_of("qwen2-lora"));
  config.layers = 1;
  CHECK(fault_of([&] { check_adapter(adapter, config, "x"); }).find("model.layers.1.mlp.down_proj is no linear layer") !=
        std::string::npos);
  config.layers = 2;
  config.vocabulary = 300;
  CHECK(fault_of([&] {
          check_adapter(read_adapter(golden("qwen2-hybrid")), config, "x");
        }).find("is (256, 64), the model's is (300, 64)") != std::string::npos);
}

TEST_CASE("kinds of adapters that are not read, and nonsense, are refused by name") {
  const std::pair<const char*, const char*> changes[] = {{"\"use_dora\": false", "\"use_dora\": true"},
                                                         {"\"bias\": \"none\"", "\"bias\": \"all\""},
                                                         {"\"peft_type\": \"LORA\"", "\"peft_type\": \"IA3\""},
                                                         {"\"init_lora_weights\": true", "\"init_lora_weights\": \"pissa\""},
                                                         {"\"lora_alpha\": 8", "\"lora_alpha\": \"eight\""},
                                                         {"\"alpha_pattern\": {}", "\"alpha_pattern\": {\"q.*\": 3}"},
                                                         {"\"peft_type\": \"LORA\",", ""},
                                                         {"{", "["}};
  for (const auto& [what, by] : changes) {
    CAPTURE(by);
    ChangedAdapter changed("qwen2-lora");
    changed.replace(what, by);
    const std::string key = std::string(what).substr(1, std::string(what).find('"', 1) - 1);
    CHECK(changed.fault().find(what[0] == '{' ? "not valid JSON" : key) != std::string::npos);
  }
  ChangedAdapter lost("qwen2-lora");  // as peft saves an unfrozen head that is not in modules_to_save, only the other way round
  lost.replace("\"modules_to_save\": null", "\"modules_to_save\": [\"lm_head\"]");
  CHECK(lost.fault().find("saved incompletely") != std::string::npos);
}

TEST_CASE("a pickle is refused unopened, and a folder without an adapter is said to be none") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(read_adapter(folder.path()), doctest::Contains("not the folder of an adapter"), Error);
  std::ofstream(folder.path() / "adapter_model.bin") << "\x80\x02";
  CHECK(fault_of([&] { read_adapter(folder.path()); }).find("is a pickle") != std::string::npos);
}

TEST_CASE("broken tensors are refused: a half alone, ranks that differ, NaN, a foreign name, another type") {
  const auto fault = [](const std::vector<std::pair<std::string, ConstView>>& tensors) {
    const ChangedAdapter changed("qwen2-lora");
    write_safetensors(changed.path() / "adapter_model.safetensors", tensors);
    return changed.fault();
  };
  Tensor a(DType::kF32, {2, 64}), b(DType::kF32, {64, 2}), wide(DType::kF32, {64, 3}), whole(DType::kI32, {2, 2}),
      cube(DType::kF32, {2, 2, 2});
  const std::string q = "base_model.model.model.layers.0.self_attn.q_proj";
  CHECK(fault({{q + ".lora_A.weight", a.view()}, {q + ".lora_B.weight", b.view()}}).empty());
  CHECK(fault({{q + ".lora_A.weight", a.view()}}).find("lora_A alone") != std::string::npos);
  CHECK(fault({{q + ".lora_A.weight", a.view()}, {q + ".lora_B.weight", wide.view()}}).find("(2, 64) and lora_B (64, 3)") !=
        std::string::npos);
  CHECK(fault({{"model.q_proj.lora_A.weight", a.view()}}).find("does not begin") != std::string::npos);
  CHECK(fault({{q + ".lora_embedding_A", a.view()}}).find("kind of adapter") != std::string::npos);
  CHECK(fault({{q + ".lora_A.weight", whole.view()}}).find("I32") != std::string::npos);
  CHECK(fault({{q + ".lora_A.weight", cube.view()}}).find("(2, 2, 2)") != std::string::npos);
  a.floats()[7] = std::numeric_limits<float>::quiet_NaN();
  CHECK(fault({{q + ".lora_A.weight", a.view()}, {q + ".lora_B.weight", b.view()}}).find("NaN") != std::string::npos);
}

TEST_CASE("an adapter with any bytes changed is read or refused, and what is read fits together") {
  std::mt19937 random(11);
  int taken = 0;
  const TemporaryFolder folder;
  for (int round = 0; round < 600; ++round) {
    for (const char* file : {"adapter_config.json", "adapter_model.safetensors"}) {
      std::string bytes = read_text_file(golden("llama-untied-patterns") / file);
      const std::size_t reach = std::min<std::size_t>(bytes.size(), 3000);  // headers and names, not weights
      for (auto changes = random() % 3; changes > 0; --changes) bytes[random() % reach] = static_cast<char>(random());
      fs::remove(folder.path() / file);  // some file systems sync a file that is written over
      std::ofstream(folder.path() / file, std::ios::binary) << bytes;
    }
    try {
      const Adapter adapter = read_adapter(folder.path());
      for (const auto& [name, pair] : adapter.lora) CHECK(pair.a.shape()[0] == pair.b.shape()[1]);
      ++taken;
    } catch (const Error&) {
      // Refused, which is as good.
    }
  }
  CHECK(taken > 50);
}

TEST_CASE("trained parameters lie one behind the other, norms do not decay, B and the head learn at rates of their own") {
  Adapter adapter = read_adapter(golden("qwen2-hybrid"));
  Parameters parameters = Parameters::of(adapter, 16, 0.5);
  CHECK(parameters.size() == adapter.parameters());
  std::int64_t offset = 0;
  for (const auto& entry : parameters.entries()) {
    CHECK(entry.offset == offset);
    offset += entry.size;
    CHECK(entry.decays == (entry.name.find("norm") == std::string::npos));
    CHECK(entry.rate_factor == (entry.name.ends_with("lora_B.weight") ? 16 : entry.name.ends_with("lora_A.weight") ? 1 : 0.5));
  }
  const auto& head = parameters.entry("lm_head.weight");
  parameters.gradient(head).floats()[0] = 3;
  CHECK(parameters.gradients().floats()[static_cast<std::size_t>(head.offset)] == 3);
  CHECK(parameters.second_moment(head).shape() == Shape{256, 64});

  std::map<std::string, Tensor> kept;
  parameters.first_moment(parameters.entries()[0]).floats()[5] = 7;
  std::vector<Tensor> copies;
  for (const auto& [name, view] : parameters.tensors(copies)) {
    Tensor copy(DType::kF32, view.shape());
    std::copy(view.floats().begin(), view.floats().end(), copy.floats().begin());
    kept.emplace(name, std::move(copy));
  }
  Adapter fresh = read_adapter(golden("qwen2-hybrid"));
  for (float& value : fresh.replaced.at("lm_head.weight").floats()) value = 0;
  Parameters resumed = Parameters::of(fresh, 16);
  resumed.load(kept, "x");
  CHECK(resumed.first_moment(resumed.entries()[0]).floats()[5] == 7);
  CHECK(same(fresh.replaced.at("lm_head.weight"), adapter.replaced.at("lm_head.weight")));
  kept.erase("lm_head.weight");
  CHECK(fault_of([&] { resumed.load(kept, "x"); }).find("\"lm_head.weight\" is missing") != std::string::npos);
}

}  // namespace deskhand
