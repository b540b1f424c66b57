// For this room's tests: logits from a function of everything before. The tokens are kept in the cache's pages, as a real model keeps keys,
// so that a wrong page, a missed copy or a stale tail gives a wrong history and is seen.
#pragma once
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "deskhand/generate/paged_model.h"

namespace deskhand {

class ScriptedModel final : public LogitsSource {
 public:
  using Script = std::function<void(std::span<const std::int32_t> history, std::span<float> logits)>;
  ScriptedModel(std::int32_t vocabulary, Script script) : vocabulary_(vocabulary), script_(std::move(script)) {}

  std::int32_t vocabulary() const override { return vocabulary_; }
  KvShape kv_shape() const override { return {2, 1, 1}; }
  std::int32_t largest_pass() const override { return 16; }
  std::int32_t positions() const override { return 2000; }
  void forward(const Decoder::Batch& batch, std::span<const KvPages> pages, View logits) override {
    const auto cells = pages[0].keys.floats();
    const auto cell = [&](const KvSequence& sequence, std::int32_t position) -> float& {
      const auto size = static_cast<std::int32_t>(pages[0].page_tokens());
      return cells[static_cast<std::size_t>(sequence.pages[static_cast<std::size_t>(position / size)] * size + position % size)];
    };
    std::int64_t out = 0;
    for (std::size_t s = 0; s < batch.sequences.size(); ++s) {
      const KvSequence& sequence = batch.sequences[s];
      for (std::int32_t row = batch.bounds[s]; row < batch.bounds[s + 1]; ++row) {
        const std::int32_t position = batch.positions[static_cast<std::size_t>(row)];
        DESKHAND_ASSERT(position == sequence.length - (batch.bounds[s + 1] - row), "positions that fit the sequence");
        cell(sequence, position) = static_cast<float>(batch.tokens[static_cast<std::size_t>(row)]);
      }
      for (std::int32_t row = batch.bounds[s]; row < batch.bounds[s + 1]; ++row) {
        if (static_cast<std::size_t>(out) >= batch.logit_rows.size() || batch.logit_rows[static_cast<std::size_t>(out)] != row) continue;
        std::vector<std::int32_t> history;
        for (std::int32_t position = 0; position <= batch.positions[static_cast<std::size_t>(row)]; ++position)
          history.push_back(static_cast<std::int32_t>(cell(sequence, position)));
        const auto row_logits = logits.rows(out++, 1).floats();
        std::fill(row_logits.begin(), row_logits.end(), 0.f);
        script_(history, row_logits);
      }
    }
    fed += static_cast<std::int64_t>(batch.tokens.size());
  }

  std::int64_t fed = 0;  // tokens

 private:
  std::int32_t vocabulary_;
  Script script_;
};

// A number in [0, 1) from what was written last.
inline double hash_of(std::span<const std::int32_t> history, std::int32_t token, std::size_t memory = 1000) {
  std::uint64_t hash = 0x9e3779b97f4a7c15u;
  if (history.size() > memory) history = history.last(memory);
  const auto mix = [&](std::uint64_t value) {
    hash = (hash ^ (value + 1)) * 0xbf58476d1ce4e5b9u;
    hash ^= hash >> 29;
  };
  for (const std::int32_t one : history) mix(static_cast<std::uint64_t>(one));
  mix(static_cast<std::uint64_t>(token) << 20);
  return static_cast<double>(hash >> 11) * 0x1p-53;
}

}  // namespace deskhand
