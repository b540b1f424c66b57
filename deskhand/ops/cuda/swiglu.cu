// Bound by memory: forward moves three elements for one, backward five.
#include "deskhand/ops/cuda/map.cuh"
#include "deskhand/ops/swiglu.h"

namespace deskhand::cuda {
namespace {

struct Forward {
  __device__ void operator()(float* out, const float* in) const { out[0] = in[0] / (1 + expf(-in[0])) * in[1]; }
};

struct Backward {
  __device__ void operator()(float* d, const float* in) const {
    const float d_out = in[0], g = in[1], up = in[2], s = 1 / (1 + expf(-g));  // silu(g) = g s
    d[0] = d_out * up * s * (1 + g * (1 - s));
    d[1] = d_out * g * s;
  }
};

}  // namespace

void swiglu(const Backend& on, View out, ConstView gate, ConstView up) {
  require_gpu(on, {out, gate, up});
  with_type(out.type(), [&](auto type) { map<decltype(type)>(on, out.shape().elements(), {out}, {gate, up}, Forward()); });
}

void swiglu_backward(const Backend& on, View d_gate, View d_up, ConstView d_out, ConstView gate, ConstView up) {
  require_gpu(on, {d_gate, d_up, d_out, gate, up});
  with_type(gate.type(),
            [&](auto type) { map<decltype(type)>(on, gate.shape().elements(), {d_gate, d_up}, {d_out, gate, up}, Backward()); });
}

}  // namespace deskhand::cuda
