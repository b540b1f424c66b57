#include "deskhand/train/frozen_base.h"

#include "deskhand/ops/quantize.h"

namespace deskhand {

namespace {

// The type that the matrix is held in: its own where the other would save nothing or does not fit its rows.
DType held_type(ConstView matrix, FrozenBase how) {
  if (how == FrozenBase::kAsStored) return matrix.type();
  const DType type = how == FrozenBase::kQ8 ? DType::kQ8_0 : DType::kQ4_0;
  const Shape& shape = matrix.shape();
  const bool fits = shape.last() % block_elements(type) == 0 && shape[0] * row_bytes(type, shape.last()) < matrix.bytes();
  return fits ? type : matrix.type();
}

}  // namespace

std::int64_t held_bytes(ConstView matrix, FrozenBase how) {
  return matrix.shape()[0] * row_bytes(held_type(matrix, how), matrix.shape().last());
}

DecoderWeights hold_base(const Backend& on, const Decoder& base, FrozenBase how) {
  DecoderWeights held = base.weights().views();
  for (DecoderLayer& layer : held.layers)
    for (const LayerLinear& at : kLayerLinears) {
      ConstView& weight = (layer.*at.linear).weight;
      const DType type = held_type(weight, how);
      if (type == weight.type()) continue;
      Tensor& blocks = held.owned.emplace_back(type, weight.shape());
      quantize(on, blocks, weight);
      weight = blocks.view();
      base.release_file();  // a matrix at a time: never the whole of both in memory
    }
  return held;
}

}  // namespace deskhand
