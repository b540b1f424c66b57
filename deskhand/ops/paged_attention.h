// Attention for answering: keys and values lie in pages (Kwon et al., 2023, "PagedAttention"), so that sequences share a prompt's pages.
#pragma once
#include "deskhand/ops/rope.h"

namespace deskhand {

// One layer's pages: (P, page tokens, G, D) each, f32 or f16.
struct KvPages {
  View keys, values;
  std::int64_t page_tokens() const { return keys.shape()[1]; }
};

// One sequence of the batch: its pages in order, and how many tokens it holds when this pass's new ones are counted. The new tokens are the
// last ones.
struct KvSequence {
  std::span<const std::int32_t> pages;
  std::int32_t length = 0;
};

// Writes k, v (N, G, D), activations, of the new tokens into the pages. Sequence i's new tokens are rows [bounds[i], bounds[i + 1]).
void store_keys_values(const Backend& on, const KvPages& pages, ConstView k, ConstView v, std::span<const KvSequence> sequences,
                       std::span<const std::int32_t> bounds);

// rope(q), rope(k), then store_keys_values, in one pass where the backend has it; k (N, G, D) may be left as it was. The rows are those of
// the sequences, all of them.
void rope_and_store(const Backend& on, View q, View k, ConstView v, std::span<const std::int32_t> positions, const RopeTable& table,
                    const KvPages& pages, std::span<const KvSequence> sequences, std::span<const std::int32_t> bounds);

// out, q (N, H, D), activations of one type. Row r of sequence i sees every token of its sequence up to and including itself. scale 0: 1 /
// sqrt(D).
void paged_attention(const Backend& on, View out, ConstView q, const KvPages& pages, std::span<const KvSequence> sequences,
                     std::span<const std::int32_t> bounds, float scale = 0);

// rope_and_store, then paged_attention: one pass for a few new tokens of each sequence where the backend has it. q and k may be left as
// they were.
void rope_and_attend(const Backend& on, View out, View q, View k, ConstView v, std::span<const std::int32_t> positions,
                     const RopeTable& table, const KvPages& pages, std::span<const KvSequence> sequences,
                     std::span<const std::int32_t> bounds, float scale = 0);

namespace reference {
void store_keys_values(const KvPages& pages, ConstView k, ConstView v, std::span<const KvSequence> sequences,
                       std::span<const std::int32_t> bounds);
void paged_attention(View out, ConstView q, const KvPages& pages, std::span<const KvSequence> sequences,
                     std::span<const std::int32_t> bounds, float scale);
}  // namespace reference
namespace cpu {
void store_keys_values(const Backend& on, const KvPages& pages, ConstView k, ConstView v, std::span<const KvSequence> sequences,
                       std::span<const std::int32_t> bounds);
void paged_attention(const Backend& on, View out, ConstView q, const KvPages& pages, std::span<const KvSequence> sequences,
                     std::span<const std::int32_t> bounds, float scale);
}  // namespace cpu
namespace cuda {
// False: not done, the composed form is as good.
bool rope_and_attend(const Backend& on, View out, ConstView q, ConstView k, ConstView v, std::span<const std::int32_t> positions,
                     const RopeTable& table, const KvPages& pages, std::span<const KvSequence> sequences,
                     std::span<const std::int32_t> bounds, float scale);
void rope_and_store(const Backend& on, View q, View k, ConstView v, std::span<const std::int32_t> positions, const RopeTable& table,
                    const KvPages& pages, std::span<const KvSequence> sequences, std::span<const std::int32_t> bounds);
void store_keys_values(const Backend& on, const KvPages& pages, ConstView k, ConstView v, std::span<const KvSequence> sequences,
                       std::span<const std::int32_t> bounds);
void paged_attention(const Backend& on, View out, ConstView q, const KvPages& pages, std::span<const KvSequence> sequences,
                     std::span<const std::int32_t> bounds, float scale);
}  // namespace cuda

}  // namespace deskhand
