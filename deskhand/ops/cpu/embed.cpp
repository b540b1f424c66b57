#include "deskhand/ops/embed.h"

#include "deskhand/ops/cpu/split.h"

namespace deskhand::cpu {

// Threads take columns, so that a token that occurs twice is added in the order of the rows.
void embed_backward(const Backend& on, View d_table, std::span<const std::int32_t> tokens, ConstView d_out) {
  const std::int64_t width = d_table.shape()[1];
  float* const table = d_table.floats().data();
  const float* from = d_out.floats().data();
  split(on, width, std::max<std::int64_t>(64, grain_of_rows(static_cast<std::int64_t>(tokens.size()))),
        [&](std::int64_t begin, std::int64_t end, int) {
          for (std::size_t i = 0; i < tokens.size(); ++i) {
            float* const row = table + tokens[i] * width;
            const float* const d = from + static_cast<std::int64_t>(i) * width;
            for (std::int64_t c = begin; c < end; ++c) row[c] += d[c];
          }
        });
}

}  // namespace deskhand::cpu
