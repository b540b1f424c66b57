// Keys and values of all sequences, in pages of one allocation that is made once. Sequences share pages by counting: a fork costs nothing,
// and a shared page that one of them is about to write is copied first. Prompts can be remembered: a later one that begins alike takes
// their pages. One thread at a time.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/ops/paged_attention.h"
#include "deskhand/tensor/tensor.h"

namespace deskhand {

struct KvShape {
  std::int32_t layers = 0, kv_heads = 0, head_width = 0;  // L, G, D
  Device device = Device::kCpu;                           // that the model computes on
};

struct KvCacheSettings {
  std::int64_t tokens = 8192;  // room for all sequences and remembered prompts together, rounded up to whole pages
  std::int32_t page_tokens = 32;
  DType type = DType::kF16;  // or kF32
};

class KvCache {
 public:
  // `gpu`, which must outlive it, is the backend of a cache on the GPU. Throws Error(kUsage) on settings out of range, Error(kTooLarge) if
  // the memory cannot be had.
  KvCache(const KvShape& shape, const KvCacheSettings& settings, const Backend* gpu = nullptr);
  ~KvCache();
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;

  // A sequence's pages; gives them back when it ends. It must not outlive the cache.
  class Sequence {
   public:
    Sequence() = default;
    Sequence(Sequence&& other) noexcept { swap(other); }
    Sequence& operator=(Sequence&& other) noexcept {
      Sequence(std::move(other)).swap(*this);
      return *this;
    }
    ~Sequence() { release(); }

    std::int32_t length() const noexcept { return length_; }  // tokens whose keys and values are stored, or about to be
    std::span<const std::int32_t> pages() const noexcept { return pages_; }
    KvSequence kv() const { return {pages_, length_}; }

    // A second sequence with the same tokens, on the same pages; whichever grows first copies the last page if it is not full.
    Sequence fork() const;
    // Room for `count` more tokens. Evicts remembered prompts, the least recently used first; Error(kTooLarge) if that is not enough,
    // and then the sequence is as before.
    void grow(std::int32_t count);
    void truncate(std::int32_t length);  // at most length()
    void release();

   private:
    friend class KvCache;
    explicit Sequence(KvCache* cache) : cache_(cache) {}
    void swap(Sequence& other) noexcept;

    KvCache* cache_ = nullptr;
    std::vector<std::int32_t> pages_;
    std::int32_t length_ = 0;
  };

  Sequence sequence() { return Sequence(this); }
  // A sequence that starts with as many of `tokens` as some remembered prompt of this key begins with: its length() says how many.
  // At least one token is left out, so that there is something to ask the model for. The key names model and adapter.
  Sequence recall(std::string_view key, std::span<const std::int32_t> tokens);
  // Remembers a sequence whose first tokens are `tokens`; what is already remembered is shared, not stored twice.
  void remember(std::string_view key, std::span<const std::int32_t> tokens, const Sequence& sequence);
  void forget();  // all remembered prompts

  std::span<const KvPages> layers() const noexcept { return layers_; }
  std::int32_t page_tokens() const noexcept { return page_tokens_; }
  std::int32_t pages() const noexcept { return static_cast<std::int32_t>(uses_.size()); }
  std::int32_t free_pages() const noexcept { return static_cast<std::int32_t>(free_.size()); }
  std::int32_t remembered_pages() const noexcept { return remembered_; }
  std::size_t bytes() const;

 private:
  struct Prompt;  // a page of a remembered prompt, below the page before it

  std::int32_t take_page();
  void give_page(std::int32_t page);
  bool evict_one();
  std::int32_t copy_page(std::int32_t page);

  const Backend* gpu_;
  std::int32_t page_tokens_ = 0;
  Tensor memory_;  // (2 L, pages, page tokens, G D): keys and values of each layer
  std::vector<KvPages> layers_;
  std::vector<std::int32_t> uses_;  // of each page: sequences and remembered prompts that hold it
  std::vector<std::int32_t> free_;
  std::map<std::string, std::unique_ptr<Prompt>, std::less<>> prompts_;
  std::int32_t remembered_ = 0;
  std::uint64_t clock_ = 0;
};

}  // namespace deskhand
