#include "deskhand/train/adapter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <set>

#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/model/safetensors.h"
#include "deskhand/train/random.h"
#include "deskhand/train/tensor_copy.h"

namespace deskhand {
namespace {

constexpr std::string_view kPrefix = "base_model.model.";
constexpr std::int64_t kMaxRank = 4096;

std::string_view last_part(std::string_view name) {
  return name.substr(name.rfind('.') + 1);
}

bool is_name_or_end_of(std::string_view pattern, std::string_view name) {
  return name == pattern || (name.size() > pattern.size() && name.ends_with(pattern) && name[name.size() - pattern.size() - 1] == '.');
}

bool is_norm(std::string_view tensor) {
  return tensor.ends_with("norm.weight");
}

bool is_finite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

// Calls visit(row of `halves`, row of `neighbours`): pair i of a head is rows i and i + D/2 of the one, 2 i and 2 i + 1 of the other.
template <class Visit>
void each_row(ConstView rows, std::int64_t head_width, const Visit& visit) {
  DESKHAND_ASSERT(rows.shape().rank() == 2 && head_width % 2 == 0 && rows.shape()[0] % head_width == 0, "whole heads of pairs");
  for (std::int64_t row = 0; row < rows.shape()[0]; ++row) {
    const std::int64_t head = row / head_width * head_width, in_head = row % head_width, half = head_width / 2;
    visit(row, head + (in_head < half ? 2 * in_head : 2 * (in_head - half) + 1));
  }
}

void copy_row(View out, std::int64_t to, ConstView in, std::int64_t from) {
  const auto source = in.rows(from, 1).raw();
  const auto target = out.rows(to, 1).raw();
  std::memcpy(target.data(), source.data(), source.size());
}

float scale_of(double alpha, std::int64_t rank, bool rank_stabilised) {
  return static_cast<float>(alpha / (rank_stabilised ? std::sqrt(static_cast<double>(rank)) : static_cast<double>(rank)));
}

double alpha_of(const LoraPair& pair, bool rank_stabilised) {
  const auto rank = static_cast<double>(pair.a.shape()[0]);
  return static_cast<double>(pair.scale) * (rank_stabilised ? std::sqrt(rank) : rank);
}

// adapter_config.json, as far as it changes what the adapter computes.
struct PeftConfig {
  std::string where, base_model;
  double alpha = 8, dropout = 0;
  bool rank_stabilised = false;
  std::vector<std::pair<std::string, double>> alpha_pattern;
  std::vector<std::string> modules_to_save;

  double alpha_for(std::string_view linear) const {
    for (const auto& [pattern, value] : alpha_pattern)
      if (is_name_or_end_of(pattern, linear)) return value;
    return alpha;
  }
};

PeftConfig read_config(const std::filesystem::path& path) {
  const Json json = parse_json(read_text_file(path, 1 << 24), path.string());
  PeftConfig config{.where = path.string()};
  if (!json.is_object()) throw Error(ExitCode::kBadInput, "{} does not hold a JSON object", config.where);
  const auto find = [&](const char* key) {
    const auto at = json.find(key);
    return at == json.end() || at->is_null() ? nullptr : &*at;
  };
  const auto refuse = [&](const char* key, std::string_view reads) {
    throw Error(ExitCode::kBadInput, "{}: \"{}\" is {}; {}", config.where, key, write_json(*find(key)).substr(0, 60), reads);
  };
  const auto number = [&](const char* key, double otherwise) {
    const Json* value = find(key);
    if (value && (!value->is_number() || !std::isfinite(value->get<double>()))) refuse(key, "a number was expected");
    return value ? value->get<double>() : otherwise;
  };
  const Json* type = find("peft_type");
  if (!type) throw Error(ExitCode::kBadInput, "{}: there is no \"peft_type\"; an adapter that peft saved was expected", config.where);
  if (*type != "LORA") refuse("peft_type", "only LORA adapters are read");
  for (const char* key :
       {"use_dora", "use_qalora", "use_bdlora", "lora_bias", "layer_replication", "trainable_token_indices", "arrow_config",
        "alora_invocation_tokens", "target_parameters", "kasa_config", "velora_config", "monteclora_config"})
    if (const Json* value = find(key); value && *value != false && !(value->is_structured() && value->empty()))
      refuse(key, "adapters of that kind are not read here");
  if (const Json* bias = find("bias"); bias && *bias != "none") refuse("bias", "adapters that change biases are not read here");
  if (const Json* start = find("init_lora_weights"); start && start->is_string()) {
    const auto name = start->get<std::string>();
    if (name != "gaussian" && name != "eva" && name != "orthogonal")
      refuse("init_lora_weights",
             "that changes the base model too; save it as a plain LoRA (peft: path_initial_model_for_weight_conversion)");
  }
  config.alpha = number("lora_alpha", 8);
  config.dropout = number("lora_dropout", 0);
  if (const Json* stabilised = find("use_rslora")) {
    if (!stabilised->is_boolean()) refuse("use_rslora", "true or false was expected");
    config.rank_stabilised = stabilised->get<bool>();
  }
  if (const Json* name = find("base_model_name_or_path"); name && name->is_string()) config.base_model = name->get<std::string>();
  if (const Json* patterns = find("alpha_pattern")) {
    if (!patterns->is_object()) refuse("alpha_pattern", "an object of numbers was expected");
    for (const auto& [pattern, value] : patterns->items()) {
      if (!value.is_number()) refuse("alpha_pattern", "an object of numbers was expected");
      if (pattern.find_first_of("*+?()[]{}|\\^$") != std::string::npos)
        refuse("alpha_pattern", "regular expressions are not read here; write layer names or their ends");
      config.alpha_pattern.emplace_back(pattern, value.get<double>());
    }
  }
  if (const Json* modules = find("modules_to_save")) {
    if (!modules->is_array()) refuse("modules_to_save", "a list of names was expected");
    for (const Json& name : *modules) {
      if (!name.is_string()) refuse("modules_to_save", "a list of names was expected");
      config.modules_to_save.push_back(name.get<std::string>());
    }
  }
  return config;
}

// The names of peft's lists: the last part where all layers have it, else whole names.
std::vector<std::string> module_names(std::span<const std::string> names) {
  std::map<std::string, std::set<std::string>> by_end;  // last part -> whole names
  for (const std::string& name : names) by_end[std::string(last_part(name))].insert(name);
  std::size_t most = 0;
  for (const auto& [end, whole] : by_end) most = std::max(most, whole.size());
  std::vector<std::string> list;
  for (const auto& [end, whole] : by_end) {
    const bool is_everywhere = whole.size() == most || end == "lm_head" || end == "embed_tokens";
    if (is_everywhere)
      list.push_back(end);
    else
      list.insert(list.end(), whole.begin(), whole.end());
  }
  return list;
}

std::string config_text(const Adapter& adapter) {
  std::map<std::int64_t, std::size_t> ranks;
  std::map<double, std::size_t> alphas;
  std::vector<std::string> linears, modules;
  for (const auto& [name, pair] : adapter.lora) {
    ++ranks[pair.a.shape()[0]];
    ++alphas[alpha_of(pair, adapter.rank_stabilised)];
    linears.push_back(name);
  }
  for (const auto& [name, tensor] : adapter.replaced) modules.push_back(layer_of(name));
  const auto commonest = [](const auto& counts) {
    return std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; })->first;
  };
  const std::int64_t rank = commonest(ranks);
  const auto plain = [](double value) {  // 32, not 32.0; what a float's scale lost comes back
    const double rounded = std::round(value * 1e4) / 1e4;
    return rounded == std::floor(rounded) ? Json(static_cast<std::int64_t>(rounded)) : Json(rounded);
  };
  const Json alpha = plain(commonest(alphas));
  Json rank_pattern = Json::object(), alpha_pattern = Json::object();
  for (const auto& [name, pair] : adapter.lora) {
    if (pair.a.shape()[0] != rank) rank_pattern[name] = pair.a.shape()[0];
    if (const Json own = plain(alpha_of(pair, adapter.rank_stabilised)); own != alpha) alpha_pattern[name] = own;
  }
  const Json config = {{"alpha_pattern", alpha_pattern},
                       {"auto_mapping", nullptr},
                       {"base_model_name_or_path", adapter.base_model},
                       {"bias", "none"},
                       {"fan_in_fan_out", false},
                       {"inference_mode", true},
                       {"init_lora_weights", true},
                       {"layers_pattern", nullptr},
                       {"layers_to_transform", nullptr},
                       {"lora_alpha", alpha},
                       {"lora_dropout", adapter.dropout},
                       {"modules_to_save", modules.empty() ? Json() : Json(module_names(modules))},
                       {"peft_type", "LORA"},
                       {"r", rank},
                       {"rank_pattern", rank_pattern},
                       {"revision", nullptr},
                       {"target_modules", module_names(linears)},
                       {"task_type", "CAUSAL_LM"},
                       {"use_dora", false},
                       {"use_rslora", adapter.rank_stabilised}};
  return write_json(config, 2) + "\n";
}

// Half of a pair, or a whole tensor, from its name in the file.
struct FileName {
  std::string name;
  enum class Part { kA, kB, kWhole } part = Part::kWhole;
};

FileName parse_name(std::string_view stored, const std::string& where) {
  if (!stored.starts_with(kPrefix))
    throw Error(ExitCode::kBadInput, "{}: the tensor \"{}\" does not begin with \"{}\": not an adapter that peft saved", where, stored,
                kPrefix);
  stored.remove_prefix(kPrefix.size());
  constexpr std::pair<std::string_view, FileName::Part> kEnds[] = {{".lora_A.weight", FileName::Part::kA},
                                                                   {".lora_B.weight", FileName::Part::kB}};
  for (const auto& [end, part] : kEnds)
    if (stored.ends_with(end)) return {std::string(stored.substr(0, stored.size() - end.size())), part};
  if (stored.find("lora_") != std::string_view::npos)
    throw Error(ExitCode::kBadInput, "{}: the tensor \"{}\" is of a kind of adapter that is not read here (lora_A and lora_B are)", where,
                stored);
  return {std::string(stored), FileName::Part::kWhole};
}

void check_pairs(const Adapter& adapter, const std::string& where) {
  for (const auto& [name, pair] : adapter.lora) {
    if (pair.a.empty() || pair.b.empty())
      throw Error(ExitCode::kBadInput, "{}: {} has lora_{} alone, its other half is missing", where, name, pair.a.empty() ? 'B' : 'A');
    const Shape &a = pair.a.shape(), &b = pair.b.shape();
    if (a.rank() != 2 || b.rank() != 2 || a[0] != b[1] || a[0] < 1 || a[0] > kMaxRank)
      throw Error(ExitCode::kBadInput,
                  "{}: {} has lora_A {} and lora_B {}; (r, inputs) and (outputs, r) of one rank r up to {} were expected", where, name,
                  a.text(), b.text(), kMaxRank);
  }
}

void check_modules_to_save(const Adapter& adapter, const PeftConfig& config, const std::string& where) {
  for (const std::string& module : config.modules_to_save)
    if (std::none_of(adapter.replaced.begin(), adapter.replaced.end(),
                     [&](const auto& one) { return layer_of(one.first).ends_with(module); }))
      throw Error(ExitCode::kBadInput,
                  "{}: {} says that {} was trained (modules_to_save), but no such tensor is there; the adapter was saved "
                  "incompletely",
                  where, config.where, module);
}

}  // namespace

std::int64_t Adapter::parameters() const {
  std::int64_t count = 0;
  for (const auto& [name, pair] : lora) count += pair.a.shape().elements() + pair.b.shape().elements();
  for (const auto& [name, tensor] : replaced) count += tensor.shape().elements();
  return count;
}

Adapter Adapter::copy_to(Device device) const {
  Adapter copy{.base_model = base_model, .alpha = alpha, .dropout = dropout, .rank_stabilised = rank_stabilised};
  for (const auto& [name, pair] : lora) copy.lora.emplace(name, LoraPair{pair.a.copy_to(device), pair.b.copy_to(device), pair.scale});
  for (const auto& [name, tensor] : replaced) copy.replaced.emplace(name, tensor.copy_to(device));
  return copy;
}

std::string layer_part(std::int64_t layer, std::string_view part) {
  return fmt::format("model.layers.{}.{}", layer, part);
}

std::string layer_of(std::string_view tensor) {
  return std::string(tensor.substr(0, tensor.rfind('.')));
}

bool is_turned(std::string_view layer) {
  return layer.ends_with(".q_proj") || layer.ends_with(".k_proj");
}

std::vector<LinearShape> linear_shapes(const DecoderConfig& config) {
  const std::int64_t query = config.query_width(), kv = config.kv_width(), width = config.width, wide = config.feed_forward;
  const std::array<std::pair<std::int64_t, std::int64_t>, kLayerLinears.size()> sizes = {
      {{query, width}, {kv, width}, {kv, width}, {width, query}, {wide, width}, {wide, width}, {width, wide}}};  // (O, I)
  std::vector<LinearShape> shapes;
  for (std::int64_t layer = 0; layer < config.layers; ++layer)
    for (std::size_t i = 0; i < sizes.size(); ++i)
      shapes.push_back({layer_part(layer, kLayerLinears[i].name), sizes[i].first, sizes[i].second});
  shapes.push_back({"lm_head", config.vocabulary, config.width});
  return shapes;
}

std::map<std::string, Shape> tensor_shapes(const DecoderConfig& config) {
  std::map<std::string, Shape> shapes = {{"model.embed_tokens.weight", {config.vocabulary, config.width}},
                                         {"model.norm.weight", {config.width}}};
  for (const LinearShape& linear : linear_shapes(config)) {
    shapes[linear.name + ".weight"] = {linear.outputs, linear.inputs};
    const auto part = last_part(linear.name);
    if (config.qkv_bias && (part == "q_proj" || part == "k_proj" || part == "v_proj")) shapes[linear.name + ".bias"] = {linear.outputs};
  }
  for (std::int64_t layer = 0; layer < config.layers; ++layer)
    for (const char* norm : {"input_layernorm.weight", "post_attention_layernorm.weight"}) shapes[layer_part(layer, norm)] = {config.width};
  return shapes;
}

Tensor hugging_face_copy(const Backend& on, ConstView view, const std::string& linear, const DecoderConfig& config) {
  Tensor copy = as_f32(on, view);
  if (!is_turned(linear) || config.rope_pairs == RopePairs::kHalves) return copy;
  Tensor reordered(DType::kF32, copy.shape());
  const Shape rows = {copy.shape()[0], copy.shape().elements() / copy.shape()[0]};
  reorder_to_halves(reordered.view().reshaped(rows), copy.view().reshaped(rows), config.head_width);
  return reordered;
}

std::map<std::string, ConstView> named_tensors(const DecoderWeights& weights, const DecoderConfig& config) {
  std::map<std::string, ConstView> named = {
      {"model.embed_tokens.weight", weights.embedding}, {"model.norm.weight", weights.final_norm}, {"lm_head.weight", weights.head.weight}};
  for (std::int64_t number = 0; number < config.layers; ++number) {
    const DecoderLayer& layer = weights.layers[static_cast<std::size_t>(number)];
    named[layer_part(number, "input_layernorm.weight")] = layer.attention_norm;
    named[layer_part(number, "post_attention_layernorm.weight")] = layer.feed_forward_norm;
    for (const LayerLinear& at : kLayerLinears) {
      const Linear& linear = layer.*at.linear;
      const std::string name = layer_part(number, at.name);
      named[name + ".weight"] = linear.weight;
      if (!linear.bias.empty()) named[name + ".bias"] = linear.bias;
    }
  }
  return named;
}

std::vector<LinearShape> lora_layers(const DecoderConfig& config, const std::vector<std::string>& targets) {
  const auto all = linear_shapes(config);
  std::vector<LinearShape> wanted;
  std::set<std::string> known;
  for (const LinearShape& linear : all) {
    known.emplace(last_part(linear.name));
    const bool is_wanted = std::any_of(targets.begin(), targets.end(), [&](const std::string& target) {
      return target == "all-linear" ? linear.name != "lm_head" : is_name_or_end_of(target, linear.name);
    });
    if (is_wanted) wanted.push_back(linear);
  }
  for (const std::string& target : targets)
    if (target != "all-linear" &&
        std::none_of(all.begin(), all.end(), [&](const LinearShape& linear) { return is_name_or_end_of(target, linear.name); }))
      throw Error(ExitCode::kUsage, "this model has no linear layer '{}'; it has {}, and all-linear means every one but the head", target,
                  fmt::join(known, ", "));
  return wanted;
}

bool is_replaced(std::string_view tensor, Method method, const DecoderConfig& config) {
  const bool is_head = tensor == "lm_head.weight";
  switch (method) {
    case Method::kLora:
      return false;
    case Method::kHybrid:
      return is_head || is_norm(tensor);
    case Method::kFull:
      return !is_head || !config.tied_head;
  }
  return false;
}

Adapter new_adapter(const Backend& on, const DecoderWeights& weights, const DecoderConfig& config, Method method,
                    const LoraSettings& settings, std::uint64_t seed) {
  Adapter adapter{.alpha = settings.alpha, .dropout = settings.dropout, .rank_stabilised = settings.rank_stabilised};
  if (method != Method::kFull) {
    std::uint64_t stream = 0;  // by place in the model: other targets change nothing of a layer's beginning
    std::map<std::string, std::uint64_t> streams;
    for (const LinearShape& linear : linear_shapes(config)) streams[linear.name] = stream++;
    for (const LinearShape& linear : lora_layers(config, settings.targets)) {
      LoraPair pair{.a = Tensor(DType::kF32, {settings.r, linear.inputs}),
                    .b = Tensor(DType::kF32, {linear.outputs, settings.r}),
                    .scale = scale_of(settings.alpha, settings.r, settings.rank_stabilised)};
      Random random(seed, streams.at(linear.name));
      const double bound = 1 / std::sqrt(static_cast<double>(linear.inputs));  // kaiming_uniform_(a = sqrt(5))
      for (float& value : pair.a.floats()) value = static_cast<float>((2 * random.uniform() - 1) * bound);
      adapter.lora.emplace(linear.name, std::move(pair));
    }
  }
  for (const auto& [name, tensor] : named_tensors(weights, config))
    if (is_replaced(name, method, config)) adapter.replaced.emplace(name, hugging_face_copy(on, tensor, layer_of(name), config));
  return adapter;
}

std::int64_t count_parameters(const DecoderConfig& config, Method method, const LoraSettings& settings) {
  std::int64_t count = 0;
  if (method != Method::kFull)
    for (const LinearShape& linear : lora_layers(config, settings.targets)) count += settings.r * (linear.outputs + linear.inputs);
  for (const auto& [name, shape] : tensor_shapes(config))
    if (is_replaced(name, method, config)) count += shape.elements();
  return count;
}

void check_adapter(const Adapter& adapter, const DecoderConfig& config, std::string_view where) {
  const auto refuse = [&](std::string_view part, const std::string& what) {
    throw Error(ExitCode::kBadInput, "{}: {} {}; was the adapter trained for another base model{}?", where, part, what,
                adapter.base_model.empty() ? "" : fmt::format(" ({})", adapter.base_model));
  };
  std::map<std::string, LinearShape> linears;
  for (LinearShape& linear : linear_shapes(config)) linears.emplace(linear.name, linear);
  for (const auto& [name, pair] : adapter.lora) {
    const auto at = linears.find(name);
    if (at == linears.end()) refuse(name, fmt::format("is no linear layer of this model ({}, {} layers)", config.family, config.layers));
    const std::int64_t inputs = pair.a.shape()[1], outputs = pair.b.shape()[0];
    if (inputs != at->second.inputs || outputs != at->second.outputs)
      refuse(name, fmt::format("goes from {} to {}, the model's from {} to {}", inputs, outputs, at->second.inputs, at->second.outputs));
    if (!std::isfinite(pair.scale) || !is_finite(pair.a.floats()) || !is_finite(pair.b.floats()))
      throw Error(ExitCode::kBadInput, "{}: {} holds a number that is NaN or infinite; the training that made it went wrong", where, name);
  }
  const auto shapes = tensor_shapes(config);
  for (const auto& [name, tensor] : adapter.replaced) {
    const auto at = shapes.find(name);
    if (at == shapes.end()) refuse(name, "is no tensor of this model");
    if (tensor.shape() != at->second) refuse(name, fmt::format("is {}, the model's is {}", tensor.shape().text(), at->second.text()));
    if (!is_finite(tensor.floats()))
      throw Error(ExitCode::kBadInput, "{}: {} holds a number that is NaN or infinite; the training that made it went wrong", where, name);
  }
}

Adapter read_adapter(const std::filesystem::path& folder) {
  const auto config_path = folder / "adapter_config.json", weights_path = folder / "adapter_model.safetensors";
  if (!std::filesystem::exists(weights_path)) {
    if (std::filesystem::exists(folder / "adapter_model.bin"))
      throw Error(ExitCode::kBadInput,
                  "{} is a pickle, which can run programs when it is opened; it is never read here. Save the adapter as safetensors "
                  "(peft: save_pretrained(..., safe_serialization=True))",
                  (folder / "adapter_model.bin").string());
    throw Error(ExitCode::kNotFound, "{} holds no adapter_model.safetensors: it is not the folder of an adapter", folder.string());
  }
  const PeftConfig config = read_config(config_path);
  const auto file = Safetensors::open(weights_path);
  const std::string where = weights_path.string();
  const Backend reference{.kind = Backend::Kind::kReference};
  Adapter adapter{
      .base_model = config.base_model, .alpha = config.alpha, .dropout = config.dropout, .rank_stabilised = config.rank_stabilised};
  for (const StoredTensor& stored : file.tensors().all()) {
    const FileName name = parse_name(stored.name, where);
    const ConstView view = file.view(stored.name);
    if (view.shape().rank() < 1 || view.shape().rank() > 2 || is_quantised(view.type()) || view.type() == DType::kI32 ||
        view.type() == DType::kI8)
      throw Error(ExitCode::kBadInput, "{}: the tensor \"{}\" is {} {}; a vector or matrix of F32, F16 or BF16 was expected", where,
                  stored.name, stored.stored_type, view.shape().text());
    Tensor values = as_f32(reference, view);
    if (!is_finite(values.floats()))
      throw Error(ExitCode::kBadInput, "{}: the tensor \"{}\" holds a number that is NaN or infinite; the training that made it went wrong",
                  where, stored.name);
    if (name.part == FileName::Part::kWhole)
      adapter.replaced.emplace(name.name, std::move(values));
    else
      (name.part == FileName::Part::kA ? adapter.lora[name.name].a : adapter.lora[name.name].b) = std::move(values);
  }
  check_pairs(adapter, where);
  check_modules_to_save(adapter, config, where);
  for (auto& [name, pair] : adapter.lora) pair.scale = scale_of(config.alpha_for(name), pair.a.shape()[0], config.rank_stabilised);
  return adapter;
}

void write_adapter(const std::filesystem::path& folder, const Adapter& adapter, DType stored) {
  DESKHAND_ASSERT(!adapter.lora.empty(), "an adapter has low-rank pairs; what full fine-tuning made is a model");
  std::error_code fault;
  std::filesystem::create_directories(folder, fault);
  if (fault) throw Error(ExitCode::kCannotWrite, "cannot make the folder {}: {}", folder.string(), fault.message());
  std::vector<Tensor> owned;
  std::vector<std::pair<std::string, ConstView>> tensors;
  const auto add = [&](const std::string& name, const Tensor& tensor) {
    if (stored != DType::kF32) owned.push_back(stored_as(tensor, stored));
    tensors.emplace_back(std::string(kPrefix) + name, stored == DType::kF32 ? tensor.view() : std::as_const(owned.back()).view());
  };
  for (const auto& [name, pair] : adapter.lora) {
    add(name + ".lora_A.weight", pair.a);
    add(name + ".lora_B.weight", pair.b);
  }
  for (const auto& [name, tensor] : adapter.replaced) add(name, tensor);
  write_safetensors(folder / "adapter_model.safetensors", tensors, {{"format", "pt"}});
  write_file_atomically(folder / "adapter_config.json", config_text(adapter));
}

void reorder_to_neighbours(View out, ConstView in, std::int64_t head_width) {
  DESKHAND_ASSERT(out.shape() == in.shape() && out.data() != in.data(), "another matrix of that shape");
  each_row(in, head_width, [&](std::int64_t halves, std::int64_t neighbours) { copy_row(out, neighbours, in, halves); });
}

void reorder_to_halves(View out, ConstView in, std::int64_t head_width) {
  DESKHAND_ASSERT(out.shape() == in.shape() && out.data() != in.data(), "another matrix of that shape");
  each_row(in, head_width, [&](std::int64_t halves, std::int64_t neighbours) { copy_row(out, halves, in, neighbours); });
}

}  // namespace deskhand
