// Which tickets are learnt from and which are kept for testing. The random split is scikit-learn's train_test_split to the index: numpy's
// RandomState(seed).permutation(n), of which the first ceil(share n) are the test. Near copies of a ticket then stand on both sides; the
// grouped split and the split by time are there so that a measure can be believed.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace deskhand {

struct Split {
  std::vector<std::int64_t> train, test;  // indices of the rows
};

// numpy.random.RandomState(seed).permutation(count): Mersenne twister, Fisher-Yates from the end, each draw by masked rejection.
std::vector<std::int64_t> numpy_permutation(std::int64_t count, std::uint32_t seed);

// Throws Error(kUsage) unless 0 < test_share < 1 and both sides get a row.
Split random_split(std::int64_t count, double test_share = 0.05, std::uint32_t seed = 42);

// No group stands on both sides. Groups are drawn in random order and taken while they fit into ceil(share n) test rows; if none fits,
// the smallest is taken. Rows keep their order.
Split grouped_split(std::span<const std::int64_t> groups, double test_share = 0.05, std::uint32_t seed = 42);

// The latest ceil(share n) rows are the test; rows without a date are learnt from. ISO texts; equal ones keep their order.
Split time_split(std::span<const std::string> dates, double test_share = 0.05);

}  // namespace deskhand
