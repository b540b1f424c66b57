#include "deskhand/model/weights.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>

#include "deskhand/ops/add.h"
#include "deskhand/ops/dequantize.h"
#include "deskhand/ops/linear.h"
#include "deskhand/ops/rms_norm.h"
#include "deskhand/ops/swiglu.h"

namespace deskhand {
namespace {

enum Slot : int { kLow = 14 };  // above those of the ops

// Hands out tensors by name and keeps the books: which were missing, which were used.
class Taker {
 public:
  Taker(const StoredTensors& tensors, std::string where, std::vector<Tensor>& owned)
      : tensors_(tensors), where_(std::move(where)), owned_(owned) {}

  bool has(std::string_view name) const { return tensors_.find(name) != nullptr; }

  // A matrix of any dtype, as it lies in the file.
  ConstView matrix(const std::string& name, Shape shape) {
    const StoredTensor* tensor = find(name, shape);
    if (!tensor) return {};
    const ConstView view(tensor->data.data(), *tensor->type, shape);
    const auto size = is_quantised(*tensor->type) ? 2 : block_bytes(*tensor->type);
    if (reinterpret_cast<std::uintptr_t>(view.data()) % static_cast<std::uintptr_t>(size) == 0) return view;
    Tensor& copy = owned_.emplace_back(view.type(), shape);  // a file whose header has an odd length
    std::memcpy(copy.view().data(), view.data(), view.raw().size());
    return copy.view();
  }

  // A vector in f32, widened if need be.
  ConstView vector(const std::string& name, std::int64_t extent) {
    const ConstView stored = matrix(name, {extent});
    if (stored.empty() || stored.type() == DType::kF32) return stored;
    Tensor& wide = owned_.emplace_back(DType::kF32, Shape{extent});
    const Backend reference{.kind = Backend::Kind::kReference};
    dequantize(reference, wide.view().reshaped({1, extent}), stored.reshaped({1, extent}));
    return wide.view();
  }

  Linear linear(const std::string& name, std::int64_t outputs, std::int64_t inputs, bool bias) {
    Linear layer;
    layer.weight = matrix(name + ".weight", {outputs, inputs});
    if (bias) layer.bias = vector(name + ".bias", outputs);
    return layer;
  }

  // To be called last: throws if anything was missing, otherwise the names that nobody asked for.
  std::vector<std::string> finish() const {
    constexpr std::size_t kShown = 5;
    if (!missing_.empty())
      throw Error(ExitCode::kBadInput, "{} lacks {} of the model's tensors: {}{}", where_, missing_.size(),
                  fmt::join(missing_.begin(), missing_.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, missing_.size())), ", "),
                  missing_.size() > kShown ? ", ..." : "");
    std::vector<std::string> unused;
    for (const StoredTensor& tensor : tensors_.all())
      if (!used_.contains(tensor.name)) unused.push_back(tensor.name);
    return unused;
  }

 private:
  const StoredTensor* find(const std::string& name, const Shape& wanted) {
    const StoredTensor* tensor = tensors_.find(name);
    if (!tensor) {
      missing_.push_back(name);
      return nullptr;
    }
    used_.insert(name);
    if (!tensor->type || *tensor->type == DType::kI8 || *tensor->type == DType::kI32)
      throw Error(ExitCode::kBadInput, "{}: the tensor \"{}\" is {}, which is no type of weights here", where_, name, tensor->stored_type);
    if (tensor->shape != wanted)
      throw Error(ExitCode::kBadInput, "{}: the tensor \"{}\" is {}, the configuration asks for {}", where_, name, tensor->shape.text(),
                  wanted.text());
    return tensor;
  }

  const StoredTensors& tensors_;
  std::string where_;
  std::vector<Tensor>& owned_;
  std::vector<std::string> missing_;
  std::set<std::string> used_;
};

// How a format calls the parts of a decoder; %: the layer's number.
struct DecoderNames {
  std::string_view embedding, final_norm, head;
  std::string_view attention_norm, q, k, v, attention_out, feed_forward_norm, gate, up, down;
};

constexpr DecoderNames kHuggingFace = {"model.embed_tokens",
                                       "model.norm",
                                       "lm_head",
                                       "model.layers.%.input_layernorm",
                                       "model.layers.%.self_attn.q_proj",
                                       "model.layers.%.self_attn.k_proj",
                                       "model.layers.%.self_attn.v_proj",
                                       "model.layers.%.self_attn.o_proj",
                                       "model.layers.%.post_attention_layernorm",
                                       "model.layers.%.mlp.gate_proj",
                                       "model.layers.%.mlp.up_proj",
                                       "model.layers.%.mlp.down_proj"};
constexpr DecoderNames kGguf = {"token_embd",   "output_norm",       "output",         "blk.%.attn_norm", "blk.%.attn_q", "blk.%.attn_k",
                                "blk.%.attn_v", "blk.%.attn_output", "blk.%.ffn_norm", "blk.%.ffn_gate",  "blk.%.ffn_up", "blk.%.ffn_down"};

constexpr std::array kParts = {&DecoderNames::embedding,
                               &DecoderNames::final_norm,
                               &DecoderNames::head,
                               &DecoderNames::attention_norm,
                               &DecoderNames::q,
                               &DecoderNames::k,
                               &DecoderNames::v,
                               &DecoderNames::attention_out,
                               &DecoderNames::feed_forward_norm,
                               &DecoderNames::gate,
                               &DecoderNames::up,
                               &DecoderNames::down};

// `name` as `to` calls what `from` calls so; a dot and the tensor's kind stay behind it.
std::string translated(std::string_view name, const DecoderNames& from, const DecoderNames& to) {
  for (const auto part : kParts) {
    const std::string_view pattern = from.*part, before = pattern.substr(0, pattern.find('%'));
    if (!name.starts_with(before)) continue;
    std::string_view rest = name.substr(before.size()), number;
    if (before.size() < pattern.size()) {
      number = rest.substr(0, std::min(rest.find_first_not_of("0123456789"), rest.size()));
      const std::string_view after = pattern.substr(before.size() + 1);
      rest.remove_prefix(number.size());
      if (number.empty() || !rest.starts_with(after)) continue;
      rest.remove_prefix(after.size());
    }
    if (!rest.empty() && rest.front() != '.') continue;
    std::string result(to.*part);
    if (!number.empty()) result.replace(result.find('%'), 1, number);
    return result.append(rest);
  }
  return "";
}

std::string numbered(std::string_view pattern, std::int64_t layer) {
  std::string name(pattern);
  return name.replace(name.find('%'), 1, std::to_string(layer));
}

DecoderLayer take_layer(Taker& take, const DecoderNames& names, const DecoderConfig& c, std::int64_t number) {
  const auto name = [&](std::string_view pattern) { return numbered(pattern, number); };
  return {.attention_norm = take.vector(name(names.attention_norm) + ".weight", c.width),
          .q = take.linear(name(names.q), c.query_width(), c.width, c.qkv_bias),
          .k = take.linear(name(names.k), c.kv_width(), c.width, c.qkv_bias),
          .v = take.linear(name(names.v), c.kv_width(), c.width, c.qkv_bias),
          .attention_out = take.linear(name(names.attention_out), c.width, c.query_width(), false),
          .feed_forward_norm = take.vector(name(names.feed_forward_norm) + ".weight", c.width),
          .gate = take.linear(name(names.gate), c.feed_forward, c.width, false),
          .up = take.linear(name(names.up), c.feed_forward, c.width, false),
          .down = take.linear(name(names.down), c.width, c.feed_forward, false)};
}

DecoderWeights take_decoder(Taker& take, const DecoderNames& names, const DecoderConfig& c) {
  DecoderWeights weights;
  weights.embedding = take.matrix(std::string(names.embedding) + ".weight", {c.vocabulary, c.width});
  for (std::int64_t layer = 0; layer < c.layers; ++layer) weights.layers.push_back(take_layer(take, names, c, layer));
  weights.final_norm = take.vector(std::string(names.final_norm) + ".weight", c.width);
  weights.head = c.tied_head ? Linear{.weight = weights.embedding} : take.linear(std::string(names.head), c.vocabulary, c.width, false);
  return weights;
}

}  // namespace

namespace {

constexpr std::size_t kMostOfOneInput = 4;

// What pairs add, then the rotation of what is turned.
void finish(const Backend& on, std::span<const LinearCall> calls, ConstView x, const Turn& turn) {
  std::array<LoraPart, kMostOfOneInput> parts;
  std::size_t count = 0;
  std::int64_t ranks = 0;
  for (const LinearCall& call : calls) {
    const LoraWeights& pair = call.layer->lora;
    if (pair.a.empty() && call.head_width == 0) continue;
    parts[count++] = {call.out, call.low, pair, call.head_width};
    if (!pair.a.empty() && call.low.empty()) ranks += pair.a.shape()[0];
  }
  const std::int64_t tokens = calls[0].out.shape()[0];
  View room = ranks > 0 ? scratch(on, kLow, x.type(), {tokens * ranks}) : View();
  for (std::size_t i = 0; i < count; ++i) {
    if (parts[i].weights.a.empty() || !parts[i].low.empty()) continue;
    const std::int64_t rank = parts[i].weights.a.shape()[0];
    parts[i].low = room.rows(0, tokens * rank).reshaped({tokens, rank});
    room = room.rows(tokens * rank, room.shape()[0] - tokens * rank);
  }
  lora(on, std::span(parts).first(count), x, turn);
}

}  // namespace

void apply(const Backend& on, std::span<const LinearCall> calls, ConstView x, const Turn& turn) {
  std::array<LinearPart, kMostOfOneInput> parts;
  DESKHAND_ASSERT(calls.size() <= parts.size(), "at most four layers share an input");
  for (std::size_t i = 0; i < calls.size(); ++i) parts[i] = {calls[i].out, calls[i].layer->weight, calls[i].layer->bias, calls[i].add};
  linear(on, std::span(parts).first(calls.size()), x);
  finish(on, calls, x, turn);
}

void apply(const Backend& on, std::span<const LinearCall> calls, ConstView x, const ConstFp8Rows& narrow, const Turn& turn) {
  for (const LinearCall& call : calls) fp8_linear(on, call.out, narrow, call.layer->fp8, call.layer->bias, call.add);
  finish(on, calls, x, turn);
}

void apply(const Backend& on, std::span<const LinearCall> calls, const NormedInput& in) {
  if (std::any_of(calls.begin(), calls.end(), [](const LinearCall& call) { return !call.layer->lora.a.empty(); })) {
    rms_norm(on, in.room, in.x, in.weight, in.epsilon);
    return apply(on, calls, in.room);
  }
  std::array<LinearPart, kMostOfOneInput> parts;
  DESKHAND_ASSERT(calls.size() <= parts.size(), "at most four layers share an input");
  for (std::size_t i = 0; i < calls.size(); ++i) parts[i] = {calls[i].out, calls[i].layer->weight, calls[i].layer->bias};
  norm_linear(on, std::span(parts).first(calls.size()), in);
}

void apply_gate_up(const Backend& on, const Linear& gate, const Linear& up, View out, const NormedInput& in, View room) {
  if (gate.lora.a.empty() && up.lora.a.empty() && gate.bias.empty() && up.bias.empty())
    return norm_gate_up(on, out, gate.weight, up.weight, in, room);
  const LinearCall calls[] = {{&gate, out}, {&up, room}};
  apply(on, calls, in);
  swiglu(on, out, out, room);
}

void apply_add(const Backend& on, const Linear& layer, View x, ConstView in, View room) {
  if (layer.lora.a.empty() && layer.bias.empty()) return linear_add(on, x, in, layer.weight, room);
  apply(on, layer, room, in);
  add(on, x, x, room);
}

std::string gguf_name(std::string_view hugging_face) {
  return translated(hugging_face, kHuggingFace, kGguf);
}

std::string hugging_face_name(std::string_view gguf) {
  return translated(gguf, kGguf, kHuggingFace);
}

DecoderWeights DecoderWeights::views() const {
  return {.embedding = embedding, .layers = layers, .final_norm = final_norm, .head = head, .rope_factors = rope_factors, .unused = unused};
}

DecoderWeights map_hugging_face(const StoredTensors& tensors, const DecoderConfig& config, const std::string& where) {
  std::vector<Tensor> owned;
  Taker take(tensors, where, owned);
  DecoderWeights weights = take_decoder(take, kHuggingFace, config);
  weights.unused = take.finish();
  weights.owned = std::move(owned);
  return weights;
}

DecoderWeights map_gguf(const StoredTensors& tensors, const DecoderConfig& config, const std::string& where) {
  std::vector<Tensor> owned;
  Taker take(tensors, where, owned);
  DecoderWeights weights = take_decoder(take, kGguf, config);
  if (take.has("rope_freqs.weight")) {
    const auto factors = take.vector("rope_freqs.weight", config.head_width / 2).floats();
    if (!std::all_of(factors.begin(), factors.end(), [](float factor) { return factor > 0 && factor < 1e6f; }))
      throw Error(ExitCode::kBadInput, "{}: the tensor \"rope_freqs.weight\" holds a factor that is not above 0", where);
    weights.rope_factors.assign(factors.begin(), factors.end());
  }
  weights.unused = take.finish();
  weights.owned = std::move(owned);
  return weights;
}

EncoderWeights map_bert(const StoredTensors& tensors, const EncoderConfig& c, const std::string& where) {
  EncoderWeights weights;
  Taker take(tensors, where, weights.owned);
  const std::string root = take.has("bert.embeddings.word_embeddings.weight") ? "bert." : "";  // saved with a head on top
  const auto norm = [&](const std::string& name, ConstView& weight, ConstView& bias) {
    const bool old = take.has(name + ".gamma");  // as TensorFlow called them
    weight = take.vector(name + (old ? ".gamma" : ".weight"), c.width);
    bias = take.vector(name + (old ? ".beta" : ".bias"), c.width);
  };
  weights.words = take.matrix(root + "embeddings.word_embeddings.weight", {c.vocabulary, c.width});
  const ConstView positions = take.matrix(root + "embeddings.position_embeddings.weight", {c.max_positions, c.width});
  const ConstView types = take.matrix(root + "embeddings.token_type_embeddings.weight", {c.token_types, c.width});
  norm(root + "embeddings.LayerNorm", weights.norm_weight, weights.norm_bias);
  for (std::int64_t number = 0; number < c.layers; ++number) {
    const std::string name = root + "encoder.layer." + std::to_string(number) + ".";
    EncoderLayer& layer = weights.layers.emplace_back();
    layer.q = take.linear(name + "attention.self.query", c.width, c.width, true);
    layer.k = take.linear(name + "attention.self.key", c.width, c.width, true);
    layer.v = take.linear(name + "attention.self.value", c.width, c.width, true);
    layer.attention_out = take.linear(name + "attention.output.dense", c.width, c.width, true);
    norm(name + "attention.output.LayerNorm", layer.attention_norm_weight, layer.attention_norm_bias);
    layer.up = take.linear(name + "intermediate.dense", c.feed_forward, c.width, true);
    layer.down = take.linear(name + "output.dense", c.width, c.feed_forward, true);
    norm(name + "output.LayerNorm", layer.feed_forward_norm_weight, layer.feed_forward_norm_bias);
  }
  weights.unused = take.finish();

  const Backend reference{.kind = Backend::Kind::kReference};
  weights.positions = Tensor(DType::kF32, {c.max_positions, c.width});
  Tensor type(DType::kF32, {1, c.width});
  dequantize(reference, weights.positions, positions);
  dequantize(reference, type, types.rows(0, 1));
  const auto row = type.floats();
  auto table = weights.positions.floats();
  for (std::size_t i = 0; i < table.size(); ++i) table[i] += row[i % row.size()];
  return weights;
}

}  // namespace deskhand
