// Low-rank adapters (Hu et al., 2021): out += scale (dropout(x) a^T) b^T beside a frozen linear. The pair and its
// gradients are f32; x, out, low and their gradients are activations of one type.
#pragma once
#include "deskhand/ops/backend.h"
#include "deskhand/ops/dropout.h"
#include "deskhand/ops/rope.h"

namespace deskhand {

struct LoraWeights {
  ConstView a;        // (R, I)
  ConstView b;        // (O, R)
  float scale = 1;    // alpha / R, or alpha / sqrt(R) as rsLoRA has it
  Dropout dropout{};  // probability 0 where the adapter answers
};

// out (N, O) is added to. `low` (N, R) becomes scale dropout(x) a^T: backward wants it. x (N, I); nothing may overlap.
void lora(const Backend& on, View out, View low, ConstView x, const LoraWeights& weights);

// d_a and d_b are added to, d_x too; each may be empty: nobody wants it. d_x may overlap neither d_out nor x.
struct LoraGradients {
  View d_a;  // (R, I)
  View d_b;  // (O, R)
  View d_x;  // (N, I)
};
void lora_backward(const Backend& on, const LoraGradients& gradients, ConstView d_out, ConstView x, ConstView low,
                   const LoraWeights& weights);

// The pairs of one input's linears at once, with the rotation of those that are turned behind them: each out as lora leaves it, then as
// rope does. On CUDA in bf16 these are few passes (cuda/lora_passes.h), elsewhere one after the other.
struct LoraPart {
  View out;                     // (N, O)
  View low;                     // (N, R), as above
  LoraWeights weights;          // a empty: no pair
  std::int64_t head_width = 0;  // of the heads that out is turned by; 0: it is not turned
};
void lora(const Backend& on, std::span<const LoraPart> parts, ConstView x, const Turn& turn = {});

// Their backward: d_a, d_b and d_x are added to, each may be empty. d_out is that of what was not turned yet.
struct LoraSlope {
  View d_a, d_b;        // (R, I), (O, R)
  ConstView d_out;      // (N, O)
  ConstView low;        // (N, R), as the forward pass left it
  LoraWeights weights;  // a empty: no pair
};
// x (N, I), or what it is the rms_norm of: then it is made in `normed` where a backend wants it so.
struct LoraInput {
  ConstView x;
  ConstView norm_weight{}, rstd{};  // (I) and (N) f32; empty: x is the input itself
  float epsilon = 0;
  View normed{};  // (N, I)
};
void lora_backward(const Backend& on, std::span<const LoraSlope> parts, View d_x, const LoraInput& in);

namespace reference {
void lora(View out, View low, ConstView x, const LoraWeights& weights);
void lora_backward(const LoraGradients& gradients, ConstView d_out, ConstView x, ConstView low, const LoraWeights& weights);
}  // namespace reference
namespace cpu {
void lora(const Backend& on, View out, View low, ConstView x, const LoraWeights& weights);
void lora_backward(const Backend& on, const LoraGradients& gradients, ConstView d_out, ConstView x, ConstView low,
                   const LoraWeights& weights);
}  // namespace cpu
namespace cuda {
void lora(const Backend& on, View out, View low, ConstView x, const LoraWeights& weights);
void lora_backward(const Backend& on, const LoraGradients& gradients, ConstView d_out, ConstView x, ConstView low,
                   const LoraWeights& weights);
void lora(const Backend& on, std::span<const LoraPart> parts, ConstView x, const Turn& turn);
void lora_backward(const Backend& on, std::span<const LoraSlope> parts, View d_x, const LoraInput& in);
}  // namespace cuda

}  // namespace deskhand
