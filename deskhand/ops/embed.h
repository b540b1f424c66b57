// out (N, C) f32: row i is row tokens[i] of `table` (V, C), any dtype.
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

void embed(const Backend& on, View out, std::span<const std::int32_t> tokens, ConstView table);

}  // namespace deskhand
