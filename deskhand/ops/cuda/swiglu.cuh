// The gate of one element and its slopes: for map, for what leaves its result in FP8, for products that end in it.
#pragma once

namespace deskhand::cuda {

struct SwigluForward {  // out; gate, up
  __device__ void operator()(float* out, const float* in) const { out[0] = in[0] / (1 + expf(-in[0])) * in[1]; }
};

// The same where it is rounded to bf16: to 2^-20 or so of itself, with a third of the instructions.
struct SwigluToBf16 {
  __device__ void operator()(float* out, const float* in) const { out[0] = in[0] * __fdividef(1, 1 + __expf(-in[0])) * in[1]; }
};

struct SwigluBackward {  // d_gate, d_up; d_out, gate, up
  __device__ void operator()(float* d, const float* in) const {
    const float d_out = in[0], g = in[1], up = in[2], s = 1 / (1 + expf(-g));  // silu(g) = g s
    d[0] = d_out * up * s * (1 + g * (1 - s));
    d[1] = d_out * g * s;
  }
};

}  // namespace deskhand::cuda
