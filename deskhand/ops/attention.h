// softmax(q k^T * scale) v inside each sequence of a packed batch: block-diagonal, causal or not. Query head h reads key head h / (H / G).
// q, out (N, H, D); k, v (N, G, D), activations of one type; sequence i is rows [bounds[i], bounds[i + 1]). `logsumexp` (N, H) f32 is
// written if given: backward needs it.
#pragma once
#include "deskhand/ops/backend.h"
#include "deskhand/ops/rope.h"

namespace deskhand {

struct AttentionOptions {
  bool causal = true;
  float scale = 0;          // 0: 1 / sqrt(D)
  std::int32_t shared = 0;  // rows of a shared beginning, causal only: every sequence but the first is the first one's first `shared` rows,
                            // which it does not repeat, and then its own; backward adds what all give to those rows, in one order
  Turn turned{};            // backward alone: what q and k were turned by, of all N rows. d_q and d_k are those of before it
};

void attention(const Backend& on, View out, ConstView q, ConstView k, ConstView v, std::span<const std::int32_t> bounds,
               AttentionOptions options = {}, View logsumexp = {});

// Backward (Dao, 2023, "FlashAttention-2"): the weights p are computed again from q, k and the forward's logsumexp (N, H), a tile at a
// time; delta = the rows' sums of d_out out. d_v = p^T d_out, d_s = p (d_out v^T - delta) scale, d_q = d_s k, d_k = d_s^T q. d_q is (N, H,
// D), d_k and d_v (N, G, D), summed over the query heads that share them; rows of the sequences are overwritten, others are left as they
// are. No gradient may overlap what is read. Workspace: 2 N H D floats where G < H.
struct AttentionGradients {
  View d_q, d_k, d_v;
};
struct AttentionForward {
  ConstView q, k, v, out, logsumexp;
};
void attention_backward(const Backend& on, const AttentionGradients& gradients, ConstView d_out, const AttentionForward& forward,
                        std::span<const std::int32_t> bounds, AttentionOptions options = {});

namespace reference {
void attention(View out, ConstView q, ConstView k, ConstView v, std::span<const std::int32_t> bounds, AttentionOptions options,
               View logsumexp);
void attention_backward(const AttentionGradients& gradients, ConstView d_out, const AttentionForward& forward,
                        std::span<const std::int32_t> bounds, AttentionOptions options);
}  // namespace reference
namespace cpu {
void attention(const Backend& on, View out, ConstView q, ConstView k, ConstView v, std::span<const std::int32_t> bounds,
               AttentionOptions options, View logsumexp);
void attention_backward(const Backend& on, const AttentionGradients& gradients, ConstView d_out, const AttentionForward& forward,
                        std::span<const std::int32_t> bounds, AttentionOptions options);
}  // namespace cpu
namespace cuda {
void attention(const Backend& on, View out, ConstView q, ConstView k, ConstView v, std::span<const std::int32_t> bounds,
               AttentionOptions options, View logsumexp);
void attention_backward(const Backend& on, const AttentionGradients& gradients, ConstView d_out, const AttentionForward& forward,
                        std::span<const std::int32_t> bounds, AttentionOptions options);
bool turns_back(const Backend& on, ConstView d_out);  // attention_backward by AttentionOptions::turned
}  // namespace cuda

}  // namespace deskhand
