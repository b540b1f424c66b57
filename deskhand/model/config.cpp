#include "deskhand/model/config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <optional>
#include <string_view>

#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"

namespace deskhand {
namespace {

struct Family {
  std::string_view model_type;  // config.json
  std::string_view gguf;        // general.architecture; empty: goes by another family's name there
  RopePairs gguf_pairs;         // the converter reorders the rows of q and k for llama alone
  bool qkv_bias;
  double rope_theta;  // where config.json is silent
};

constexpr std::array<Family, 3> kFamilies = {{
    {"llama", "llama", RopePairs::kNeighbours, false, 10000},  // Llama 3.1, 3.2, SmolLM
    {"qwen2", "qwen2", RopePairs::kHalves, true, 10000},       // Qwen2, Qwen2.5
    {"mistral", "", RopePairs::kNeighbours, false, 10000},
}};

constexpr std::int64_t kMaxExtent = std::int64_t{1} << 24;  // of any width or vocabulary
constexpr std::int64_t kMaxLayers = 1024;

std::string family_names(std::string_view Family::*name) {
  std::vector<std::string_view> names;
  for (const Family& family : kFamilies)
    if (!(family.*name).empty()) names.push_back(family.*name);
  return fmt::format("{}", fmt::join(names, ", "));
}

// One JSON object of settings, each asked for by name and type.
class Settings {
 public:
  Settings(const std::filesystem::path& file, std::size_t limit_bytes = 4'000'000)
      : where_(file.string()), json_(parse_json(read_text_file(file, limit_bytes), where_)) {
    if (!json_.is_object()) throw Error(ExitCode::kBadInput, "{} does not hold a JSON object", where_);
  }
  Settings(std::string where, Json json) : where_(std::move(where)), json_(std::move(json)) {}

  // Null stands for absent: configurations are written either way.
  const Json* find(const char* key) const {
    const auto at = json_.find(key);
    return at == json_.end() || at->is_null() ? nullptr : &*at;
  }
  std::optional<std::int64_t> integer(const char* key) const {
    const Json* value = find(key);
    if (!value) return std::nullopt;
    if (!value->is_number_integer()) refuse(key, *value, "a whole number");
    return value->get<std::int64_t>();
  }
  std::int64_t extent(const char* key, std::int64_t most = kMaxExtent) const {
    const auto value = integer(key);
    if (!value) throw Error(ExitCode::kBadInput, "{}: \"{}\" is missing", where_, key);
    return in_range(key, *value, most);
  }
  std::int64_t extent_or(const char* key, std::int64_t otherwise) const {
    return in_range(key, integer(key).value_or(otherwise), kMaxExtent);
  }
  std::optional<double> number(const char* key) const {
    const Json* value = find(key);
    if (!value) return std::nullopt;
    if (!value->is_number()) refuse(key, *value, "a number");
    return value->get<double>();
  }
  double positive(const char* key, double otherwise) const {
    const double value = number(key).value_or(otherwise);
    if (!(value > 0) || !std::isfinite(value))
      throw Error(ExitCode::kBadInput, "{}: \"{}\" is {}; more than 0 was expected", where_, key, value);
    return value;
  }
  bool flag(const char* key, bool otherwise) const {
    const Json* value = find(key);
    if (!value) return otherwise;
    if (!value->is_boolean()) refuse(key, *value, "true or false");
    return value->get<bool>();
  }
  std::string text(const char* key, std::string otherwise) const {
    const Json* value = find(key);
    if (!value) return otherwise;
    if (!value->is_string()) refuse(key, *value, "a text");
    return value->get<std::string>();
  }
  // A token id or a list of them.
  std::vector<std::int32_t> tokens(const char* key) const {
    std::vector<std::int32_t> ids;
    const auto take = [&](const Json& value) {
      if (!value.is_number_integer() || value.get<std::int64_t>() < 0 || value.get<std::int64_t>() > kMaxExtent)
        refuse(key, value, "a token id");
      ids.push_back(value.get<std::int32_t>());
    };
    const Json* value = find(key);
    if (value && value->is_array())
      for (const Json& item : *value) take(item);
    else if (value)
      take(*value);
    return ids;
  }
  const std::string& where() const { return where_; }

 private:
  [[noreturn]] void refuse(const char* key, const Json& value, std::string_view wanted) const {
    throw Error(ExitCode::kBadInput, "{}: \"{}\" is {}; {} was expected", where_, key, write_json(value).substr(0, 80), wanted);
  }
  std::int64_t in_range(const char* key, std::int64_t value, std::int64_t most) const {
    if (value < 1 || value > most) throw Error(ExitCode::kBadInput, "{}: \"{}\" is {}; 1 to {} was expected", where_, key, value, most);
    return value;
  }

  std::string where_;
  Json json_;
};

// What must hold whatever the file was.
void check(const DecoderConfig& config, const std::string& where) {
  const auto refuse = [&](const std::string& what) { throw Error(ExitCode::kBadInput, "{}: {}", where, what); };
  if (config.heads % config.kv_heads != 0)
    refuse(fmt::format("{} query heads cannot share {} key heads evenly", config.heads, config.kv_heads));
  if (config.head_width % 2 != 0) refuse(fmt::format("a head of {} cannot be rotated in pairs", config.head_width));
  if (config.query_width() > kMaxExtent) refuse(fmt::format("{} heads of {} are too wide", config.heads, config.head_width));
  if (!(config.norm_epsilon >= 0) || config.norm_epsilon > 1) refuse(fmt::format("the norm's epsilon is {}", config.norm_epsilon));
  if (!(config.rope_theta > 0) || !std::isfinite(config.rope_theta)) refuse(fmt::format("the rotation's base is {}", config.rope_theta));
  const RopeScaling& scaling = config.rope_scaling;
  if (!(scaling.factor > 0) || !std::isfinite(scaling.factor)) refuse(fmt::format("the rotation's scaling factor is {}", scaling.factor));
  if (scaling.kind == RopeScaling::Kind::kLlama3 &&
      !(scaling.high_frequency_factor > scaling.low_frequency_factor && scaling.low_frequency_factor > 0))
    refuse(fmt::format("the rotation's frequency factors are {} and {}; low must be below high", scaling.low_frequency_factor,
                       scaling.high_frequency_factor));
}

// "rope_parameters" since transformers 5, before that "rope_scaling" with the base beside it.
void read_rope(DecoderConfig& config, const Settings& settings, double usual_theta) {
  config.rope_theta = settings.positive("rope_theta", usual_theta);
  const char* name = settings.find("rope_parameters") ? "rope_parameters" : "rope_scaling";
  const Json* json = settings.find(name);
  if (!json) return;
  if (!json->is_object()) throw Error(ExitCode::kBadInput, "{}: \"{}\" is not an object", settings.where(), name);
  const Settings rope(settings.where() + ", " + name, *json);
  config.rope_theta = rope.positive("rope_theta", config.rope_theta);
  const std::string kind = rope.text("rope_type", rope.text("type", "default"));
  RopeScaling& scaling = config.rope_scaling;
  if (kind == "default") return;
  if (kind != "linear" && kind != "llama3")
    throw Error(ExitCode::kBadInput, "{}: the scaling \"{}\" is not known; default, linear and llama3 are", rope.where(), kind);
  scaling.factor = rope.positive("factor", 1);
  scaling.kind = kind == "linear" ? RopeScaling::Kind::kLinear : RopeScaling::Kind::kLlama3;
  scaling.low_frequency_factor = rope.positive("low_freq_factor", scaling.low_frequency_factor);
  scaling.high_frequency_factor = rope.positive("high_freq_factor", scaling.high_frequency_factor);
  scaling.original_positions = rope.positive("original_max_position_embeddings", scaling.original_positions);
}

void refuse_variants(const Settings& settings) {
  const std::string act = settings.text("hidden_act", "silu");
  if (act != "silu" && act != "swish")
    throw Error(ExitCode::kBadInput, "{}: \"hidden_act\" is {}; a decoder here gates with silu", settings.where(), act);
  for (const char* key : {"attention_bias", "mlp_bias"})
    if (settings.flag(key, false))
      throw Error(ExitCode::kBadInput, "{}: \"{}\" is true, which is not computed here", settings.where(), key);
}

// Every position that is at least one window old would be forgotten; up to there nothing is, and that is how far this engine goes.
void read_window(DecoderConfig& config, const Settings& settings) {
  const bool used = settings.flag("use_sliding_window", config.family == "mistral");
  const auto window = settings.integer("sliding_window");
  if (used && window && *window > 0) config.max_positions = std::min(config.max_positions, *window);
}

void read_special_tokens(DecoderConfig& config, const Settings& settings) {
  if (const auto bos = settings.tokens("bos_token_id"); !bos.empty()) config.bos = bos.front();
  for (const std::int32_t id : settings.tokens("eos_token_id"))
    if (std::find(config.eos.begin(), config.eos.end(), id) == config.eos.end()) config.eos.push_back(id);
}

// Reads <architecture>.<key> of a GGUF file.
class GgufSettings {
 public:
  GgufSettings(const Gguf& file, std::string_view architecture) : file_(file), prefix_(std::string(architecture) + ".") {}

  std::int64_t extent(std::string_view key, std::optional<std::int64_t> otherwise = {}, std::int64_t most = kMaxExtent) const {
    const auto value = integer(key, otherwise);
    if (!value) throw Error(ExitCode::kBadInput, "{}: \"{}\" is missing", where(), prefix_ + std::string(key));
    if (*value < 1 || *value > most)
      throw Error(ExitCode::kBadInput, "{}: \"{}\" is {}; 1 to {} was expected", where(), prefix_ + std::string(key), *value, most);
    return *value;
  }
  double number(std::string_view key, double otherwise) const { return file_.number(prefix_ + std::string(key)).value_or(otherwise); }
  std::string text(std::string_view key, std::string_view otherwise) const {
    return std::string(file_.text(prefix_ + std::string(key)).value_or(otherwise));
  }
  std::string where() const { return file_.file().path().string(); }

 private:
  // Some files give one number a layer; equal ones are as good as one.
  std::optional<std::int64_t> integer(std::string_view key, std::optional<std::int64_t> otherwise) const {
    const std::string name = prefix_ + std::string(key);
    const Gguf::Value* value = file_.find(name);
    if (!value) return otherwise;
    if (!std::holds_alternative<Gguf::Integers>(*value)) return file_.integer(name);
    const auto list = file_.integers(name);
    if (list.empty() || std::any_of(list.begin(), list.end(), [&](std::int64_t item) { return item != list.front(); }))
      throw Error(ExitCode::kBadInput, "{}: \"{}\" differs from layer to layer, which is not computed here", where(), name);
    return list.front();
  }

  const Gguf& file_;
  std::string prefix_;
};

void read_rope(DecoderConfig& config, const GgufSettings& settings) {
  config.rope_theta = settings.number("rope.freq_base", 10000);
  if (settings.extent("rope.dimension_count", config.head_width) != config.head_width)
    throw Error(ExitCode::kBadInput, "{}: a part of each head is rotated ({} of {}), which is not computed here", settings.where(),
                settings.extent("rope.dimension_count"), config.head_width);
  const double linear = settings.number("rope.scale_linear", 1);  // the older key
  const std::string kind = settings.text("rope.scaling.type", linear == 1 ? "none" : "linear");
  if (kind != "none" && kind != "linear")
    throw Error(ExitCode::kBadInput, "{}: the rotation's scaling \"{}\" is not known; none and linear are", settings.where(), kind);
  if (kind == "linear")
    config.rope_scaling = {.kind = RopeScaling::Kind::kLinear, .factor = settings.number("rope.scaling.factor", linear)};
}

// GGUF names one end-of-sequence token; chat models end their turns with others, known by their text.
void read_special_tokens(DecoderConfig& config, const Gguf& file) {
  config.bos = static_cast<std::int32_t>(file.integer("tokenizer.ggml.bos_token_id").value_or(-1));
  const auto add = [&](std::int64_t id) {
    if (id >= 0 && id < config.vocabulary && std::find(config.eos.begin(), config.eos.end(), id) == config.eos.end())
      config.eos.push_back(static_cast<std::int32_t>(id));
  };
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"})
    add(file.integer(key).value_or(-1));
  const auto tokens = file.texts("tokenizer.ggml.tokens");
  for (std::size_t id = 0; id < tokens.size(); ++id)
    for (const std::string_view end : {"<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end_of_text|>", "<|endoftext|>"})
      if (tokens[id] == end) add(static_cast<std::int64_t>(id));
}

}  // namespace

DecoderConfig read_decoder_config(const std::filesystem::path& folder) {
  const Settings settings(folder / "config.json");
  const std::string type = settings.text("model_type", "");
  const auto family = std::find_if(kFamilies.begin(), kFamilies.end(), [&](const Family& known) { return known.model_type == type; });
  if (family == kFamilies.end())
    throw Error(ExitCode::kBadInput, "{}: the model_type \"{}\" is not known; {} are", settings.where(), type,
                family_names(&Family::model_type));
  refuse_variants(settings);
  DecoderConfig config;
  config.family = type;
  config.vocabulary = settings.extent("vocab_size");
  config.width = settings.extent("hidden_size");
  config.layers = settings.extent("num_hidden_layers", kMaxLayers);
  config.heads = settings.extent("num_attention_heads");
  config.kv_heads = settings.extent_or("num_key_value_heads", config.heads);
  if (!settings.find("head_dim") && config.width % config.heads != 0)
    throw Error(ExitCode::kBadInput, "{}: a hidden_size of {} cannot be cut into {} heads", settings.where(), config.width, config.heads);
  config.head_width = settings.extent_or("head_dim", std::max<std::int64_t>(1, config.width / config.heads));
  config.feed_forward = settings.extent("intermediate_size");
  config.norm_epsilon = static_cast<float>(settings.number("rms_norm_eps").value_or(1e-6));
  config.qkv_bias = family->qkv_bias;
  config.tied_head = settings.flag("tie_word_embeddings", false);
  config.max_positions = settings.extent("max_position_embeddings");
  read_rope(config, settings, family->rope_theta);
  read_window(config, settings);
  read_special_tokens(config, settings);
  if (const auto generation = folder / "generation_config.json"; std::filesystem::exists(generation))
    read_special_tokens(config, Settings(generation));
  check(config, settings.where());
  return config;
}

DecoderConfig read_decoder_config(const Gguf& file) {
  const std::string where = file.file().path().string();
  const auto architecture = file.text("general.architecture").value_or("");
  const auto family = std::find_if(kFamilies.begin(), kFamilies.end(),
                                   [&](const Family& known) { return !known.gguf.empty() && known.gguf == architecture; });
  if (family == kFamilies.end())
    throw Error(ExitCode::kBadInput, "{}: the architecture \"{}\" is not known; {} are", where, architecture, family_names(&Family::gguf));
  const GgufSettings settings(file, architecture);
  if (settings.extent("expert_count", 1) != 1)
    throw Error(ExitCode::kBadInput, "{} is a mixture of experts, which is not computed here", where);
  DecoderConfig config;
  config.family = architecture;
  config.width = settings.extent("embedding_length");
  config.layers = settings.extent("block_count", {}, kMaxLayers);
  config.heads = settings.extent("attention.head_count");
  config.kv_heads = settings.extent("attention.head_count_kv", config.heads);
  const StoredTensor* embedding = file.tensors().find("token_embd.weight");
  if (!embedding || embedding->shape.rank() != 2 || embedding->shape[0] < 1 || embedding->shape[0] > kMaxExtent)
    throw Error(ExitCode::kBadInput, "{}: the tensor \"token_embd.weight\" is missing or no matrix", where);
  config.vocabulary = embedding->shape[0];
  config.head_width = settings.extent("attention.key_length", std::max<std::int64_t>(1, config.width / config.heads));
  if (settings.extent("attention.value_length", config.head_width) != config.head_width)
    throw Error(ExitCode::kBadInput, "{}: keys and values differ in width, which is not computed here", where);
  config.feed_forward = settings.extent("feed_forward_length");
  config.norm_epsilon = static_cast<float>(settings.number("attention.layer_norm_rms_epsilon", 1e-5));
  config.qkv_bias = family->qkv_bias;
  config.tied_head = file.tensors().find("output.weight") == nullptr;
  config.max_positions = settings.extent("context_length");
  if (const auto window = static_cast<std::int64_t>(settings.number("attention.sliding_window", 0)); window > 0)
    config.max_positions = std::min(config.max_positions, window);
  config.rope_pairs = family->gguf_pairs;
  read_rope(config, settings);
  read_special_tokens(config, file);
  check(config, where);
  return config;
}

EncoderConfig read_encoder_config(const std::filesystem::path& folder) {
  const Settings settings(folder / "config.json");
  const auto want = [&](const char* key, std::string_view wanted, std::string_view usual) {
    if (const std::string found = settings.text(key, std::string(usual)); found != wanted)
      throw Error(ExitCode::kBadInput, "{}: \"{}\" is \"{}\"; an encoder here is \"{}\"", settings.where(), key, found, wanted);
  };
  want("model_type", "bert", "");
  want("hidden_act", "gelu", "gelu");
  want("position_embedding_type", "absolute", "absolute");
  EncoderConfig config;
  config.vocabulary = settings.extent("vocab_size");
  config.width = settings.extent("hidden_size");
  config.layers = settings.extent("num_hidden_layers", kMaxLayers);
  config.heads = settings.extent("num_attention_heads");
  if (config.width % config.heads != 0)
    throw Error(ExitCode::kBadInput, "{}: a hidden_size of {} cannot be cut into {} heads", settings.where(), config.width, config.heads);
  config.feed_forward = settings.extent("intermediate_size");
  config.max_positions = settings.extent("max_position_embeddings");
  config.token_types = settings.extent_or("type_vocab_size", 2);
  config.norm_epsilon = static_cast<float>(settings.positive("layer_norm_eps", 1e-12));
  config.max_tokens = config.max_positions;
  if (const auto file = folder / "sentence_bert_config.json"; std::filesystem::exists(file))
    config.max_tokens = std::min(config.max_positions, Settings(file).extent_or("max_seq_length", config.max_positions));
  if (const auto file = folder / "1_Pooling" / "config.json"; std::filesystem::exists(file))
    if (const Settings pooling(file); !pooling.flag("pooling_mode_mean_tokens", true) || pooling.flag("pooling_mode_cls_token", false))
      throw Error(ExitCode::kBadInput, "{}: the vectors are pooled in a way that is not computed here; the mean of the tokens is",
                  file.string());
  return config;
}

std::vector<double> rope_frequencies(const DecoderConfig& config) {
  const RopeScaling& scaling = config.rope_scaling;
  std::vector<double> frequencies(static_cast<std::size_t>(config.head_width / 2));
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double plain = std::pow(config.rope_theta, -2.0 * static_cast<double>(i) / static_cast<double>(config.head_width));
    double& frequency = frequencies[i] = plain;
    if (scaling.kind == RopeScaling::Kind::kLinear) frequency = plain / scaling.factor;
    if (scaling.kind != RopeScaling::Kind::kLlama3) continue;
    // Turns of this pair in the original context: many stay as they are, few are stretched, between them it goes smoothly.
    const double turns = scaling.original_positions * plain / (2 * std::numbers::pi);
    const double kept =
        std::clamp((turns - scaling.low_frequency_factor) / (scaling.high_frequency_factor - scaling.low_frequency_factor), 0.0, 1.0);
    frequency = (1 - kept) * plain / scaling.factor + kept * plain;
  }
  return frequencies;
}

}  // namespace deskhand
