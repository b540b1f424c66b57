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

}  // namespace deskhand
