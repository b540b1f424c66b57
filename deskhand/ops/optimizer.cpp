#include "deskhand/ops/optimizer.h"

#include <algorithm>

namespace deskhand {

GradientNorm gradient_norm(const Backend& on, ConstView gradient) {
  DESKHAND_ASSERT(gradient.type() == DType::kF32, "(P) f32 of gradient");
  if (on.kind == Backend::Kind::kReference) return reference::gradient_norm(gradient);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::gradient_norm(on, gradient);
  require_cpu(on);
  return cpu::gradient_norm(on, gradient);
}

double clip_scale(double norm, double most) {
  return std::min(1.0, most / (norm + 1e-6));
}

namespace {

AdamW settings_of(const AdamWPart& part, AdamW settings) {
  settings.learning_rate *= part.rate_factor;
  if (!part.decays) settings.weight_decay = 0;
  return settings;
}

void check(const AdamWPart& part) {
  const std::int64_t count = part.weights.shape().elements();
  const AdamWState& state = part.state;
  DESKHAND_ASSERT(part.weights.type() == DType::kF32 && part.gradient.type() == DType::kF32 && part.gradient.shape().elements() == count,
                  "(P) f32 of weights and gradient");
  DESKHAND_ASSERT(state.m.type() == DType::kF32 && state.v.type() == DType::kF32 && state.m.shape().elements() == count &&
                      state.v.shape().elements() == count,
                  "(P) f32 of m and v");
  DESKHAND_ASSERT(part.rounded.empty() || (part.rounded.type() == DType::kBF16 && part.rounded.shape().elements() == count),
                  "(P) bf16 of what is rounded");
}

}  // namespace

void adamw(const Backend& on, View weights, const AdamWState& state, ConstView gradient, const AdamW& settings) {
  const AdamWPart part{weights, state, gradient};
  adamw(on, {&part, 1}, settings);
}

void adamw(const Backend& on, std::span<const AdamWPart> parts, const AdamW& settings) {
  DESKHAND_ASSERT(settings.step >= 1, "steps counted from 1");
  for (const AdamWPart& part : parts) check(part);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::adamw(on, parts, settings);
  for (const AdamWPart& part : parts) {
    const AdamW own = settings_of(part, settings);
    if (on.kind == Backend::Kind::kReference) {
      reference::adamw(part.weights, part.state, part.gradient, own);
    } else {
      require_cpu(on);
      cpu::adamw(on, part.weights, part.state, part.gradient, own);
    }
    if (part.rounded.empty()) continue;
    const auto from = part.weights.floats();
    std::transform(from.begin(), from.end(), part.rounded.as<std::uint16_t>().begin(), to_bf16);
  }
}

}  // namespace deskhand
