// linear for a few rows of x: bound by the weights' bytes, which are read once, as they lie. Sources of this folder alone.
#pragma once
#include "deskhand/ops/linear.h"

namespace deskhand::cuda {

struct FewRows {
  enum class Then : std::uint8_t {
    kStore,
    kAdd,    // to what lies in out
    kSwiglu  // two parts of one type and shape, gate and up: out of the first is silu(gate) * up
  };
  ConstView norm{};   // (I) f32: x goes through rms_norm with these weights first
  float epsilon = 0;  // of the norm
  Then then = Then::kStore;
};

// Whether these products can be made so, and are better made so than by cuBLASLt.
bool are_few_rows(const Backend& on, std::span<const LinearPart> parts, ConstView x);
void few_rows(const Backend& on, std::span<const LinearPart> parts, ConstView x, const FewRows& options = {});

}  // namespace deskhand::cuda
