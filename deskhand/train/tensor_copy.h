// Copies of weights: from any stored type to f32 and back to the plain types that files have.
#pragma once
#include "deskhand/ops/backend.h"
#include "deskhand/tensor/tensor.h"

namespace deskhand {

Tensor as_f32(const Backend& on, ConstView view);  // a vector or a matrix, dense or quantised
Tensor stored_as(ConstView values, DType type);    // f32 to kF32, kF16 or kBF16

}  // namespace deskhand
