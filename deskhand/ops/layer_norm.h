// out = (y - mean) / sqrt(variance + epsilon) * weight + bias of y = x + residual, a row at a time (Ba et al., 2016). x, out (N, C)
// activations of one type; weight, bias (C) f32. out may be x.
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

struct LayerNormWeights {
  ConstView weight, bias;  // (C) each
  float epsilon = 1e-12f;
};

// What is added to x first: the output of a layer and, where its product left it out, that layer's bias. Each may be empty.
struct Residual {
  ConstView rows;  // (N, C), of x's type
  ConstView bias;  // (C) f32
};

void layer_norm(const Backend& on, View out, ConstView x, const Residual& residual, const LayerNormWeights& norm);

namespace reference {
void layer_norm(View out, ConstView x, const Residual& residual, const LayerNormWeights& norm);
}
namespace cpu {
void layer_norm(const Backend& on, View out, ConstView x, const Residual& residual, const LayerNormWeights& norm);
}
namespace cuda {
void layer_norm(const Backend& on, View out, ConstView x, const Residual& residual, const LayerNormWeights& norm);
}

}  // namespace deskhand
