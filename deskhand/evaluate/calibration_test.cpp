#include "deskhand/evaluate/calibration.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "deskhand/evaluate/test_golden.h"

using namespace deskhand;

namespace {

using Distributions = std::vector<std::vector<double>>;

struct Sample {
  Distributions probabilities;
  std::vector<std::int32_t> truth;
};

// Truths drawn from p; what is told is p^sharpness.
Sample drawn(std::size_t rows, double sharpness, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  Sample sample;
  for (std::size_t i = 0; i < rows; ++i) {
    std::vector<double> p(4);
    for (double& value : p) value = std::exp(normal(random));
    sample.truth.push_back(std::discrete_distribution<std::int32_t>(p.begin(), p.end())(random));
    for (double& value : p) value = std::pow(value, sharpness);
    sample.probabilities.push_back(p);
  }
  return sample;
}

double mean_loss(const Sample& sample, double temperature) {
  Distributions scaled;
  for (const auto& p : sample.probabilities) scaled.push_back(scale_temperature(p, temperature));
  return log_loss(judge(scaled, sample.truth), all_rows(std::ssize(sample.truth))).value();
}

}  // namespace

TEST_CASE("calibration measures equal scikit-learn's and numpy's") {
  for (const Json& saved : golden_statistics()["calibration"]) {
    CAPTURE(saved["name"].get<std::string>());
    const Sample sample{saved["probabilities"].get<Distributions>(), saved["truth"].get<std::vector<std::int32_t>>()};
    const auto judged = judge(sample.probabilities, sample.truth);
    const auto rows = all_rows(std::ssize(judged));
    CHECK(calibration_error(judged, rows).value() == golden(saved["calibration_error"]));
    CHECK(brier_score(judged, rows).value() == golden(saved["brier"]));
    CHECK(log_loss(judged, rows).value() == golden(saved["log_loss"]));
    const auto bins = reliability_bins(judged, rows);
    REQUIRE(bins.size() == saved["bins"].size());
    for (std::size_t i = 0; i < bins.size(); ++i) {
      CHECK(bins[i].confidence == golden(saved["bins"][i][0]));
      CHECK(bins[i].accuracy == golden(saved["bins"][i][1]));
      CHECK(bins[i].count == saved["bins"][i][2].get<std::int64_t>());
    }
    const auto curve = coverage_curve(judged, rows);
    REQUIRE(curve.size() == saved["curve"].size());
    for (std::size_t i = 0; i < curve.size(); ++i) {
      CHECK(curve[i].threshold == golden(saved["curve"][i][0]));
      CHECK(curve[i].coverage == golden(saved["curve"][i][1]));
      CHECK(curve[i].precision == golden(saved["curve"][i][2]));
    }
    Scratch scratch;
    CHECK(CoverageArea(judged)(rows, scratch).value() == golden(saved["area"]));
    const auto temperature = fit_temperature(sample.probabilities, sample.truth);
    REQUIRE(temperature.has_value() == !saved["temperature"].is_null());
    if (!temperature) continue;
    CHECK(*temperature == golden(saved["temperature"]));
    for (std::size_t i = 0; i < saved["scaled"].size(); ++i)
      for (std::size_t label = 0; label < saved["scaled"][i].size(); ++label)
        CHECK(scale_temperature(sample.probabilities[i], *temperature)[label] == golden(saved["scaled"][i][label]));
  }
}

TEST_CASE("no row, or none that is known, leaves every measure empty") {
  const std::vector<Judged> nothing_known =
      judge(Distributions{{}, {0, 0}, {0.5, -0.1}, {NAN, 1}, {INFINITY, 1}, {0.5, 0.5}}, std::vector<std::int32_t>{0, 1, 0, 1, 1, -1});
  for (const std::vector<Judged>& judged : {std::vector<Judged>{}, nothing_known}) {
    const auto rows = all_rows(std::ssize(judged));
    Scratch scratch;
    CHECK(!calibration_error(judged, rows));
    CHECK(!brier_score(judged, rows));
    CHECK(!log_loss(judged, rows));
    CHECK(reliability_bins(judged, rows).empty());
    CHECK(coverage_curve(judged, rows).empty());
    CHECK(!CoverageArea(judged)(rows, scratch));
  }
}

TEST_CASE("a truth of probability zero costs a bounded loss, also where the label could not be chosen") {
  const Judged zero = judge(std::vector<double>{1, 0}, 1), foreign = judge(std::vector<double>{1, 0}, 7);
  CHECK(zero.log_loss == doctest::Approx(36.0436533891));
  CHECK(zero.brier == 2);
  CHECK(foreign.log_loss == zero.log_loss);
  CHECK(foreign.brier == 2);
  CHECK((foreign.is_known && !foreign.is_right));
  CHECK(judge(std::vector<double>{1, 0}, 0).log_loss < 1e-15);
}

TEST_CASE("of equally likely labels the first is the answer") {
  CHECK(judge(std::vector<double>{0.25, 0.25, 0.25, 0.25}, 0).is_right);
  CHECK(!judge(std::vector<double>{0.25, 0.25, 0.25, 0.25}, 1).is_right);
}

TEST_CASE("huge weights do not overflow into nothing known by accident") {
  CHECK(judge(std::vector<double>{1e308, 1e300}, 0).is_known);
  CHECK(!judge(std::vector<double>{1e308, 1e308}, 0).is_known);  // their sum is infinite
  CHECK(scale_temperature(std::vector<double>{1e-310, 1e-300, 0}, 0.05)[1] == 1);
}

TEST_CASE("the coverage curve is thinned to 200 points that keep both ends and rise") {
  const Sample sample = drawn(5000, 1, 3);
  const auto judged = judge(sample.probabilities, sample.truth);
  const auto rows = all_rows(5000);
  const auto full = coverage_curve(judged, rows, 100000), thin = coverage_curve(judged, rows);
  CHECK(full.size() > 4900);
  CHECK(thin.size() <= 200);
  CHECK(thin.size() > 190);
  CHECK(thin.front().threshold == full.front().threshold);
  CHECK(thin.back().threshold == full.back().threshold);
  CHECK(thin.back().coverage == 1);
  for (std::size_t i = 1; i < thin.size(); ++i) {
    CHECK(thin[i].coverage > thin[i - 1].coverage);
    CHECK(thin[i].coverage - thin[i - 1].coverage < 0.011);
  }
}

TEST_CASE("the area of a resample is that of the curve drawn from its rows") {
  const Sample sample = drawn(300, 1, 5);
  auto judged = judge(sample.probabilities, sample.truth);
  for (Judged& one : judged) one.confidence = std::round(one.confidence * 20) / 20;  // ties
  judged[17].is_known = false;
  std::mt19937 random(2);
  std::vector<std::int32_t> rows(300);
  for (auto& row : rows) row = static_cast<std::int32_t>(random() % 300);
  double area = 0, before = 0;
  for (const auto& point : coverage_curve(judged, rows)) {
    area += (point.coverage - before) * point.precision;
    before = point.coverage;
  }
  Scratch scratch;
  CHECK(CoverageArea(judged)(rows, scratch).value() == doctest::Approx(area).epsilon(1e-12));
}

TEST_CASE("the temperature that sharpened the distributions is found") {
  for (const double sharpness : {0.4, 1.0, 3.0}) {
    const Sample sample = drawn(4000, sharpness, 9);
    CHECK(fit_temperature(sample.probabilities, sample.truth).value() == doctest::Approx(sharpness).epsilon(0.1));
  }
}

TEST_CASE("no other temperature has a lower loss") {
  const Sample sample = drawn(60, 2.5, 4);
  const double fitted = fit_temperature(sample.probabilities, sample.truth).value();
  for (const double factor : {0.05, 0.5, 0.99, 1.01, 2.0, 8.0})
    CHECK(mean_loss(sample, fitted) <= mean_loss(sample, fitted * factor) + 1e-12);
}

TEST_CASE("a temperature needs ten usable rows and stays within .05 and 20") {
  Sample sample = drawn(9, 1, 1);
  CHECK(!fit_temperature(sample.probabilities, sample.truth));
  sample.probabilities.push_back({1, 0, 0, 0});
  sample.truth.push_back(2);  // probability 0: no temperature changes it
  CHECK(!fit_temperature(sample.probabilities, sample.truth));
  CHECK(!fit_temperature({}, {}));
  const std::vector<std::int32_t> right(12, 0), wrong(12, 1);
  CHECK(fit_temperature(Distributions(12, {0.6, 0.4}), right) == 0.05);
  CHECK(fit_temperature(Distributions(12, {0.6, 0.4}), wrong) == 20.0);
  CHECK(fit_temperature(Distributions(12, {0.5, 0.5}), right) == 1.0);
  CHECK(fit_temperature(Distributions(12, {1, 0}), right) == 1.0);
}

TEST_CASE("scaling keeps the order of labels and zeros, and a temperature of 1 changes nothing") {
  const std::vector<double> p = {0.5, 0.3, 0.2, 0};
  for (std::size_t i = 0; i < p.size(); ++i) CHECK(scale_temperature(p, 1)[i] == doctest::Approx(p[i]).epsilon(1e-15));
  const auto flat = scale_temperature(p, 20);
  CHECK((flat[0] > flat[1] && flat[1] > flat[2] && flat[3] == 0));
  CHECK(scale_temperature(p, 0.05)[0] > 0.9999);
  CHECK(scale_temperature({}, 2).empty());
  CHECK(scale_temperature(std::vector<double>{0, 0}, 2) == std::vector<double>{0, 0});
}
