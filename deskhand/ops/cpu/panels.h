// Products in f32 whose right side lies row by row, which is how backward meets weights of (O, I): a block of b is widened into panels of
// 32 columns, a is laid out in strips of a few rows, and every strip meets every panel. An element's sum is made in the same order whatever
// the number of threads, rows and columns. Where there are AMX tiles, large products are theirs (amx.h).
#pragma once
#include "deskhand/ops/backend.h"
#include "deskhand/ops/into.h"

namespace deskhand::cpu {

// c (M, J) = a (M, K) b, or added to c.
struct PanelProduct {
  const float* a = nullptr;
  std::int64_t rows = 0, a_step = 0;  // M, floats from row to row
  bool a_is_turned = false;           // a is (K, M)
  ConstView b;                        // (K, J) of any type
  bool b_is_turned = false;           // b is (J, K) f32
  bool rounds = false;                // to bf16: a and b, not c
  float* c = nullptr;                 // J floats from row to row
  Into into = Into::kOverwrite;
};
void multiply_panels(const Backend& on, const PanelProduct& product);

// to (J, M), `step` floats from row to row, becomes the transpose of from (M, J), `from_step` floats from row to row.
struct Turn {
  float* to = nullptr;
  std::int64_t step = 0;
  const float* from = nullptr;
  std::int64_t from_step = 0, rows = 0, columns = 0;
};
void turn(const Backend& on, const Turn& matrix);

}  // namespace deskhand::cpu
