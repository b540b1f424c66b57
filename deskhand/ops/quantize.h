// out (N, I) q8_0 or q4_0 = the rows of `in` (N, I), any type of weights, as GGUF's packages round: blocks of 32; q8_0's scale is the
// largest size / 127, q4_0's the value of the largest size / -8, each rounded to f16 once the quotients are made. I a multiple of 32. A
// block with a NaN or an infinite value is NaN, all of it. For weights that are read once and multiplied often; the inputs of a product are quantised by the product.
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

void quantize(const Backend& on, View out, ConstView in);

namespace reference {
void quantize(View out, ConstView in);
}
namespace cpu {
void quantize(const Backend& on, View out, ConstView in);
}

}  // namespace deskhand
