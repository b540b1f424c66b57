#include "deskhand/ops/rope.h"

namespace deskhand {

void check_turn(ConstView x, std::span<const std::int32_t> positions, const RopeTable& table) {
  DESKHAND_ASSERT(static_cast<std::int64_t>(positions.size()) == x.shape()[0], "a position a token");
  DESKHAND_ASSERT(table.cosine.shape() == table.sine.shape() && table.cosine.shape().last() == x.shape()[2] / 2,
                  "(P, D/2) of cosine and sine");
  for (const auto position : positions) DESKHAND_ASSERT(position >= 0 && position < table.cosine.shape()[0], "a position inside the table");
}

View heads_of(View matrix, std::int64_t head_width) {
  DESKHAND_ASSERT(matrix.shape()[1] % head_width == 0, "(N, H D)");
  return matrix.reshaped({matrix.shape()[0], matrix.shape()[1] / head_width, head_width});
}

void rope(const Backend& on, View x, std::span<const std::int32_t> positions, const RopeTable& table, bool inverse) {
  DESKHAND_ASSERT(is_activation(on, x.type()) && x.shape().rank() == 3 && x.shape()[2] % 2 == 0, "(N, H, D), D even");
  check_turn(x, positions, table);
  if (on.kind == Backend::Kind::kReference) return reference::rope(x, positions, table, inverse);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::rope(on, x, positions, table, inverse);
  require_cpu(on);
  cpu::rope(on, x, positions, table, inverse);
}

}  // namespace deskhand
