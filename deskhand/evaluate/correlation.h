// Correlation of two columns, with the p values of scipy.stats (pearsonr, spearmanr) and linregress's line.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "deskhand/base/expected.h"
#include "deskhand/evaluate/sample.h"

namespace deskhand {

struct CorrelationTest {
  double r = 0;  // -1..1
  double p = 0;  // two-sided, of no correlation: Student's t with n - 2 degrees of freedom
};
struct Line {
  double slope = 0, intercept = 0;  // y = slope x + intercept
};

// x and y have the same length. The reason where there is none: fewer than 3 pairs, a value that is not finite, no spread in x or in y.
// A line needs spread in x alone.
Expected<CorrelationTest, std::string> pearson(std::span<const double> x, std::span<const double> y);
Expected<CorrelationTest, std::string> spearman(std::span<const double> x,
                                                std::span<const double> y);  // equal values share their mean rank
Expected<Line, std::string> least_squares(std::span<const double> x, std::span<const double> y);

// The coefficients of samples of the pairs, in O(rows): values are ranked once. Empty where the tests above have a reason. Values that are
// not finite make it empty for every sample.
class SampledCorrelation {
 public:
  SampledCorrelation(std::span<const double> x, std::span<const double> y);
  std::optional<double> pearson(Rows rows, Scratch& scratch) const;
  std::optional<double> spearman(Rows rows, Scratch& scratch) const;

 private:
  struct Column {
    std::vector<double> values;
    std::vector<std::int32_t> place;  // (n) among the distinct values, ascending
    std::int64_t places = 0;
  };
  static Column column(std::span<const double> values);
  Column x_, y_;
  bool is_finite_ = true;
};

}  // namespace deskhand
