#include "deskhand/ops/fused.h"

#include "deskhand/ops/cuda/many_rows.h"
#include "deskhand/ops/cuda/multiply.h"
#include "deskhand/ops/rms_norm.h"

namespace deskhand::cuda {

bool norm_linear(const Backend& on, std::span<const LinearPart> parts, const NormedInput& in) {
  if (!are_few_rows(on, parts, in.x)) return false;
  few_rows(on, parts, in.x, {.norm = in.weight, .epsilon = in.epsilon});
  return true;
}

bool norm_gate_up(const Backend& on, View out, ConstView gate, ConstView up, const NormedInput& in) {
  const LinearPart parts[] = {{out, gate, {}}, {out, up, {}}};
  if (gate.type() != up.type()) return false;
  if (are_few_rows(on, parts, in.x)) {
    few_rows(on, parts, in.x, {.norm = in.weight, .epsilon = in.epsilon, .then = FewRows::Then::kSwiglu});
  } else {
    if (!are_many_rows(on, parts, in.room)) return false;
    cuda::rms_norm(on, in.room, in.x, in.weight, in.epsilon, {});
    many_rows(on, parts, in.room, FewRows::Then::kSwiglu);
  }
  return true;
}

bool linear_add(const Backend& on, View x, ConstView in, ConstView weight) {
  const LinearPart part{x, weight, {}};
  if (are_few_rows(on, {&part, 1}, in))
    few_rows(on, {&part, 1}, in, {.then = FewRows::Then::kAdd});
  else if (are_many_rows(on, {&part, 1}, in))
    many_rows(on, {&part, 1}, in, FewRows::Then::kAdd);
  else
    add_linear(on, x, in, weight);
  return true;
}

}  // namespace deskhand::cuda
