// linear of quantised weights for more rows of x than few_rows takes: as many as sequences are written at a time, or labels asked for.
// Weights are read once for 64 rows, as they lie, and widened to bf16 where they are multiplied. Sources of this folder alone.
#pragma once
#include "deskhand/ops/cuda/few_rows.h"

namespace deskhand::cuda {

// Whether these products can be made so, and are better made so than by widening all weights for cuBLASLt.
bool are_many_rows(const Backend& on, std::span<const LinearPart> parts, ConstView x);
void many_rows(const Backend& on, std::span<const LinearPart> parts, ConstView x, FewRows::Then then = FewRows::Then::kStore);

}  // namespace deskhand::cuda
