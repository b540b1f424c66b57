// out (N, C), activations: row i is row tokens[i] of `table` (V, C), any dtype.
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

void embed(const Backend& on, View out, std::span<const std::int32_t> tokens, ConstView table);

// d_table (V, C) f32: row tokens[i] += row i of d_out (N, C), activations. Rows that no token names are not touched.
void embed_backward(const Backend& on, View d_table, std::span<const std::int32_t> tokens, ConstView d_out);

namespace reference {
void embed_backward(View d_table, std::span<const std::int32_t> tokens, ConstView d_out);
}
namespace cpu {
void embed_backward(const Backend& on, View d_table, std::span<const std::int32_t> tokens, ConstView d_out);
}
namespace cuda {
void embed(const Backend& on, View out, std::span<const std::int32_t> tokens, ConstView table);
void embed_backward(const Backend& on, View d_table, std::span<const std::int32_t> tokens, ConstView d_out);
}  // namespace cuda

}  // namespace deskhand
