#include "deskhand/train/export_gguf.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "deskhand/base/error.h"
#include "deskhand/model/gguf_writer.h"
#include "deskhand/ops/quantize.h"
#include "deskhand/train/merge.h"
#include "deskhand/train/tensor_copy.h"

namespace deskhand {
namespace {

constexpr std::int64_t kPartBytes = std::int64_t{32} << 20;  // of a part in f32

std::string_view architecture_of(const DecoderConfig& config) {
  return config.family == "mistral" ? "llama" : std::string_view(config.family);
}

// The converters of the Llama family put the rows of q and k as pairs of neighbours, and llama.cpp turns them so.
bool has_neighbours(const DecoderConfig& config) {
  return architecture_of(config) == "llama";
}

// ggml.h, enum llama_ftype.
std::int64_t file_type(DType stored) {
  switch (stored) {
    case DType::kF32:
      return 0;
    case DType::kQ4_0:
      return 2;
    case DType::kQ8_0:
      return 7;
    case DType::kBF16:
      return 32;
    default:
      return 1;
  }
}

// In the order of computation, as the usual converters write them.
std::vector<std::string> tensor_order(const DecoderConfig& config, bool own_head) {
  const auto shapes = tensor_shapes(config);
  std::vector<std::string> names = {"model.embed_tokens.weight"};
  for (const LinearShape& linear : linear_shapes(config)) {
    if (linear.name == "lm_head") continue;
    const std::string layer = linear.name.substr(0, linear.name.find('.', std::string_view("model.layers.").size()));
    if (linear.name.ends_with(".q_proj")) names.push_back(layer + ".input_layernorm.weight");
    if (linear.name.ends_with(".gate_proj")) names.push_back(layer + ".post_attention_layernorm.weight");
    for (const char* part : {".weight", ".bias"})
      if (shapes.contains(linear.name + part)) names.push_back(linear.name + part);
  }
  names.emplace_back("model.norm.weight");
  if (own_head) names.emplace_back("lm_head.weight");
  return names;
}

bool is_touched(const Adapter& adapter, const std::string& name) {
  return adapter.replaced.contains(name) || (name.ends_with(".weight") && adapter.lora.contains(layer_of(name)));
}

// One tensor's plan: how it is stored, and whether its bytes are the base's own.
struct Plan {
  std::string name, gguf;
  Shape shape;
  DType type;
  bool is_copy;
};

std::vector<Plan> plan(const Decoder& base, const Adapter& adapter, DType stored) {
  const auto tensors = named_tensors(base.weights(), base.config());
  const auto shapes = tensor_shapes(base.config());
  std::vector<Plan> plans;
  for (const std::string& name : tensor_order(base.config(), has_own_head(base.config(), adapter))) {
    Plan one{.name = name, .gguf = gguf_name(name), .shape = shapes.at(name), .type = DType::kF32, .is_copy = false};
    if (one.shape.rank() == 2) {
      const bool is_outer = name == "model.embed_tokens.weight" || name == "lm_head.weight";  // 4 bits of these cost the most
      const DType wanted = stored == DType::kQ4_0 && is_outer ? DType::kQ8_0 : stored;
      one.type = one.shape.last() % block_elements(wanted) == 0 ? wanted : DType::kF16;
      const DType held = tensors.at(name).type();
      one.is_copy = base.gguf() && !is_touched(adapter, name) && (held == one.type || (is_quantised(one.type) && is_quantised(held)));
      if (one.is_copy) one.type = held;
    }
    plans.push_back(std::move(one));
  }
  return plans;
}

// f32 to what the file holds.
Tensor packed(const Backend& on, Tensor values, DType type) {
  if (type == DType::kF32) return values;
  if (!is_quantised(type)) return stored_as(values, type);
  Tensor blocks(type, values.shape());
  quantize(on, blocks, values);
  return blocks;
}

Tensor in_gguf_order(Tensor values, const std::string& name, const DecoderConfig& config) {
  if (!has_neighbours(config) || !is_turned(layer_of(name))) return values;
  Tensor reordered(DType::kF32, values.shape());
  const std::int64_t rows = values.shape()[0];
  const Shape matrix = {rows, values.shape().elements() / rows};
  reorder_to_neighbours(reordered.view().reshaped(matrix), values.view().reshaped(matrix), config.head_width);
  return reordered;
}

std::int64_t rows_of_a_part(const Shape& shape, std::int64_t head_width) {
  if (shape.rank() == 1) return 0;
  const std::int64_t rows = std::max<std::int64_t>(1, kPartBytes / 4 / shape.last());
  return (rows + head_width - 1) / head_width * head_width;  // whole heads, whatever the matrix
}

// llama.cpp takes Llama 3's stretched rotation as one divisor a pair.
std::vector<float> rope_factors(const DecoderConfig& config) {
  DecoderConfig plain = config;
  plain.rope_scaling = {};
  const auto wanted = rope_frequencies(config), usual = rope_frequencies(plain);
  std::vector<float> factors;
  for (std::size_t i = 0; i < usual.size(); ++i) factors.push_back(static_cast<float>(usual[i] / wanted[i]));
  return factors;
}

void put_configuration(GgufWriter& out, const DecoderConfig& c, const std::string& name) {
  const std::string architecture(architecture_of(c));
  const auto key = [&](std::string_view end) { return architecture + "." + std::string(end); };
  out.put_text("general.architecture", architecture);
  out.put_text("general.type", "model");
  out.put_text("general.name", name.empty() ? architecture : name);
  out.put_u32(key("block_count"), c.layers);
  out.put_u32(key("context_length"), c.max_positions);
  out.put_u32(key("embedding_length"), c.width);
  out.put_u32(key("feed_forward_length"), c.feed_forward);
  out.put_u32(key("attention.head_count"), c.heads);
  out.put_u32(key("attention.head_count_kv"), c.kv_heads);
  out.put_u32(key("attention.key_length"), c.head_width);
  out.put_u32(key("attention.value_length"), c.head_width);
  out.put_f32(key("attention.layer_norm_rms_epsilon"), static_cast<double>(c.norm_epsilon));
  out.put_f32(key("rope.freq_base"), c.rope_theta);
  out.put_u32(key("rope.dimension_count"), c.head_width);
  out.put_u32(key("vocab_size"), c.vocabulary);
  if (c.rope_scaling.kind == RopeScaling::Kind::kLinear) {
    out.put_text(key("rope.scaling.type"), "linear");
    out.put_f32(key("rope.scaling.factor"), c.rope_scaling.factor);
  }
}

void put_tokenizer(GgufWriter& out, TokenizerTables tables, const std::string& chat_template, const DecoderConfig& c) {
  constexpr std::int32_t kUnused = 5;
  for (auto id = static_cast<std::int64_t>(tables.tokens.size()); id < c.vocabulary; ++id) {  // rows of the embedding that no token names
    tables.tokens.push_back(fmt::format("[PAD{}]", id));
    tables.token_types.push_back(kUnused);
    if (tables.model == "llama") tables.scores.push_back(-1e6f);
  }
  if (static_cast<std::int64_t>(tables.tokens.size()) > c.vocabulary)
    throw Error(ExitCode::kBadInput, "{} has {} tokens, the model's embedding {} rows; it belongs to another model", tables.where,
                tables.tokens.size(), c.vocabulary);
  out.put_text("tokenizer.ggml.model", tables.model);
  out.put_text("tokenizer.ggml.pre", tables.pre);
  out.put_texts("tokenizer.ggml.tokens", tables.tokens);
  if (!tables.scores.empty()) out.put_f32s("tokenizer.ggml.scores", tables.scores);
  out.put_i32s("tokenizer.ggml.token_type", tables.token_types);
  if (!tables.merges.empty()) out.put_texts("tokenizer.ggml.merges", tables.merges);
  const auto id = [&](const char* key, std::optional<std::int32_t> token) {
    if (token) out.put_u32(key, *token);
  };
  id("tokenizer.ggml.bos_token_id", tables.bos ? tables.bos : c.bos >= 0 ? std::optional(c.bos) : std::nullopt);
  id("tokenizer.ggml.eos_token_id", tables.eos ? tables.eos : c.eos.empty() ? std::nullopt : std::optional(c.eos.front()));
  id("tokenizer.ggml.unknown_token_id", tables.unk);
  id("tokenizer.ggml.padding_token_id", tables.pad);
  if (tables.add_bos) out.put_flag("tokenizer.ggml.add_bos_token", *tables.add_bos);
  if (tables.add_eos) out.put_flag("tokenizer.ggml.add_eos_token", *tables.add_eos);
  if (tables.add_space_prefix) out.put_flag("tokenizer.ggml.add_space_prefix", *tables.add_space_prefix);
  if (!chat_template.empty()) out.put_text("tokenizer.chat_template", chat_template);
}

// All of the base's but what says how its tensors are stored.
void copy_metadata(GgufWriter& out, const Gguf& base, const std::string& name) {
  if (const std::string_view architecture = base.raw("general.architecture"); !architecture.empty())
    out.put_raw("general.architecture", architecture);
  for (const auto& [key, value] : base.metadata()) {
    const bool is_ours = key == "general.architecture" || key == "general.file_type" || key == "general.alignment" ||
                         key == "general.quantization_version" || key == "general.name" || key.starts_with("quantize.") ||
                         key.starts_with("split.");
    if (!is_ours) out.put_raw(key, base.raw(key));
  }
  if (const std::string_view own = base.raw("general.name"); name.empty() && !own.empty())
    out.put_raw("general.name", own);
  else if (!name.empty())
    out.put_text("general.name", name);
}

GgufWriter::Rows copied(ConstView held) {
  return [held](std::int64_t first, std::int64_t count) { return held.shape().rank() == 1 ? held : held.rows(first, count); };
}

float scale_of_file(double alpha, std::int64_t rank) {
  return static_cast<float>(alpha / static_cast<double>(rank));
}

// alpha of most pairs, so that their B is left as it is.
double commonest_alpha(const Adapter& adapter) {
  std::map<double, int> counts;
  for (const auto& [name, pair] : adapter.lora) {
    const auto rank = static_cast<double>(pair.a.shape()[0]);
    ++counts[std::round(static_cast<double>(pair.scale) * rank * 1e4) / 1e4];
  }
  const auto most = std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == counts.end() || most->first == 0 ? 1 : most->first;
}

void refuse_what_lora_cannot_hold(const DecoderConfig& base, const Adapter& adapter) {
  if (!adapter.replaced.empty())
    throw Error(
        ExitCode::kUsage,
        "a GGUF LoRA file holds low-rank pairs alone, and this adapter replaces {} tensors, {} among them; export it merged: --format "
        "gguf or --format merged",
        adapter.replaced.size(), adapter.replaced.contains("lm_head.weight") ? "lm_head" : adapter.replaced.begin()->first);
  if (adapter.lora.empty()) throw Error(ExitCode::kUsage, "there is no low-rank pair in it to write");
  if (base.tied_head && adapter.lora.contains("lm_head"))
    throw Error(ExitCode::kUsage,
                "the adapter has a pair on lm_head, and this base's head is its embedding, which llama.cpp gives no adapter to; export it "
                "merged: --format gguf or --format merged");
}

}  // namespace

std::int64_t gguf_model_bytes(const Decoder& base, const Adapter& adapter, DType stored) {
  std::int64_t sum = 0;
  for (const Plan& one : plan(base, adapter, stored)) sum += one.shape.rows() * row_bytes(one.type, one.shape.last());
  return sum;
}

void write_gguf_model(const Backend& on, const Decoder& base, const Adapter& adapter, const std::filesystem::path& path,
                      const GgufModelOptions& options) {
  const DecoderConfig& config = base.config();
  DESKHAND_ASSERT(options.stored == DType::kF32 || options.stored == DType::kF16 || options.stored == DType::kBF16 ||
                      options.stored == DType::kQ8_0 || options.stored == DType::kQ4_0,
                  "a type that models are exported in");
  check_adapter(adapter, config, "the adapter");
  GgufWriter out;
  if (const Gguf* file = base.gguf()) {
    copy_metadata(out, *file, options.name);
  } else {
    put_configuration(out, config, options.name);
    if (options.tokenizer) put_tokenizer(out, *options.tokenizer, options.chat_template, config);
  }
  out.put_u32("general.file_type", file_type(options.stored));
  out.put_u32("general.quantization_version", 2);

  const auto tensors = named_tensors(base.weights(), config);
  Tensor part;  // what the writer is writing
  for (const Plan& one : plan(base, adapter, options.stored)) {
    GgufWriter::Rows rows;
    if (one.is_copy)
      rows = copied(tensors.at(one.name));
    else
      rows = [&, name = one.name, type = one.type, rank = one.shape.rank()](std::int64_t first, std::int64_t count) {
        if (rank == 1) count = tensors.at(name).shape()[0];
        part = packed(on, in_gguf_order(merged_rows(on, base, adapter, name, first, count), name, config), type);
        return std::as_const(part).view();
      };
    out.add({one.gguf, one.type, one.shape, rows_of_a_part(one.shape, config.head_width), std::move(rows)});
  }
  std::vector<float> factors;
  if (const Gguf* file = base.gguf()) {  // rope_freqs.weight, and what a decoder has no use for
    for (const StoredTensor& tensor : file->tensors().all())
      if (hugging_face_name(tensor.name).empty() && tensor.type) {
        const ConstView held(tensor.data.data(), *tensor.type, tensor.shape);
        out.add({tensor.name, *tensor.type, tensor.shape, 0, [held](std::int64_t, std::int64_t) { return held; }});
      }
  } else if (config.rope_scaling.kind == RopeScaling::Kind::kLlama3) {
    factors = rope_factors(config);
    const auto count = static_cast<std::int64_t>(factors.size());
    out.add({"rope_freqs.weight", DType::kF32, {count}, 0, copied(ConstView(std::span<const float>(factors), {count}))});
  }
  out.write(path, options.written);
}

void write_gguf_lora(const DecoderConfig& base, const Adapter& adapter, const std::filesystem::path& path, DType stored) {
  DESKHAND_ASSERT(!is_quantised(stored), "an adapter is stored as f32, f16 or bf16");
  check_adapter(adapter, base, "the adapter");
  refuse_what_lora_cannot_hold(base, adapter);
  const double alpha = commonest_alpha(adapter);
  GgufWriter out;
  out.put_text("general.architecture", architecture_of(base));
  out.put_text("general.type", "adapter");
  if (!adapter.base_model.empty()) out.put_text("general.name", "LoRA for " + adapter.base_model);
  out.put_text("adapter.type", "lora");
  out.put_f32("adapter.lora.alpha", alpha);
  out.put_u32("general.file_type", file_type(stored));
  std::vector<Tensor> owned;  // an adapter is small
  const auto add = [&](const std::string& name, const Tensor& values) {
    owned.push_back(stored_as(values, stored));
    const ConstView view = std::as_const(owned.back()).view();
    out.add({name, stored, view.shape(), 0, copied(view)});
  };
  owned.reserve(2 * adapter.lora.size());
  for (const LinearShape& linear : linear_shapes(base)) {
    const auto pair = adapter.lora.find(linear.name);
    if (pair == adapter.lora.end()) continue;
    Tensor b = pair->second.b.copy();
    const float own = pair->second.scale, whole = scale_of_file(alpha, pair->second.a.shape()[0]);
    if (std::abs(own - whole) > 1e-6f * std::abs(whole))
      for (float& value : b.floats()) value *= own / whole;
    b = in_gguf_order(std::move(b), linear.name + ".weight", base);
    add(gguf_name(linear.name) + ".weight.lora_a", pair->second.a);
    add(gguf_name(linear.name) + ".weight.lora_b", b);
  }
  out.write(path);
}

Adapter read_gguf_lora(const DecoderConfig& base, const std::filesystem::path& path) {
  const Gguf file = Gguf::open(path);
  const std::string where = path.string();
  if (file.text("general.type").value_or("") != "adapter" || file.text("adapter.type").value_or("") != "lora")
    throw Error(ExitCode::kBadInput, "{} is no LoRA file: general.type is \"{}\", \"adapter\" was expected", where,
                file.text("general.type").value_or(""));
  if (file.text("general.architecture").value_or("") != architecture_of(base))
    throw Error(ExitCode::kBadInput, "{} is for the architecture \"{}\", the base is \"{}\"", where,
                file.text("general.architecture").value_or(""), architecture_of(base));
  Adapter adapter{.alpha = file.number("adapter.lora.alpha").value_or(0)};
  const Backend reference{.kind = Backend::Kind::kReference};
  for (const StoredTensor& stored : file.tensors().all()) {
    const std::string name = hugging_face_name(stored.name);
    const bool is_a = name.ends_with(".weight.lora_a"), is_b = name.ends_with(".weight.lora_b");
    if ((!is_a && !is_b) || !stored.type || stored.shape.rank() != 2)
      throw Error(ExitCode::kBadInput, "{}: the tensor \"{}\" is no half of a pair of this architecture", where, stored.name);
    const std::string layer = name.substr(0, name.size() - std::string_view(".weight.lora_a").size());
    const ConstView held(stored.data.data(), *stored.type, stored.shape);
    if (!is_a && has_neighbours(base) && is_turned(layer)) {
      if (stored.shape[0] % base.head_width != 0)
        throw Error(ExitCode::kBadInput, "{}: the tensor \"{}\" is {}; heads of {} were expected", where, stored.name, stored.shape.text(),
                    base.head_width);
      Tensor rows = as_f32(reference, held);
      adapter.lora[layer].b = Tensor(DType::kF32, rows.shape());
      reorder_to_halves(adapter.lora[layer].b, rows, base.head_width);
    } else {
      (is_a ? adapter.lora[layer].a : adapter.lora[layer].b) = as_f32(reference, held);
    }
  }
  for (auto& [layer, pair] : adapter.lora) {
    if (pair.a.empty() || pair.b.empty() || pair.a.shape()[0] != pair.b.shape()[1] || pair.a.shape()[0] < 1)
      throw Error(ExitCode::kBadInput, "{}: the halves of the pair of {} do not fit, or one is missing", where, layer);
    pair.scale = adapter.alpha == 0 ? 1 : scale_of_file(adapter.alpha, pair.a.shape()[0]);
  }
  check_adapter(adapter, base, where);
  return adapter;
}

}  // namespace deskhand
