// What the kernels of few_rows share: one launch's products and what becomes of their sums.
#pragma once
#include "deskhand/ops/cuda/few_rows.h"
#include "deskhand/ops/cuda/map.cuh"

namespace deskhand::cuda {

constexpr int kFewWarps = 8, kFewThreads = 32 * kFewWarps;
constexpr int kFewParts = 4;             // of one launch
constexpr int kFewRows = 8;              // of x, of one launch
constexpr int kSharedBytes = 220 << 10;  // of a processor; cards with less are asked

struct FewRowsPart {
  const std::byte* weight;
  const float* bias;
  void* out;
  int outputs, units;  // units: what a warp or a block makes at a time
};

struct FewRowsJob {
  FewRowsPart parts[kFewParts];
  const void* x;
  const float* norm;
  int count, units;
  int width, rows;
  float epsilon;
  FewRows::Then then;
  bool x_bf16, out_bf16;
};

// Tiles of outputs on the tensor cores: the types for which they are measured to be faster.
constexpr int kTileOutputs = 16;
bool are_tiles(DType type, std::int64_t width);
// The most rows of x that one launch takes with so much shared memory; none: it does not hold even one.
int tile_rows(DType type, const FewRowsJob& job, int most_bytes);
void start_tiles(const Backend& on, DType type, const FewRowsJob& job, int most_bytes);

#ifdef __CUDACC__

// For weights: L2 lets go of them first. A layer's are several times what it holds, and would push out all that a step reads again.
__device__ inline std::uint64_t read_once() {
  std::uint64_t policy;
  asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;\n" : "=l"(policy));
  return policy;
}
// 16 bytes of weights to shared memory in the background, zeros from `bytes` on. Look at the instructions where this is used anew: where
// ptxas (12.9 and 13.0) finds that `to` is a uniform register and another, it makes one for 9.0 that the card calls illegal ("[R5+UR0],
// desc[UR1]"). An address that a thread carries from step to step it does not take apart.
__device__ inline void copy_weights(std::uint32_t to, const void* from, int bytes, std::uint64_t policy) {
  asm volatile("cp.async.cg.shared.global.L2::cache_hint [%0], [%1], 16, %2, %3;\n" ::"r"(to), "l"(from), "r"(bytes), "l"(policy)
               : "memory");
}

__device__ inline float few_rows_element(const void* values, bool bf16, std::int64_t i) {
  return bf16 ? __bfloat162float(static_cast<const Bf16*>(values)[i]) : static_cast<const float*>(values)[i];
}

__device__ inline void store_row(const FewRowsJob& job, const FewRowsPart& part, int row, int output, float value) {
  const std::int64_t at = std::int64_t{row} * part.outputs + output;
  if (job.out_bf16)
    static_cast<Bf16*>(part.out)[at] = __float2bfloat16_rn(value);
  else
    static_cast<float*>(part.out)[at] = value;
}
// A row's finished sum to where it belongs.
__device__ inline void put(const FewRowsJob& job, const FewRowsPart& part, int row, int output, float value) {
  const std::int64_t at = std::int64_t{row} * part.outputs + output;
  if (job.then == FewRows::Then::kAdd) value += few_rows_element(part.out, job.out_bf16, at);
  store_row(job, part, row, output, value);
}

#endif

}  // namespace deskhand::cuda
