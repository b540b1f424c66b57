// One product by cuBLASLt, for the ops made of products. Sources of this folder alone.
#pragma once
#include <cstdint>

#include "deskhand/ops/backend.h"

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
  float* c = nullptr;
  std::int64_t c_step = 0;
  Type type = Type::kF32;  // of a and b
  float scale = 1;
  bool add = false;
};

void multiply(const Backend& on, const Product& product);

}  // namespace deskhand::cuda
