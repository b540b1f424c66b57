#include "deskhand/ops/fused.h"

#include "deskhand/ops/add.h"
#include "deskhand/ops/rms_norm.h"
#include "deskhand/ops/swiglu.h"

namespace deskhand {

void norm_linear(const Backend& on, std::span<const LinearPart> parts, const NormedInput& in) {
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda && cuda::norm_linear(on, parts, in)) return;
  rms_norm(on, in.room, in.x, in.weight, in.epsilon);
  linear(on, parts, in.room);
}

void norm_gate_up(const Backend& on, View out, ConstView gate, ConstView up, const NormedInput& in, View room) {
  DESKHAND_ASSERT(gate.shape() == up.shape() && out.shape() == room.shape(), "(F, I) of gate and up, (N, F) of out and room");
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda && cuda::norm_gate_up(on, out, gate, up, in)) return;
  rms_norm(on, in.room, in.x, in.weight, in.epsilon);
  const LinearPart parts[] = {{out, gate, {}}, {room, up, {}}};
  linear(on, parts, in.room);
  swiglu(on, out, out, room);
}

void linear_add(const Backend& on, View x, ConstView in, ConstView weight, View room) {
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda && cuda::linear_add(on, x, in, weight)) return;
  linear(on, room, in, weight);
  add(on, x, x, room);
}

void linear_swiglu(const Backend& on, const GatedLinear& to, ConstView x) {
  DESKHAND_ASSERT(to.gate_weight.shape() == to.up_weight.shape() && to.out.shape() == to.gate.shape() && to.out.shape() == to.up.shape(),
                  "(F, I) of gate and up, (N, F) of what they make");
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda && cuda::linear_swiglu(on, to, x)) return;
  const LinearPart parts[] = {{to.gate, to.gate_weight, {}}, {to.up, to.up_weight, {}}};
  linear(on, parts, x);
  swiglu(on, to.out, to.gate, to.up);
}

void linear_swiglu_backward(const Backend& on, View gate, View up, ConstView d_out, ConstView weight, View room) {
  DESKHAND_ASSERT(gate.shape() == up.shape() && room.shape() == gate.shape(), "(N, F) of gate, up and room");
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda && cuda::linear_swiglu_backward(on, gate, up, d_out, weight)) return;
  linear_backward_input(on, room, d_out, weight);
  swiglu_backward(on, gate, up, room, gate, up);
}

void linear_backward_input(const Backend& on, View d_x, std::span<const LinearSlope> parts) {
  DESKHAND_ASSERT(!parts.empty(), "a layer");
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda && cuda::linear_backward_input(on, d_x, parts)) return;
  for (std::size_t i = 0; i < parts.size(); ++i)
    linear_backward_input(on, d_x, parts[i].d_out, parts[i].weight, i > 0 ? Into::kAdd : Into::kOverwrite);
}

}  // namespace deskhand
