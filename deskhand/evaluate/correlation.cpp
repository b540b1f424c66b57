#include "deskhand/evaluate/correlation.h"

#include <algorithm>
#include <cmath>

#include "deskhand/evaluate/distributions.h"

namespace deskhand {
namespace {

constexpr std::size_t kLeastPairs = 3;

bool is_finite(std::span<const double> values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

// What is summed, divided by the largest magnitude so that nothing overflows.
struct Scaled {
  double scale = 0, mean = 0;
};

Scaled scaled(std::span<const double> values) {
  double scale = 0, sum = 0;
  for (const double value : values) scale = std::max(scale, std::abs(value));
  if (scale == 0) return {};
  for (const double value : values) sum += value / scale;
  return {scale, sum / static_cast<double>(values.size())};
}

bool has_spread(std::span<const double> values) {
  return std::any_of(values.begin(), values.end(), [&](double value) { return value != values.front(); });
}

struct Moments {
  double xx = 0, yy = 0, xy = 0;  // sums of products of deviations, each column over its scale
};

Moments moments(std::span<const double> x, const Scaled& of_x, std::span<const double> y, const Scaled& of_y) {
  Moments sums;
  const double x_scale = of_x.scale == 0 ? 1 : of_x.scale, y_scale = of_y.scale == 0 ? 1 : of_y.scale;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double dx = x[i] / x_scale - of_x.mean, dy = y[i] / y_scale - of_y.mean;
    sums.xx += dx * dx;
    sums.yy += dy * dy;
    sums.xy += dx * dy;
  }
  return sums;
}

// Of finite values.
std::optional<double> coefficient(std::span<const double> x, std::span<const double> y) {
  if (x.size() < kLeastPairs || !has_spread(x) || !has_spread(y)) return std::nullopt;
  const Moments sums = moments(x, scaled(x), y, scaled(y));
  const double spread = std::sqrt(sums.xx * sums.yy);
  if (!(spread > 0)) return std::nullopt;
  return std::clamp(sums.xy / spread, -1.0, 1.0);
}

std::string reason_against(std::span<const double> x, std::span<const double> y, bool y_needs_spread) {
  if (x.size() < kLeastPairs) return fmt::format("{} pairs, at least {} are needed", x.size(), kLeastPairs);
  if (!is_finite(x) || !is_finite(y)) return "a value is not a finite number";
  if (!has_spread(x)) return "all values of the first column are equal";
  if (y_needs_spread && !has_spread(y)) return "all values of the second column are equal";
  return {};
}

std::vector<double> ranks(std::span<const double> values) {
  std::vector<std::size_t> order(values.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (std::size_t i = begin; i < end; ++i) ranks[order[i]] = static_cast<double>(begin + end + 1) / 2;
  }
  return ranks;
}

Expected<CorrelationTest, std::string> test(std::span<const double> x, std::span<const double> y) {
  const auto r = coefficient(x, y);
  if (!r) return Unexpected{std::string("the values hardly differ")};
  return CorrelationTest{.r = *r, .p = correlation_p(*r, static_cast<double>(x.size()))};
}

}  // namespace

Expected<CorrelationTest, std::string> pearson(std::span<const double> x, std::span<const double> y) {
  DESKHAND_ASSERT(x.size() == y.size(), "pairs");
  if (auto reason = reason_against(x, y, true); !reason.empty()) return Unexpected{std::move(reason)};
  return test(x, y);
}

Expected<CorrelationTest, std::string> spearman(std::span<const double> x, std::span<const double> y) {
  DESKHAND_ASSERT(x.size() == y.size(), "pairs");
  if (auto reason = reason_against(x, y, true); !reason.empty()) return Unexpected{std::move(reason)};
  return test(ranks(x), ranks(y));
}

Expected<Line, std::string> least_squares(std::span<const double> x, std::span<const double> y) {
  DESKHAND_ASSERT(x.size() == y.size(), "pairs");
  if (auto reason = reason_against(x, y, false); !reason.empty()) return Unexpected{std::move(reason)};
  const Scaled of_x = scaled(x), of_y = scaled(y);
  const Moments sums = moments(x, of_x, y, of_y);
  const double slope = sums.xy / sums.xx * of_y.scale / of_x.scale;
  const Line line{.slope = slope, .intercept = of_y.mean * of_y.scale - slope * (of_x.mean * of_x.scale)};
  if (!std::isfinite(line.slope) || !std::isfinite(line.intercept)) return Unexpected{std::string("the values hardly differ")};
  return line;
}

SampledCorrelation::SampledCorrelation(std::span<const double> x, std::span<const double> y) {
  DESKHAND_ASSERT(x.size() == y.size(), "pairs");
  is_finite_ = is_finite(x) && is_finite(y);
  if (!is_finite_) return;
  x_ = column(x);
  y_ = column(y);
}

SampledCorrelation::Column SampledCorrelation::column(std::span<const double> values) {
  Column column{.values = {values.begin(), values.end()}, .place = std::vector<std::int32_t>(values.size())};
  auto distinct = column.values;
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  column.places = static_cast<std::int64_t>(distinct.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    column.place[i] = static_cast<std::int32_t>(std::lower_bound(distinct.begin(), distinct.end(), values[i]) - distinct.begin());
  return column;
}

std::optional<double> SampledCorrelation::pearson(Rows rows, Scratch& scratch) const {
  if (!is_finite_) return std::nullopt;
  scratch.first.resize(rows.size());
  scratch.second.resize(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    scratch.first[i] = x_.values[static_cast<std::size_t>(rows[i])];
    scratch.second[i] = y_.values[static_cast<std::size_t>(rows[i])];
  }
  return coefficient(scratch.first, scratch.second);
}

std::optional<double> SampledCorrelation::spearman(Rows rows, Scratch& scratch) const {
  if (!is_finite_) return std::nullopt;
  const auto write_ranks = [&](const Column& column, std::vector<double>& ranks) {
    auto& counts = scratch.counts;  // per place: rows, then twice their mean rank
    counts.assign(static_cast<std::size_t>(column.places), 0);
    for (const auto row : rows) ++counts[static_cast<std::size_t>(column.place[static_cast<std::size_t>(row)])];
    std::int64_t before = 0;
    for (auto& count : counts) {
      const auto here = count;
      count = 2 * before + here + 1;
      before += here;
    }
    ranks.resize(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i)
      ranks[i] = static_cast<double>(counts[static_cast<std::size_t>(column.place[static_cast<std::size_t>(rows[i])])]) / 2;
  };
  write_ranks(x_, scratch.first);
  write_ranks(y_, scratch.second);
  return coefficient(scratch.first, scratch.second);
}

}  // namespace deskhand
