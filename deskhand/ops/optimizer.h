// The optimizer's pass over one flat buffer of trained weights. Sums are made in blocks of fixed size, in double: the number of threads
// changes nothing.
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

// The norm of all gradients and how many of them are NaN or infinite, found in one pass. With any of those the norm is NaN or infinite too.
struct GradientNorm {
  double norm = 0;
  std::int64_t not_finite = 0;
};
GradientNorm gradient_norm(const Backend& on, ConstView gradient);  // (P) f32

// What gradients are multiplied by so that their norm is at most `most`: torch.nn.utils.clip_grad_norm_, min(1, most / (norm + 1e-6)).
double clip_scale(double norm, double most);

// Loshchilov and Hutter, 2019, as torch.optim.AdamW computes it: weights shrink by learning_rate * weight_decay, then
// m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2, w -= learning_rate / (1 - beta1^step) m / (sqrt(v / (1 - beta2^step)) +
// epsilon).
struct AdamW {
  double learning_rate = 1e-4, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0;    // 0 for norms and biases: give them a call of their own
  std::int64_t step = 1;      // counted from 1
  double gradient_scale = 1;  // clip_scale's
};
struct AdamWState {
  View m, v;  // (P) f32, zero before the first step
};
void adamw(const Backend& on, View weights, const AdamWState& state, ConstView gradient, const AdamW& settings);  // (P) f32 each

// The same for each part of a model; on the GPU all of them in one pass, since an adapter has hundreds of small ones.
struct AdamWPart {
  View weights;
  AdamWState state;
  ConstView gradient;
  double rate_factor = 1;  // of settings.learning_rate
  bool decays = true;      // false: settings.weight_decay is not for it
  View rounded{};          // bf16, of weights' size: what becomes of the weights is written there too; or empty
};
void adamw(const Backend& on, std::span<const AdamWPart> parts, const AdamW& settings);

namespace reference {
GradientNorm gradient_norm(ConstView gradient);
void adamw(View weights, const AdamWState& state, ConstView gradient, const AdamW& settings);
}  // namespace reference
namespace cpu {
GradientNorm gradient_norm(const Backend& on, ConstView gradient);
void adamw(const Backend& on, View weights, const AdamWState& state, ConstView gradient, const AdamW& settings);
}  // namespace cpu
namespace cuda {
GradientNorm gradient_norm(const Backend& on, ConstView gradient);
void adamw(const Backend& on, std::span<const AdamWPart> parts, const AdamW& settings);
}  // namespace cuda

}  // namespace deskhand
