#include "deskhand/model/place_weights.h"

#include <algorithm>
#include <map>

namespace deskhand {
namespace {

class Mover {
 public:
  Mover(Device device, std::vector<Tensor>& owned) : device_(device), owned_(owned) {}

  void move(ConstView& part) {
    if (part.empty() || part.device() == device_) return;
    const auto [at, is_new] = moved_.try_emplace(part.data());
    if (is_new) {
      Tensor& copy = owned_.emplace_back(part.type(), part.shape(), device_);
      copy_bytes(copy, part);
      at->second = copy.view();
    }
    part = at->second;
  }

  void move(Linear& linear) {
    for (ConstView* part : {&linear.weight, &linear.bias, &linear.lora.a, &linear.lora.b}) move(*part);
  }

 private:
  Device device_;
  std::vector<Tensor>& owned_;
  std::map<const std::byte*, ConstView> moved_;
};

}  // namespace

EncoderWeights placed(const EncoderWeights& weights, Placement at) {
  EncoderWeights there{.words = weights.words,
                       .norm_weight = weights.norm_weight,
                       .norm_bias = weights.norm_bias,
                       .layers = weights.layers,
                       .unused = weights.unused};
  Mover mover(at.device, there.owned);
  const auto move = [&](Linear& linear) {
    if (at.type == DType::kBF16 && linear.weight.type() == DType::kF32 && linear.weight.device() == Device::kCpu) {
      Tensor narrow(DType::kBF16, linear.weight.shape());
      const auto from = linear.weight.floats();
      const auto to = narrow.view().as<std::uint16_t>();
      std::transform(from.begin(), from.end(), to.begin(), to_bf16);
      linear.weight = there.owned.emplace_back(narrow.copy_to(at.device)).view();
    }
    mover.move(linear);
  };
  mover.move(there.words);
  there.positions = weights.positions.copy_to(at.device);
  mover.move(there.norm_weight);
  mover.move(there.norm_bias);
  for (EncoderLayer& layer : there.layers) {
    for (Linear* linear : {&layer.q, &layer.k, &layer.v, &layer.attention_out, &layer.up, &layer.down}) move(*linear);
    for (ConstView* part :
         {&layer.attention_norm_weight, &layer.attention_norm_bias, &layer.feed_forward_norm_weight, &layer.feed_forward_norm_bias})
      mover.move(*part);
  }
  return there;
}

DecoderWeights placed(const DecoderWeights& weights, Device device) {
  DecoderWeights there = weights.views();
  Mover mover(device, there.owned);
  mover.move(there.embedding);
  for (DecoderLayer& layer : there.layers) {
    mover.move(layer.attention_norm);
    mover.move(layer.feed_forward_norm);
    for (const LayerLinear& at : kLayerLinears) mover.move(layer.*at.linear);
  }
  mover.move(there.final_norm);
  mover.move(there.head);
  return there;
}

}  // namespace deskhand
