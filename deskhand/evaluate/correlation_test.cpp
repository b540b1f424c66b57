#include "deskhand/evaluate/correlation.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "deskhand/evaluate/distributions.h"
#include "deskhand/evaluate/test_golden.h"

using namespace deskhand;

using Values = std::vector<double>;

TEST_CASE("coefficients, p values and the line equal scipy's") {
  for (const Json& saved : golden_statistics()["correlation"]) {
    CAPTURE(saved["name"].get<std::string>());
    const auto x = saved["x"].get<Values>(), y = saved["y"].get<Values>();
    CHECK(pearson(x, y).value().r == golden(saved["pearson"][0]));
    CHECK(pearson(x, y).value().p == golden_p(saved["pearson"][1]));
    CHECK(spearman(x, y).value().r == golden(saved["spearman"][0]));
    CHECK(spearman(x, y).value().p == golden_p(saved["spearman"][1]));
    CHECK(least_squares(x, y).value().slope == golden_p(saved["line"][0]));
    CHECK(least_squares(x, y).value().intercept == golden(saved["line"][1]));
  }
}

TEST_CASE("the incomplete beta function equals scipy's") {
  for (const Json& saved : golden_statistics()["intervals"]["beta"]) {
    const double x = saved[2].get<double>();
    CHECK(incomplete_beta(saved[0].get<double>(), saved[1].get<double>(), x, 1 - x) ==
          doctest::Approx(saved[3].get<double>()).epsilon(1e-9).scale(1e-280));
  }
  CHECK(incomplete_beta(2, 3, 0, 1) == 0);
  CHECK(incomplete_beta(2, 3, 1, 0) == 1);
}

TEST_CASE("a perfect line has p 0, and pairs that share nothing p 1") {
  CHECK(pearson(Values{1, 2, 3, 4}, Values{2, 4, 6, 8}).value().r == doctest::Approx(1));
  CHECK(pearson(Values{1, 2, 3, 4}, Values{2, 4, 6, 8}).value().p < 1e-7);
  CHECK(spearman(Values{1, 2, 3, 4}, Values{8, 4, 2, 1}).value().r == -1);
  CHECK(spearman(Values{1, 2, 3, 4}, Values{8, 4, 2, 1}).value().p == 0);
  CHECK(pearson(Values{-1, 0, 1}, Values{1, 0, 1}).value().p == 1);
}

TEST_CASE("what is not defined says why") {
  CHECK(pearson({}, {}).error() == "0 pairs, at least 3 are needed");
  CHECK(spearman(Values{1}, Values{1}).error() == "1 pairs, at least 3 are needed");
  CHECK(least_squares(Values{1, 2}, Values{1, 2}).error() == "2 pairs, at least 3 are needed");
  CHECK(pearson(Values{0.1, 0.1, 0.1}, Values{1, 2, 3}).error() == "all values of the first column are equal");
  CHECK(spearman(Values{1, 2, 3}, Values{0.1, 0.1, 0.1}).error() == "all values of the second column are equal");
  CHECK(pearson(Values{1, 2, NAN}, Values{1, 2, 3}).error() == "a value is not a finite number");
  CHECK(spearman(Values{1, 2, 3}, Values{1, INFINITY, 3}).error() == "a value is not a finite number");
  CHECK(least_squares(Values{1, 1, 1}, Values{1, 2, 3}).error() == "all values of the first column are equal");
  CHECK(least_squares(Values{1, 2, 3}, Values{5, 5, 5}).value().slope == 0);
  CHECK(least_squares(Values{1, 2, 3}, Values{0, 0, 0}).value().intercept == 0);
}

TEST_CASE("the largest and the smallest numbers do not overflow into NaN") {
  CHECK(pearson(Values{-1e308, 1e308, 0}, Values{-1e308, 1e308, 0}).value().r == doctest::Approx(1));
  CHECK(pearson(Values{1e-320, 3e-320, 2e-320}, Values{1, 3, 2}).value().r == doctest::Approx(1));
  CHECK(!least_squares(Values{1e-308, 2e-308, 3e-308}, Values{1e308, -1e308, 1e307}));
}

TEST_CASE("a sample's coefficients are those of its pairs") {
  std::mt19937 random(5);
  Values x(50), y(50);
  for (std::size_t i = 0; i < 50; ++i) {
    x[i] = static_cast<double>(random() % 12);
    y[i] = x[i] + static_cast<double>(random() % 9);
  }
  const SampledCorrelation sampled(x, y);
  Scratch scratch;
  for (int round = 0; round < 20; ++round) {
    std::vector<std::int32_t> rows(static_cast<std::size_t>(3 + random() % 60));
    Values at_x, at_y;
    for (auto& row : rows) {
      row = static_cast<std::int32_t>(random() % 50);
      at_x.push_back(x[static_cast<std::size_t>(row)]);
      at_y.push_back(y[static_cast<std::size_t>(row)]);
    }
    const auto whole = pearson(at_x, at_y);
    if (!whole) continue;
    CHECK(sampled.pearson(rows, scratch).value() == doctest::Approx(whole->r).epsilon(1e-12));
    CHECK(sampled.spearman(rows, scratch).value() == doctest::Approx(spearman(at_x, at_y).value().r).epsilon(1e-12));
  }
  CHECK(!sampled.pearson(std::vector<std::int32_t>(10, 3), scratch));
  CHECK(!sampled.spearman(std::vector<std::int32_t>(10, 3), scratch));
  CHECK(!sampled.spearman({}, scratch));
  CHECK(!SampledCorrelation(Values{1, 2, NAN}, Values{1, 2, 3}).pearson(all_rows(3), scratch));
}
