#include "deskhand/evaluate/labels.h"

#include <doctest/doctest.h>

#include <cmath>

#include "deskhand/base/error.h"
#include "deskhand/evaluate/test_golden.h"

using namespace deskhand;

namespace {

struct Columns {
  std::vector<std::int32_t> truth, answer;
  std::int32_t labels = 5;
  Labelled labelled() const { return {truth, answer, labels}; }
};

std::vector<std::string> names_of(std::int32_t labels) {
  std::vector<std::string> names;
  for (std::int32_t i = 0; i < labels; ++i) names.push_back("label " + std::to_string(i));
  return names;
}

const UrgencyCosts kCosts{.under = {8, 4, 2, 1, 1}, .over = 0.5};

}  // namespace

TEST_CASE("label measures equal scikit-learn's, with missing answers as documented, on whole columns and on a resample") {
  for (const Json& saved : golden_statistics()["labels"]) {
    CAPTURE(saved["name"].get<std::string>());
    const Columns columns{saved["truth"].get<std::vector<std::int32_t>>(), saved["answer"].get<std::vector<std::int32_t>>(),
                          saved["labels"].get<std::int32_t>()};
    const Labelled labelled = columns.labelled();
    const auto rows = saved["rows"].get<std::vector<std::int32_t>>();
    const auto names = names_of(columns.labels);
    Scratch scratch;
    CHECK(accuracy(labelled, rows).value() == golden(saved["accuracy"]));
    CHECK(macro_f1(labelled, rows, scratch).value() == golden(saved["macro_f1"]));
    CHECK(mean_absolute_error(labelled, rows).value() == golden(saved["mae"]));
    const UrgencyCosts costs{.under = saved["under"].get<std::vector<double>>(), .over = saved["over"].get<double>()};
    CHECK(cost_weighted_error(labelled, costs, rows).value() == golden(saved["cost"]));
    const auto kappa = quadratic_kappa(labelled, rows);
    REQUIRE(kappa.has_value() == !saved["kappa"].is_null());
    if (kappa) CHECK(*kappa == golden(saved["kappa"]));
    const auto classes = class_rows(labelled, rows, names);
    REQUIRE(classes.size() == saved["f1"].size());
    for (std::size_t i = 0; i < classes.size(); ++i) {
      CHECK(classes[i].label == names[i]);
      CHECK(classes[i].precision == golden(saved["precision"][i]));
      CHECK(classes[i].recall == golden(saved["recall"][i]));
      CHECK(classes[i].f1 == golden(saved["f1"][i]));
      CHECK(classes[i].support == saved["support"][i].get<std::int64_t>());
    }
    CHECK(confusion_matrix(labelled, rows, names).counts == saved["confusion"].get<std::vector<std::int64_t>>());
  }
}

TEST_CASE("no rows, or none whose truth is known, leave every measure empty") {
  Scratch scratch;
  for (const Columns& columns : {Columns{}, Columns{{-1, 5, 99, INT32_MIN}, {0, 1, 2, 3}}, Columns{{}, {}, 0}}) {
    const auto rows = all_rows(std::ssize(columns.truth));
    CHECK(!accuracy(columns.labelled(), rows));
    CHECK(!macro_f1(columns.labelled(), rows, scratch));
    CHECK(!quadratic_kappa(columns.labelled(), rows));
    CHECK(!mean_absolute_error(columns.labelled(), rows));
    CHECK(!cost_weighted_error(columns.labelled(), {.under = std::vector<double>(static_cast<std::size_t>(columns.labels), 1)}, rows));
    for (const auto& row : class_rows(columns.labelled(), rows, names_of(columns.labels))) CHECK((row.support == 0 && row.f1 == 0));
  }
}

TEST_CASE("a missing answer is a miss of its own label and a false positive of none") {
  const Columns columns{{0, 0, 1}, {0, -1, 1}};
  const auto classes = class_rows(columns.labelled(), all_rows(3), names_of(5));
  CHECK(classes[0].recall == 0.5);
  CHECK(classes[0].precision == 1);
  CHECK(classes[1].precision == 1);
  const auto matrix = confusion_matrix(columns.labelled(), all_rows(3), names_of(5));
  CHECK(matrix.counts[0 * 6 + 0] == 1);
  CHECK(matrix.counts[0 * 6 + 5] == 1);
  CHECK(matrix.counts[1 * 6 + 1] == 1);
}

TEST_CASE("an answer outside the labels is a missing one, however far outside") {
  const Columns missing{{0, 2, 4}, {-1, -1, -1}};
  for (const std::int32_t outside : {5, 6, -2, INT32_MAX, INT32_MIN}) {
    const Columns columns{{0, 2, 4}, {outside, outside, outside}};
    CHECK(mean_absolute_error(columns.labelled(), all_rows(3)) == mean_absolute_error(missing.labelled(), all_rows(3)));
    CHECK(quadratic_kappa(columns.labelled(), all_rows(3)) == quadratic_kappa(missing.labelled(), all_rows(3)));
    CHECK(accuracy(columns.labelled(), all_rows(3)) == 0.0);
  }
}

TEST_CASE("a missed urgent ticket costs its own rate a level, a false alarm the common one") {
  const auto cost = [](std::int32_t truth, std::int32_t answer) {
    const Columns columns{{truth}, {answer}};
    return cost_weighted_error(columns.labelled(), kCosts, all_rows(1)).value();
  };
  CHECK(cost(0, 0) == 0);
  CHECK(cost(0, 3) == 24);
  CHECK(cost(3, 4) == 1);
  CHECK(cost(4, 0) == 2);
}

TEST_CASE("a missing answer costs as the dearest answer to that truth") {
  for (std::int32_t truth = 0; truth < 5; ++truth) {
    double dearest = 0;
    for (std::int32_t answer = 0; answer < 5; ++answer) {
      const Columns columns{{truth}, {answer}};
      dearest = std::max(dearest, cost_weighted_error(columns.labelled(), kCosts, all_rows(1)).value());
    }
    const Columns silent{{truth}, {-1}};
    CHECK(cost_weighted_error(silent.labelled(), kCosts, all_rows(1)).value() == dearest);
  }
}

TEST_CASE("costs that are none are refused") {
  const Columns columns{{0}, {1}};
  CHECK_THROWS_AS(cost_weighted_error(columns.labelled(), {.under = {1, 2}}, all_rows(1)), Error);
  CHECK_THROWS_AS(cost_weighted_error(columns.labelled(), {.under = {1, 2, -1, 1, 1}}, all_rows(1)), Error);
  CHECK_THROWS_AS(cost_weighted_error(columns.labelled(), {.under = {1, 2, NAN, 1, 1}}, all_rows(1)), Error);
  CHECK_THROWS_AS(cost_weighted_error(columns.labelled(), {.under = {1, 2, 1, 1, 1}, .over = INFINITY}, all_rows(1)), Error);
}

TEST_CASE("a mean is of the values that are there") {
  const std::vector<std::optional<double>> values = {1.0, std::nullopt, 4.0};
  CHECK(mean(values, all_rows(3)) == 2.5);
  CHECK(mean(values, std::vector<std::int32_t>{2, 2, 0, 1}) == 3.0);
  CHECK(!mean(values, std::vector<std::int32_t>{1, 1}));
  CHECK(!mean({}, {}));
}
