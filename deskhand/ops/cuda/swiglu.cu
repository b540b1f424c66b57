// Bound by memory: forward moves three elements for one, backward five.
#include "deskhand/ops/swiglu.h"

#include "deskhand/ops/cuda/map.cuh"
#include "deskhand/ops/cuda/swiglu.cuh"

namespace deskhand::cuda {

void swiglu(const Backend& on, View out, ConstView gate, ConstView up) {
  require_gpu(on, {out, gate, up});
  with_type(out.type(), [&](auto type) { map<decltype(type)>(on, out.shape().elements(), {out}, {gate, up}, SwigluForward()); });
}

void swiglu_backward(const Backend& on, View d_gate, View d_up, ConstView d_out, ConstView gate, ConstView up) {
  require_gpu(on, {d_gate, d_up, d_out, gate, up});
  with_type(gate.type(), [&](auto type) {
    map<decltype(type)>(on, gate.shape().elements(), {d_gate, d_up}, {d_out, gate, up}, SwigluBackward());
  });
}

}  // namespace deskhand::cuda
