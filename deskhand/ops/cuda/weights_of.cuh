// Eight neighbours of a row of weights of any type, widened. Block layouts: ops/reference/dequantize.cpp.
#pragma once
#include <cuda_fp16.h>

#include "deskhand/ops/cuda/map.cuh"

namespace deskhand::cuda {

#ifdef __CUDACC__

constexpr int kEight = 8;

using Bytes = const std::uint8_t*;

__device__ inline float f16_at(Bytes at) {  // blocks of every type have an even size
  return __half2float(*reinterpret_cast<const __half*>(at));
}

constexpr int elements_of(DType type) {
  switch (type) {
    case DType::kQ4_0:
    case DType::kQ4_1:
    case DType::kQ5_0:
    case DType::kQ5_1:
    case DType::kQ8_0:
    case DType::kTiledQ4_0:
    case DType::kTiledQ8_0:
      return 32;
    case DType::kQ4_K:
    case DType::kQ5_K:
    case DType::kQ6_K:
    case DType::kTiledQ4_K:
      return 256;
    default:
      return 1;
  }
}
constexpr int bytes_of(DType type) {
  switch (type) {
    case DType::kF32:
      return 4;
    case DType::kQ4_0:
    case DType::kTiledQ4_0:
      return 18;
    case DType::kQ4_1:
      return 20;
    case DType::kQ5_0:
      return 22;
    case DType::kQ5_1:
      return 24;
    case DType::kQ8_0:
    case DType::kTiledQ8_0:
      return 34;
    case DType::kQ4_K:
    case DType::kTiledQ4_K:
      return 144;
    case DType::kQ5_K:
      return 176;
    case DType::kQ6_K:
      return 210;
    default:
      return 2;
  }
}

template <DType type>
constexpr int kBlockWeights = elements_of(type);
template <DType type>
constexpr int kBlockBytes = bytes_of(type);

template <DType type>
__device__ float plain_weight(Bytes at) {
  if constexpr (type == DType::kF32) return *reinterpret_cast<const float*>(at);
  if constexpr (type == DType::kF16) return f16_at(at);
  return widened(*reinterpret_cast<const Bf16*>(at));
}

// Eight bytes, as aligned as blocks of kAlign bytes are.
template <int kAlign>
__device__ uint2 bytes_at(Bytes at) {
  if constexpr (kAlign % 8 == 0) return *reinterpret_cast<const uint2*>(at);
  if constexpr (kAlign % 8 == 4) {
    const auto* words = reinterpret_cast<const std::uint32_t*>(at);
    return {words[0], words[1]};
  }
  const auto* halves = reinterpret_cast<const std::uint16_t*>(at);
  return {halves[0] | std::uint32_t{halves[1]} << 16, halves[2] | std::uint32_t{halves[3]} << 16};
}
__device__ inline int byte_of(uint2 bytes, int k) {
  return static_cast<int>((k < 4 ? bytes.x : bytes.y) >> (k % 4 * 8) & 255);
}

// 4 and 5 bits a weight: the low nibbles are the first 16, the high ones the others; bit i of `fifth` belongs to weight i.
template <int kAlign>
__device__ void simple_weights(float (&to)[kEight], int i, float d, float m, Bytes nibbles, Bytes fifth) {
  const uint2 bytes = bytes_at<kAlign>(nibbles + i % 16);
  const int shift = i / 16 * 4, high = fifth ? fifth[i / 8] : 0;
#pragma unroll
  for (int k = 0; k < kEight; ++k) to[k] = d * static_cast<float>((byte_of(bytes, k) >> shift & 15) | (high >> k & 1) << 4) + m;
}

struct ScaleAndMinimum {
  int scale, minimum;
};
__device__ inline ScaleAndMinimum scale_and_minimum(int sub, Bytes packed) {
  if (sub < 4) return {packed[sub] & 63, packed[sub + 4] & 63};
  return {(packed[sub + 4] & 15) | (packed[sub - 4] >> 6) << 4, (packed[sub + 4] >> 4) | (packed[sub] >> 6) << 4};
}

template <int kAlign>
__device__ void k_weights(float (&to)[kEight], int i, Bytes block, Bytes fifth, Bytes nibbles) {
  const int sub = i / 32, l = i % 32;
  const ScaleAndMinimum of = scale_and_minimum(sub, block + 4);
  const float scale = f16_at(block) * static_cast<float>(of.scale), minimum = f16_at(block + 2) * static_cast<float>(of.minimum);
  const uint2 bytes = bytes_at<kAlign>(nibbles + sub / 2 * 32 + l), high = fifth ? bytes_at<kAlign>(fifth + l) : uint2{};
#pragma unroll
  for (int k = 0; k < kEight; ++k)
    to[k] = scale * static_cast<float>((byte_of(bytes, k) >> (sub % 2 * 4) & 15) | (byte_of(high, k) >> sub & 1) << 4) - minimum;
}

template <int kAlign>
__device__ void q6_k_weights(float (&to)[kEight], int i, Bytes block) {
  const int half = i / 128, run = i % 128 / 32, l = i % 32;
  const uint2 low = bytes_at<kAlign>(block + half * 64 + run % 2 * 32 + l), high = bytes_at<kAlign>(block + 128 + half * 32 + l);
  const float scale = f16_at(block + 208) * static_cast<float>(static_cast<std::int8_t>(block[192 + i / 16]));
#pragma unroll
  for (int k = 0; k < kEight; ++k)
    to[k] = scale * static_cast<float>(((byte_of(low, k) >> (run / 2 * 4) & 15) | (byte_of(high, k) >> (run * 2) & 3) << 4) - 32);
}

// Weights i .. i + 7 of a block, i a multiple of 8; of plain types eight blocks.
template <DType type>
__device__ void weights_of(float (&to)[kEight], int i, Bytes block) {
  constexpr int kAlign = kBlockBytes<type>;
  if constexpr (type == DType::kF32) load(to, reinterpret_cast<const float*>(block));
  if constexpr (type == DType::kF16) {
    const auto halves = *reinterpret_cast<const Elements<__half, kEight>*>(block);
#pragma unroll
    for (int k = 0; k < kEight; ++k) to[k] = __half2float(halves.values[k]);
  }
  if constexpr (type == DType::kBF16) load(to, reinterpret_cast<const Bf16*>(block));
  if constexpr (type == DType::kQ4_0) simple_weights<kAlign>(to, i, f16_at(block), -8 * f16_at(block), block + 2, nullptr);
  if constexpr (type == DType::kQ4_1) simple_weights<kAlign>(to, i, f16_at(block), f16_at(block + 2), block + 4, nullptr);
  if constexpr (type == DType::kQ5_0) simple_weights<kAlign>(to, i, f16_at(block), -16 * f16_at(block), block + 6, block + 2);
  if constexpr (type == DType::kQ5_1) simple_weights<kAlign>(to, i, f16_at(block), f16_at(block + 2), block + 8, block + 4);
  if constexpr (type == DType::kQ8_0) {
    const uint2 bytes = bytes_at<kAlign>(block + 2 + i);
    const float scale = f16_at(block);
#pragma unroll
    for (int k = 0; k < kEight; ++k) to[k] = scale * static_cast<float>(static_cast<std::int8_t>(byte_of(bytes, k)));
  }
  if constexpr (type == DType::kQ4_K) k_weights<kAlign>(to, i, block, nullptr, block + 16);
  if constexpr (type == DType::kQ5_K) k_weights<kAlign>(to, i, block, block + 16, block + 48);
  if constexpr (type == DType::kQ6_K) q6_k_weights<kAlign>(to, i, block);
}

#endif

}  // namespace deskhand::cuda
