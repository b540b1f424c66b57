#include "deskhand/evaluate/calibration.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

constexpr double kLeastProbability = std::numeric_limits<double>::epsilon();
constexpr double kLowestTemperature = 0.05, kHighestTemperature = 20;
constexpr std::size_t kLeastExamples = 10;

const Judged& at(std::span<const Judged> judged, std::int32_t row) {
  return judged[static_cast<std::size_t>(row)];
}

// 0 where the values are no distribution.
double sum_of(std::span<const double> probabilities) {
  double sum = 0;
  for (const double p : probabilities) {
    if (!std::isfinite(p) || p < 0) return 0;
    sum += p;
  }
  return std::isfinite(sum) ? sum : 0;
}

struct Bin {
  double confidence = 0;  // sum
  std::int64_t right = 0, count = 0;
};

std::array<Bin, kReliabilityBins> fill_bins(std::span<const Judged> judged, Rows rows) {
  std::array<Bin, kReliabilityBins> bins{};
  for (const auto row : rows) {
    const Judged& one = at(judged, row);
    if (!one.is_known) continue;
    const int number = std::clamp(static_cast<int>(std::ceil(one.confidence * kReliabilityBins)) - 1, 0, kReliabilityBins - 1);
    Bin& bin = bins[static_cast<std::size_t>(number)];
    bin.confidence += one.confidence;
    bin.right += one.is_right;
    ++bin.count;
  }
  return bins;
}

std::optional<double> mean_of(std::span<const Judged> judged, Rows rows, double Judged::*value) {
  double sum = 0;
  std::int64_t known = 0;
  for (const auto row : rows)
    if (const Judged& one = at(judged, row); one.is_known) sum += one.*value, ++known;
  if (known == 0) return std::nullopt;
  return sum / static_cast<double>(known);
}

// What fitting a temperature reads of one row: ln p of the labels above 0, the largest taken off, and that of the truth.
struct Logits {
  std::size_t begin = 0, end = 0;
  double truth = 0;
};

// Slope and curvature of the log loss in b = 1/T: sum over rows of E[l] - l_truth and Var[l] under p^b.
struct Slope {
  double slope = 0, curvature = 0;
};

Slope slope_at(double b, std::span<const double> values, std::span<const Logits> rows) {
  Slope total;
  for (const Logits& row : rows) {
    double sum = 0, first = 0, second = 0;
    for (std::size_t i = row.begin; i < row.end; ++i) {
      const double weight = std::exp(b * values[i]);
      sum += weight;
      first += weight * values[i];
      second += weight * values[i] * values[i];
    }
    const double expected = first / sum;  // sum >= 1: the largest value is 0
    total.slope += expected - row.truth;
    total.curvature += std::max(0.0, second / sum - expected * expected);
  }
  return total;
}

}  // namespace

Judged judge(std::span<const double> probabilities, std::int32_t truth) {
  const double sum = sum_of(probabilities);
  if (sum <= 0 || truth < 0) return {};
  const auto likeliest = std::max_element(probabilities.begin(), probabilities.end()) - probabilities.begin();
  const bool can_be_right = static_cast<std::size_t>(truth) < probabilities.size();
  const double of_truth = can_be_right ? probabilities[static_cast<std::size_t>(truth)] / sum : 0;
  double brier = can_be_right ? 0 : 1;
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    const double miss = probabilities[i] / sum - (i == static_cast<std::size_t>(truth) ? 1 : 0);
    brier += miss * miss;
  }
  return {.is_known = true,
          .is_right = likeliest == truth,
          .confidence = std::min(1.0, probabilities[static_cast<std::size_t>(likeliest)] / sum),
          .brier = brier,
          .log_loss = -std::log(std::clamp(of_truth, kLeastProbability, 1 - kLeastProbability))};
}

std::vector<Judged> judge(std::span<const std::vector<double>> probabilities, std::span<const std::int32_t> truth) {
  DESKHAND_ASSERT(probabilities.size() == truth.size(), "a distribution for every truth");
  std::vector<Judged> judged(truth.size());
  for (std::size_t i = 0; i < truth.size(); ++i) judged[i] = judge(probabilities[i], truth[i]);
  return judged;
}

std::optional<double> calibration_error(std::span<const Judged> judged, Rows rows) {
  double gap = 0;
  std::int64_t known = 0;
  for (const Bin& bin : fill_bins(judged, rows)) {
    gap += std::abs(static_cast<double>(bin.right) - bin.confidence);  // times count, over count
    known += bin.count;
  }
  if (known == 0) return std::nullopt;
  return gap / static_cast<double>(known);
}

std::vector<ReliabilityBin> reliability_bins(std::span<const Judged> judged, Rows rows) {
  std::vector<ReliabilityBin> filled;
  for (const Bin& bin : fill_bins(judged, rows)) {
    if (bin.count == 0) continue;
    const auto count = static_cast<double>(bin.count);
    filled.push_back({.confidence = bin.confidence / count, .accuracy = static_cast<double>(bin.right) / count, .count = bin.count});
  }
  return filled;
}

std::optional<double> brier_score(std::span<const Judged> judged, Rows rows) {
  return mean_of(judged, rows, &Judged::brier);
}

std::optional<double> log_loss(std::span<const Judged> judged, Rows rows) {
  return mean_of(judged, rows, &Judged::log_loss);
}

std::vector<CoveragePoint> coverage_curve(std::span<const Judged> judged, Rows rows, std::size_t most) {
  DESKHAND_ASSERT(most >= 2, "the first and the last point stay");
  std::vector<std::int32_t> sorted;
  for (const auto row : rows)
    if (at(judged, row).is_known) sorted.push_back(row);
  std::sort(sorted.begin(), sorted.end(),
            [&](std::int32_t a, std::int32_t b) { return at(judged, a).confidence > at(judged, b).confidence; });
  std::vector<CoveragePoint> curve;
  const auto known = static_cast<double>(sorted.size());
  std::int64_t right = 0;
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const Judged& one = at(judged, sorted[i]);
    right += one.is_right;
    if (i + 1 < sorted.size() && at(judged, sorted[i + 1]).confidence == one.confidence) continue;
    const auto taken = static_cast<double>(i + 1);
    curve.push_back({.threshold = one.confidence, .coverage = taken / known, .precision = static_cast<double>(right) / taken});
  }
  if (curve.size() <= most) return curve;
  std::vector<CoveragePoint> thinned;
  const double first = curve.front().coverage, step = (1 - first) / static_cast<double>(most - 1);
  for (const CoveragePoint& point : curve)
    if (point.coverage >= first + step * static_cast<double>(thinned.size()) && thinned.size() + 1 < most) thinned.push_back(point);
  if (thinned.back().coverage < 1) thinned.push_back(curve.back());
  return thinned;
}

CoverageArea::CoverageArea(std::span<const Judged> judged) : place_(judged.size(), -1), is_right_(judged.size()) {
  std::vector<double> confidences;
  for (const Judged& one : judged)
    if (one.is_known) confidences.push_back(one.confidence);
  std::sort(confidences.begin(), confidences.end(), std::greater<>());
  confidences.erase(std::unique(confidences.begin(), confidences.end()), confidences.end());
  places_ = static_cast<std::int64_t>(confidences.size());
  for (std::size_t i = 0; i < judged.size(); ++i) {
    if (!judged[i].is_known) continue;
    const auto place = std::lower_bound(confidences.begin(), confidences.end(), judged[i].confidence, std::greater<>());
    place_[i] = static_cast<std::int32_t>(place - confidences.begin());
    is_right_[i] = judged[i].is_right;
  }
}

std::optional<double> CoverageArea::operator()(Rows rows, Scratch& scratch) const {
  auto& counts = scratch.counts;  // per place: rows, right
  counts.assign(static_cast<std::size_t>(places_) * 2, 0);
  for (const auto row : rows) {
    const auto place = place_[static_cast<std::size_t>(row)];
    if (place < 0) continue;
    ++counts[static_cast<std::size_t>(place) * 2];
    counts[static_cast<std::size_t>(place) * 2 + 1] += is_right_[static_cast<std::size_t>(row)];
  }
  std::int64_t taken = 0, right = 0;
  double area = 0;
  for (std::size_t place = 0; place < counts.size(); place += 2) {
    if (counts[place] == 0) continue;
    taken += counts[place];
    right += counts[place + 1];
    area += static_cast<double>(counts[place]) * static_cast<double>(right) / static_cast<double>(taken);
  }
  if (taken == 0) return std::nullopt;
  return area / static_cast<double>(taken);
}

std::vector<double> scale_temperature(std::span<const double> probabilities, double temperature) {
  DESKHAND_ASSERT(std::isfinite(temperature) && temperature > 0, "a temperature is above 0");
  std::vector<double> scaled(probabilities.begin(), probabilities.end());
  if (sum_of(probabilities) <= 0) return scaled;
  const double largest = *std::max_element(probabilities.begin(), probabilities.end());
  double sum = 0;
  for (double& p : scaled) sum += p = p > 0 ? std::exp((std::log(p) - std::log(largest)) / temperature) : 0;
  for (double& p : scaled) p /= sum;
  return scaled;
}

std::optional<double> fit_temperature(std::span<const std::vector<double>> probabilities, std::span<const std::int32_t> truth) {
  DESKHAND_ASSERT(probabilities.size() == truth.size(), "a distribution for every truth");
  std::vector<double> values;
  std::vector<Logits> rows;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    const auto& p = probabilities[i];
    if (truth[i] < 0 || static_cast<std::size_t>(truth[i]) >= p.size() || sum_of(p) <= 0 || p[static_cast<std::size_t>(truth[i])] <= 0)
      continue;
    const double largest = std::log(*std::max_element(p.begin(), p.end()));
    Logits row{.begin = values.size(), .truth = std::log(p[static_cast<std::size_t>(truth[i])]) - largest};
    for (const double value : p)
      if (value > 0) values.push_back(std::log(value) - largest);
    row.end = values.size();
    rows.push_back(row);
  }
  if (rows.size() < kLeastExamples) return std::nullopt;
  double low = 1 / kHighestTemperature, high = 1 / kLowestTemperature;
  const double at_low = slope_at(low, values, rows).slope, at_high = slope_at(high, values, rows).slope;
  const double nothing = 1e-12 * static_cast<double>(rows.size());
  if (std::abs(at_low) <= nothing && std::abs(at_high) <= nothing) return 1;
  if (at_low >= 0) return kHighestTemperature;
  if (at_high <= 0) return kLowestTemperature;
  double b = 1;
  for (int round = 0; round < 200 && high - low > 1e-14 * high; ++round) {
    const Slope here = slope_at(b, values, rows);
    if (here.slope == 0) break;
    (here.slope < 0 ? low : high) = b;
    double next = here.curvature > 0 ? b - here.slope / here.curvature : low;
    if (!(next > low && next < high)) next = std::sqrt(low * high);
    if (std::abs(next - b) <= 1e-15 * b) break;
    b = next;
  }
  return 1 / b;
}

}  // namespace deskhand
