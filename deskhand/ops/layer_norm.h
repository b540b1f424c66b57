// out = (x + residual - mean) / sqrt(variance + epsilon) * weight + bias, a row at a time (Ba et al., 2016). x, residual, out (N, C)
// activations of one type; weight, bias (C) f32; residual may be empty. out may be x.
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

struct LayerNormWeights {
  ConstView weight, bias;  // (C) each
  float epsilon = 1e-12f;
};

void layer_norm(const Backend& on, View out, ConstView x, ConstView residual, const LayerNormWeights& norm);

namespace reference {
void layer_norm(View out, ConstView x, ConstView residual, const LayerNormWeights& norm);
}
namespace cpu {
void layer_norm(const Backend& on, View out, ConstView x, ConstView residual, const LayerNormWeights& norm);
}
namespace cuda {
void layer_norm(const Backend& on, View out, ConstView x, ConstView residual, const LayerNormWeights& norm);
}

}  // namespace deskhand
