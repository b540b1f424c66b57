// A thread draws once for eight neighbours of a row, the very bits that the CPU draws.
#include <cmath>

#include "deskhand/ops/cuda/launch.cuh"
#include "deskhand/ops/dropout.h"

namespace deskhand::cuda {
namespace {

constexpr int kDraws = 8;  // of 16 bits from one call of Philox

__device__ uint4 philox(uint4 counter, uint2 key) {
  for (int round = 0; round < 10; ++round) {
    constexpr std::uint32_t kA = 0xd2511f53, kB = 0xcd9e8d57;
    counter = make_uint4(__umulhi(kB, counter.z) ^ counter.y ^ key.x, kB * counter.z, __umulhi(kA, counter.x) ^ counter.w ^ key.y,
                         kA * counter.x);
    key = make_uint2(key.x + 0x9e3779b9, key.y + 0xbb67ae85);
  }
  return counter;
}

}  // namespace

void dropout(const Backend& on, View out, ConstView x, const Dropout& dropped, Into into) {
  require_gpu(on, {out, x});
  const std::int64_t width = x.shape()[1], groups = (width + kDraws - 1) / kDraws;
  const auto falls = static_cast<std::uint32_t>(std::floor(dropped.probability * 65536.0 + 0.5));
  const auto scale = static_cast<float>(65536.0 / (65536.0 - falls));
  for_each(on, x.shape()[0] * groups,
           [to = pointer(out), in = pointer(x), width, groups, falls, scale, add = into == Into::kAdd, first_row = dropped.first_row,
            layer = dropped.layer, step = dropped.step, low = static_cast<std::uint32_t>(dropped.seed),
            high = static_cast<std::uint32_t>(dropped.seed >> 32)] __device__(std::int64_t number) {
             const std::int64_t row = number / groups, group = number % groups;
             const uint4 drawn =
                 philox(make_uint4(first_row + static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(group), layer, step),
                        make_uint2(low, high));
             const std::uint32_t words[] = {drawn.x, drawn.y, drawn.z, drawn.w};
#pragma unroll
             for (int i = 0; i < kDraws; ++i) {
               if (group * kDraws + i >= width) break;
               const std::int64_t at = row * width + group * kDraws + i;
               const std::uint32_t draw = words[i / 2] >> (i % 2 * 16) & 0xffff;
               const float value = draw < falls ? 0 : in[at] * scale;
               to[at] = add ? to[at] + value : value;
             }
           });
}

}  // namespace deskhand::cuda
