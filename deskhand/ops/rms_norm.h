// out = x * rstd * weight, rstd = 1 / sqrt(mean(x^2) + epsilon), a row at a time (Zhang and Sennrich, 2019). x, out (N, C), activations of
// one type; weight (C) f32. `rstd` (N) f32 is written if given: backward needs it. out may be x.
#pragma once
#include "deskhand/ops/backend.h"
#include "deskhand/ops/into.h"

namespace deskhand {

void rms_norm(const Backend& on, View out, ConstView x, ConstView weight, float epsilon, View rstd = {});

// With g = d_out * weight: d_x = rstd g - x rstd^3 mean(g x); d_weight (C) += the rows' sum of d_out x rstd, if given. x and rstd are the
// forward's. d_x may be d_out; with Into::kAdd it is where the residual's gradient already lies.
struct RmsNormGradients {
  View d_x;  // (N, C)
  Into into = Into::kOverwrite;
  View d_weight;  // (C), or empty
};
void rms_norm_backward(const Backend& on, const RmsNormGradients& gradients, ConstView d_out, ConstView x, ConstView weight,
                       ConstView rstd);

namespace reference {
void rms_norm(View out, ConstView x, ConstView weight, float epsilon, View rstd);
void rms_norm_backward(const RmsNormGradients& gradients, ConstView d_out, ConstView x, ConstView weight, ConstView rstd);
}  // namespace reference
namespace cpu {
void rms_norm(const Backend& on, View out, ConstView x, ConstView weight, float epsilon, View rstd);
void rms_norm_backward(const Backend& on, const RmsNormGradients& gradients, ConstView d_out, ConstView x, ConstView weight,
                       ConstView rstd);
}  // namespace cpu
namespace cuda {
void rms_norm(const Backend& on, View out, ConstView x, ConstView weight, float epsilon, View rstd);
void rms_norm_backward(const Backend& on, const RmsNormGradients& gradients, ConstView d_out, ConstView x, ConstView weight,
                       ConstView rstd);
}  // namespace cuda

}  // namespace deskhand
