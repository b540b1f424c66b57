// One product by cuBLASLt, for the ops made of products. Sources of this folder alone.
#pragma once
#include <cstdint>

#include "deskhand/ops/backend.h"
#include "deskhand/ops/into.h"

namespace deskhand::cuda {

// c (rows, columns) = scale a b, or added to. a is (rows, depth), b (depth, columns), each of one type; "turned": it lies the other way
// round in memory. Steps are those of memory's rows, in elements. Sums in f32, without TF32, and the same from run to run; those of FP8 are
// cut to some 14 bits between the tensor cores' own steps of 32.
struct Product {
  enum class Type : std::uint8_t { kF32, kBF16, kE4M3 };
  std::int64_t rows = 0, columns = 0, depth = 0;
  const void* a = nullptr;
  std::int64_t a_step = 0;
  bool a_turned = false;
  const void* b = nullptr;
  std::int64_t b_step = 0;
  bool b_turned = false;
  void* c = nullptr;
  std::int64_t c_step = 0;
  Type type = Type::kF32;    // of a and b
  Type result = Type::kF32;  // of c: bf16 only where a and b are, and always where they are e4m3
  float scale = 1;
  bool add = false;            // to c, or to `plus`: c = plus + scale a b
  const void* plus = nullptr;  // of c's type and step
  const void* bias = nullptr;  // bf16 (columns), of bf16 factors and result: added to each row
  // Several products of one a, as far apart in b, c and the bias, in elements; added to nothing.
  std::int64_t count = 1, b_apart = 0, c_apart = 0, bias_apart = 0;
  // e4m3 alone, with b turned and a not: f32 for each of a's rows and each of c's columns, which the product is multiplied by; or neither.
  const float *a_scales = nullptr, *b_scales = nullptr;
};

inline Product::Type product_type(DType type) {
  return type == DType::kBF16 ? Product::Type::kBF16 : Product::Type::kF32;
}

void multiply(const Backend& on, const Product& product);
// The same, or false where cuBLASLt has no algorithm for it: FP8's products are not all known everywhere.
[[nodiscard]] bool try_multiply(const Backend& on, const Product& product);
// Whether cuBLASLt and the card multiply by scales of rows themselves: Hopper, from CUDA 12.9 on.
bool has_row_scales(const Backend& on);

// d_x (N, I) = d_out (N, O) weight, or added to: linear_backward_input of rows that lie `step` elements apart. type: d_out's, bf16 where
// products with this weight are in bf16.
void multiply_by_weight(const Backend& on, View d_x, const void* d_out, DType type, std::int64_t step, ConstView weight, Into into);

// x (N, O) += in (N, I) weight^T.
void add_linear(const Backend& on, View x, ConstView in, ConstView weight);

// out (N, O) += bias (O), as a pass.
void add_bias(const Backend& on, View out, ConstView bias);

}  // namespace deskhand::cuda
