// out = x - log(sum(exp(x))), a row at a time, the largest taken out first. Both (N, V) f32; out may be x.
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

void log_softmax(const Backend& on, View out, ConstView x);
// log(sum(exp(x))) of one row on the host: exponentials in f32, summed in double. NaN if one is in the row.
double log_sum_exp(std::span<const float> row);

namespace reference {
double log_sum_exp(std::span<const float> row);
void log_softmax(View out, ConstView x);
}
namespace cpu {
double log_sum_exp(std::span<const float> row, const CpuFeatures& cpu);
void log_softmax(const Backend& on, View out, ConstView x);
}
namespace cuda {
void log_softmax(const Backend& on, View out, ConstView x);
}

}  // namespace deskhand
