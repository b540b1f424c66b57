// Byte-pair merging: of all neighbours that have a merge, the one of lowest rank is joined, the leftmost first, until none is left.
// Sennrich et al. 2016. Shared by byte-level BPE and by SentencePiece's BPE.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

namespace deskhand {

class BpeMerges {
 public:
  struct Merge {
    int32_t left, right, result;
    uint32_t rank;  // lower is earlier; several merges may share one
  };

  BpeMerges() = default;
  // Of two merges of the same pair the later one counts, as in Hugging Face's tokenizers.
  explicit BpeMerges(const std::vector<Merge>& merges);

  // Joins `symbols` in place. Short words by looking through all pairs, long ones with a heap: n log n at worst.
  void apply(std::vector<int32_t>& symbols) const;

 private:
  struct Slot {
    uint64_t pair = kNone;
    uint32_t rank = 0;
    int32_t result = 0;
  };
  static constexpr uint64_t kNone = ~uint64_t{0};

  const Slot* find(int32_t left, int32_t right) const;
  void apply_to_short(std::vector<int32_t>& symbols) const;
  void apply_to_long(std::vector<int32_t>& symbols) const;

  std::vector<Slot> slots_;  // open addressing, a power of two, at most half full
  int shift_ = 64;
};

// Words seen before, with their ids: a fixed megabyte a thread that encodes, newer words push out older ones.
class WordCache {
 public:
  // Appends the ids of the word if it is known.
  bool find(std::string_view word, uint64_t hash, std::vector<int32_t>& ids) const {
    const Slot& slot = slots_[hash & (slots_.size() - 1)];
    if (slot.count == 0 || slot.length != word.size() || std::string_view(slot.word.data(), slot.length) != word) return false;
    ids.insert(ids.end(), slot.ids.begin(), slot.ids.begin() + slot.count);
    return true;
  }
  void keep(std::string_view word, uint64_t hash, const int32_t* ids, std::size_t count);  // too long a word is not kept

  static uint64_t hash_of(std::string_view word);

 private:
  static constexpr std::size_t kLongestWord = 38, kMostIds = 6;
  struct Slot {
    uint8_t length = 0, count = 0;
    std::array<char, kLongestWord> word;
    std::array<int32_t, kMostIds> ids;
  };
  std::vector<Slot> slots_ = std::vector<Slot>(16384);
};

// Lends a cache to each call that encodes, so that threads never wait for each other inside a text.
class WordCachePool {
 public:
  class Loan {
   public:
    Loan(WordCachePool& pool, std::unique_ptr<WordCache> cache) : pool_(pool), cache_(std::move(cache)) {}
    ~Loan() { pool_.give_back(std::move(cache_)); }
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    WordCache* operator->() const { return cache_.get(); }

   private:
    WordCachePool& pool_;
    std::unique_ptr<WordCache> cache_;
  };
  Loan lend();

 private:
  void give_back(std::unique_ptr<WordCache> cache) noexcept;

  std::mutex mutex_;
  std::vector<std::unique_ptr<WordCache>> idle_;
};

}  // namespace deskhand
