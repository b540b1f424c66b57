// out (N, I) f32, or bf16 on CUDA, = the rows of `in` (N, I), any dtype. Formats: dtype.h.
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

void dequantize(const Backend& on, View out, ConstView in);

namespace reference {
void dequantize(View out, ConstView in);
}
namespace cpu {
void dequantize(const Backend& on, View out, ConstView in);
}
namespace cuda {
void dequantize(const Backend& on, View out, ConstView in);
}

}  // namespace deskhand
