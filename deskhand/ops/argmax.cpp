#include "deskhand/ops/argmax.h"

#include <algorithm>
#include <cmath>

namespace deskhand {

void argmax(const Backend& on, std::span<std::int32_t> found, ConstView x, std::span<const Argmax> rows,
            std::span<const std::uint64_t> masks) {
  DESKHAND_ASSERT(x.type() == DType::kF32 && x.shape().rank() == 2 && x.shape()[1] > 0, "(N, V) f32 of x");
  DESKHAND_ASSERT(found.size() == rows.size(), "a column for each of the rows");
  const auto words = static_cast<std::size_t>((x.shape()[1] + 63) / 64);
  DESKHAND_ASSERT(std::all_of(rows.begin(), rows.end(),
                              [&](const Argmax& at) {
                                return at.row >= 0 && at.row < x.shape()[0] &&
                                       (at.mask < 0 || (static_cast<std::size_t>(at.mask) + 1) * words <= masks.size());
                              }),
                  "rows of x and masks that are there");
  if (rows.empty()) return;
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::argmax(on, found, x, rows, masks);
  for (std::size_t k = 0; k < rows.size(); ++k) {
    const auto values = x.rows(rows[k].row, 1).floats();
    const auto allowed = rows[k].mask < 0 ? masks.first(0) : masks.subspan(static_cast<std::size_t>(rows[k].mask) * words, words);
    std::int32_t best = Argmax::kNone;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!allowed.empty() && (allowed[i / 64] >> (i % 64) & 1) == 0) continue;
      if (std::isnan(values[i])) {
        best = Argmax::kNaN;
        break;
      }
      if (best < 0 || values[i] > values[static_cast<std::size_t>(best)]) best = static_cast<std::int32_t>(i);
    }
    found[k] = best;
  }
}

void argmax(const Backend& on, std::span<std::int32_t> found, ConstView x) {
  std::vector<Argmax> rows;
  for (std::int64_t row = 0; row < x.shape()[0]; ++row) rows.push_back({static_cast<std::int32_t>(row)});
  argmax(on, found, x, rows);
}

}  // namespace deskhand
