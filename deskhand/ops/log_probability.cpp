#include "deskhand/ops/log_probability.h"

#include <algorithm>

namespace deskhand {

void log_probabilities(const Backend& on, std::span<double> out, ConstView x, std::span<const TokenAt> wanted) {
  DESKHAND_ASSERT(x.type() == DType::kF32 && x.shape().rank() == 2 && x.shape()[1] > 0, "(N, V) f32 of x");
  DESKHAND_ASSERT(out.size() == wanted.size(), "a number for each token that is wanted");
  DESKHAND_ASSERT(
      std::all_of(wanted.begin(), wanted.end(),
                  [&](const TokenAt& at) { return at.row >= 0 && at.row < x.shape()[0] && at.token >= 0 && at.token < x.shape()[1]; }),
      "tokens of x");
  if (wanted.empty()) return;
  if (on.kind == Backend::Kind::kReference) return reference::log_probabilities(out, x, wanted);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::log_probabilities(on, out, x, wanted);
  cpu::log_probabilities(on, out, x, wanted);
}

double log_sum_exp(const Backend& on, ConstView x, std::span<const std::uint64_t> allowed) {
  DESKHAND_ASSERT(x.type() == DType::kF32 && x.shape().rank() == 2 && x.shape()[0] == 1 && x.shape()[1] > 0, "(1, V) f32 of x");
  DESKHAND_ASSERT(static_cast<std::int64_t>(allowed.size()) * 64 >= x.shape()[1], "a bit a column");
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::log_sum_exp(on, x, allowed);
  return reference::log_sum_exp(x, allowed);  // rarely asked for: plain on the CPU too
}

}  // namespace deskhand
