#include "deskhand/model/decoder.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "deskhand/model/first_rows.h"
#include "deskhand/model/place_weights.h"
#include "deskhand/ops/attention.h"
#include "deskhand/ops/copy.h"
#include "deskhand/ops/embed.h"
#include "deskhand/ops/gather.h"
#include "deskhand/ops/rms_norm.h"
#include "deskhand/tensor/cuda/context.h"

namespace deskhand {
namespace {

enum Slot : int { kLogits = 15, kHidden };  // above apply's

// Rows `kept` (ascending) move to the front; `between` is as wide and holds as many.
void keep_rows(const Backend& on, View matrix, std::span<const std::int32_t> kept, Tensor& between) {
  const auto count = static_cast<std::int64_t>(kept.size());
  if (count == matrix.shape()[0]) return;
  const View moved = first_rows(between, count);
  gather_rows(on, moved, matrix, kept);
  copy(on, matrix.rows(0, count), moved);
}

// To the other side, or to another place on this one.
void deliver(const Backend& on, View out, ConstView in) {
  if (out.device() == in.device()) return copy(on, out, in);
  on.cuda->copy(out, in);
}

// A token or a few drafts of each sequence, all of whose logits are wanted.
bool is_step(const Decoder::Batch& batch) {
  constexpr std::int32_t kTogether = 8;
  constexpr std::size_t kMost = 128;
  if (batch.tokens.empty() || batch.tokens.size() > kMost || batch.logit_rows.size() < batch.tokens.size()) return false;
  for (std::size_t i = 0; i + 1 < batch.bounds.size(); ++i)
    if (batch.bounds[i + 1] - batch.bounds[i] > kTogether) return false;
  return true;
}

std::filesystem::path only_gguf_in(const std::filesystem::path& folder) {
  std::filesystem::path found;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".gguf") continue;
    if (!found.empty()) throw Error(ExitCode::kBadInput, "{} holds several .gguf files; give the path of one", folder.string());
    found = entry.path();
  }
  if (found.empty()) throw Error(ExitCode::kNotFound, "{} holds neither config.json nor a .gguf file", folder.string());
  return found;
}

}  // namespace

LayerActivations::LayerActivations(const DecoderConfig& c, std::int64_t tokens, KeepFor keep, Placement at)
    : q(at.make({tokens, c.heads, c.head_width})),
      k(at.make({tokens, c.kv_heads, c.head_width})),
      v(at.make({tokens, c.kv_heads, c.head_width})),
      attended(at.make({tokens, c.heads, c.head_width})),
      gate(at.make({tokens, c.feed_forward})),
      up(at.make({tokens, c.feed_forward})) {
  if (keep == KeepFor::kAnswering) return;
  middle = at.make({tokens, c.width});
  attention_rstd = at.make_f32({tokens});
  feed_forward_rstd = at.make_f32({tokens});
  logsumexp = at.make_f32({tokens, c.heads});
}

RopeAngles::RopeAngles(const DecoderConfig& config, std::span<const float> factors, std::int64_t count, Device device)
    : cosine(DType::kF32, {count, config.head_width / 2}), sine(DType::kF32, {count, config.head_width / 2}), pairs(config.rope_pairs) {
  std::vector<double> frequencies = rope_frequencies(config);
  for (std::size_t i = 0; i < factors.size(); ++i) frequencies[i] /= static_cast<double>(factors[i]);
  std::size_t at = 0;
  for (std::int64_t position = 0; position < count; ++position)
    for (const double frequency : frequencies) {
      const double angle = static_cast<double>(position) * frequency;
      cosine.floats()[at] = static_cast<float>(std::cos(angle));
      sine.floats()[at++] = static_cast<float>(std::sin(angle));
    }
  if (device == Device::kCpu) return;
  cosine = cosine.copy_to(device);
  sine = sine.copy_to(device);
}

DecoderBuffers::DecoderBuffers(const DecoderConfig& c, std::span<const float> rope_factors, DecoderLimits limit, Placement at)
    : limits(limit),
      x(at.make({limit.tokens, c.width})),
      normed(at.make({limit.tokens, c.width})),
      layer(c, limit.tokens, KeepFor::kAnswering, at),
      angles(c, rope_factors, limit.positions, at.device),
      positions(static_cast<std::size_t>(limit.tokens)) {}

void check_tokens(std::span<const std::int32_t> tokens, const DecoderConfig& config) {
  for (const std::int32_t token : tokens)
    if (token < 0 || token >= config.vocabulary)
      throw Error(ExitCode::kBadInput, "the token {} is outside the model's vocabulary of {}; its tokenizer belongs to another model",
                  token, config.vocabulary);
}

void count_positions(std::span<std::int32_t> positions, std::span<const std::int32_t> bounds) {
  DESKHAND_ASSERT(!bounds.empty() && bounds.front() == 0 && bounds.back() == static_cast<std::int32_t>(positions.size()),
                  "bounds of all rows");
  for (std::size_t i = 0; i + 1 < bounds.size(); ++i)
    for (std::int32_t row = bounds[i]; row < bounds[i + 1]; ++row) positions[static_cast<std::size_t>(row)] = row - bounds[i];
}

Decoder Decoder::load(const std::filesystem::path& given) {
  const bool folder = std::filesystem::is_directory(given);
  if (folder && std::filesystem::exists(given / "config.json")) {
    DecoderConfig config = read_decoder_config(given);
    Safetensors file = Safetensors::open(given);
    DecoderWeights weights = map_hugging_face(file.tensors(), config, given.string());
    return {std::move(file), std::move(config), std::move(weights)};
  }
  const auto path = folder ? only_gguf_in(given) : given;
  Gguf file = Gguf::open(path);
  DecoderConfig config = read_decoder_config(file);
  DecoderWeights weights = map_gguf(file.tensors(), config, path.string());
  return {std::move(file), std::move(config), std::move(weights)};
}

void Decoder::replace_weights(DecoderWeights changed) {
  std::move(weights_.owned.begin(), weights_.owned.end(), std::back_inserter(changed.owned));
  weights_ = std::move(changed);
  ++weights_version_;
}

void Decoder::place(Device device) {
  if (device == this->device()) return;
  DecoderWeights there = placed_for_answering(weights_, device);
  weights_ = std::move(there);
  ++weights_version_;
  release_file();
}

void Decoder::release_file() const {
  if (const Gguf* one = gguf()) return one->file().release(one->file().bytes());
  if (const auto* folder = std::get_if<Safetensors>(&file_))
    for (const MappedFile& file : folder->files()) file.release(file.bytes());
}

DecoderBuffers Decoder::make_buffers(DecoderLimits limits, DType activations) const {
  DESKHAND_ASSERT(limits.tokens > 0 && limits.positions > 0, "room for a token");
  limits.positions = std::min(limits.positions, config_.max_positions);
  return {config_, weights_.rope_factors, limits, {device(), activations}};
}

void Decoder::check(const DecoderBuffers& buffers, const Pass& pass) const {
  const auto count = static_cast<std::int64_t>(pass.tokens.size());
  const auto rows = static_cast<std::int64_t>(pass.logit_rows.size());
  DESKHAND_ASSERT(pass.positions.size() == pass.tokens.size(), "a position for each token");
  if (count > buffers.limits.tokens)
    throw Error(ExitCode::kTooLarge, "a pass of {} tokens; this model was set up for {} at a time", count, buffers.limits.tokens);
  check_tokens(pass.tokens, config_);
  for (const std::int32_t position : pass.positions)
    if (position < 0 || position >= buffers.limits.positions)
      throw Error(ExitCode::kTooLarge, "the text is longer than {} tokens, which is what this model was set up for",
                  buffers.limits.positions);
  for (std::size_t i = 0; i < pass.logit_rows.size(); ++i)
    DESKHAND_ASSERT(pass.logit_rows[i] >= 0 && pass.logit_rows[i] < count && (i == 0 || pass.logit_rows[i - 1] < pass.logit_rows[i]),
                    "rows of the batch, ascending");
  DESKHAND_ASSERT(pass.logits.empty() || (pass.logits.shape() == Shape{rows, config_.vocabulary}), "(logit_rows, V)");
  DESKHAND_ASSERT(pass.hidden.empty() || (pass.hidden.shape() == Shape{rows, config_.width}), "(logit_rows, C)");
}

void Decoder::forward(const Backend& on, DecoderBuffers& buffers, const Batch& batch, std::span<const KvPages> pages, View logits,
                      View hidden) const {
  DESKHAND_ASSERT(pages.size() == weights_.layers.size(), "pages for each layer");
  DESKHAND_ASSERT(batch.bounds.size() == batch.sequences.size() + 1, "bounds around each sequence");
  const auto work = [&](View logits_there, View hidden_there) {
    run(on, buffers, {batch.tokens, batch.positions, batch.logit_rows, logits_there, hidden_there},
        [&](std::size_t layer, View out, View q, View k, ConstView v) {
          rope_and_attend(on, out, q, k, v, batch.positions, buffers.angles.table(), pages[layer], batch.sequences, batch.bounds);
        });
  };
  if (device() == Device::kCpu || logits.empty() || !hidden.empty() || !is_step(batch)) return work(logits, hidden);
  check(buffers,
        {batch.tokens, batch.positions, batch.logit_rows, logits, {}});  // where a pass is repeated nothing else looks at its values
  const View there = logits.device() == device() ? logits : scratch(on, kLogits, logits.type(), logits.shape());
  const auto address = [](ConstView view) { return static_cast<std::int64_t>(reinterpret_cast<std::intptr_t>(view.data())); };
  buffers.steps.run(on, {batch.tokens, batch.positions, batch.sequences, batch.bounds},
                    {weights_version_, address(pages[0].keys), address(there)}, [&] { work(there, {}); });
  if (there.data() != logits.data()) deliver(on, logits, there);
}

void Decoder::forward_packed(const Backend& on, DecoderBuffers& buffers, std::span<const std::int32_t> tokens,
                             std::span<const std::int32_t> bounds, std::span<const std::int32_t> logit_rows, View logits,
                             View hidden) const {
  if (static_cast<std::int64_t>(tokens.size()) > buffers.limits.tokens)
    throw Error(ExitCode::kTooLarge, "a pass of {} tokens; this model was set up for {} at a time", tokens.size(), buffers.limits.tokens);
  count_positions(std::span(buffers.positions).first(tokens.size()), bounds);
  run(on, buffers, {tokens, std::span(buffers.positions).first(tokens.size()), logit_rows, logits, hidden},
      [&](std::size_t, View out, View q, View k, ConstView v) {
        const auto positions = std::span(buffers.positions).first(tokens.size());
        rope(on, q, positions, buffers.angles.table());
        rope(on, k, positions, buffers.angles.table());
        attention(on, out, q, k, v, bounds);
      });
}

void Decoder::head(const Backend& on, View logits, ConstView hidden) const {
  if (hidden.device() == device()) return write_head(on, logits, hidden);
  const View there = scratch(on, kHidden, hidden.type(), hidden.shape());
  deliver(on, there, hidden);
  write_head(on, logits, there);
}

void Decoder::write_head(const Backend& on, View logits, ConstView hidden) const {
  if (logits.device() == device()) return apply(on, weights_.head, logits, hidden);
  const View there = scratch(on, kLogits, logits.type(), logits.shape());
  apply(on, weights_.head, there, hidden);
  deliver(on, logits, there);
}

void Decoder::run(const Backend& on, DecoderBuffers& buffers, const Pass& pass, const Attend& attend) const {
  check(buffers, pass);
  auto rows = static_cast<std::int64_t>(pass.tokens.size());
  if (rows == 0) return;
  LayerActivations& act = buffers.layer;
  const auto heads = [&](Tensor& buffer) { return buffer.view().rows(0, rows); };

  embed(on, first_rows(buffers.x, rows), pass.tokens, weights_.embedding);
  for (std::size_t number = 0; number < weights_.layers.size(); ++number) {
    const DecoderLayer& layer = weights_.layers[number];
    const LinearCall qkv[] = {
        {&layer.q, first_rows(act.q, rows)}, {&layer.k, first_rows(act.k, rows)}, {&layer.v, first_rows(act.v, rows)}};
    apply(on, qkv, {first_rows(buffers.x, rows), layer.attention_norm, config_.norm_epsilon, first_rows(buffers.normed, rows)});
    attend(number, heads(act.attended), heads(act.q), heads(act.k), heads(act.v));

    if (number + 1 == weights_.layers.size()) {  // from here on rows no longer see each other: those not asked for can go
      if (pass.logit_rows.empty()) return;
      keep_rows(on, first_rows(buffers.x, rows), pass.logit_rows, buffers.normed);
      keep_rows(on, first_rows(act.attended, rows), pass.logit_rows, act.q);
      rows = static_cast<std::int64_t>(pass.logit_rows.size());
    }
    const View x = first_rows(buffers.x, rows), normed = first_rows(buffers.normed, rows), gate = first_rows(act.gate, rows),
               up = first_rows(act.up, rows);
    apply_add(on, layer.attention_out, x, first_rows(act.attended, rows), normed);
    apply_gate_up(on, layer.gate, layer.up, gate, {x, layer.feed_forward_norm, config_.norm_epsilon, normed}, up);
    apply_add(on, layer.down, x, gate, normed);
  }
  const View hidden = first_rows(buffers.normed, rows);
  if (pass.hidden.empty() && !pass.logits.empty() && pass.logits.device() == device()) {
    const LinearCall head{&weights_.head, pass.logits};
    return apply(on, {&head, 1}, {first_rows(buffers.x, rows), weights_.final_norm, config_.norm_epsilon, hidden});
  }
  rms_norm(on, hidden, first_rows(buffers.x, rows), weights_.final_norm, config_.norm_epsilon);
  if (!pass.hidden.empty()) deliver(on, pass.hidden, hidden);
  if (!pass.logits.empty()) write_head(on, pass.logits, hidden);
}

}  // namespace deskhand
