#include "deskhand/generate/paged_model.h"

#include <algorithm>

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

std::int32_t LogitRows::pick(std::int64_t i, const TokenMask* mask, std::span<const std::int32_t> banned, const SamplerSettings& settings,
                             std::uint64_t step) const {
  if (!gpu_ || settings.temperature > 0) return pick_token(row(i), mask, banned, settings, step);
  constexpr int kBest = 18;  // of scratch, above the decoder's
  const auto vocabulary = static_cast<std::size_t>(rows_.shape()[1]);
  std::vector<std::uint64_t> allowed;
  if (mask || !banned.empty()) {
    allowed.assign((vocabulary + 63) / 64, mask ? 0 : ~std::uint64_t{0});
    if (mask) mask->mark(allowed);
    for (const std::int32_t token : banned)
      if (static_cast<std::size_t>(token) < vocabulary)
        allowed[static_cast<std::size_t>(token) / 64] &= ~(std::uint64_t{1} << (token % 64));
  }
  const View best = scratch(*gpu_, kBest, DType::kI32, {1});
  argmax(*gpu_, best, rows_.rows(i, 1), allowed);
  std::int32_t token = 0;
  gpu_->cuda->download(std::as_writable_bytes(std::span(&token, 1)), best.data());
  if (token == Argmax::kNaN) throw Error(ExitCode::kBadInput, "a logit of the model is not a number: its weights are damaged or overflow");
  return token;
}

ConstView PagedModel::feed(std::span<const Feed> feeds) {
  const std::int64_t rows = feed_all(feeds);
  if (rows == 0) return {};
  const View there = logits_.view().rows(0, rows);
  if (!source_->gpu()) return there;
  if (host_logits_.empty() || host_logits_.shape()[0] < rows) host_logits_ = Tensor(DType::kF32, there.shape());
  const View here = host_logits_.view().rows(0, rows);
  source_->gpu()->cuda->copy(here, there);
  return here;
}

LogitRows PagedModel::feed_rows(std::span<const Feed> feeds) {
  const std::int64_t rows = feed_all(feeds);
  if (source_->gpu()) host_row_.resize(static_cast<std::size_t>(source_->vocabulary()));
  return {source_->gpu(), rows == 0 ? ConstView{} : ConstView(logits_.view().rows(0, rows)), host_row_};
}

std::int64_t PagedModel::feed_all(std::span<const Feed> feeds) {
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
  return rows;
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
