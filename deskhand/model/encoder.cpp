#include "deskhand/model/encoder.h"

#include <iterator>

#include "deskhand/model/place_weights.h"
#include "deskhand/ops/add.h"
#include "deskhand/ops/attention.h"
#include "deskhand/ops/embed.h"
#include "deskhand/ops/gelu.h"
#include "deskhand/ops/layer_norm.h"
#include "deskhand/ops/linear.h"
#include "deskhand/ops/mean_pool.h"
#include "deskhand/ops/quantize.h"
#include "deskhand/tensor/cuda/context.h"

namespace deskhand {
namespace {

enum Slot : int { kPooled = 17 };

View first(Tensor& buffer, std::int64_t rows) {
  const View part = buffer.view().rows(0, rows);
  return part.reshaped({rows, part.shape().elements() / rows});
}

}  // namespace

EncoderBuffers::EncoderBuffers(const EncoderConfig& c, std::int64_t tokens, Placement at)
    : x(at.make({tokens, c.width})),
      delta(at.make({tokens, c.width})),
      qkv(at.make({3 * tokens, c.heads, c.width / c.heads})),
      attended(at.make({tokens, c.heads, c.width / c.heads})),
      widened(at.make({tokens, c.feed_forward})),
      positions(static_cast<std::size_t>(tokens)) {}

Encoder Encoder::load(const std::filesystem::path& folder) {
  const EncoderConfig config = read_encoder_config(folder);
  Safetensors file = Safetensors::open(folder);
  EncoderWeights weights = map_bert(file.tensors(), config, folder.string());
  return {std::move(file), config, std::move(weights)};
}

void Encoder::place(Placement at) {
  EncoderWeights there = placed(weights_, at);
  std::move(weights_.owned.begin(), weights_.owned.end(), std::back_inserter(there.owned));  // what lay there already is borrowed
  weights_ = std::move(there);
  at_ = at;
}

void Encoder::quantise(const Backend& on) {
  for (EncoderLayer& layer : weights_.layers)
    for (Linear* linear : {&layer.q, &layer.k, &layer.v, &layer.attention_out, &layer.up, &layer.down}) {
      if (is_quantised(linear->weight.type()) || linear->weight.shape().last() % block_elements(DType::kQ8_0) != 0) continue;
      Tensor& narrow = weights_.owned.emplace_back(DType::kQ8_0, linear->weight.shape());
      quantize(on, narrow, linear->weight);
      linear->weight = narrow;
    }
}

void Encoder::embed(const Backend& on, EncoderBuffers& buffers, std::span<const std::int32_t> tokens, std::span<const std::int32_t> bounds,
                    View out) const {
  DESKHAND_ASSERT((out.shape() == Shape{static_cast<std::int64_t>(bounds.size()) - 1, config_.width}), "(B, C)");
  const ConstView x = token_vectors(on, buffers, tokens, bounds);
  if (tokens.empty()) return;
  if (out.device() == device()) return mean_pool_unit(on, out, x, bounds);
  const View there = scratch(on, kPooled, out.type(), out.shape());
  mean_pool_unit(on, there, x, bounds);
  on.cuda->copy(out, there);
}

ConstView Encoder::token_vectors(const Backend& on, EncoderBuffers& buffers, std::span<const std::int32_t> tokens,
                                 std::span<const std::int32_t> bounds) const {
  const auto rows = static_cast<std::int64_t>(tokens.size());
  DESKHAND_ASSERT(!bounds.empty() && bounds.front() == 0 && bounds.back() == rows, "bounds of all rows");
  if (rows > buffers.x.shape()[0])
    throw Error(ExitCode::kTooLarge, "a pass of {} tokens; this encoder was set up for {} at a time", rows, buffers.x.shape()[0]);
  for (const std::int32_t token : tokens)
    if (token < 0 || token >= config_.vocabulary)
      throw Error(ExitCode::kBadInput, "the token {} is outside the encoder's vocabulary of {}; its tokenizer belongs to another model",
                  token, config_.vocabulary);
  for (std::size_t i = 0; i + 1 < bounds.size(); ++i) {
    DESKHAND_ASSERT(bounds[i] < bounds[i + 1], "a text has at least one token");
    if (bounds[i + 1] - bounds[i] > config_.max_positions)
      throw Error(ExitCode::kTooLarge, "a text of {} tokens; the encoder reads {}, cut it there", bounds[i + 1] - bounds[i],
                  config_.max_positions);
    for (std::int32_t row = bounds[i]; row < bounds[i + 1]; ++row) buffers.positions[static_cast<std::size_t>(row)] = row - bounds[i];
  }
  const View x = buffers.x.view().rows(0, rows);
  if (rows == 0) return x;

  const View delta = first(buffers.delta, rows), attended = first(buffers.attended, rows), widened = first(buffers.widened, rows);
  const std::int64_t room = buffers.attended.shape()[0];
  const View heads = buffers.attended.view().rows(0, rows), q = buffers.qkv.view().rows(0, rows), k = buffers.qkv.view().rows(room, rows),
             v = buffers.qkv.view().rows(2 * room, rows);
  const auto flat = [&](View of) { return of.reshaped({rows, config_.width}); };
  const auto norm = [&](ConstView bias, ConstView weight, ConstView norm_bias) {
    layer_norm(on, x, x, {delta, bias}, {weight, norm_bias, config_.norm_epsilon});
  };
  deskhand::embed(on, x, tokens, weights_.words);
  deskhand::embed(on, delta, std::span(buffers.positions).first(tokens.size()), weights_.positions);
  norm({}, weights_.norm_weight, weights_.norm_bias);
  for (const EncoderLayer& layer : weights_.layers) {
    const LinearCall qkv[] = {{&layer.q, flat(q)}, {&layer.k, flat(k)}, {&layer.v, flat(v)}};
    apply(on, qkv, x);
    attention(on, heads, q, k, v, bounds, {.causal = false});
    // The other biases are added by what reads the products.
    linear(on, delta, attended, layer.attention_out.weight);
    norm(layer.attention_out.bias, layer.attention_norm_weight, layer.attention_norm_bias);
    linear(on, widened, x, layer.up.weight);
    gelu(on, widened, widened, layer.up.bias);
    linear(on, delta, widened, layer.down.weight);
    norm(layer.down.bias, layer.feed_forward_norm_weight, layer.feed_forward_norm_bias);
  }
  return x;
}

}  // namespace deskhand
