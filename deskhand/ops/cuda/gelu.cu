// Bound by memory: two elements moved for one.
#include "deskhand/ops/gelu.h"

#include "deskhand/ops/cuda/map_columns.cuh"

namespace deskhand::cuda {
namespace {

// For f32 activations as exact as the card has it. For bf16 erf by Abramowitz and Stegun 7.1.26, off by at most 1.5e-7, as on the CPU.
__device__ float exp2_of(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ float inverse_of(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

template <class T>
__device__ float gelu_of(float x) {
  if constexpr (std::is_same_v<T, float>) return x * normcdff(x);
  const float size = fabsf(x), t = inverse_of(1.0f + 0.3275911f * 0.70710678f * size);
  float p = 1.061405429f;
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  constexpr float kHalfLog2e = 0.72134752f;
  const float below = 0.5f * p * t * exp2_of(-kHalfLog2e * x * x);  // of a normal variable: how likely it is below -|x|
  return fmaxf(x, 0.0f) - size * below;
}

template <class T>
struct Gelu {
  __device__ void operator()(float* out, const float* in) const { out[0] = gelu_of<T>(in[0]); }
  __device__ float operator()(float x, float bias) const { return gelu_of<T>(x + bias); }
};

}  // namespace

void gelu(const Backend& on, View out, ConstView x, ConstView bias) {
  require_gpu(on, {out, x, bias});
  with_type(out.type(), [&](auto type) {
    using T = decltype(type);
    if (bias.empty()) return map<T>(on, out.shape().elements(), {out}, {x}, Gelu<T>());
    map_columns<T>(on, out, x, bias, Gelu<T>());
  });
}

}  // namespace deskhand::cuda
