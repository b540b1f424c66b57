// A model together with its paged cache: feed tokens to sequences, get logits. All answering goes through feed().
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "deskhand/generate/kv_cache.h"
#include "deskhand/generate/sampler.h"
#include "deskhand/model/decoder.h"
#include "deskhand/ops/log_probability.h"
#include "deskhand/tensor/tensor.h"

namespace deskhand {

// What logits come from: a decoder, or a script in a test.
class LogitsSource {
 public:
  virtual ~LogitsSource() = default;
  virtual std::int32_t vocabulary() const = 0;  // V
  virtual KvShape kv_shape() const = 0;
  virtual std::int32_t largest_pass() const = 0;          // tokens
  virtual std::int32_t positions() const = 0;             // tokens of the longest sequence
  virtual const Backend* gpu() const { return nullptr; }  // where it leaves its logits; null: on the host
  // As Decoder::forward; logits lie where gpu() says.
  virtual void forward(const Decoder::Batch& batch, std::span<const KvPages> pages, View logits) = 0;
};

class DecoderLogits final : public LogitsSource {
 public:
  // The decoder must outlive it.
  DecoderLogits(const Decoder& decoder, const Backend& on, DecoderLimits limits);
  std::int32_t vocabulary() const override;
  KvShape kv_shape() const override;
  std::int32_t largest_pass() const override;
  std::int32_t positions() const override;
  const Backend* gpu() const override { return decoder_->device() == Device::kCuda ? &on_ : nullptr; }
  void forward(const Decoder::Batch& batch, std::span<const KvPages> pages, View logits) override;

 private:
  const Decoder* decoder_;
  Backend on_;
  DecoderBuffers buffers_;
};

// What pick_token is asked of one row.
struct Pick {
  std::int64_t row = 0;
  std::shared_ptr<const TokenMask> mask;  // null: every token
  std::vector<std::int32_t> banned;
  SamplerSettings sampler;
  std::uint64_t step = 0;
};

// Rows of logits where the model left them, until its next pass. A whole row comes to the host when it is drawn from; what is asked of it
// else, the likeliest tokens and probabilities of some, is worked out where it lies.
class LogitRows {
 public:
  LogitRows(const Backend* gpu, ConstView rows, std::span<float> host) : gpu_(gpu), rows_(rows), host_(host) {}
  std::span<const float> row(std::int64_t i) const;  // valid until another one's is asked for
  // As pick_token.
  std::int32_t pick(const Pick& one) const { return pick({&one, 1})[0]; }
  std::vector<std::int32_t> pick(std::span<const Pick> picks) const;
  // The logarithms of what the model gives these tokens. Throws Error(kBadInput) where a row's logits are not numbers.
  std::vector<double> log_probabilities(std::span<const TokenAt> wanted) const;
  // 0..1: how much of what the model gives a pick's mask it gives the tokens that are not banned.
  double share_not_banned(const Pick& pick) const;

 private:
  const Backend& backend() const;
  std::vector<std::uint64_t> allowed(const Pick& pick) const;  // a bit a token

  const Backend* gpu_;
  ConstView rows_;         // (rows, V)
  std::span<float> host_;  // (V): of the GPU's rows
};

class PagedModel {
 public:
  PagedModel(LogitsSource& source, const KvCacheSettings& settings) : source_(&source), cache_(source.kv_shape(), settings, source.gpu()) {}

  struct Feed {
    KvCache::Sequence* sequence;           // grows by the tokens
    std::span<const std::int32_t> tokens;  // at least one
    std::int32_t rows = 1;                 // logits are wanted behind the last so many of them
  };
  // Sequences of one call differ. Long feeds are cut into passes of the source's size. Returns all feeds' rows, one feed's after the
  // other's, valid until the next call. Throws Error(kTooLarge) beyond the model's positions or the cache, Error(kInterrupted) after
  // Ctrl-C; the sequences are then as long as what was fed.
  LogitRows feed(std::span<const Feed> feeds);
  LogitRows feed(const Feed& one) { return feed({&one, 1}); }

  KvCache& cache() noexcept { return cache_; }
  const LogitsSource& source() const noexcept { return *source_; }
  std::int64_t passes() const noexcept { return passes_; }

 private:
  void run();  // what was gathered

  LogitsSource* source_;
  KvCache cache_;

  Tensor logits_;                // grows to the largest number of rows asked for; where the source leaves them
  std::vector<float> host_row_;  // (V): of a source on the GPU
  std::int64_t first_row_ = 0, passes_ = 0;
  std::vector<std::int32_t> tokens_, positions_, bounds_, rows_;
  std::vector<KvCache::Sequence*> sequences_;
  std::vector<std::int32_t> counts_;
};

inline std::span<const float> logits_row(ConstView logits, std::int64_t row) {
  return logits.rows(row, 1).floats();
}

}  // namespace deskhand
