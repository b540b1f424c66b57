// The bits that dropout draws, those of the CPU: one call of Philox (Salmon et al., 2011) for eight neighbours of a row, 16 bits each.
#pragma once
#include <cmath>

#include "deskhand/ops/dropout.h"

namespace deskhand::cuda {

constexpr int kDraws = 8;

struct Draw {
  std::uint32_t falls = 0;  // of 65536
  float scale = 1;          // of what stays
  std::uint32_t first_row = 0, layer = 0, step = 0;
  uint2 key{};
};

inline Draw draw_of(const Dropout& dropped) {
  const auto falls = static_cast<std::uint32_t>(std::floor(dropped.probability * 65536.0 + 0.5));
  return {.falls = falls,
          .scale = static_cast<float>(65536.0 / (65536.0 - falls)),
          .first_row = dropped.first_row,
          .layer = dropped.layer,
          .step = dropped.step,
          .key = make_uint2(static_cast<std::uint32_t>(dropped.seed), static_cast<std::uint32_t>(dropped.seed >> 32))};
}

__device__ inline uint4 philox(uint4 counter, uint2 key) {
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    constexpr std::uint32_t kA = 0xd2511f53, kB = 0xcd9e8d57;
    counter = make_uint4(__umulhi(kB, counter.z) ^ counter.y ^ key.x, kB * counter.z, __umulhi(kA, counter.x) ^ counter.w ^ key.y,
                         kA * counter.x);
    key = make_uint2(key.x + 0x9e3779b9, key.y + 0xbb67ae85);
  }
  return counter;
}

// A word for each two of the eight: an element falls where its half, the lower one for the first, is less than draw.falls.
__device__ inline uint4 drawn_of(const Draw& draw, std::uint32_t row, std::uint32_t eight) {
  return philox(make_uint4(draw.first_row + row, eight, draw.layer, draw.step), draw.key);
}

}  // namespace deskhand::cuda
