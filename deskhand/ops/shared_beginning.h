// Attention of sequences that share their beginning (AttentionOptions::shared), for kernels that do not read it in place: each sequence but
// the first is gathered behind a copy of the beginning and attends alone. Contracts: ops/attention.h. Scratch: as many rows as the longest
// such sequence has, of all tensors.
#pragma once
#include "deskhand/ops/attention.h"

namespace deskhand {

void gathered_attention(const Backend& on, View out, ConstView q, ConstView k, ConstView v, std::span<const std::int32_t> bounds,
                        AttentionOptions options, View logsumexp);
void gathered_attention_backward(const Backend& on, const AttentionGradients& gradients, ConstView d_out, const AttentionForward& forward,
                                 std::span<const std::int32_t> bounds, AttentionOptions options);

}  // namespace deskhand
