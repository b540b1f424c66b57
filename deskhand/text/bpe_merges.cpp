#include "deskhand/text/bpe_merges.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <queue>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

constexpr std::size_t kShortWord = 24;  // symbols; beyond, the heap is faster
constexpr std::size_t kKeptCaches = 64;

uint64_t pair_of(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}
uint64_t mix(uint64_t x) {
  return (x ^ x >> 29) * 0x9E3779B97F4A7C15u;
}

}  // namespace

BpeMerges::BpeMerges(const std::vector<Merge>& merges) {
  const std::size_t capacity = std::bit_ceil(std::max<std::size_t>(merges.size() * 2, 16));
  shift_ = 64 - std::countr_zero(capacity);
  slots_.resize(capacity);
  for (const Merge& merge : merges) {
    const uint64_t pair = pair_of(merge.left, merge.right);
    std::size_t at = mix(pair) >> shift_;
    while (slots_[at].pair != kNone && slots_[at].pair != pair) at = (at + 1) & (capacity - 1);
    slots_[at] = {pair, merge.rank, merge.result};
  }
}

const BpeMerges::Slot* BpeMerges::find(int32_t left, int32_t right) const {
  if (left < 0 || right < 0) return nullptr;
  const uint64_t pair = pair_of(left, right);
  for (std::size_t at = mix(pair) >> shift_;; at = (at + 1) & (slots_.size() - 1)) {
    if (slots_[at].pair == pair) return &slots_[at];
    if (slots_[at].pair == kNone) return nullptr;
  }
}

void BpeMerges::apply(std::vector<int32_t>& symbols) const {
  if (symbols.size() < 2 || slots_.empty()) return;
  if (symbols.size() <= kShortWord)
    apply_to_short(symbols);
  else
    apply_to_long(symbols);
}

void BpeMerges::apply_to_short(std::vector<int32_t>& symbols) const {
  const Slot* merges[kShortWord];  // merges[i] joins symbols[i] and symbols[i + 1]
  std::size_t count = symbols.size();
  for (std::size_t i = 0; i + 1 < count; ++i) merges[i] = find(symbols[i], symbols[i + 1]);
  while (count > 1) {
    std::size_t best = count;
    uint32_t best_rank = std::numeric_limits<uint32_t>::max();
    for (std::size_t i = 0; i + 1 < count; ++i) {
      if (merges[i] != nullptr && (best == count || merges[i]->rank < best_rank)) {
        best = i;
        best_rank = merges[i]->rank;
      }
    }
    if (best == count) break;
    symbols[best] = merges[best]->result;
    for (std::size_t i = best + 1; i + 1 < count; ++i) {
      symbols[i] = symbols[i + 1];
      merges[i] = merges[i + 1];
    }
    --count;
    if (best + 1 < count) merges[best] = find(symbols[best], symbols[best + 1]);
    if (best > 0) merges[best - 1] = find(symbols[best - 1], symbols[best]);
  }
  symbols.resize(count);
}

void BpeMerges::apply_to_long(std::vector<int32_t>& symbols) const {
  struct Candidate {
    uint32_t rank, left, right;  // positions
    int32_t left_id, right_id, result;
    bool operator<(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : left > other.left;
    }  // top: lowest, leftmost
  };
  if (symbols.size() >= std::numeric_limits<uint32_t>::max() / 2)
    throw Error(ExitCode::kTooLarge, "a word of {} symbols is too long to encode", symbols.size());
  const auto count = static_cast<uint32_t>(symbols.size());
  constexpr uint32_t kEnd = std::numeric_limits<uint32_t>::max();
  constexpr int32_t kGone = std::numeric_limits<int32_t>::min();
  std::vector<uint32_t> before(count), after(count);
  std::priority_queue<Candidate> candidates;
  const auto offer = [&](uint32_t left, uint32_t right) {
    if (const Slot* merge = find(symbols[left], symbols[right])) {
      candidates.push({merge->rank, left, right, symbols[left], symbols[right], merge->result});
    }
  };
  for (uint32_t i = 0; i < count; ++i) {
    before[i] = i == 0 ? kEnd : i - 1;
    after[i] = i + 1 == count ? kEnd : i + 1;
    if (i + 1 < count) offer(i, i + 1);
  }
  while (!candidates.empty()) {
    const Candidate top = candidates.top();
    candidates.pop();
    if (symbols[top.left] != top.left_id || symbols[top.right] != top.right_id || after[top.left] != top.right) continue;  // stale
    symbols[top.left] = top.result;
    symbols[top.right] = kGone;
    after[top.left] = after[top.right];
    if (after[top.left] != kEnd) {
      before[after[top.left]] = top.left;
      offer(top.left, after[top.left]);
    }
    if (before[top.left] != kEnd) offer(before[top.left], top.left);
  }
  std::erase(symbols, kGone);
}

uint64_t WordCache::hash_of(std::string_view word) {
  uint64_t hash = word.size() * 0x9E3779B97F4A7C15u;
  std::size_t at = 0;
  for (; at + 8 <= word.size(); at += 8) {
    uint64_t part;
    std::memcpy(&part, word.data() + at, 8);
    hash = mix(hash ^ part);
  }
  uint64_t rest = 0;
  std::memcpy(&rest, word.data() + at, word.size() - at);
  hash = mix(hash ^ rest);
  return hash ^ hash >> 32;
}

void WordCache::keep(std::string_view word, uint64_t hash, const int32_t* ids, std::size_t count) {
  if (word.size() > kLongestWord || count == 0 || count > kMostIds) return;
  Slot& slot = slots_[hash & (slots_.size() - 1)];
  slot.length = static_cast<uint8_t>(word.size());
  slot.count = static_cast<uint8_t>(count);
  std::copy(word.begin(), word.end(), slot.word.begin());
  std::copy(ids, ids + count, slot.ids.begin());
}

WordCachePool::Loan WordCachePool::lend() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto cache = std::move(idle_.back());
      idle_.pop_back();
      return {*this, std::move(cache)};
    }
    idle_.reserve(kKeptCaches);  // so that giving back never allocates
  }
  return {*this, std::make_unique<WordCache>()};
}

void WordCachePool::give_back(std::unique_ptr<WordCache> cache) noexcept {
  const std::lock_guard lock(mutex_);
  if (idle_.size() < kKeptCaches) idle_.push_back(std::move(cache));
}

}  // namespace deskhand
