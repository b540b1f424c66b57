// LoRA's pairs of one input in as few passes over x, out and their gradients as there are dependencies; bf16 on the tensor cores. Sources
// of this folder alone.
#pragma once
#include <span>

#include "deskhand/ops/lora.h"

namespace deskhand::cuda {

// Whether the passes take these parts: bf16, ranks that are multiples of 8 up to 32 and 64 in all, sides that are multiples of 64. Forward
// has one over x, which does not mind what becomes of the other.
bool have_low_pass(std::span<const LoraPart> parts);
bool have_out_pass(std::span<const LoraPart> parts, const Turn& turn);
bool have_passes(std::span<const LoraSlope> parts);

// low = scale x a^T of each pair: one pass over x.
void pass_low(const Backend& on, std::span<const LoraPart> parts, ConstView x);
// out += low b^T, then turned: one pass over each out, those of neither left out.
void pass_out(const Backend& on, std::span<const LoraPart> parts, const Turn& turn);
// One pass over each d_out, one over x, which may lie before its norm, and one over d_x.
void pass_backward(const Backend& on, std::span<const LoraSlope> parts, View d_x, const LoraInput& in);

}  // namespace deskhand::cuda
