// Rows are summed side by side, each by the kernel of log_softmax.
#include "deskhand/ops/log_probability.h"

#include <vector>

#include "deskhand/ops/cpu/split.h"
#include "deskhand/ops/log_softmax.h"

namespace deskhand::cpu {

void log_probabilities(const Backend& on, std::span<double> out, ConstView x, std::span<const TokenAt> wanted) {
  std::vector<std::uint8_t> is_wanted(static_cast<std::size_t>(x.shape()[0]));
  for (const TokenAt& at : wanted) is_wanted[static_cast<std::size_t>(at.row)] = 1;
  std::vector<double> totals(is_wanted.size());
  const auto sum_rows = [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row)
      if (is_wanted[static_cast<std::size_t>(row)]) totals[static_cast<std::size_t>(row)] = log_sum_exp(x.rows(row, 1).floats(), on.cpu);
  };
  if (on.pool)
    split(on, x.shape()[0], grain_of_rows(x.shape()[1]), sum_rows);
  else
    sum_rows(0, x.shape()[0], 0);
  for (std::size_t k = 0; k < wanted.size(); ++k)
    out[k] = x.rows(wanted[k].row, 1).floats()[static_cast<std::size_t>(wanted[k].token)] - totals[static_cast<std::size_t>(wanted[k].row)];
}

}  // namespace deskhand::cpu
