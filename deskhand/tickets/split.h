// Which tickets are learnt from and which are kept for testing. The random split is scikit-learn's train_test_split to the index: numpy's
// RandomState(seed).permutation(n), of which the first ceil(share n) are the test. Near copies of a ticket then stand on both sides; the
// grouped split and the split by time are there so that a measure can be believed. Folds are k splits whose test parts do not overlap.
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

// k splits, each row tested once: scikit-learn's KFold(shuffle=True, random_state=seed) to the index, rows in order. Throws Error(kUsage)
// unless 2 <= folds <= rows.
std::vector<Split> random_folds(std::int64_t count, int folds, std::uint32_t seed = 42);

// No group stands in two folds. The largest group goes first, always into the smallest fold; groups of one size are shuffled by the seed.
// Throws Error(kUsage) with fewer groups than folds.
std::vector<Split> grouped_folds(std::span<const std::int64_t> groups, int folds, std::uint32_t seed = 42);

// What came later is tested with what came before, never the other way round: scikit-learn's TimeSeriesSplit over the dated rows. The first
// n - k floor(n / (k + 1)) of them, and rows without a date, are only learnt from.
std::vector<Split> time_folds(std::span<const std::string> dates, int folds);

}  // namespace deskhand
