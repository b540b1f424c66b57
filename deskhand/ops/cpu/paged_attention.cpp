#include "deskhand/ops/paged_attention.h"

#include "deskhand/ops/cpu/split.h"

namespace deskhand::cpu {

void store_keys_values(const Backend& on, const KvPages& pages, ConstView k, ConstView v, std::span<const KvSequence> sequences,
                       std::span<const std::int32_t> bounds) {
  split(on, static_cast<std::int64_t>(sequences.size()), 1, [&](std::int64_t begin, std::int64_t end, int) {
    reference::store_keys_values(pages, k, v, sequences.subspan(begin, end - begin), bounds.subspan(begin, end - begin + 1));
  });
}

void paged_attention(const Backend& on, View out, ConstView q, const KvPages& pages, std::span<const KvSequence> sequences,
                     std::span<const std::int32_t> bounds, float scale) {
  split(on, static_cast<std::int64_t>(sequences.size()), 1, [&](std::int64_t begin, std::int64_t end, int) {
    reference::paged_attention(out, q, pages, sequences.subspan(begin, end - begin), bounds.subspan(begin, end - begin + 1), scale);
  });
}

}  // namespace deskhand::cpu
