#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "deskhand/model/weights.h"
#include "tests/temporary_folder.h"

using namespace deskhand;

namespace {

const std::filesystem::path kModels = std::filesystem::path(DESKHAND_SOURCE_DIR) / "tests/golden/models";

// The tensors of the tiny qwen2, to be tampered with.
struct Qwen {
  Safetensors file = Safetensors::open(kModels / "qwen2");
  DecoderConfig config = read_decoder_config(kModels / "qwen2");
  std::vector<StoredTensor> tensors{file.tensors().all().begin(), file.tensors().all().end()};

  StoredTensor& at(std::string_view name) {
    return *std::find_if(tensors.begin(), tensors.end(), [&](const StoredTensor& tensor) { return tensor.name == name; });
  }
  DecoderWeights map() const { return map_hugging_face(StoredTensors(tensors, "qwen2"), config, "qwen2"); }
  std::string fault() const {
    try {
      map();
      return "";
    } catch (const Error& error) {
      return error.what();
    }
  }
};

}  // namespace

TEST_CASE("matrices are views of the mapped file, and every tensor of it is used") {
  const Qwen qwen;
  const auto weights = qwen.map();
  CHECK(weights.unused.empty());
  CHECK(weights.owned.empty());
  REQUIRE(weights.layers.size() == 2);
  CHECK(weights.layers[1].down.weight.shape() == Shape{64, 96});
  CHECK(weights.layers[1].k.bias.shape() == Shape{32});
  CHECK(weights.layers[0].down.bias.empty());
  CHECK(weights.layers[0].q.weight.data() == qwen.file.view("model.layers.0.self_attn.q_proj.weight").data());
}

TEST_CASE("a wrong shape is named with its tensor, what it is and what was asked for") {
  Qwen qwen;
  qwen.at("model.layers.1.mlp.up_proj.weight").shape = {64, 96};
  CHECK(qwen.fault() == "qwen2: the tensor \"model.layers.1.mlp.up_proj.weight\" is (64, 96), the configuration asks for (96, 64)");
}

TEST_CASE("missing tensors are counted and named, unused ones listed") {
  Qwen qwen;
  qwen.at("model.norm.weight").name = "model.nrom.weight";
  qwen.at("model.layers.0.self_attn.v_proj.bias").name = "a";
  CHECK(qwen.fault() == "qwen2 lacks 2 of the model's tensors: model.layers.0.self_attn.v_proj.bias, model.norm.weight");
  Qwen more;
  more.tensors.push_back(more.at("model.norm.weight"));
  more.tensors.back().name = "rotary.inv_freq";
  CHECK(more.map().unused == std::vector<std::string>{"rotary.inv_freq"});
}

TEST_CASE("a tensor of whole numbers is no weight") {
  Qwen qwen;
  qwen.at("lm_head.weight").type.reset();
  qwen.at("lm_head.weight").stored_type = "I64";
  CHECK(qwen.fault() == "qwen2: the tensor \"lm_head.weight\" is I64, which is no type of weights here");
}

TEST_CASE("a tensor at an odd address is copied to a proper one") {
  Qwen qwen;
  auto& norm = qwen.at("model.norm.weight");
  std::vector<std::byte> memory(norm.data.size() + 1);
  std::copy(norm.data.begin(), norm.data.end(), memory.begin() + 1);
  norm.data = std::span<const std::byte>(memory).subspan(1);
  const auto weights = qwen.map();
  CHECK(weights.owned.size() == 1);
  CHECK(weights.final_norm.floats()[7] == qwen.file.view("model.norm.weight").floats()[7]);
}

TEST_CASE("norms stored in bf16 are widened, matrices are not") {
  const auto file = Safetensors::open(kModels / "mistral");
  const auto weights = map_hugging_face(file.tensors(), read_decoder_config(kModels / "mistral"), "mistral");
  CHECK(weights.owned.size() == 5);  // two a layer and the last
  CHECK(weights.final_norm.type() == DType::kF32);
  CHECK(weights.layers[0].q.weight.type() == DType::kBF16);
  const auto stored = file.view("model.norm.weight").as<std::uint16_t>();
  CHECK(weights.final_norm.floats()[3] == from_bf16(stored[3]));
}
