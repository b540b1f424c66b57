#include "deskhand/ops/log_probability.h"

#include <cmath>
#include <limits>

#include "deskhand/ops/log_softmax.h"

namespace deskhand::reference {

void log_probabilities(std::span<double> out, ConstView x, std::span<const TokenAt> wanted) {
  for (std::size_t k = 0; k < wanted.size(); ++k) {
    const auto row = x.rows(wanted[k].row, 1).floats();
    out[k] = row[static_cast<std::size_t>(wanted[k].token)] - log_sum_exp(row);
  }
}

double log_sum_exp(ConstView x, std::span<const std::uint64_t> allowed) {
  const auto row = x.floats();
  const auto is_allowed = [&](std::size_t i) { return (allowed[i / 64] >> (i % 64) & 1) != 0; };
  double largest = -std::numeric_limits<double>::infinity(), sum = 0;
  for (std::size_t i = 0; i < row.size(); ++i)
    if (is_allowed(i) && row[i] > largest) largest = row[i];
  for (std::size_t i = 0; i < row.size(); ++i)
    if (is_allowed(i)) sum += std::exp(row[i] - largest);
  return sum == 0 ? largest : largest + std::log(sum);
}

}  // namespace deskhand::reference
