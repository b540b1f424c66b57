#include "deskhand/ops/paged_attention.h"

#include <cmath>

namespace deskhand {
namespace {

void check_sequences(const KvPages& pages, std::int64_t tokens, std::span<const KvSequence> sequences,
                     std::span<const std::int32_t> bounds) {
  DESKHAND_ASSERT(pages.keys.shape().rank() == 4 && pages.keys.shape() == pages.values.shape(),
                  "(P, page tokens, G, D) of keys and values");
  DESKHAND_ASSERT(pages.keys.type() == pages.values.type() && (pages.keys.type() == DType::kF32 || pages.keys.type() == DType::kF16),
                  "pages of f32 or f16");
  DESKHAND_ASSERT(bounds.size() == sequences.size() + 1 && bounds.front() >= 0 && bounds.back() <= tokens, "a bound more than sequences");
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    const std::int32_t count = bounds[i + 1] - bounds[i];
    DESKHAND_ASSERT(count >= 0 && count <= sequences[i].length, "new tokens are counted in a sequence's length");
    DESKHAND_ASSERT(sequences[i].length <= static_cast<std::int64_t>(sequences[i].pages.size()) * pages.page_tokens(),
                    "pages for all tokens");
    for (const auto page : sequences[i].pages) DESKHAND_ASSERT(page >= 0 && page < pages.keys.shape()[0], "a page that exists");
  }
}

void check_queries(const Backend& on, ConstView out, ConstView q, const KvPages& pages, std::span<const KvSequence> sequences,
                   std::span<const std::int32_t> bounds) {
  DESKHAND_ASSERT(is_activation(on, q.type()) && out.type() == q.type() && q.shape().rank() == 3 && out.shape() == q.shape(),
                  "(N, H, D) of q and out");
  check_sequences(pages, q.shape()[0], sequences, bounds);
  DESKHAND_ASSERT(q.shape()[2] == pages.keys.shape()[3] && pages.keys.shape()[2] > 0 && q.shape()[1] % pages.keys.shape()[2] == 0,
                  "H a multiple of G, one head width");
}

}  // namespace

void store_keys_values(const Backend& on, const KvPages& pages, ConstView k, ConstView v, std::span<const KvSequence> sequences,
                       std::span<const std::int32_t> bounds) {
  DESKHAND_ASSERT(is_activation(on, k.type()) && v.type() == k.type() && k.shape().rank() == 3 && k.shape() == v.shape(),
                  "(N, G, D) of k and v");
  check_sequences(pages, k.shape()[0], sequences, bounds);
  DESKHAND_ASSERT(k.shape()[1] == pages.keys.shape()[2] && k.shape()[2] == pages.keys.shape()[3], "heads as the pages have them");
  if (on.kind == Backend::Kind::kReference) return reference::store_keys_values(pages, k, v, sequences, bounds);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::store_keys_values(on, pages, k, v, sequences, bounds);
  require_cpu(on);
  cpu::store_keys_values(on, pages, k, v, sequences, bounds);
}

void rope_and_store(const Backend& on, View q, View k, ConstView v, std::span<const std::int32_t> positions, const RopeTable& table,
                    const KvPages& pages, std::span<const KvSequence> sequences, std::span<const std::int32_t> bounds) {
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) {
      check_sequences(pages, k.shape()[0], sequences, bounds);
      DESKHAND_ASSERT(bounds.front() == 0 && bounds.back() == k.shape()[0] && positions.size() == static_cast<std::size_t>(k.shape()[0]),
                      "a position for each row of the sequences");
      return cuda::rope_and_store(on, q, k, v, positions, table, pages, sequences, bounds);
    }
  rope(on, q, positions, table);
  rope(on, k, positions, table);
  store_keys_values(on, pages, k, v, sequences, bounds);
}

void rope_and_attend(const Backend& on, View out, View q, View k, ConstView v, std::span<const std::int32_t> positions,
                     const RopeTable& table, const KvPages& pages, std::span<const KvSequence> sequences,
                     std::span<const std::int32_t> bounds, float scale) {
  if (scale == 0) scale = 1 / std::sqrt(static_cast<float>(q.shape()[2]));
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) {
      check_queries(on, out, q, pages, sequences, bounds);
      DESKHAND_ASSERT(bounds.front() == 0 && bounds.back() == k.shape()[0] && positions.size() == static_cast<std::size_t>(k.shape()[0]),
                      "a position for each row of the sequences");
      if (cuda::rope_and_attend(on, out, q, k, v, positions, table, pages, sequences, bounds, scale)) return;
    }
  rope_and_store(on, q, k, v, positions, table, pages, sequences, bounds);
  paged_attention(on, out, q, pages, sequences, bounds, scale);
}

void paged_attention(const Backend& on, View out, ConstView q, const KvPages& pages, std::span<const KvSequence> sequences,
                     std::span<const std::int32_t> bounds, float scale) {
  check_queries(on, out, q, pages, sequences, bounds);
  if (scale == 0) scale = 1 / std::sqrt(static_cast<float>(q.shape()[2]));
  if (on.kind == Backend::Kind::kReference) return reference::paged_attention(out, q, pages, sequences, bounds, scale);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::paged_attention(on, out, q, pages, sequences, bounds, scale);
  require_cpu(on);
  cpu::paged_attention(on, out, q, pages, sequences, bounds, scale);
}

}  // namespace deskhand
