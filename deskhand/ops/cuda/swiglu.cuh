// The gate of one element and its slopes: for map, for what leaves its result in FP8, for products that end in it.
#pragma once

namespace deskhand::cuda {

struct SwigluForward {  // out; gate, up
  __device__ void operator()(float* out, const float* in) const { out[0] = in[0] / (1 + expf(-in[0])) * in[1]; }
};

// 1 / (1 + exp(-x)) to 2^-18 or so of itself, with a third of the instructions; below 2^-126 it is zero.
__device__ inline float fast_sigmoid(float x) {
  constexpr float kLog2E = 1.44269504f;
  float power, sigmoid;
  asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(power) : "f"(-kLog2E * x));
  asm("rcp.approx.ftz.f32 %0, %1;\n" : "=f"(sigmoid) : "f"(1 + power));
  return sigmoid;
}

struct SwigluToBf16 {  // where it is rounded to bf16
  __device__ void operator()(float* out, const float* in) const { out[0] = in[0] * fast_sigmoid(in[0]) * in[1]; }
};

struct SwigluBackward {  // d_gate, d_up; d_out, gate, up
  __device__ void operator()(float* d, const float* in) const {
    const float d_out = in[0], g = in[1], up = in[2], s = 1 / (1 + expf(-g));  // silu(g) = g s
    d[0] = d_out * up * s * (1 + g * (1 - s));
    d[1] = d_out * g * s;
  }
};

struct SwigluBackwardToBf16 {  // where they are rounded to bf16; the same bits in whatever kernel
  __device__ void operator()(float* d, const float* in) const {
    const float d_out = in[0], g = in[1], up = in[2], s = fast_sigmoid(g), silu = __fmul_rn(g, s);
    d[0] = __fmul_rn(__fmul_rn(d_out, up), __fmaf_rn(-silu, s, __fadd_rn(s, silu)));
    d[1] = __fmul_rn(d_out, silu);
  }
};

}  // namespace deskhand::cuda
