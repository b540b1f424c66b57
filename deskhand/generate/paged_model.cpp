#include "deskhand/generate/paged_model.h"

#include <algorithm>
#include <cmath>

#include "deskhand/base/error.h"
#include "deskhand/base/interrupt.h"
#include "deskhand/ops/argmax.h"
#include "deskhand/tensor/cuda/context.h"

namespace deskhand {
namespace {

// bf16 where the GPU is not asked for f32.
DType activations_of(const Backend& on) {
  return on.kind == Backend::Kind::kCuda && on.compute != Compute::kF32 ? DType::kBF16 : DType::kF32;
}

}  // namespace

DecoderLogits::DecoderLogits(const Decoder& decoder, const Backend& on, DecoderLimits limits)
    : decoder_(&decoder), on_(on), buffers_(decoder.make_buffers(limits, activations_of(on))) {}

std::int32_t DecoderLogits::vocabulary() const {
  return static_cast<std::int32_t>(decoder_->config().vocabulary);
}

KvShape DecoderLogits::kv_shape() const {
  const DecoderConfig& config = decoder_->config();
  return {static_cast<std::int32_t>(config.layers), static_cast<std::int32_t>(config.kv_heads),
          static_cast<std::int32_t>(config.head_width), decoder_->device()};
}

std::int32_t DecoderLogits::largest_pass() const {
  return static_cast<std::int32_t>(buffers_.limits.tokens);
}

std::int32_t DecoderLogits::positions() const {
  return static_cast<std::int32_t>(std::min(buffers_.limits.positions, decoder_->config().max_positions));
}

void DecoderLogits::forward(const Decoder::Batch& batch, std::span<const KvPages> pages, View logits) {
  decoder_->forward(on_, buffers_, batch, pages, logits);
}

std::span<const float> LogitRows::row(std::int64_t i) const {
  if (!gpu_) return logits_row(rows_, i);
  gpu_->cuda->copy(View(host_, {static_cast<std::int64_t>(host_.size())}), rows_.rows(i, 1));
  return host_;
}

const Backend& LogitRows::backend() const {
  static const Backend host{.cpu = CpuFeatures::detect()};
  return gpu_ ? *gpu_ : host;
}

std::vector<std::uint64_t> LogitRows::allowed(const Pick& pick) const {
  const auto vocabulary = static_cast<std::size_t>(rows_.shape()[1]);
  std::vector<std::uint64_t> bits((vocabulary + 63) / 64, pick.mask ? 0 : ~std::uint64_t{0});
  if (pick.mask) pick.mask->mark(bits);
  for (const std::int32_t token : pick.banned)
    if (static_cast<std::size_t>(token) < vocabulary) bits[static_cast<std::size_t>(token) / 64] &= ~(std::uint64_t{1} << (token % 64));
  return bits;
}

std::vector<std::int32_t> LogitRows::pick(std::span<const Pick> picks) const {
  std::vector<std::int32_t> tokens(picks.size());
  std::vector<Argmax> rows;
  std::vector<std::size_t> places;  // of each of the rows among the picks
  std::vector<std::uint64_t> masks;
  std::vector<const TokenMask*> made;  // the masks that nothing was taken out of; most picks of a pass have the same
  for (std::size_t i = 0; i < picks.size(); ++i) {
    const Pick& pick = picks[i];
    if (!gpu_ || pick.sampler.temperature > 0) {
      tokens[i] = pick_token(row(pick.row), pick.mask.get(), pick.banned, pick.sampler, pick.step);
      continue;
    }
    std::int32_t mask = -1;
    if (pick.mask || !pick.banned.empty()) {
      const auto known = pick.banned.empty() ? std::find(made.begin(), made.end(), pick.mask.get()) : made.end();
      mask = static_cast<std::int32_t>(known - made.begin());
      if (known == made.end()) {
        const auto bits = allowed(pick);
        masks.insert(masks.end(), bits.begin(), bits.end());
        made.push_back(pick.banned.empty() ? pick.mask.get() : nullptr);
      }
    }
    rows.push_back({static_cast<std::int32_t>(pick.row), mask});
    places.push_back(i);
  }
  if (rows.empty()) return tokens;
  std::vector<std::int32_t> found(rows.size());
  argmax(*gpu_, found, rows_, rows, masks);
  for (std::size_t k = 0; k < rows.size(); ++k) {
    if (found[k] == Argmax::kNaN)
      throw Error(ExitCode::kBadInput, "a logit of the model is not a number: its weights are damaged or overflow");
    tokens[places[k]] = found[k];
  }
  return tokens;
}

std::vector<double> LogitRows::log_probabilities(std::span<const TokenAt> wanted) const {
  std::vector<double> found(wanted.size());
  deskhand::log_probabilities(backend(), found, rows_, wanted);
  for (const double one : found)
    if (std::isnan(one)) throw Error(ExitCode::kBadInput, "the model's logits are not numbers: its weights are damaged or overflow");
  return found;
}

double LogitRows::share_not_banned(const Pick& pick) const {
  const ConstView row = rows_.rows(pick.row, 1);
  const double fresh = log_sum_exp(backend(), row, allowed(pick));
  Pick all = pick;
  all.banned.clear();
  return std::exp(fresh - log_sum_exp(backend(), row, allowed(all)));
}

LogitRows PagedModel::feed(std::span<const Feed> feeds) {
  if (source_->gpu()) host_row_.resize(static_cast<std::size_t>(source_->vocabulary()));
  const std::int32_t largest = source_->largest_pass();
  const std::int64_t width = source_->vocabulary();
  std::int64_t rows = 0;
  for (const Feed& feed : feeds) {
    const auto count = static_cast<std::int64_t>(feed.tokens.size());
    DESKHAND_ASSERT(count > 0 && feed.rows >= 0 && feed.rows <= count, "tokens to feed, and no more rows than tokens");
    if (feed.sequence->length() + count > source_->positions())
      throw Error(ExitCode::kTooLarge, "the text has {} tokens, the model reads at most {}; shorten the prompt or ask for a shorter answer",
                  feed.sequence->length() + count, source_->positions());
    rows += feed.rows;
  }
  if (rows > 0 && (logits_.empty() || logits_.shape()[0] < rows))
    logits_ = Tensor(DType::kF32, {rows, width}, source_->gpu() ? Device::kCuda : Device::kCpu);

  first_row_ = 0;
  bounds_.assign(1, 0);
  for (auto* gathered : {&tokens_, &positions_, &rows_, &counts_}) gathered->clear();
  sequences_.clear();
  for (const Feed& feed : feeds) {
    const auto count = static_cast<std::int32_t>(feed.tokens.size());
    for (std::int32_t fed = 0; fed < count;) {
      const std::int32_t part = std::min(count - fed, largest - static_cast<std::int32_t>(tokens_.size()));
      for (std::int32_t i = fed; i < fed + part; ++i) {
        if (i >= count - feed.rows) rows_.push_back(static_cast<std::int32_t>(tokens_.size()));
        tokens_.push_back(feed.tokens[static_cast<std::size_t>(i)]);
        positions_.push_back(feed.sequence->length() + i - fed);
      }
      sequences_.push_back(feed.sequence);
      counts_.push_back(part);
      bounds_.push_back(static_cast<std::int32_t>(tokens_.size()));
      fed += part;
      if (static_cast<std::int32_t>(tokens_.size()) == largest) run();
    }
  }
  if (!tokens_.empty()) run();
  return {source_->gpu(), rows == 0 ? ConstView{} : ConstView(logits_.view().rows(0, rows)), host_row_};
}

void PagedModel::run() {
  check_interrupt();
  std::size_t grown = 0;
  try {
    for (; grown < sequences_.size(); ++grown) sequences_[grown]->grow(counts_[grown]);
    std::vector<KvSequence> kv;
    for (const KvCache::Sequence* sequence : sequences_) kv.push_back(sequence->kv());
    const auto rows = static_cast<std::int64_t>(rows_.size());
    const View out = rows == 0 ? View{} : logits_.view().rows(first_row_, rows);
    source_->forward({tokens_, positions_, bounds_, kv, rows_}, cache_.layers(), out);
    first_row_ += rows;
    ++passes_;
  } catch (...) {
    while (grown-- > 0) sequences_[grown]->truncate(sequences_[grown]->length() - counts_[grown]);
    throw;
  }
  bounds_.assign(1, 0);
  for (auto* gathered : {&tokens_, &positions_, &rows_, &counts_}) gathered->clear();
  sequences_.clear();
}

}  // namespace deskhand
