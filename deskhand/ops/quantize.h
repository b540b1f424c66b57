// out (N, I) q8_0 = the rows of `in` (N, I), any type of weights: blocks of 32, scale = largest / 127 rounded to f16, as GGUF's packages
// round. I a multiple of 32. For weights that are read once and multiplied often; the inputs of a product are quantised by the product.
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
