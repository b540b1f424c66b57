#include "deskhand/train/adapt.h"

#include <utility>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

using Reorder = void (*)(View, ConstView, std::int64_t);

Tensor reordered(const Tensor& in, Reorder reorder, std::int64_t head_width) {
  Tensor out(in.type(), in.shape());
  const Shape rows = {in.shape()[0], in.shape().elements() / in.shape()[0]};
  reorder(out.view().reshaped(rows), in.view().reshaped(rows), head_width);
  return out;
}

void reorder_rows(Adapter& adapter, Reorder reorder, const DecoderConfig& config) {
  if (config.rope_pairs == RopePairs::kHalves) return;
  for (auto& [name, pair] : adapter.lora)
    if (is_turned(name)) pair.b = reordered(pair.b, reorder, config.head_width);
  for (auto& [name, tensor] : adapter.replaced)
    if (is_turned(layer_of(name))) tensor = reordered(tensor, reorder, config.head_width);
}

}  // namespace

Adapter in_base_order(Adapter adapter, const DecoderConfig& config) {
  reorder_rows(adapter, reorder_to_neighbours, config);
  return adapter;
}

Adapter in_hugging_face_order(const Adapter& adapter, const DecoderConfig& config) {
  Adapter copy{
      .base_model = adapter.base_model, .alpha = adapter.alpha, .dropout = adapter.dropout, .rank_stabilised = adapter.rank_stabilised};
  for (const auto& [name, pair] : adapter.lora) copy.lora.emplace(name, LoraPair{pair.a.copy(), pair.b.copy(), pair.scale});
  for (const auto& [name, tensor] : adapter.replaced) copy.replaced.emplace(name, tensor.copy());
  reorder_rows(copy, reorder_to_halves, config);
  return copy;
}

DecoderWeights adapted(const DecoderWeights& base, const Adapter& adapter, const DecoderConfig& config) {
  DecoderWeights weights = base.views();
  std::size_t placed = 0;
  const auto replace = [&](const std::string& name, ConstView& part) {
    const auto at = adapter.replaced.find(name);
    if (at == adapter.replaced.end()) return;
    part = at->second.view();
    ++placed;
  };
  const auto adapt = [&](const std::string& name, Linear& linear) {
    replace(name + ".weight", linear.weight);
    replace(name + ".bias", linear.bias);
    const auto at = adapter.lora.find(name);
    if (at == adapter.lora.end()) return;
    linear.lora = {.a = at->second.a.view(), .b = at->second.b.view(), .scale = at->second.scale};
    ++placed;
  };
  const std::string embedding = "model.embed_tokens.weight";
  replace(embedding, weights.embedding);
  if (config.tied_head && adapter.replaced.contains(embedding)) weights.head.weight = weights.embedding;
  for (std::int64_t number = 0; number < config.layers; ++number) {
    DecoderLayer& layer = weights.layers[static_cast<std::size_t>(number)];
    replace(layer_part(number, "input_layernorm.weight"), layer.attention_norm);
    replace(layer_part(number, "post_attention_layernorm.weight"), layer.feed_forward_norm);
    for (const LayerLinear& at : kLayerLinears) adapt(layer_part(number, at.name), layer.*at.linear);
  }
  replace("model.norm.weight", weights.final_norm);
  adapt("lm_head", weights.head);
  DESKHAND_ASSERT(placed == adapter.lora.size() + adapter.replaced.size(), "an adapter that check_adapter let pass");
  return weights;
}

DecoderGradients gradients_of(Parameters& parameters, const DecoderConfig& config) {
  std::map<std::string_view, const Parameters::Entry*> entries;
  for (const Parameters::Entry& entry : parameters.entries()) entries.emplace(entry.name, &entry);
  const auto find = [&](const std::string& name) {
    const auto at = entries.find(name);
    return at == entries.end() ? View() : parameters.gradient(*at->second);
  };
  const auto fill = [&](const std::string& name, LinearGradients& linear) {
    linear = {.weight = find(name + ".weight"),
              .bias = find(name + ".bias"),
              .lora_a = find(name + ".lora_A.weight"),
              .lora_b = find(name + ".lora_B.weight")};
  };
  DecoderGradients gradients;
  gradients.embedding = find("model.embed_tokens.weight");
  gradients.layers.resize(static_cast<std::size_t>(config.layers));
  for (std::int64_t number = 0; number < config.layers; ++number) {
    LayerGradients& layer = gradients.layers[static_cast<std::size_t>(number)];
    layer.attention_norm = find(layer_part(number, "input_layernorm.weight"));
    layer.feed_forward_norm = find(layer_part(number, "post_attention_layernorm.weight"));
    for (const LayerLinear& at : kLayerLinears) fill(layer_part(number, at.name), layer.*at.gradients);
  }
  gradients.final_norm = find("model.norm.weight");
  fill("lm_head", gradients.head);
  if (config.tied_head && gradients.head.weight.empty()) gradients.head.weight = gradients.embedding;
  return gradients;
}

void use_adapter(Decoder& decoder, Adapter adapter, std::string_view where) {
  check_adapter(adapter, decoder.config(), where);
  adapter = in_base_order(std::move(adapter), decoder.config());
  DecoderWeights weights = adapted(decoder.weights(), adapter, decoder.config());
  for (auto& [name, pair] : adapter.lora) {
    weights.owned.push_back(std::move(pair.a));
    weights.owned.push_back(std::move(pair.b));
  }
  for (auto& [name, tensor] : adapter.replaced) weights.owned.push_back(std::move(tensor));
  decoder.replace_weights(std::move(weights));
}

}  // namespace deskhand
