#include "deskhand/ops/head_loss.h"

#include <algorithm>

#include "deskhand/ops/copy.h"
#include "deskhand/ops/linear.h"

namespace deskhand {
namespace {

enum Slot : int { kLogits = 13 };                  // above those of the products
constexpr std::int64_t kLogitBytes = 128ll << 20;  // of logits at a time

void check_targets(std::span<const std::int32_t> targets, std::int64_t vocabulary) {
  for (const std::int32_t target : targets) DESKHAND_ASSERT(target >= 0 && target < vocabulary, "targets that the vocabulary has");
}

void check_weights(std::span<const float> weights, std::span<const std::int32_t> targets) {
  DESKHAND_ASSERT(weights.empty() || weights.size() == targets.size(), "a weight for each target, or none");
}

}  // namespace

HeadLoss cross_entropy(const Backend& on, View logits, std::span<const std::int32_t> targets, float scale, std::span<const float> weights) {
  DESKHAND_ASSERT(
      logits.type() == DType::kF32 && logits.shape().rank() == 2 && logits.shape()[0] == static_cast<std::int64_t>(targets.size()),
      "(M, V) f32 of logits");
  check_targets(targets, logits.shape()[1]);
  check_weights(weights, targets);
  if (on.kind == Backend::Kind::kReference) return reference::cross_entropy(logits, targets, scale, weights);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::cross_entropy(on, logits, targets, scale, weights);
  require_cpu(on);
  return cpu::cross_entropy(on, logits, targets, scale, weights);
}

std::int64_t logit_bytes(const Backend& on, bool wants_weight) {
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::logit_bytes(on, wants_weight);
  return kLogitBytes;
}

HeadLoss head_loss(const Backend& on, const HeadGradients& gradients, ConstView hidden, ConstView weight,
                   std::span<const std::int32_t> targets, HeadLossOptions options) {
  DESKHAND_ASSERT(
      is_activation(on, hidden.type()) && hidden.shape().rank() == 2 && hidden.shape()[0] == static_cast<std::int64_t>(targets.size()),
      "(M, C) of hidden");
  DESKHAND_ASSERT(weight.shape().rank() == 2 && weight.shape()[1] == hidden.shape()[1], "(V, C) of weight");
  DESKHAND_ASSERT(
      gradients.d_hidden.empty() || (gradients.d_hidden.type() == hidden.type() && gradients.d_hidden.shape() == hidden.shape()),
      "(M, C) of d_hidden, of hidden's type");
  DESKHAND_ASSERT(gradients.d_weight.empty() || (gradients.d_weight.type() == DType::kF32 && gradients.d_weight.shape() == weight.shape()),
                  "(V, C) f32 of d_weight");
  const std::int64_t tokens = hidden.shape()[0], vocabulary = weight.shape()[0];
  check_targets(targets, vocabulary);
  check_weights(options.weights, targets);
  if (gradients.into == Into::kOverwrite && (tokens == 0 || on.kind != Backend::Kind::kCuda)) clear(on, gradients.d_weight);
  if (on.kind == Backend::Kind::kReference) return reference::head_loss(gradients, hidden, weight, targets, options.scale, options.weights);
  HeadLoss total;
  if (tokens == 0) return total;
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::head_loss(on, gradients, hidden, weight, targets, options);
  require_cpu(on);
  const std::int64_t bytes = options.logit_bytes > 0 ? options.logit_bytes : kLogitBytes;
  const std::int64_t most = std::max<std::int64_t>(1, bytes / (vocabulary * static_cast<std::int64_t>(sizeof(float))));
  const std::int64_t passes = (tokens + most - 1) / most, rows = (tokens + passes - 1) / passes;
  const View memory(std::span(on.workspace->get<float>(kLogits, rows * vocabulary), static_cast<std::size_t>(rows * vocabulary)),
                    {rows, vocabulary});
  for (std::int64_t first = 0; first < tokens; first += rows) {
    const std::int64_t count = std::min(rows, tokens - first);
    const View logits = memory.rows(0, count);
    const ConstView in = hidden.rows(first, count);
    linear(on, logits, in, weight);
    const auto own = [&](auto all) {
      return all.empty() ? all : all.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
    };
    total += cross_entropy(on, logits, own(targets), options.scale, own(options.weights));
    if (!gradients.d_weight.empty()) linear_backward_weight(on, gradients.d_weight, logits, in);  // before: d_hidden may be hidden
    if (!gradients.d_hidden.empty()) linear_backward_input(on, gradients.d_hidden.rows(first, count), logits, weight);
  }
  return total;
}

}  // namespace deskhand
