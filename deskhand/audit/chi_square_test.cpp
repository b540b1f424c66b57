#include "deskhand/audit/chi_square.h"

#include <doctest/doctest.h>

#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"

using namespace deskhand;

TEST_CASE("the chi-square test is scipy's chi2_contingency, its tail scipy's chi2.sf") {
  const std::string file = DESKHAND_SOURCE_DIR "/tests/golden/audit/chi_square.json";
  const auto golden = parse_json(read_text_file(file), file);
  for (const auto& one : golden["tests"]) {
    const auto test = chi_square_test(one["table"].get<CountTable>());
    REQUIRE(test.has_value());
    CHECK(test->statistic == doctest::Approx(one["statistic"].get<double>()).epsilon(1e-10));
    CHECK(test->degrees == one["degrees"].get<std::int64_t>());
    CHECK(test->p == doctest::Approx(one["p"].get<double>()).epsilon(1e-8));
    CHECK(test->cramers_v == doctest::Approx(one["cramers_v"].get<double>()).epsilon(1e-10));
    CHECK(test->least_expected == doctest::Approx(one["least_expected"].get<double>()).epsilon(1e-10));
    CHECK(test->low_expected == doctest::Approx(one["low_expected"].get<double>()).epsilon(1e-10));
  }
  for (const auto& one : golden["tails"]) {
    CAPTURE(one.dump());
    const double p = one["p"].get<double>(), own = chi_square_tail(one["x"].get<double>(), one["degrees"].get<std::int64_t>());
    CHECK(std::abs(own - p) <= 1e-8 * p + 1e-14 * (p > 1e-3));
  }
}

TEST_CASE("a table of one row, one column or nothing has no test") {
  CHECK_FALSE(chi_square_test({}).has_value());
  CHECK_FALSE(chi_square_test({{1, 2, 3}}).has_value());
  CHECK_FALSE(chi_square_test({{1, 0}, {5, 0}}).has_value());
  CHECK_FALSE(chi_square_test({{0, 0}, {5, 3}}).has_value());
  CHECK(permutation_p({{1, 0}, {5, 0}}, 100, 1) == 1);
}

TEST_CASE("shuffling agrees with the formula where the formula holds, and says no where all is chance") {
  const CountTable table = {{30, 20}, {20, 30}};
  CHECK(permutation_p(table, 4000, 1) == doctest::Approx(chi_square_test(table)->p).epsilon(0.5));
  CHECK(permutation_p(table, 4000, 1) == permutation_p(table, 4000, 1));
  CHECK(permutation_p({{10, 10}, {10, 10}}, 500, 1) == 1);
  CHECK(permutation_p({{0, 9}, {9, 0}}, 2000, 1) < 0.002);
}
