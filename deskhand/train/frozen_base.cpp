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

// The linears of one input become rows of one matrix in FP8; returned is its turned copy. Memory goes to `owned`.
ConstFp8Rows narrowed(const Backend& on, std::initializer_list<Linear*> linears, std::vector<Tensor>& owned) {
  const Device device = device_of(on);
  const std::int64_t inputs = (*linears.begin())->weight.shape()[1];
  std::int64_t outputs = 0, first = 0;
  for (const Linear* linear : linears) outputs += linear->weight.shape()[0];
  Tensor wide(device == Device::kCuda ? DType::kBF16 : DType::kF32, {outputs, inputs}, device);
  const auto make = [&](DType of, Shape shape) { return owned.emplace_back(of, shape, device).view(); };
  const Fp8Rows rows{make(DType::kI8, {outputs, inputs}), make(DType::kF32, {outputs})};
  const Fp8Rows turned{make(DType::kI8, {inputs, outputs}), make(DType::kF32, {inputs})};
  for (Linear* linear : linears) {
    const ConstView weight = linear->weight;
    const std::int64_t count = weight.shape()[0];
    Tensor copy;
    if (weight.device() != device) {
      copy = Tensor(weight.type(), weight.shape(), device);
      copy_bytes(copy, weight);
    }
    dequantize(on, wide.view().rows(first, count), copy.empty() ? weight : copy.view());
    linear->fp8 = {rows.values.rows(first, count), rows.scales.rows(first, count)};
    linear->weight = linear->fp8.values;
    first += count;
    if (on.cuda) on.cuda->synchronise();  // the copy goes
  }
  to_fp8(on, rows, wide);
  to_fp8_turned(on, turned, wide);
  if (on.cuda) on.cuda->synchronise();
  return turned;
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

DecoderLayer layer_in_fp8(const Backend& on, const DecoderLayer& layer, std::vector<Tensor>& owned) {
  DecoderLayer narrow = layer;
  const auto group = [&](ConstFp8Rows& turned, auto... linears) { turned = narrowed(on, {&(narrow.*linears)...}, owned); };
  group(narrow.turned.qkv, &DecoderLayer::q, &DecoderLayer::k, &DecoderLayer::v);
  group(narrow.turned.attention_out, &DecoderLayer::attention_out);
  group(narrow.turned.gate_up, &DecoderLayer::gate, &DecoderLayer::up);
  group(narrow.turned.down, &DecoderLayer::down);
  return narrow;
}

std::int64_t fp8_bytes(ConstView matrix) {
  const std::int64_t outputs = matrix.shape()[0], inputs = matrix.shape()[1];
  return 2 * outputs * inputs + (outputs + inputs) * static_cast<std::int64_t>(sizeof(float));
}

DecoderWeights hold_in_fp8(const Backend& on, const Decoder& base, const DecoderWeights& weights) {
  require_fp8(on, weights);
  DecoderWeights held = weights.views();
  for (DecoderLayer& layer : held.layers) {
    layer = layer_in_fp8(on, layer, held.owned);
    base.release_file();
  }
  return held;
}

}  // namespace deskhand
