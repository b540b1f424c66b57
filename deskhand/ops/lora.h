// Low-rank adapters (Hu et al., 2021): out += scale (dropout(x) a^T) b^T beside a frozen linear. The pair and its
// gradients are f32; x, out, low and their gradients are activations of one type.
#pragma once
#include "deskhand/ops/backend.h"
#include "deskhand/ops/dropout.h"

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
}  // namespace cuda

}  // namespace deskhand
