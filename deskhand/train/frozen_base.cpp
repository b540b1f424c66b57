#include "deskhand/train/frozen_base.h"

#include "deskhand/base/error.h"
#include "deskhand/ops/dequantize.h"
#include "deskhand/ops/quantize.h"
#include "deskhand/tensor/cuda/context.h"

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

void require_fp8(const Backend& on, const DecoderWeights& weights) {
  if (on.kind == Backend::Kind::kCpu)
    throw Error(ExitCode::kUsage, "precision = \"fp8\" is for GPUs of compute capability 8.9 or newer; on the CPU leave it at \"auto\"");
  if (!has_fp8(on))
    throw Error(ExitCode::kUsage,
                "precision = \"fp8\" is for GPUs of compute capability 8.9 or newer, and {} has {}.{}; leave it at \"auto\"",
                on.cuda->card().name, on.cuda->card().capability_major, on.cuda->card().capability_minor);
  for (const DecoderLayer& layer : weights.layers)
    for (const LayerLinear& at : kLayerLinears)
      if (const Shape& shape = (layer.*at.linear).weight.shape(); !fits_fp8(shape))
        throw Error(ExitCode::kUsage,
                    "precision = \"fp8\" multiplies matrices whose sides are multiples of 16, and this model's {} is {}; leave it at "
                    "\"auto\"",
                    at.name, shape.text());
}

Fp8Weight fp8_weight(const Backend& on, ConstView matrix, std::vector<Tensor>& owned) {
  const Device device = device_of(on);
  const DType type = device == Device::kCuda ? DType::kBF16 : DType::kF32;
  const std::int64_t outputs = matrix.shape()[0], inputs = matrix.shape()[1];
  Tensor copy, wide;
  if (matrix.device() != device) {
    copy = Tensor(matrix.type(), matrix.shape(), device);
    copy_bytes(copy, matrix);
    matrix = copy.view();
  }
  if (matrix.type() != type) {
    wide = Tensor(type, matrix.shape(), device);
    dequantize(on, wide, matrix);
    matrix = wide.view();
  }
  const auto make = [&](DType of, Shape shape) { return owned.emplace_back(of, shape, device).view(); };
  const Fp8Rows forward{make(DType::kI8, {outputs, inputs}), make(DType::kF32, {outputs})};
  const Fp8Rows backward{make(DType::kI8, {inputs, outputs}), make(DType::kF32, {inputs})};
  to_fp8(on, forward, matrix);
  to_fp8_turned(on, backward, matrix);
  if (on.cuda) on.cuda->synchronise();  // what they were made from goes
  return {forward, backward};
}

std::int64_t fp8_bytes(ConstView matrix) {
  const std::int64_t outputs = matrix.shape()[0], inputs = matrix.shape()[1];
  return 2 * outputs * inputs + (outputs + inputs) * static_cast<std::int64_t>(sizeof(float));
}

DecoderWeights hold_in_fp8(const Backend& on, const Decoder& base, const DecoderWeights& weights) {
  require_fp8(on, weights);
  DecoderWeights held = weights.views();
  for (DecoderLayer& layer : held.layers)
    for (const LayerLinear& at : kLayerLinears) {
      Linear& linear = layer.*at.linear;
      linear.fp8 = fp8_weight(on, linear.weight, held.owned);
      linear.weight = linear.fp8.forward.values;
      base.release_file();
    }
  return held;
}

}  // namespace deskhand
