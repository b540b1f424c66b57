// What rows of a model's logits x (N, V) f32 say of some tokens, worked out where they lie: no vocabulary is copied or summed elsewhere.
// Results come to the host, in double. Exponentials are taken in f32 with the row's largest out of them, and summed in one order.
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

struct TokenAt {
  std::int32_t row, token;
};

// out (K) = x[row, token] - log(sum(exp(x[row]))) of each of `wanted`. NaN where one is in the row.
void log_probabilities(const Backend& on, std::span<double> out, ConstView x, std::span<const TokenAt> wanted);

// log(sum(exp(x))) of x (1, V) over the columns that `allowed` names, a bit a column from the lowest on; -infinity if it names none.
double log_sum_exp(const Backend& on, ConstView x, std::span<const std::uint64_t> allowed);

namespace reference {
void log_probabilities(std::span<double> out, ConstView x, std::span<const TokenAt> wanted);
double log_sum_exp(ConstView x, std::span<const std::uint64_t> allowed);
}  // namespace reference
namespace cpu {
void log_probabilities(const Backend& on, std::span<double> out, ConstView x, std::span<const TokenAt> wanted);
}
namespace cuda {
void log_probabilities(const Backend& on, std::span<double> out, ConstView x, std::span<const TokenAt> wanted);
double log_sum_exp(const Backend& on, ConstView x, std::span<const std::uint64_t> allowed);
}  // namespace cuda

}  // namespace deskhand
