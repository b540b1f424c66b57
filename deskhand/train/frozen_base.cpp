#include "deskhand/train/frozen_base.h"

#include <initializer_list>

#include "deskhand/ops/quantize.h"

namespace deskhand {

DecoderWeights hold_base(const Backend& on, const Decoder& base, FrozenBase how) {
  DecoderWeights held = base.weights().views();
  if (how == FrozenBase::kAsStored) return held;
  const DType type = how == FrozenBase::kQ8 ? DType::kQ8_0 : DType::kQ4_0;
  for (DecoderLayer& layer : held.layers)
    for (Linear* linear : {&layer.q, &layer.k, &layer.v, &layer.attention_out, &layer.gate, &layer.up, &layer.down}) {
      const Shape shape = linear->weight.shape();
      if (shape.last() % block_elements(type) != 0 || linear->weight.bytes() <= shape[0] * row_bytes(type, shape.last())) continue;
      Tensor& blocks = held.owned.emplace_back(type, shape);
      quantize(on, blocks, linear->weight);
      linear->weight = blocks.view();
      base.release_file();  // a layer at a time: never both in memory
    }
  return held;
}

}  // namespace deskhand
