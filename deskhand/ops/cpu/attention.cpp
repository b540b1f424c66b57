#include "deskhand/ops/attention.h"

#include "deskhand/ops/cpu/split.h"

namespace deskhand::cpu {

void attention(const Backend& on, View out, ConstView q, ConstView k, ConstView v, std::span<const std::int32_t> bounds,
               AttentionOptions options, View logsumexp) {
  split(on, static_cast<std::int64_t>(bounds.size()) - 1, 1, [&](std::int64_t begin, std::int64_t end, int) {
    reference::attention(out, q, k, v, bounds.subspan(begin, end - begin + 1), options, logsumexp);
  });
}

}  // namespace deskhand::cpu
