// Products in f32 with weights of any type: rows are widened, a panel of 32 at a time, and every token meets the panel.
#pragma once
#include "deskhand/ops/backend.h"
#include "deskhand/ops/linear.h"

namespace deskhand::cpu {

// A row of weights of any type as floats.
void widen_row(const Backend& on, float* to, ConstView row);
// As to_bf16 has it, kept as floats.
void round_to_bf16(const Backend& on, float* values, std::int64_t count);

// One part of a linear. Compute::kBF16 rounds weights and inputs to bf16 first; sums are f32.
void multiply_dense(const Backend& on, const LinearPart& part, ConstView x);

}  // namespace deskhand::cpu
