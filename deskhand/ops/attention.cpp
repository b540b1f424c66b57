#include "deskhand/ops/attention.h"

#include <cmath>
#include <utility>

#include "deskhand/ops/shared_beginning.h"

namespace deskhand {
namespace {

// What is asked for once the defaults are known.
AttentionOptions settled(AttentionOptions options, std::int64_t width, std::span<const std::int32_t> bounds) {
  if (bounds.size() <= 2) options.shared = 0;
  DESKHAND_ASSERT(options.shared >= 0 && (options.shared == 0 || (options.causal && options.shared <= bounds[1] - bounds[0])),
                  "a beginning that stands in the first sequence, causal");
  if (options.scale == 0) options.scale = 1 / std::sqrt(static_cast<float>(width));
  return options;
}

// For the backends that do not do so themselves.
void turn_back(const Backend& on, const AttentionGradients& gradients, const Turn& turned) {
  if (turned.positions.empty()) return;
  rope(on, gradients.d_q, turned.positions, turned.table, true);
  rope(on, gradients.d_k, turned.positions, turned.table, true);
}

}  // namespace

void attention(const Backend& on, View out, ConstView q, ConstView k, ConstView v, std::span<const std::int32_t> bounds,
               AttentionOptions options, View logsumexp) {
  DESKHAND_ASSERT(q.shape().rank() == 3 && k.shape().rank() == 3 && out.shape() == q.shape() && v.shape() == k.shape(),
                  "(N, H, D) of q and out, (N, G, D) of k and v");
  DESKHAND_ASSERT(k.shape()[0] == q.shape()[0] && k.shape()[2] == q.shape()[2] && k.shape()[1] > 0 && q.shape()[1] % k.shape()[1] == 0,
                  "H a multiple of G");
  DESKHAND_ASSERT(is_activation(on, q.type()) && out.type() == q.type() && k.type() == q.type() && v.type() == q.type(),
                  "activations of one type");
  DESKHAND_ASSERT(logsumexp.empty() || logsumexp.type() == DType::kF32, "f32 of logsumexp");
  DESKHAND_ASSERT(bounds.size() >= 1 && bounds.front() >= 0 && bounds.back() <= q.shape()[0], "bounds inside the batch");
  DESKHAND_ASSERT(logsumexp.empty() || logsumexp.shape().elements() == q.shape()[0] * q.shape()[1], "(N, H) of logsumexp");
  options = settled(options, q.shape()[2], bounds);
  if (on.kind == Backend::Kind::kReference) return reference::attention(out, q, k, v, bounds, options, logsumexp);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::attention(on, out, q, k, v, bounds, options, logsumexp);
  require_cpu(on);
  if (options.shared > 0) return gathered_attention(on, out, q, k, v, bounds, options, logsumexp);
  cpu::attention(on, out, q, k, v, bounds, options, logsumexp);
}

void attention_backward(const Backend& on, const AttentionGradients& gradients, ConstView d_out, const AttentionForward& forward,
                        std::span<const std::int32_t> bounds, AttentionOptions options) {
  const Shape &q = forward.q.shape(), &k = forward.k.shape();
  DESKHAND_ASSERT(q.rank() == 3 && k.rank() == 3 && forward.v.shape() == k && forward.out.shape() == q && d_out.shape() == q,
                  "(N, H, D) of q, out and d_out, (N, G, D) of k and v");
  DESKHAND_ASSERT(gradients.d_q.shape() == q && gradients.d_k.shape() == k && gradients.d_v.shape() == k, "gradients of their shapes");
  DESKHAND_ASSERT(k[0] == q[0] && k[2] == q[2] && k[1] > 0 && q[1] % k[1] == 0, "H a multiple of G");
  for (const ConstView& view :
       {ConstView(gradients.d_q), ConstView(gradients.d_k), ConstView(gradients.d_v), d_out, forward.q, forward.k, forward.v, forward.out})
    DESKHAND_ASSERT(is_activation(on, view.type()) && view.type() == d_out.type(), "activations of one type");
  DESKHAND_ASSERT(forward.logsumexp.type() == DType::kF32 && forward.logsumexp.shape().elements() == q[0] * q[1],
                  "(N, H) f32 of logsumexp");
  DESKHAND_ASSERT(bounds.size() >= 1 && bounds.front() >= 0 && bounds.back() <= q[0], "bounds inside the batch");
  options = settled(options, q[2], bounds);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda && cuda::turns_back(on, d_out))
      return cuda::attention_backward(on, gradients, d_out, forward, bounds, options);
  const Turn turned = std::exchange(options.turned, {});
  if (on.kind == Backend::Kind::kReference) {
    reference::attention_backward(gradients, d_out, forward, bounds, options);
  } else if (on.kind == Backend::Kind::kCuda) {
    if constexpr (kCudaBuilt) cuda::attention_backward(on, gradients, d_out, forward, bounds, options);
  } else {
    require_cpu(on);
    if (options.shared > 0)
      gathered_attention_backward(on, gradients, d_out, forward, bounds, options);
    else
      cpu::attention_backward(on, gradients, d_out, forward, bounds, options);
  }
  turn_back(on, gradients, turned);
}

}  // namespace deskhand
