#include "deskhand/model/training_pass.h"

#include <algorithm>

#include "deskhand/model/first_rows.h"
#include "deskhand/ops/attention.h"
#include "deskhand/ops/copy.h"
#include "deskhand/ops/embed.h"
#include "deskhand/ops/fp8.h"
#include "deskhand/ops/fused.h"
#include "deskhand/ops/gather.h"
#include "deskhand/ops/linear.h"
#include "deskhand/ops/rms_norm.h"
#include "deskhand/ops/swiglu.h"

namespace deskhand {
namespace {

enum Place : std::size_t { kQ, kK, kV, kAttentionOut, kGate, kUp, kDown };  // in kLayerLinears

// The layer's linears, each adapter with the dropout of its place: no two places of the model drop alike.
std::array<Linear, 7> with_dropout(const DecoderLayer& layer, std::size_t number, const TrainingPass::Options& options) {
  std::array<Linear, 7> linears;
  for (std::size_t i = 0; i < linears.size(); ++i) {
    linears[i] = layer.*kLayerLinears[i].linear;
    linears[i].lora.dropout = {.probability = options.dropout,
                               .seed = options.seed,
                               .step = options.step,
                               .layer = static_cast<std::uint32_t>(number * linears.size() + i),
                               .first_row = options.first_row};
  }
  return linears;
}

// What one linear's output owes to its own parts and its input, but for its pair. d_x empty: nobody wants it. x may be empty unless weight
// has a gradient.
struct LinearBackward {
  const Linear& linear;
  const LinearGradients& gradients;
  View d_x;
  Into into;
  ConstView d_out, x;
};

void run(const Backend& on, const LinearBackward& at) {
  if (!at.gradients.weight.empty()) linear_backward_weight(on, at.gradients.weight, at.d_out, at.x);
  if (!at.gradients.bias.empty()) linear_backward_bias(on, at.gradients.bias, at.d_out);
  // Matrices in FP8 were multiplied before, all of one input at once.
  if (!at.d_x.empty() && at.linear.fp8.empty()) linear_backward_input(on, at.d_x, at.d_out, at.linear.weight, at.into);
}

// Whether somebody reads the gradient of its output as it is, and not only in FP8.
bool wants_plain(const Linear& linear, const LinearGradients& gradients) {
  return !gradients.bias.empty() || !linear.lora.a.empty();
}

// What answering rounds by itself to be fast, training in f32 does not.
Backend exact(Backend on, DType activations) {
  if (on.compute == Compute::kAuto && activations == DType::kF32) on.compute = Compute::kF32;
  return on;
}

bool is_trained(const LinearGradients& linear) {
  return !linear.weight.empty() || !linear.bias.empty() || !linear.lora_a.empty() || !linear.lora_b.empty();
}

// Below it nothing wants a gradient.
std::size_t lowest_trained(const DecoderGradients& gradients) {
  if (!gradients.embedding.empty()) return 0;
  const auto lowest = std::find_if(gradients.layers.begin(), gradients.layers.end(), [](const LayerGradients& layer) {
    return !layer.attention_norm.empty() || !layer.feed_forward_norm.empty() ||
           std::any_of(kLayerLinears.begin(), kLayerLinears.end(), [&](const LayerLinear& at) { return is_trained(layer.*at.gradients); });
  });
  return static_cast<std::size_t>(lowest - gradients.layers.begin());
}

// The widest matrix of activations or gradients that is in FP8.
std::int64_t widest_narrow(const DecoderConfig& c) {
  return std::max({c.width, c.query_width() + 2 * c.kv_width(), 2 * c.feed_forward});
}

// Whether silu(gate) * up is read as it is.
bool wants_product(const DecoderWeights& weights, const TrainingPass::Limits& limits) {
  return !limits.fp8 ||
         std::any_of(weights.layers.begin(), weights.layers.end(), [](const DecoderLayer& layer) { return !layer.down.lora.a.empty(); });
}

}  // namespace

TrainingPass::Narrow::Narrow(std::int64_t rows, std::int64_t width, const Placement& at)
    : values(DType::kI8, {rows * width}, at.device), scales(at.make_f32({rows})) {}

Fp8Rows TrainingPass::Narrow::rows(std::int64_t count, std::int64_t width) {
  return {values.view().rows(0, count * width).reshaped({count, width}), scales.view().rows(0, count)};
}

TrainingPass::TrainingPass(const DecoderConfig& config, const DecoderWeights& weights, Limits limits)
    : config_(config),
      weights_(weights),
      limits_{limits.tokens, std::min(limits.positions, config.max_positions), limits.recompute, limits.activations, limits.fp8},
      angles_(config, weights.rope_factors, limits_.positions, limits.activations.device),
      normed_(limits.activations.make({limits.tokens, config.width})),
      delta_(limits.activations.make({limits.tokens, config.width})),
      d_x_(limits.activations.make({limits.tokens, config.width})),
      product_(limits.activations.make({wants_product(weights, limits) ? limits.tokens : 0, config.feed_forward})),
      d_product_(limits.activations.make({limits.tokens, config.feed_forward})),
      d_attended_(limits.activations.make({limits.tokens, config.heads, config.head_width})),
      d_q_(limits.activations.make({limits.tokens, config.heads, config.head_width})),
      d_k_(limits.activations.make({limits.tokens, config.kv_heads, config.head_width})),
      d_v_(limits.activations.make({limits.tokens, config.kv_heads, config.head_width})),
      last_rstd_(limits.activations.make_f32({limits.tokens})),
      positions_(static_cast<std::size_t>(limits.tokens)) {
  if (!weights.head.lora.a.empty())
    throw Error(ExitCode::kUsage,
                "the head (lm_head) cannot be trained as a low-rank pair; take it out of the targets, or use the hybrid "
                "method, which trains all of it");
  if (limits.fp8) narrow_ = Narrow(limits.tokens, widest_narrow(config), limits.activations);
  for (std::int64_t i = 0; i <= config.layers; ++i) inputs_.push_back(limits.activations.make({limits.tokens, config.width}));
  const std::int64_t kept = limits.recompute ? 1 : config.layers;
  for (std::int64_t i = 0; i < kept; ++i)
    kept_.push_back({LayerActivations(config, limits.tokens, KeepFor::kBackward, limits.activations), {}});
  for (std::size_t i = 0; i < kLinears; ++i) {
    std::vector<std::int64_t> ranks(kept_.size());
    for (std::size_t number = 0; number < weights.layers.size(); ++number) {
      const ConstView a = (weights.layers[number].*kLayerLinears[i].linear).lora.a;
      std::int64_t& rank = ranks[kept_.size() == 1 ? 0 : number];
      if (!a.empty()) rank = std::max(rank, a.shape()[0]);
    }
    for (std::size_t number = 0; number < ranks.size(); ++number)
      if (ranks[number] > 0) kept_[number].low[i] = limits.activations.make({limits.tokens * ranks[number]});
  }
}

std::int64_t TrainingPass::bytes(const DecoderConfig& c, Limits limits, std::int64_t lora_ranks) {
  const std::int64_t query = c.query_width(), kv = c.kv_width(), size = row_bytes(limits.activations.type, 1);
  const std::int64_t kept = 2 * query + 2 * kv + 2 * c.feed_forward + c.width + lora_ranks, kept_f32 = 2 + c.heads;
  const std::int64_t once = 3 * c.width + 2 * c.feed_forward + 2 * query + 2 * kv, once_f32 = 1;
  const std::int64_t layers = limits.recompute ? 1 : c.layers, f32 = sizeof(float);
  const std::int64_t row = size * ((c.layers + 1) * c.width + layers * kept + once) + f32 * (layers * kept_f32 + once_f32);
  const std::int64_t narrow = limits.fp8 ? widest_narrow(c) + f32 : 0;
  const std::int64_t position = f32 * c.head_width;
  const std::int64_t position_number = sizeof(std::int32_t);
  return limits.tokens * (row + narrow + position_number) + std::min(limits.positions, c.max_positions) * position;
}

HeadLoss TrainingPass::evaluate(const Backend& on, const Batch& batch) {
  return forward(exact(on, limits_.activations.type), batch, {}, nullptr);
}

HeadLoss TrainingPass::backward(const Backend& given, const Batch& batch, const DecoderGradients& gradients, const Options& options) {
  const Backend on = exact(given, limits_.activations.type);
  DESKHAND_ASSERT(gradients.layers.size() == weights_.layers.size(), "gradients for each layer, be they empty");
  const HeadLoss loss = forward(on, batch, options, &gradients);
  has_narrow_d_x_ = false;
  if (batch.rows.empty()) {
    if (options.head == Into::kOverwrite) clear(on, gradients.head.weight);
    return loss;
  }
  const std::size_t lowest = lowest_trained(gradients), layers = weights_.layers.size();
  for (std::size_t number = layers; number-- > lowest;) {
    if (limits_.recompute && number + 1 < layers) forward_layer(on, number, options, Stretch::kAllButDown);
    backward_layer(on, number, gradients.layers[number], options, number > lowest || !gradients.embedding.empty());
  }
  if (!gradients.embedding.empty()) embed_backward(on, gradients.embedding, batch.tokens, rows_of(d_x_));
  return loss;
}

View TrainingPass::rows_of(Tensor& buffer) const {
  return first_rows(buffer, rows_);
}

View TrainingPass::low_of(Tensor& low, const Linear& linear) const {
  if (linear.lora.a.empty()) return {};
  const std::int64_t rank = linear.lora.a.shape()[0];
  return low.view().rows(0, rows_ * rank).reshaped({rows_, rank});
}

Turn TrainingPass::turn() const {
  return {std::span(positions_).first(static_cast<std::size_t>(rows_)), angles_.table()};
}

HeadLoss TrainingPass::forward(const Backend& on, const Batch& batch, const Options& options, const DecoderGradients* gradients) {
  rows_ = static_cast<std::int64_t>(batch.tokens.size());
  bounds_ = batch.bounds;
  shared_ = batch.shared;
  if (rows_ > limits_.tokens)
    throw Error(ExitCode::kTooLarge, "a pass of {} tokens; training was set up for {} at a time", rows_, limits_.tokens);
  check_tokens(batch.tokens, config_);
  DESKHAND_ASSERT(batch.rows.size() == batch.targets.size(), "a target for each row");
  if (batch.rows.empty()) return {};
  const auto positions = std::span(positions_).first(batch.tokens.size());
  count_positions(positions, batch.bounds);
  DESKHAND_ASSERT(shared_ >= 0 && shared_ <= batch.bounds[1] && (shared_ == 0 || batch.rows.front() >= shared_),
                  "a beginning that stands in the first text, and that no loss is taken of");
  for (auto row = static_cast<std::size_t>(batch.bounds[1]); row < positions.size(); ++row) positions[row] += batch.shared;
  if (const auto longest = *std::max_element(positions.begin(), positions.end()); longest >= limits_.positions)
    throw Error(ExitCode::kTooLarge, "a text of {} tokens; training was set up for {}", longest + 1, limits_.positions);

  embed(on, rows_of(inputs_.front()), batch.tokens, weights_.embedding);
  for (std::size_t number = 0; number < weights_.layers.size(); ++number) forward_layer(on, number, options, Stretch::kWhole);

  const auto count = static_cast<std::int64_t>(batch.rows.size());
  const View last = first_rows(normed_, count), hidden = first_rows(delta_, count), rstd = last_rstd_.view().rows(0, count);
  gather_rows(on, last, rows_of(inputs_.back()), batch.rows);
  rms_norm(on, hidden, last, weights_.final_norm, config_.norm_epsilon, rstd);
  if (!gradients) return head_loss(on, {}, hidden, weights_.head.weight, batch.targets, {.weights = batch.weights});
  const HeadGradients of_head{.d_hidden = hidden, .d_weight = gradients->head.weight, .into = options.head};
  const HeadLoss loss =
      head_loss(on, of_head, hidden, weights_.head.weight, batch.targets, {.scale = options.scale, .weights = batch.weights});
  rms_norm_backward(on, {.d_x = hidden, .d_weight = gradients->final_norm}, hidden, last, weights_.final_norm, rstd);
  scatter_rows(on, rows_of(d_x_), hidden, batch.rows);
  return loss;
}

ConstFp8Rows TrainingPass::narrowed(const Backend& on, std::span<const ConstView> parts) {
  std::int64_t width = 0;
  for (const ConstView& part : parts) width += part.shape()[1];
  const Fp8Rows narrow = narrow_.rows(rows_, width);
  to_fp8(on, narrow, parts);
  return narrow;
}

void TrainingPass::norm_backward(const Backend& on, View d_weight, ConstView x, ConstView weight, ConstView rstd, bool next) {
  const RmsNormGradients gradients{rows_of(d_x_), Into::kAdd, d_weight};
  has_narrow_d_x_ = next && limits_.fp8;
  if (has_narrow_d_x_)
    rms_norm_backward_fp8(on, narrow_.rows(rows_, config_.width), gradients, rows_of(delta_), x, weight, rstd);
  else
    rms_norm_backward(on, gradients, rows_of(delta_), x, weight, rstd);
}

TrainingPass::Input TrainingPass::norm(const Backend& on, ConstView x, ConstView weight, View rstd, bool plain) {
  const View normed = rows_of(normed_);
  if (!limits_.fp8) {
    rms_norm(on, normed, x, weight, config_.norm_epsilon, rstd);
    return {.plain = normed, .narrow = {}};
  }
  const Fp8Rows narrow = narrow_.rows(rows_, config_.width);
  rms_norm_fp8(on, narrow, plain ? normed : View(), x, weight, config_.norm_epsilon, rstd);
  return {.plain = normed, .narrow = narrow};
}

void TrainingPass::apply_layers(const Backend& on, std::span<const LinearCall> calls, const Input& in, const Turn& turn) {
  if (limits_.fp8)
    apply(on, calls, in.plain, in.narrow, turn);
  else
    apply(on, calls, in.plain, turn);
}

void TrainingPass::forward_layer(const Backend& on, std::size_t number, const Options& options, Stretch stretch) {
  const DecoderLayer& layer = weights_.layers[number];
  Kept& own = kept(number);
  LayerActivations& act = own.act;
  const auto linears = with_dropout(layer, number, options);
  const auto call = [&](Place at, Tensor& out, ConstView add = {}, std::int64_t head_width = 0) {
    return LinearCall{&linears[at], rows_of(out), low_of(own.low[at], linears[at]), add, head_width};
  };
  const auto is_adapted = [&](auto... places) { return (!linears[places].lora.a.empty() || ...); };
  const auto heads = [&](Tensor& buffer) { return buffer.view().rows(0, rows_); };
  const View x = rows_of(inputs_[number]), middle = rows_of(act.middle), attended = rows_of(act.attended);

  Input in = norm(on, x, layer.attention_norm, act.attention_rstd.view().rows(0, rows_), is_adapted(kQ, kK, kV));
  apply_layers(on, std::array{call(kQ, act.q, {}, config_.head_width), call(kK, act.k, {}, config_.head_width), call(kV, act.v)}, in,
               turn());
  attention(on, heads(act.attended), heads(act.q), heads(act.k), heads(act.v), bounds_, {.shared = shared_}, rows_of(act.logsumexp));
  in = {.plain = attended, .narrow = {}};
  if (limits_.fp8) in.narrow = narrowed(on, std::array{ConstView(attended)});
  apply_layers(on, std::array{call(kAttentionOut, act.middle, x)}, in);

  in = norm(on, middle, layer.feed_forward_norm, act.feed_forward_rstd.view().rows(0, rows_), is_adapted(kGate, kUp));
  const View gate = rows_of(act.gate), up = rows_of(act.up), product = !limits_.fp8 || is_adapted(kDown) ? rows_of(product_) : View();
  const Fp8Rows narrow = limits_.fp8 ? narrow_.rows(rows_, config_.feed_forward) : Fp8Rows();
  const bool ends = stretch == Stretch::kAllButDown && !is_adapted(kDown);
  const bool are_bare = !limits_.fp8 && !is_adapted(kGate, kUp) && linears[kGate].bias.empty() && linears[kUp].bias.empty();
  if (are_bare && !ends) {
    linear_swiglu(on, {product, gate, up, linears[kGate].weight, linears[kUp].weight}, in.plain);
  } else {
    apply_layers(on, std::array{call(kGate, act.gate), call(kUp, act.up)}, in);
    if (ends) return;
    if (limits_.fp8)
      swiglu_fp8(on, narrow, product, gate, up);
    else
      swiglu(on, product, gate, up);
  }
  apply_layers(on, std::array{call(kDown, inputs_[number + 1], middle)}, {.plain = product, .narrow = narrow});
}

void TrainingPass::backward_layer(const Backend& on, std::size_t number, const LayerGradients& gradients, const Options& options,
                                  bool to_input) {
  const DecoderLayer& layer = weights_.layers[number];
  Kept& own = kept(number);
  LayerActivations& act = own.act;
  const auto linears = with_dropout(layer, number, options);
  const auto slope = [&](Place at, const LinearGradients& of, ConstView d_out) {
    return LoraSlope{of.lora_a, of.lora_b, d_out, low_of(own.low[at], linears[at]), linears[at].lora};
  };
  const auto pull = [&](Place at, const LinearGradients& of, View d_x, Into into, ConstView d_out, ConstView x) {
    run(on, {linears[at], of, d_x, into, d_out, x});
  };
  // The same for the matrices themselves, where they are in FP8: `turned` is one, or several side by side.
  const auto pull_narrow = [&](View d_x, const ConstFp8Rows& turned, auto... d_outs) {
    if (limits_.fp8 && !d_x.empty()) fp8_linear(on, d_x, narrowed(on, std::array{ConstView(d_outs)...}), turned);
  };
  const auto pull_narrow_stream = [&](View d_input, const ConstFp8Rows& turned) {
    if (!limits_.fp8) return;
    const ConstView stream = rows_of(d_x_);
    fp8_linear(on, d_input, has_narrow_d_x_ ? ConstFp8Rows(narrow_.rows(rows_, config_.width)) : narrowed(on, {&stream, 1}), turned);
    has_narrow_d_x_ = false;  // what is made narrow next takes its place
  };
  const auto made = [&](const LoraInput& in) {
    rms_norm(on, in.normed, in.x, in.norm_weight, in.epsilon);
    return LoraInput{.x = in.normed};
  };
  const auto heads = [&](Tensor& buffer) { return buffer.view().rows(0, rows_); };
  const View x = rows_of(inputs_[number]), middle = rows_of(act.middle), d_x = rows_of(d_x_), normed = rows_of(normed_);
  const View gate = rows_of(act.gate), up = rows_of(act.up), d_product = rows_of(d_product_);
  const View d_normed = rows_of(delta_);

  View product;
  if (!gradients.down.weight.empty() || !linears[kDown].lora.a.empty()) swiglu(on, product = rows_of(product_), gate, up);
  const bool is_bare = !limits_.fp8 && linears[kDown].lora.a.empty();
  pull_narrow_stream(d_product, layer.turned.down);
  pull(kDown, gradients.down, is_bare ? View() : d_product, Into::kOverwrite, d_x, product);
  lora_backward(on, std::array{slope(kDown, gradients.down, d_x)}, d_product, {.x = product});
  // From here on gate and up hold their gradients, where somebody reads them as they are.
  if (is_bare) {
    linear_swiglu_backward(on, gate, up, d_x, layer.down.weight, d_product);
  } else if (limits_.fp8) {
    const Fp8Rows narrow = narrow_.rows(rows_, 2 * config_.feed_forward);
    const bool plain = wants_plain(linears[kGate], gradients.gate) || wants_plain(linears[kUp], gradients.up);
    swiglu_backward_fp8(on, narrow, plain ? gate : View(), plain ? up : View(), d_product, gate, up);
    fp8_linear(on, d_normed, narrow, layer.turned.gate_up);
  } else {
    swiglu_backward(on, gate, up, d_product, gate, up);
  }
  LoraInput in{middle, layer.feed_forward_norm, act.feed_forward_rstd.view().rows(0, rows_), config_.norm_epsilon, normed};
  if (!gradients.gate.weight.empty() || !gradients.up.weight.empty()) in = made(in);
  pull(kGate, gradients.gate, d_normed, Into::kOverwrite, gate, in.x);
  pull(kUp, gradients.up, d_normed, Into::kAdd, up, in.x);
  lora_backward(on, std::array{slope(kGate, gradients.gate, gate), slope(kUp, gradients.up, up)}, d_normed, in);
  norm_backward(on, gradients.feed_forward_norm, middle, layer.feed_forward_norm, act.feed_forward_rstd.view().rows(0, rows_), true);

  pull_narrow_stream(rows_of(d_attended_), layer.turned.attention_out);
  pull(kAttentionOut, gradients.attention_out, rows_of(d_attended_), Into::kOverwrite, d_x, rows_of(act.attended));
  lora_backward(on, std::array{slope(kAttentionOut, gradients.attention_out, d_x)}, rows_of(d_attended_), {.x = rows_of(act.attended)});
  attention_backward(on, {heads(d_q_), heads(d_k_), heads(d_v_)}, heads(d_attended_),
                     {heads(act.q), heads(act.k), heads(act.v), heads(act.attended), rows_of(act.logsumexp)}, bounds_,
                     {.shared = shared_, .turned = turn()});
  in = {x, layer.attention_norm, act.attention_rstd.view().rows(0, rows_), config_.norm_epsilon, normed};
  if (!gradients.q.weight.empty() || !gradients.k.weight.empty() || !gradients.v.weight.empty()) in = made(in);
  const View to = to_input || !gradients.attention_norm.empty() ? d_normed : View();
  const View d_q = rows_of(d_q_), d_k = rows_of(d_k_), d_v = rows_of(d_v_);
  pull_narrow(to, layer.turned.qkv, d_q, d_k, d_v);
  if (!limits_.fp8 && !to.empty())
    linear_backward_input(on, to,
                          std::array{LinearSlope{d_q, layer.q.weight}, LinearSlope{d_k, layer.k.weight}, LinearSlope{d_v, layer.v.weight}});
  pull(kQ, gradients.q, {}, Into::kOverwrite, d_q, in.x);
  pull(kK, gradients.k, {}, Into::kOverwrite, d_k, in.x);
  pull(kV, gradients.v, {}, Into::kOverwrite, d_v, in.x);
  lora_backward(on, std::array{slope(kQ, gradients.q, d_q), slope(kK, gradients.k, d_k), slope(kV, gradients.v, d_v)}, to, in);
  // Where activations are computed again the layer below does that first.
  if (!to.empty())
    norm_backward(on, gradients.attention_norm, x, layer.attention_norm, act.attention_rstd.view().rows(0, rows_),
                  number > 0 && !limits_.recompute);
}

}  // namespace deskhand
