// The head and the cross-entropy of what it says, for tokens that are to be learnt and no others, forward and backward in one: logits exist
// for a few tokens at a time. loss = weight (log(sum(exp(logits))) - logits[target]); d_logits = scale weight (softmax(logits) - target's
// one).
#pragma once
#include "deskhand/ops/backend.h"
#include "deskhand/ops/into.h"

namespace deskhand {

// Sums over the tokens given; divided by their number they are TRL's loss, mean_token_accuracy and entropy. Where tokens have weights, the
// loss is their weighted sum, the other two count each token once.
struct HeadLoss {
  HeadLoss& operator+=(const HeadLoss& more) {
    loss += more.loss;
    entropy += more.entropy;
    correct += more.correct;
    return *this;
  }

  double loss = 0;           // nats
  double entropy = 0;        // nats, of the distribution predicted
  std::int64_t correct = 0;  // tokens whose target has the largest logit, the first of equals
};

struct HeadLossOptions {
  float scale = 1;  // of gradients: 1 / all target tokens of the optimizer's step, or / their weights; the sums are not scaled
  std::span<const float> weights;  // (M) how much a token counts; empty: 1 each
  // Of logits at a time, one token's row at least; 0: what suits the backend. Results depend on it in the last bits alone.
  std::int64_t logit_bytes = 0;
};

struct HeadGradients {
  View d_hidden;           // (M, C) overwritten; empty: evaluation, nothing but the sums
  View d_weight;           // (V, C) f32; empty: the head is frozen
  Into into = Into::kAdd;  // d_weight
};

// Bytes of logits at a time where options do not say: on CUDA more where the head's gradient is wanted, all of which each time reads and
// writes.
std::int64_t logit_bytes(const Backend& on, bool wants_weight);

// hidden (M, C) f32, or bf16 on CUDA, and d_hidden of its type; weight (V, C) of any type, targets (M) in 0 .. V - 1. d_hidden may be
// hidden. The products
// are `linear`'s and its backward's, with Backend::compute as they have it.
HeadLoss head_loss(const Backend& on, const HeadGradients& gradients, ConstView hidden, ConstView weight,
                   std::span<const std::int32_t> targets, HeadLossOptions options = {});

// The middle of it: logits (M, V) become d_logits, and the sums are returned.
HeadLoss cross_entropy(const Backend& on, View logits, std::span<const std::int32_t> targets, float scale,
                       std::span<const float> weights = {});

namespace reference {
HeadLoss head_loss(const HeadGradients& gradients, ConstView hidden, ConstView weight, std::span<const std::int32_t> targets, float scale,
                   std::span<const float> weights = {});
HeadLoss cross_entropy(View logits, std::span<const std::int32_t> targets, float scale, std::span<const float> weights = {});
}  // namespace reference
namespace cpu {
HeadLoss cross_entropy(const Backend& on, View logits, std::span<const std::int32_t> targets, float scale, std::span<const float> weights);
}
namespace cuda {
std::int64_t logit_bytes(const Backend& on, bool wants_weight);
HeadLoss cross_entropy(const Backend& on, View logits, std::span<const std::int32_t> targets, float scale, std::span<const float> weights);
HeadLoss head_loss(const Backend& on, const HeadGradients& gradients, ConstView hidden, ConstView weight,
                   std::span<const std::int32_t> targets, HeadLossOptions options);
}  // namespace cuda

}  // namespace deskhand
