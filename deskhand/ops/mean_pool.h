// out (B, C) f32: the mean of each sequence's rows of x (N, C), activations, scaled to unit length as sentence-transformers does (norm at
// least 1e-12).
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

void mean_pool_unit(const Backend& on, View out, ConstView x, std::span<const std::int32_t> bounds);

namespace reference {
void mean_pool_unit(View out, ConstView x, std::span<const std::int32_t> bounds);
}
namespace cpu {
void mean_pool_unit(const Backend& on, View out, ConstView x, std::span<const std::int32_t> bounds);
}
namespace cuda {
void mean_pool_unit(const Backend& on, View out, ConstView x, std::span<const std::int32_t> bounds);
}

}  // namespace deskhand
