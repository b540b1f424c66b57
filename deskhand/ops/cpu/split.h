// Work split over the backend's threads without an allocation: std::function holds a reference to the lambda.
#pragma once
#include <algorithm>
#include <functional>

#include "deskhand/ops/backend.h"

namespace deskhand::cpu {

// work(begin, end, worker) for parts of [0, count); a part is worth waking a thread for if it touches some 16,000 elements.
template <class Work>
void split(const Backend& on, std::int64_t count, std::int64_t grain, Work&& work) {
  on.pool->parallel_for(count, grain, std::ref(work));
}

inline std::int64_t grain_of_rows(std::int64_t row_elements) {
  return std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, row_elements));
}

}  // namespace deskhand::cpu
