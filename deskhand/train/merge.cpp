#include "deskhand/train/merge.h"

#include <algorithm>

#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/model/safetensors.h"
#include "deskhand/train/tensor_copy.h"

namespace deskhand {
namespace {

// weight, rows [first, ...) of (O, I), += scale B (O, R) A (R, I), row by row.
void add_pair(const Backend& on, View weight, const LoraPair& pair, std::int64_t first) {
  const auto a = pair.a.floats(), b = pair.b.floats().subspan(static_cast<std::size_t>(first * pair.a.shape()[0]));
  const auto out = weight.floats();
  const auto rank = static_cast<std::size_t>(pair.a.shape()[0]), inputs = static_cast<std::size_t>(pair.a.shape()[1]);
  const auto add_rows = [&](std::int64_t begin, std::int64_t end, int) {
    for (auto row = static_cast<std::size_t>(begin); row < static_cast<std::size_t>(end); ++row)
      for (std::size_t r = 0; r < rank; ++r) {
        const float factor = pair.scale * b[row * rank + r];
        for (std::size_t i = 0; i < inputs; ++i) out[row * inputs + i] += factor * a[r * inputs + i];
      }
  };
  if (on.pool)
    on.pool->parallel_for(weight.shape()[0], 16, add_rows);
  else
    add_rows(0, weight.shape()[0], 0);
}

Tensor merged_from(const Backend& on, ConstView stored, const DecoderConfig& config, const Adapter& adapter, const std::string& name,
                   std::int64_t first, std::int64_t count) {
  const auto replaced = adapter.replaced.find(name);
  Tensor values = replaced != adapter.replaced.end() ? stored_as(replaced->second.view().rows(first, count), DType::kF32)
                                                     : hugging_face_copy(on, stored.rows(first, count), layer_of(name), config);
  const auto pair = name.ends_with(".weight") ? adapter.lora.find(layer_of(name)) : adapter.lora.end();
  if (pair != adapter.lora.end()) add_pair(on, values, pair->second, first);
  return values;
}

Json rope_json(const DecoderConfig& c) {
  const RopeScaling& scaling = c.rope_scaling;
  switch (scaling.kind) {
    case RopeScaling::Kind::kNone:
      return nullptr;
    case RopeScaling::Kind::kLinear:
      return {{"rope_type", "linear"}, {"type", "linear"}, {"factor", scaling.factor}};
    case RopeScaling::Kind::kLlama3:
      return {{"rope_type", "llama3"},
              {"factor", scaling.factor},
              {"low_freq_factor", scaling.low_frequency_factor},
              {"high_freq_factor", scaling.high_frequency_factor},
              {"original_max_position_embeddings", static_cast<std::int64_t>(scaling.original_positions)}};
  }
  return nullptr;
}

std::string config_text(const DecoderConfig& c, bool own_head, DType stored) {
  const char* classes = c.family == "qwen2" ? "Qwen2ForCausalLM" : c.family == "mistral" ? "MistralForCausalLM" : "LlamaForCausalLM";
  Json json = {{"architectures", Json::array({classes})},
               {"model_type", c.family},
               {"vocab_size", c.vocabulary},
               {"hidden_size", c.width},
               {"intermediate_size", c.feed_forward},
               {"num_hidden_layers", c.layers},
               {"num_attention_heads", c.heads},
               {"num_key_value_heads", c.kv_heads},
               {"head_dim", c.head_width},
               {"hidden_act", "silu"},
               {"rms_norm_eps", std::stod(fmt::format("{}", c.norm_epsilon))},  // 1e-6, not what a float makes of it
               {"rope_theta", c.rope_theta},
               {"rope_scaling", rope_json(c)},
               {"max_position_embeddings", c.max_positions},
               {"tie_word_embeddings", !own_head},
               {"torch_dtype", stored == DType::kF32   ? "float32"
                               : stored == DType::kF16 ? "float16"
                                                       : "bfloat16"}};
  if (c.family == "mistral") json["sliding_window"] = nullptr;  // max_positions already ends at it
  if (c.bos >= 0) json["bos_token_id"] = c.bos;
  if (!c.eos.empty()) json["eos_token_id"] = c.eos.size() == 1 ? Json(c.eos.front()) : Json(c.eos);
  return write_json(json, 2) + "\n";
}

}  // namespace

Tensor merged_tensor(const Backend& on, const Decoder& base, const Adapter& adapter, const std::string& name) {
  return merged_rows(on, base, adapter, name, 0, tensor_shapes(base.config()).at(name)[0]);
}

Tensor merged_rows(const Backend& on, const Decoder& base, const Adapter& adapter, const std::string& name, std::int64_t first,
                   std::int64_t count) {
  const auto tensors = named_tensors(base.weights(), base.config());
  DESKHAND_ASSERT(tensors.contains(name), "a tensor that the base has");
  return merged_from(on, tensors.at(name), base.config(), adapter, name, first, count);
}

bool has_own_head(const DecoderConfig& config, const Adapter& adapter) {
  return !config.tied_head || adapter.replaced.contains("lm_head.weight") || adapter.lora.contains("lm_head");
}

void write_merged(const Backend& on, const Decoder& base, const Adapter& adapter, const std::filesystem::path& folder, DType stored,
                  std::int64_t shard_bytes, const std::function<void(std::int64_t)>& made) {
  const DecoderConfig& config = base.config();
  check_adapter(adapter, config, "the adapter");
  if (!base.weights().rope_factors.empty())
    throw Error(ExitCode::kUsage,
                "the base is a GGUF whose rotation has factors (rope_freqs.weight), which config.json cannot name; merge "
                "with the model's Hugging Face folder instead");
  std::error_code fault;
  std::filesystem::create_directories(folder, fault);
  if (fault) throw Error(ExitCode::kCannotWrite, "cannot make the folder {}: {}", folder.string(), fault.message());

  auto tensors = named_tensors(base.weights(), config);
  const bool own_head = has_own_head(config, adapter);
  if (!own_head) tensors.erase("lm_head.weight");
  const auto shapes = tensor_shapes(config);
  std::vector<std::vector<std::string>> shards(1);
  std::int64_t bytes = 0, total = 0;
  for (const auto& [name, view] : tensors) {
    const std::int64_t size = shapes.at(name).elements() * block_bytes(stored);
    if (bytes > 0 && bytes + size > shard_bytes) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().push_back(name);
    bytes += size;
    total += size;
  }

  Json index = {{"metadata", {{"total_size", total}}}, {"weight_map", Json::object()}};
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const std::string file =
        shards.size() == 1 ? "model.safetensors" : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    std::vector<Tensor> owned;
    owned.reserve(shards[i].size());
    std::vector<std::pair<std::string, ConstView>> parts;
    for (const std::string& name : shards[i]) {
      owned.push_back(stored_as(merged_from(on, tensors.at(name), config, adapter, name, 0, shapes.at(name)[0]), stored));
      parts.emplace_back(name, std::as_const(owned.back()).view());
      if (made) made(parts.back().second.bytes());
      index["weight_map"][name] = file;
    }
    write_safetensors(folder / file, parts, {{"format", "pt"}});
  }
  if (shards.size() > 1) write_file_atomically(folder / "model.safetensors.index.json", write_json(index, 2) + "\n");
  write_file_atomically(folder / "config.json", config_text(config, own_head, stored));
}

}  // namespace deskhand
