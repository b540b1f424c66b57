// attention and its backward for Hopper, heads of 64 or 128; contracts: ops/attention.h, all tensors bf16 but logsumexp. Sources of this
// folder alone.
#pragma once
#include "deskhand/ops/attention.h"

namespace deskhand::cuda {

bool has_hopper_attention(const Backend& on, std::int64_t width);  // of a head

void attention_hopper(const Backend& on, View out, ConstView q, ConstView k, ConstView v, std::span<const std::int32_t> bounds,
                      const AttentionOptions& options, View logsumexp);
void attention_backward_hopper(const Backend& on, const AttentionGradients& gradients, ConstView d_out, const AttentionForward& forward,
                               std::span<const std::int32_t> bounds, const AttentionOptions& options);

}  // namespace deskhand::cuda
