// softmax(q k^T * scale) v inside each sequence of a packed batch: block-diagonal, causal or not. Query head h reads key head h / (H / G).
// q, out (N, H, D); k, v (N, G, D), all f32; sequence i is rows [bounds[i], bounds[i + 1]). `logsumexp` (N, H) is written if given:
// backward needs it.
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

struct AttentionOptions {
  bool causal = true;
  float scale = 0;  // 0: 1 / sqrt(D)
};

void attention(const Backend& on, View out, ConstView q, ConstView k, ConstView v, std::span<const std::int32_t> bounds,
               AttentionOptions options = {}, View logsumexp = {});

namespace reference {
void attention(View out, ConstView q, ConstView k, ConstView v, std::span<const std::int32_t> bounds, AttentionOptions options,
               View logsumexp);
}
namespace cpu {
void attention(const Backend& on, View out, ConstView q, ConstView k, ConstView v, std::span<const std::int32_t> bounds,
               AttentionOptions options, View logsumexp);
}

}  // namespace deskhand
