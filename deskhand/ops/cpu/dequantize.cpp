#include "deskhand/ops/dequantize.h"

#include "deskhand/ops/cpu/dense.h"
#include "deskhand/ops/cpu/split.h"

namespace deskhand::cpu {

void dequantize(const Backend& on, View out, ConstView in) {
  const std::int64_t width = in.shape().last();
  const ConstView table = in.reshaped({in.shape().rows(), width});
  split(on, table.shape()[0], grain_of_rows(width), [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row) widen_row(on, out.floats().data() + row * width, table.rows(row, 1));
  });
}

}  // namespace deskhand::cpu
