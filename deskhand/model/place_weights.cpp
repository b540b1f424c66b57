#include "deskhand/model/place_weights.h"

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
