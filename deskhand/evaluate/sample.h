// A sample of rows: their numbers, with repeats. The measures of this room take one, so that the whole test part and a bootstrap resample
// of it are measured by the same code.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace deskhand {

using Rows = std::span<const std::int32_t>;

// Room that a measure works in, kept from call to call so that thousands of resamples allocate nothing. One a thread; any measure may
// use any of it, and nothing in it outlives the call.
struct Scratch {
  std::vector<std::int64_t> counts;
  std::vector<double> first, second;
};

// 0, 1, ..., count - 1
std::vector<std::int32_t> all_rows(std::int64_t count);

// The mean of the values that are there; none if no row has one. Values are finite.
std::optional<double> mean(std::span<const std::optional<double>> values, Rows rows);

}  // namespace deskhand
