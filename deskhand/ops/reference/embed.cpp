#include "deskhand/ops/embed.h"

namespace deskhand::reference {

void embed_backward(View d_table, std::span<const std::int32_t> tokens, ConstView d_out) {
  const std::int64_t width = d_table.shape()[1];
  for (std::size_t i = 0; i < tokens.size(); ++i)
    for (std::int64_t c = 0; c < width; ++c)
      d_table.floats()[tokens[i] * width + c] += d_out.floats()[static_cast<std::int64_t>(i) * width + c];
}

}  // namespace deskhand::reference
