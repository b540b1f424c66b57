// One product by cuBLASLt, for the ops made of products. Sources of this folder alone.
#pragma once
#include <cstdint>

#include "deskhand/ops/backend.h"
#include "deskhand/ops/into.h"

namespace deskhand::cuda {

// c (rows, columns) = scale a b, or added to. a is (rows, depth), b (depth, columns), each of one type; "turned": it lies the other way
// round in memory. Steps are those of memory's rows, in elements. Sums in f32, without TF32, and the same from run to run.
struct Product {
  enum class Type : std::uint8_t { kF32, kBF16 };
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
  Type result = Type::kF32;  // of c: bf16 only where a and b are
  float scale = 1;
  bool add = false;
};

inline Product::Type product_type(DType type) {
  return type == DType::kBF16 ? Product::Type::kBF16 : Product::Type::kF32;
}

void multiply(const Backend& on, const Product& product);

// d_x (N, I) = d_out (N, O) weight, or added to: linear_backward_input of rows that lie `step` elements apart. type: d_out's, bf16 where
// products with this weight are in bf16.
void multiply_by_weight(const Backend& on, View d_x, const void* d_out, DType type, std::int64_t step, ConstView weight, Into into);

}  // namespace deskhand::cuda
