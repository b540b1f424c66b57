// Products in bf16 with sums in f32, for processors with vdpbf16ps. Weights that are bf16 are read as they lie, all others are rounded to
// it a few rows at a time. Subnormal numbers count as zero, as the instruction has it.
#pragma once
#include <cstdint>

#include "deskhand/ops/backend.h"
#include "deskhand/ops/linear.h"

namespace deskhand::cpu {

// Whether this part is multiplied here: the caller wants bf16, or leaves it open and the weights are bf16 anyway. Beyond 40 tokens the
// panels of dense.h are faster.
bool multiplies_in_bf16(const Backend& on, const LinearPart& part, std::int64_t tokens);
void multiply_bf16(const Backend& on, const LinearPart& part, ConstView x);

namespace avx512_bf16 {

// out[token][row] = x[token] . weight[row] + bias[row]. A sum is made in the same order however many rows and tokens meet.
struct Bf16Task {
  const std::uint16_t* weight = nullptr;
  std::int64_t weight_stride = 0, rows = 0;
  const std::uint16_t* x = nullptr;
  std::int64_t x_stride = 0, tokens = 0;
  std::int64_t inputs = 0;
  const float* bias = nullptr;  // (rows), or none
  float* out = nullptr;
  std::int64_t out_stride = 0;  // from token to token
};
void multiply(const Bf16Task& task);
void round_row(std::uint16_t* to, const float* from, std::int64_t count);  // to nearest, ties to even

}  // namespace avx512_bf16
}  // namespace deskhand::cpu
