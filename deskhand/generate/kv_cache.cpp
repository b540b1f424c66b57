#include "deskhand/generate/kv_cache.h"

#include <algorithm>

#include "deskhand/base/error.h"
#include "deskhand/base/progress.h"
#include "deskhand/ops/copy.h"

namespace deskhand {

struct KvCache::Prompt {
  std::int32_t page = -1;            // -1: the root of one key
  std::vector<std::int32_t> tokens;  // page_tokens of them, fewer in a prompt's last page
  Prompt* above = nullptr;
  std::vector<std::unique_ptr<Prompt>> below;
  std::uint64_t used = 0;

  // How many of `wanted` this page begins with.
  std::size_t alike(std::span<const std::int32_t> wanted) const {
    return static_cast<std::size_t>(std::mismatch(tokens.begin(), tokens.end(), wanted.begin(), wanted.end()).first - tokens.begin());
  }
  // The page below that begins with the most of `wanted`.
  Prompt* nearest(std::span<const std::int32_t> wanted, std::size_t& most) const {
    Prompt* best = nullptr;
    most = 0;
    for (const auto& one : below)
      if (const std::size_t alike = one->alike(wanted); alike > most) {
        most = alike;
        best = one.get();
      }
    return best;
  }
};

KvCache::KvCache(const KvShape& shape, const KvCacheSettings& settings, const Backend* gpu)
    : gpu_(gpu), page_tokens_(settings.page_tokens) {
  if (settings.page_tokens < 1 || settings.page_tokens > 1024)
    throw Error(ExitCode::kUsage, "a page of the key/value cache holds {} tokens; 1 to 1024 are possible, 32 is usual",
                settings.page_tokens);
  if (settings.tokens < 1 || settings.tokens > std::int64_t{1} << 28)
    throw Error(ExitCode::kUsage, "the key/value cache is to hold {} tokens; 1 to 268435456 are possible", settings.tokens);
  if (settings.type != DType::kF16 && settings.type != DType::kF32)
    throw Error(ExitCode::kUsage, "the key/value cache holds f16 or f32, not {}", dtype_name(settings.type));
  DESKHAND_ASSERT((shape.device == Device::kCuda) == (gpu != nullptr), "a backend for pages on the GPU");
  DESKHAND_ASSERT(shape.layers > 0 && shape.kv_heads > 0 && shape.head_width > 0, "a model with layers and heads");
  const std::int64_t pages = (settings.tokens + page_tokens_ - 1) / page_tokens_;
  memory_ = Tensor(settings.type, {std::int64_t{2} * shape.layers, pages, page_tokens_, std::int64_t{shape.kv_heads} * shape.head_width},
                   shape.device);
  const Shape one{pages, page_tokens_, shape.kv_heads, shape.head_width};
  for (std::int32_t layer = 0; layer < shape.layers; ++layer)
    layers_.push_back({memory_.view().rows(2 * layer, 1).reshaped(one), memory_.view().rows(2 * layer + 1, 1).reshaped(one)});
  uses_.assign(static_cast<std::size_t>(pages), 0);
  for (std::int64_t page = pages - 1; page >= 0; --page) free_.push_back(static_cast<std::int32_t>(page));
}

KvCache::~KvCache() = default;

std::size_t KvCache::bytes() const {
  return static_cast<std::size_t>(memory_.view().bytes());
}

std::int32_t KvCache::take_page() {
  while (free_.empty())
    if (!evict_one())
      throw Error(
          ExitCode::kTooLarge,
          "the key/value cache is full: all {} pages of {} tokens ({}) are in use; give it more tokens, answer fewer tickets at once, or "
          "shorten the prompt",
          pages(), page_tokens_, human_bytes(static_cast<double>(bytes())));
  const std::int32_t page = free_.back();
  free_.pop_back();
  uses_[static_cast<std::size_t>(page)] = 1;
  return page;
}

void KvCache::give_page(std::int32_t page) {
  if (--uses_[static_cast<std::size_t>(page)] == 0) free_.push_back(page);
}

std::int32_t KvCache::copy_page(std::int32_t page) {
  const std::int32_t copy = take_page();
  copy_block(gpu_ ? *gpu_ : Backend{}, memory_, copy, page);
  return copy;
}

void KvCache::Sequence::swap(Sequence& other) noexcept {
  std::swap(cache_, other.cache_);
  std::swap(pages_, other.pages_);
  std::swap(length_, other.length_);
}

KvCache::Sequence KvCache::Sequence::fork() const {
  Sequence copy(cache_);
  copy.pages_ = pages_;
  copy.length_ = length_;
  for (const std::int32_t page : pages_) ++cache_->uses_[static_cast<std::size_t>(page)];
  return copy;
}

void KvCache::Sequence::grow(std::int32_t count) {
  DESKHAND_ASSERT(cache_ != nullptr && count >= 0, "a sequence of a cache that grows");
  if (count == 0) return;
  const std::int32_t page_tokens = cache_->page_tokens_;
  const auto wanted = static_cast<std::size_t>((std::int64_t{length_} + count + page_tokens - 1) / page_tokens);
  const std::size_t before = pages_.size();
  try {
    while (pages_.size() < wanted) pages_.push_back(cache_->take_page());
    if (length_ % page_tokens != 0) {  // the last page is partly written, and others may read it
      std::int32_t& last = pages_[before - 1];
      if (cache_->uses_[static_cast<std::size_t>(last)] > 1) {
        const std::int32_t copy = cache_->copy_page(last);
        cache_->give_page(last);
        last = copy;
      }
    }
  } catch (...) {
    for (; pages_.size() > before; pages_.pop_back()) cache_->give_page(pages_.back());
    throw;
  }
  length_ += count;
}

void KvCache::Sequence::truncate(std::int32_t length) {
  DESKHAND_ASSERT(length >= 0 && length <= length_, "a length that the sequence has");
  length_ = length;
  const auto kept = cache_ == nullptr ? 0 : static_cast<std::size_t>((length + cache_->page_tokens_ - 1) / cache_->page_tokens_);
  for (; pages_.size() > kept; pages_.pop_back()) cache_->give_page(pages_.back());
}

void KvCache::Sequence::release() {
  for (const std::int32_t page : pages_) cache_->give_page(page);
  pages_.clear();
  length_ = 0;
}

KvCache::Sequence KvCache::recall(std::string_view key, std::span<const std::int32_t> tokens) {
  Sequence sequence(this);
  const auto root = prompts_.find(key);
  if (root == prompts_.end() || tokens.empty()) return sequence;
  tokens = tokens.first(tokens.size() - 1);
  ++clock_;
  Prompt* at = root->second.get();
  for (;;) {
    std::size_t alike = 0;
    Prompt* next = at->nearest(tokens, alike);
    if (next == nullptr) break;
    next->used = clock_;
    ++uses_[static_cast<std::size_t>(next->page)];
    sequence.pages_.push_back(next->page);
    sequence.length_ += static_cast<std::int32_t>(alike);
    if (alike < static_cast<std::size_t>(page_tokens_)) break;
    tokens = tokens.subspan(alike);
    at = next;
  }
  return sequence;
}

void KvCache::remember(std::string_view key, std::span<const std::int32_t> tokens, const Sequence& sequence) {
  DESKHAND_ASSERT(sequence.cache_ == this && tokens.size() <= static_cast<std::size_t>(sequence.length_), "tokens that the sequence holds");
  auto root = prompts_.find(key);
  if (root == prompts_.end()) root = prompts_.emplace(std::string(key), std::make_unique<Prompt>()).first;
  ++clock_;
  Prompt* at = root->second.get();
  for (std::size_t page = 0; !tokens.empty(); ++page) {
    const auto here = tokens.first(std::min(tokens.size(), static_cast<std::size_t>(page_tokens_)));
    std::size_t alike = 0;
    Prompt* next = at->nearest(here, alike);
    if (alike < here.size()) {
      // A shorter last page of an earlier prompt that this one goes on from is replaced rather than kept beside it.
      if (next != nullptr && next->below.empty() && alike == next->tokens.size()) {
        give_page(next->page);
      } else {
        at->below.push_back(std::make_unique<Prompt>());
        next = at->below.back().get();
        next->above = at;
        ++remembered_;
      }
      next->page = sequence.pages_[page];
      next->tokens.assign(here.begin(), here.end());
      ++uses_[static_cast<std::size_t>(next->page)];
    }
    next->used = clock_;
    tokens = tokens.subspan(here.size());
    at = next;
  }
}

void KvCache::forget() {
  while (evict_one()) {}
  // Pages that running sequences still read are let go too; they are freed with the sequences.
  const auto drop = [&](const auto& self, Prompt& prompt) -> void {
    for (auto& one : prompt.below) self(self, *one);
    if (prompt.page >= 0) give_page(prompt.page);
  };
  for (auto& [_, root] : prompts_) drop(drop, *root);
  prompts_.clear();
  remembered_ = 0;
}

// Gives up the least recently used page that nothing hangs on and no sequence reads.
bool KvCache::evict_one() {
  Prompt* oldest = nullptr;
  const auto look = [&](const auto& self, Prompt& prompt) -> void {
    for (auto& one : prompt.below) self(self, *one);
    if (prompt.page >= 0 && prompt.below.empty() && uses_[static_cast<std::size_t>(prompt.page)] == 1 &&
        (oldest == nullptr || prompt.used < oldest->used))
      oldest = &prompt;
  };
  for (auto& [_, root] : prompts_) look(look, *root);
  if (oldest == nullptr) return false;
  give_page(oldest->page);
  --remembered_;
  auto& siblings = oldest->above->below;
  siblings.erase(std::find_if(siblings.begin(), siblings.end(), [&](const auto& one) { return one.get() == oldest; }));
  return true;
}

}  // namespace deskhand
