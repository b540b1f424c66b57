#include "deskhand/model/place_weights.h"

#include <algorithm>
#include <array>
#include <map>

#include "deskhand/ops/tiled.h"

namespace deskhand {
namespace {

enum class Layout : std::uint8_t { kAsItLies, kTiled };

class Mover {
 public:
  Mover(Device device, std::vector<Tensor>& owned) : device_(device), owned_(owned) {}

  void move(ConstView& part, Layout layout = Layout::kAsItLies) {
    if (part.empty() || part.device() == device_) return;
    const auto [at, is_new] = moved_.try_emplace(part.data());
    if (is_new) {
      const bool tiles = layout == Layout::kTiled && device_ == Device::kCuda && can_be_tiled(part);
      Tensor& copy = owned_.emplace_back(tiles ? tiled(part) : Tensor(part.type(), part.shape(), device_));
      if (!tiles) copy_bytes(copy, part);
      at->second = copy.view();
    }
    part = at->second;
  }

  void move(Linear& linear, Layout layout = Layout::kAsItLies) {
    move(linear.weight, layout);
    for (ConstView* part : {&linear.bias, &linear.lora.a, &linear.lora.b}) move(*part);
  }

 private:
  Device device_;
  std::vector<Tensor>& owned_;
  std::map<const std::byte*, ConstView> moved_;
};

bool is_to_be_rounded(ConstView weight, Placement at) {
  return at.type == DType::kBF16 && weight.type() == DType::kF32 && weight.device() == Device::kCpu;
}

Tensor rounded(ConstView weight) {
  Tensor narrow(DType::kBF16, weight.shape());
  const auto from = weight.floats();
  std::transform(from.begin(), from.end(), narrow.view().as<std::uint16_t>().begin(), to_bf16);
  return narrow;
}

// Weights of one shape and type, one behind the other on the GPU, so that the products of all three are one launch.
void put_side_by_side(const std::array<Linear*, 3>& layers, Placement at, std::vector<Tensor>& owned) {
  const ConstView first = layers[0]->weight;
  for (const Linear* layer : layers)
    if (layer->weight.shape() != first.shape() || layer->weight.type() != first.type() || layer->weight.device() != first.device()) return;
  const bool rounds = is_to_be_rounded(first, at);
  const std::int64_t rows = first.shape()[0];
  const View all = owned.emplace_back(rounds ? DType::kBF16 : first.type(), Shape{3 * rows, first.shape()[1]}, at.device).view();
  for (std::int64_t i = 0; i < 3; ++i) {
    ConstView& weight = layers[static_cast<std::size_t>(i)]->weight;
    const View part = all.rows(i * rows, rows);
    if (rounds)
      copy_bytes(part, rounded(weight));
    else
      copy_bytes(part, weight);
    weight = part;
  }
}

}  // namespace

EncoderWeights placed(const EncoderWeights& weights, Placement at) {
  EncoderWeights there{.words = weights.words,
                       .norm_weight = weights.norm_weight,
                       .norm_bias = weights.norm_bias,
                       .layers = weights.layers,
                       .unused = weights.unused};
  Mover mover(at.device, there.owned);
  const auto move = [&](Linear& linear) {
    if (is_to_be_rounded(linear.weight, at)) linear.weight = there.owned.emplace_back(rounded(linear.weight).copy_to(at.device)).view();
    mover.move(linear);
  };
  mover.move(there.words);
  there.positions = weights.positions.copy_to(at.device);
  mover.move(there.norm_weight);
  mover.move(there.norm_bias);
  for (EncoderLayer& layer : there.layers) {
    if (at.device != Device::kCpu) put_side_by_side({&layer.q, &layer.k, &layer.v}, at, there.owned);
    for (Linear* linear : {&layer.q, &layer.k, &layer.v, &layer.attention_out, &layer.up, &layer.down}) move(*linear);
    for (ConstView* part :
         {&layer.attention_norm_weight, &layer.attention_norm_bias, &layer.feed_forward_norm_weight, &layer.feed_forward_norm_bias})
      mover.move(*part);
  }
  return there;
}

namespace {

DecoderWeights placed(const DecoderWeights& weights, Device device, Layout layout) {
  DecoderWeights there = weights.views();
  Mover mover(device, there.owned);
  const bool is_tied = there.head.weight.data() == there.embedding.data();
  mover.move(there.embedding, is_tied ? layout : Layout::kAsItLies);
  for (DecoderLayer& layer : there.layers) {
    mover.move(layer.attention_norm);
    mover.move(layer.feed_forward_norm);
    for (const LayerLinear& at : kLayerLinears) mover.move(layer.*at.linear, layout);
  }
  mover.move(there.final_norm);
  mover.move(there.head, layout);
  return there;
}

}  // namespace

DecoderWeights placed(const DecoderWeights& weights, Device device) {
  return placed(weights, device, Layout::kAsItLies);
}

DecoderWeights placed_for_answering(const DecoderWeights& weights, Device device) {
  return placed(weights, device, Layout::kTiled);
}

}  // namespace deskhand
