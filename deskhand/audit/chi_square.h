// Pearson's chi-square test of independence of a table of counts, without Yates' correction:
// scipy.stats.chi2_contingency(correction=False).
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

namespace deskhand {

using CountTable = std::vector<std::vector<std::int64_t>>;  // rows of one length, nothing negative

struct ChiSquare {
  double statistic = 0;
  std::int64_t degrees = 0;  // of freedom
  double p = 1;
  double cramers_v = 0;       // 0..1: how strong, whatever the number of tickets
  double low_expected = 0;    // share of cells with an expected count below 5; above .2 the p is not to be trusted (Cochran 1954)
  double least_expected = 0;  // below 1 neither
  bool is_sound() const { return low_expected <= 0.2 && least_expected >= 1; }
};

// Rows and columns without a count are passed over. Empty with fewer than two of either.
std::optional<ChiSquare> chi_square_test(const CountTable& table);

// Where few are expected: the p by shuffling the columns among the rows' counts, (1 + those as extreme) / (1 + rounds). By a seed.
double permutation_p(const CountTable& table, int rounds, std::uint32_t seed);

// The upper tail of the chi-square distribution, scipy.stats.chi2.sf: Q(k / 2, x / 2), by series and continued fraction (Numerical Recipes,
// 6.2).
double chi_square_tail(double x, std::int64_t degrees);

}  // namespace deskhand
