// Whether probabilities mean what they say. Each row's distribution is judged once; the measures then read a sample of judged rows.
#pragma once
#include <span>
#include <vector>

#include "deskhand/evaluate/evaluation.h"
#include "deskhand/evaluate/sample.h"

namespace deskhand {

// One row's distribution against its truth.
struct Judged {
  bool is_known = false;  // it has a truth and a distribution; rows that have not are passed over by every measure
  bool is_right = false;  // the likeliest label (the first of equals) is the truth
  double confidence = 0;  // 0..1, probability of the likeliest label
  double brier = 0;       // 0..2, sum over labels of (p - [label is the truth])^2
  double log_loss = 0;    // -ln p(truth), p kept within 2.2e-16 .. 1 - 2.2e-16 as scikit-learn does: at most 36.04
};

// `probabilities` are divided by their sum. Nothing is known of a row whose distribution is empty, has a value that is negative or not
// finite, or sums to 0, nor of one whose truth is negative. A truth past the distribution's end is a label that the system could not
// choose: its probability is 0.
Judged judge(std::span<const double> probabilities, std::int32_t truth);
std::vector<Judged> judge(std::span<const std::vector<double>> probabilities, std::span<const std::int32_t> truth);

constexpr int kReliabilityBins = 10;

// Expected calibration error of the likeliest label, Guo et al. 2017, https://arxiv.org/abs/1706.04599: over 10 bins (b/10, (b+1)/10] of
// confidence, the mean of |accuracy - confidence| weighted by count. 0..1. Empty: no row is known.
std::optional<double> calibration_error(std::span<const Judged> judged, Rows rows);
std::vector<ReliabilityBin> reliability_bins(std::span<const Judged> judged, Rows rows);

// Means of Judged's values; scikit-learn's brier_score_loss(scale_by_half=False) and log_loss.
std::optional<double> brier_score(std::span<const Judged> judged, Rows rows);
std::optional<double> log_loss(std::span<const Judged> judged, Rows rows);

// Precision of the answers that are at least so sure, for every confidence that occurs, surest first; rows of equal confidence come
// together. More than `most` points are thinned, evenly along the coverage; the first and the last stay.
std::vector<CoveragePoint> coverage_curve(std::span<const Judged> judged, Rows rows, std::size_t most = 200);

// Area under that curve, as steps: sum of (coverage_i - coverage_(i-1)) precision_i, before thinning. 0..1. Where no two rows are equally
// sure, it is 1 - AURC of Geifman and El-Yaniv, https://arxiv.org/abs/1805.08206. Sorts once; each sample is O(rows).
class CoverageArea {
 public:
  explicit CoverageArea(std::span<const Judged> judged);
  std::optional<double> operator()(Rows rows, Scratch& scratch) const;  // empty: no row is known

 private:
  std::vector<std::int32_t> place_;     // (n) of the row among the distinct confidences, surest first; -1: not known
  std::vector<std::uint8_t> is_right_;  // (n)
  std::int64_t places_ = 0;
};

// p^(1/T) divided by its sum: above 1 less sure, below 1 surer. 0 stays 0. T > 0 and finite.
std::vector<double> scale_temperature(std::span<const double> probabilities, double temperature);

// The T in .05 .. 20 with the least log loss, Guo et al. 2017. The loss is convex in 1/T: Newton steps on its slope, halving where a step
// leaves the bracket. Rows whose truth has probability 0 are left out: no T changes them. Empty with fewer than 10 rows. 1 where T makes no
// difference.
std::optional<double> fit_temperature(std::span<const std::vector<double>> probabilities, std::span<const std::int32_t> truth);

}  // namespace deskhand
