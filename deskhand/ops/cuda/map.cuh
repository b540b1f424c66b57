// Work on an element at a time, whatever its type: f32 in registers, 16 bytes of memory at a time.
#pragma once
#include <cuda_bf16.h>

#include <type_traits>

#include "deskhand/ops/cuda/launch.cuh"

namespace deskhand::cuda {

using Bf16 = __nv_bfloat16;

// Calls work(T{}) with the type that a view of activations holds. `work` may be a generic lambda of the host.
template <class Work>
void with_type(DType type, const Work& work) {
  DESKHAND_ASSERT(type == DType::kF32 || type == DType::kBF16, "f32 or bf16");
  if (type == DType::kF32)
    work(float{});
  else
    work(Bf16{});
}

#ifdef __CUDACC__

__device__ inline float widened(float value) {
  return value;
}
__device__ inline float widened(Bf16 value) {
  return __bfloat162float(value);
}
template <class T>
__device__ T narrowed(float value) {
  if constexpr (std::is_same_v<T, float>)
    return value;
  else
    return __float2bfloat16_rn(value);
}

template <class T>
constexpr int kPack = 16 / static_cast<int>(sizeof(T));  // elements of 16 bytes

template <class T, int kCount>
struct alignas(sizeof(T) * kCount < 16 ? sizeof(T) * kCount : 16) Elements {
  T values[kCount];
};

template <int kCount, class T>
__device__ void load(float (&to)[kCount], const T* from) {
  const auto in = *reinterpret_cast<const Elements<T, kCount>*>(from);
#pragma unroll
  for (int i = 0; i < kCount; ++i) to[i] = widened(in.values[i]);
}
// In assembly, since the compiler may take a store of 16 bytes apart.
__device__ inline void store_words(void* to, std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
  asm volatile("st.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(a), "r"(b), "r"(c), "r"(d) : "memory");
}
__device__ inline void store_words(void* to, std::uint32_t a, std::uint32_t b) {
  asm volatile("st.v2.b32 [%0], {%1, %2};" ::"l"(to), "r"(a), "r"(b) : "memory");
}

template <int kCount, class T>
__device__ void store(T* to, const float (&from)[kCount]) {
  constexpr int kSize = static_cast<int>(sizeof(T)) * kCount, kWords = kSize / 4;
  if constexpr (kWords % 2 != 0 || kSize < 8) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) to[i] = narrowed<T>(from[i]);
  } else {
    std::uint32_t words[kWords];
#pragma unroll
    for (int i = 0; i < kWords; ++i) {
      if constexpr (std::is_same_v<T, float>) {
        words[i] = __float_as_uint(from[i]);
      } else {
        const __nv_bfloat162 pair = __floats2bfloat162_rn(from[2 * i], from[2 * i + 1]);
        words[i] = reinterpret_cast<const std::uint32_t&>(pair);
      }
    }
    auto* const at = reinterpret_cast<std::uint32_t*>(to);
    if constexpr (kWords == 2) {
      store_words(at, words[0], words[1]);
    } else {
#pragma unroll
      for (int i = 0; i < kWords; i += 4) store_words(at + i, words[i], words[i + 1], words[i + 2], words[i + 3]);
    }
  }
}

template <class T, int kCount>
struct Pointers {
  T* at[kCount];
};

// A thread: kEach neighbours. Everything is read before anything is written, so outputs may be inputs.
template <int kEach, class T, int kOuts, int kIns, class Work>
__global__ void map_kernel(std::int64_t count, Pointers<T, kOuts> out, Pointers<const T, kIns> in, Work work) {
  const std::int64_t first = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * kEach;
  if (first >= count) return;
  float read[kIns][kEach], written[kOuts][kEach];
  const bool whole = first + kEach <= count;
#pragma unroll
  for (int k = 0; k < kIns; ++k) {
    if (whole)
      load(read[k], in.at[k] + first);
    else
#pragma unroll
      for (int i = 0; i < kEach; ++i) read[k][i] = first + i < count ? widened(in.at[k][first + i]) : 0.0f;
  }
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    float x[kIns], y[kOuts];
#pragma unroll
    for (int k = 0; k < kIns; ++k) x[k] = read[k][i];
    work(y, x);
#pragma unroll
    for (int k = 0; k < kOuts; ++k) written[k][i] = y[k];
  }
#pragma unroll
  for (int k = 0; k < kOuts; ++k) {
    if (whole)
      store(out.at[k] + first, written[k]);
    else
#pragma unroll
      for (int i = 0; i < kEach; ++i)
        if (first + i < count) out.at[k][first + i] = narrowed<T>(written[k][i]);
  }
}

inline bool is_aligned(const void* address) {
  return reinterpret_cast<std::uintptr_t>(address) % 16 == 0;
}

// work(y, x) for each element: x the inputs' values, y what becomes of the outputs. All of one type and shape.
template <class T, int kOuts, int kIns, class Work>
void map(const Backend& on, std::int64_t count, const View (&outs)[kOuts], const ConstView (&ins)[kIns], Work work) {
  constexpr int kThreads = 256;
  if (count == 0) return;
  Pointers<T, kOuts> out;
  Pointers<const T, kIns> in;
  bool aligned = true;
  for (int k = 0; k < kOuts; ++k) aligned &= is_aligned(out.at[k] = pointer<T>(outs[k]));
  for (int k = 0; k < kIns; ++k) aligned &= is_aligned(in.at[k] = pointer<T>(ins[k]));
  if (aligned)
    map_kernel<kPack<T>><<<blocks_for(count, kThreads * kPack<T>), kThreads, 0, stream(on)>>>(count, out, in, work);
  else
    map_kernel<1><<<blocks_for(count, kThreads), kThreads, 0, stream(on)>>>(count, out, in, work);
  check_launch();
}

#endif

}  // namespace deskhand::cuda
