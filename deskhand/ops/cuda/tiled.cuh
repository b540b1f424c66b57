// What lanes read of tiles (ops/tiled.h).
#pragma once
#include "deskhand/ops/cuda/weights_of.cuh"
#include "deskhand/ops/tiled.h"

namespace deskhand::cuda {

#ifdef __CUDACC__

template <DType type>
constexpr bool kTiled = type == DType::kTiledQ4_0 || type == DType::kTiledQ8_0 || type == DType::kTiledQ4_K;
template <DType type>
constexpr int kTileBytes = static_cast<int>(kTiledRows* kTiledWidth / kBlockWeights<type> * kBlockBytes<type>);
constexpr int kTileHeads = static_cast<int>(kTiledRows) * 16,
              kTilePiece = 32 * 16;  // bytes: of all rows' scales; of a lane's 16 of all lanes

// 8 of 32 weights of a row, inputs 4 t .. 4 t + 3 and 16 more, as bytes b with w = d b - m.
struct Run {
  std::uint32_t low, high;
  float d, m, d_high;  // d_high: of `high`, where halves have their own
};

// factor times a byte of `word`, exactly rounded: the byte becomes the end of 2^23.
__device__ inline float times_byte(float factor, std::uint32_t word, int number) {
  constexpr float kBig = 8388608;
  return fmaf(factor, __uint_as_float(__byte_perm(word, 0x4b000000u, 0x7540 | number)), -factor * kBig);
}

// What a row's 16 bytes at the tile's beginning say of four runs, the first (half 0) or the last: scales and minima of bytes.
template <DType type>
struct HalfHead {
  std::uint32_t pairs[2];  // scales of two runs each

  __device__ HalfHead(const uint4& head, int half) : pairs{half == 0 ? head.x : head.z, half == 0 ? head.y : head.w} {}
  __device__ float scale(int run) const {
    const __half2 pair = reinterpret_cast<const __half2&>(pairs[run / 2]);
    return run % 2 == 0 ? __low2float(pair) : __high2float(pair);
  }
  __device__ float minimum(int) const { return 0; }
};
template <>
struct HalfHead<DType::kTiledQ4_K> {
  float d, m;
  std::uint32_t scales, minima;  // a byte a run

  __device__ HalfHead(const uint4& head, int half) {
    const float2 two = __half22float2(reinterpret_cast<const __half2&>(head.x));
    d = two.x;
    m = two.y;
    scales = half == 0 ? head.y & 0x3f3f3f3fu : (head.w & 0x0f0f0f0fu) | (head.y >> 2 & 0x30303030u);
    minima = half == 0 ? head.z & 0x3f3f3f3fu : (head.w >> 4 & 0x0f0f0f0fu) | (head.z >> 2 & 0x30303030u);
  }
  __device__ float scale(int run) const { return times_byte(run % 2 == 0 ? d : d / 16, scales, run); }  // odd runs' nibbles stay high
  __device__ float minimum(int run) const { return times_byte(m, minima, run); }
};

// Runs that a lane's 16 bytes hold, for two rows each.
template <DType type>
constexpr int kPieceRuns = type == DType::kTiledQ8_0 ? 1 : 2;

// Low and high bytes of run `number` of those in a lane's piece; row 0 or 1, 8 rows on.
template <DType type>
__device__ void bytes_of_piece(Run& run, const uint4& piece, int number, int row) {
  constexpr std::uint32_t kNibbles = 0xf0f0f0f0u;
  if constexpr (type == DType::kTiledQ4_0) {  // in the upper half of signed bytes
    const std::uint32_t nibbles = number == 0 ? (row == 0 ? piece.x : piece.y) : (row == 0 ? piece.z : piece.w);
    run.low = nibbles << 4 & kNibbles;
    run.high = nibbles & kNibbles;
  } else {
    run.low = row == 0 ? piece.x : piece.y;
    run.high = row == 0 ? piece.z : piece.w;
    if constexpr (type == DType::kTiledQ4_K) {
      const std::uint32_t mask = number == 0 ? kNibbles >> 4 : kNibbles;
      run.low &= mask;
      run.high &= mask;
    }
  }
}

// Four weights of a run's word.
template <DType type>
__device__ void weights_of_bytes(float (&to)[4], std::uint32_t bytes, float d, float m) {
  constexpr bool kSigned = type != DType::kTiledQ4_K;
  constexpr float kUnit = type == DType::kTiledQ4_0 ? 1.0f / 16 : 1, kBig = 32768 + (kSigned ? 128 : 0);
  const std::uint32_t lifted = kSigned ? bytes ^ 0x80808080u : bytes;
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const float big = __uint_as_float(__byte_perm(lifted, 0x47000000u, 0x7404 | k << 4));  // the byte behind 2^15
    to[k] = fmaf(d * kUnit, big, -(d * kUnit * kBig));                                     // exact
    if constexpr (!kSigned) to[k] -= m;
  }
}

#endif

}  // namespace deskhand::cuda
