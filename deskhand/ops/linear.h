// out (N, O) = x (N, I) weight^T + bias: the product that an engine lives on. x and out f32; weight (O, I) of any dtype, bias (O) f32 or
// none. Several products of one x are given together: q, k and v, or gate and up, cost one pass over x and one meeting of the threads.
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

struct LinearPart {
  View out;          // (N, O), may not overlap x
  ConstView weight;  // (O, I)
  ConstView bias;    // (O), or empty
};

void linear(const Backend& on, std::span<const LinearPart> parts, ConstView x);
inline void linear(const Backend& on, View out, ConstView x, ConstView weight, ConstView bias = {}) {
  const LinearPart part{out, weight, bias};
  linear(on, {&part, 1}, x);
}

namespace reference {
void linear(std::span<const LinearPart> parts, ConstView x);
}
namespace cpu {
void linear(const Backend& on, std::span<const LinearPart> parts, ConstView x);
}

}  // namespace deskhand
