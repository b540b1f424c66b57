// Bound by memory: forward moves three elements for one, backward five.
#include "deskhand/ops/swiglu.h"

#include "deskhand/ops/cuda/map.cuh"
#include "deskhand/ops/cuda/swiglu.cuh"

namespace deskhand::cuda {

void swiglu(const Backend& on, View out, ConstView gate, ConstView up) {
  require_gpu(on, {out, gate, up});
  const std::int64_t count = out.shape().elements();
  if (out.type() == DType::kBF16)
    map<Bf16>(on, count, {out}, {gate, up}, SwigluToBf16());
  else
    map<float>(on, count, {out}, {gate, up}, SwigluForward());
}

void swiglu_backward(const Backend& on, View d_gate, View d_up, ConstView d_out, ConstView gate, ConstView up) {
  require_gpu(on, {d_gate, d_up, d_out, gate, up});
  const std::int64_t count = gate.shape().elements();
  if (gate.type() == DType::kBF16)
    map<Bf16>(on, count, {d_gate, d_up}, {d_out, gate, up}, SwigluBackwardToBf16());
  else
    map<float>(on, count, {d_gate, d_up}, {d_out, gate, up}, SwigluBackward());
}

}  // namespace deskhand::cuda
