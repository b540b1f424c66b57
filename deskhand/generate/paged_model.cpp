#include "deskhand/generate/paged_model.h"

#include <algorithm>

#include "deskhand/base/error.h"
#include "deskhand/base/interrupt.h"

namespace deskhand {

DecoderLogits::DecoderLogits(const Decoder& decoder, const Backend& on, DecoderLimits limits)
    : decoder_(&decoder), on_(on), buffers_(decoder.make_buffers(limits)) {}

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

ConstView PagedModel::feed(std::span<const Feed> feeds) {
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
  if (rows > 0 && (logits_.empty() || logits_.shape()[0] < rows)) logits_ = Tensor(DType::kF32, {rows, width});

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
  return rows == 0 ? ConstView{} : ConstView(logits_.view().rows(0, rows));
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
