// A thread a weight: plain, and bound by memory all the same, since the blocks' bytes come from the cache.
#include "deskhand/ops/dequantize.h"

#include "deskhand/ops/cuda/dequantize.cuh"

namespace deskhand::cuda {
namespace {

using Bytes = const std::uint8_t*;

__device__ float f16_at(Bytes at) {
  return __half2float(__ushort_as_half(static_cast<unsigned short>(at[0] | at[1] << 8)));
}

__device__ float bf16_at(Bytes at) {
  return __uint_as_float(static_cast<std::uint32_t>(at[0] | at[1] << 8) << 16);
}

// 4 and 5 bits a weight: the low nibbles are the first 16, the high ones the others; bit i of `fifth` belongs to weight i.
__device__ float simple_weight(int i, float d, float m, Bytes nibbles, Bytes fifth) {
  int q = nibbles[i % 16] >> (i / 16 * 4) & 15;
  if (fifth) q |= (fifth[i / 8] >> (i % 8) & 1) << 4;
  return d * static_cast<float>(q) + m;
}

__device__ float k_weight(int i, Bytes block, Bytes fifth, Bytes nibbles) {
  const int sub = i / 32, l = i % 32;
  const Bytes packed = block + 4;
  int scale = 0, minimum = 0;
  if (sub < 4) {
    scale = packed[sub] & 63;
    minimum = packed[sub + 4] & 63;
  } else {
    scale = (packed[sub + 4] & 15) | (packed[sub - 4] >> 6) << 4;
    minimum = (packed[sub + 4] >> 4) | (packed[sub] >> 6) << 4;
  }
  int q = nibbles[sub / 2 * 32 + l] >> (sub % 2 * 4) & 15;
  if (fifth) q |= (fifth[l] >> sub & 1) << 4;
  return f16_at(block) * static_cast<float>(scale) * static_cast<float>(q) - f16_at(block + 2) * static_cast<float>(minimum);
}

__device__ float q6_k_weight(int i, Bytes block) {
  const int half = i / 128, run = i % 128 / 32, l = i % 32;
  const int low = block[half * 64 + run % 2 * 32 + l] >> (run / 2 * 4) & 15, high = block[128 + half * 32 + l] >> (run * 2) & 3;
  return f16_at(block + 208) * static_cast<float>(static_cast<std::int8_t>(block[192 + i / 16])) *
         static_cast<float>((low | high << 4) - 32);
}

template <DType type>
__device__ float weight_of(int i, Bytes block) {
  if constexpr (type == DType::kF32) return *reinterpret_cast<const float*>(block);
  if constexpr (type == DType::kF16) return f16_at(block);
  if constexpr (type == DType::kBF16) return bf16_at(block);
  if constexpr (type == DType::kQ4_0) return simple_weight(i, f16_at(block), -8 * f16_at(block), block + 2, nullptr);
  if constexpr (type == DType::kQ4_1) return simple_weight(i, f16_at(block), f16_at(block + 2), block + 4, nullptr);
  if constexpr (type == DType::kQ5_0) return simple_weight(i, f16_at(block), -16 * f16_at(block), block + 6, block + 2);
  if constexpr (type == DType::kQ5_1) return simple_weight(i, f16_at(block), f16_at(block + 2), block + 8, block + 4);
  if constexpr (type == DType::kQ8_0) return f16_at(block) * static_cast<float>(static_cast<std::int8_t>(block[2 + i]));
  if constexpr (type == DType::kQ4_K) return k_weight(i, block, nullptr, block + 16);
  if constexpr (type == DType::kQ5_K) return k_weight(i, block, block + 16, block + 48);
  if constexpr (type == DType::kQ6_K) return q6_k_weight(i, block);
  return 0;
}

__device__ void store(float* to, float value) {
  *to = value;
}
__device__ void store(__nv_bfloat16* to, float value) {
  *to = __float2bfloat16_rn(value);
}

template <DType type, class T>
void widen_type(const Backend& on, T* out, ConstView in, std::int64_t rows, const std::int32_t* index) {
  const std::int64_t width = in.shape().last(), elements = block_elements(type), bytes = block_bytes(type), step = row_bytes(type, width);
  for_each(on, rows * width, [out, from = pointer<std::uint8_t>(in), index, width, elements, bytes, step] __device__(std::int64_t at) {
    const std::int64_t row = at / width, column = at % width;
    const Bytes block = from + (index ? index[row] : row) * step + column / elements * bytes;
    store(out + at, weight_of<type>(static_cast<int>(column % elements), block));
  });
}

}  // namespace

template <class T>
void widen(const Backend& on, T* out, ConstView in, std::int64_t rows, const std::int32_t* index) {
  switch (in.type()) {
    case DType::kF32:
      return widen_type<DType::kF32>(on, out, in, rows, index);
    case DType::kF16:
      return widen_type<DType::kF16>(on, out, in, rows, index);
    case DType::kBF16:
      return widen_type<DType::kBF16>(on, out, in, rows, index);
    case DType::kQ4_0:
      return widen_type<DType::kQ4_0>(on, out, in, rows, index);
    case DType::kQ4_1:
      return widen_type<DType::kQ4_1>(on, out, in, rows, index);
    case DType::kQ5_0:
      return widen_type<DType::kQ5_0>(on, out, in, rows, index);
    case DType::kQ5_1:
      return widen_type<DType::kQ5_1>(on, out, in, rows, index);
    case DType::kQ8_0:
      return widen_type<DType::kQ8_0>(on, out, in, rows, index);
    case DType::kQ4_K:
      return widen_type<DType::kQ4_K>(on, out, in, rows, index);
    case DType::kQ5_K:
      return widen_type<DType::kQ5_K>(on, out, in, rows, index);
    case DType::kQ6_K:
      return widen_type<DType::kQ6_K>(on, out, in, rows, index);
    default:
      DESKHAND_ASSERT(false, "a type of weights");
  }
}
template void widen(const Backend&, float*, ConstView, std::int64_t, const std::int32_t*);
template void widen(const Backend&, __nv_bfloat16*, ConstView, std::int64_t, const std::int32_t*);

void dequantize(const Backend& on, View out, ConstView in) {
  require_gpu(on, {out, in});
  if (out.type() == DType::kF32) return widen(on, pointer(out), in, in.shape().rows());
  widen(on, pointer<__nv_bfloat16>(out), in, in.shape().rows());
}

}  // namespace deskhand::cuda
