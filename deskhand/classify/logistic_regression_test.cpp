#include "deskhand/classify/logistic_regression.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>

#include "deskhand/base/error.h"
#include "deskhand/classify/golden_file.h"
#include "deskhand/classify/text_classifier.h"

namespace deskhand {
namespace {

using Labels = std::vector<std::string>;
constexpr double kTight = 1e-7;

// scikit-learn gives two classes one column, the second's against the first's.
void check_model(const LogisticRegression& model, const RowsView& test, const Json& golden) {
  const std::size_t K = model.classes().size();
  CHECK(model.converged());
  CHECK(model.classes() == golden["classes"].get<Labels>());
  const auto probabilities = model.predict_proba(test);
  REQUIRE(probabilities.size() == golden["probabilities"].size());
  for (std::size_t i = 0; i < probabilities.size(); ++i)
    CHECK(std::abs(probabilities[i] - golden["probabilities"][i].get<double>()) < 1e-5);
  const auto check = [&](auto ours, const Json& wanted) {
    REQUIRE(ours.size() / K * (K == 2 ? 1 : K) == wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i)
      CHECK(std::abs((K == 2 ? ours[2 * i + 1] - ours[2 * i] : ours[i]) - wanted[i].get<double>()) < 1e-4);
  };
  check(model.intercepts(), golden["intercepts"]);
  if (golden.contains("coefficients")) check(model.coefficients(), golden["coefficients"]);
}

struct Drawn {
  std::vector<float> values;
  Labels labels;
};
Drawn drawn(int rows, int width, int classes) {
  std::mt19937 random(5);
  Drawn out;
  for (int r = 0; r < rows; ++r) {
    const int label = static_cast<int>(random() % static_cast<unsigned>(classes));
    out.labels.push_back(std::to_string(label));
    for (int c = 0; c < width; ++c) out.values.push_back(static_cast<float>(random() % 2000) / 1000 - 1 + (c % classes == label ? .5f : 0));
  }
  return out;
}

// The same rows as sparse ones, with `empty` columns that no row has, so that either form of the search is taken.
SparseRows as_sparse(const std::vector<float>& values, int width, int empty) {
  SparseRows rows{.width = width + empty};
  for (std::size_t i = 0; i < values.size(); ++i) {
    rows.columns.push_back(static_cast<std::int32_t>(i) % width);
    rows.values.push_back(values[i]);
    if (rows.columns.back() == width - 1) rows.begins.push_back(static_cast<std::int64_t>(i) + 1);
  }
  return rows;
}

}  // namespace

TEST_CASE("coefficients, intercepts and probabilities are scikit-learn's on TF-IDF rows, weighted classes and two classes too") {
  ThreadPool pool(2);
  const Json golden = classify_goldens();
  const Texts texts(golden["texts"]), asked(golden["asked"]);
  for (const auto& one : golden["cases"]) {
    TfidfVectorizer vectorizer({.max_ngram = one["max_ngram"], .sublinear_tf = one["sublinear"], .min_df = one["min_df"]});
    const SparseRows train = vectorizer.fit(texts.views), test = vectorizer.transform(asked.views);
    for (const auto& wanted : one["regressions"]) {
      const Labels labels = golden[wanted["two"].get<bool>() ? "two" : "labels"];
      check_model(LogisticRegression::fit(train, labels, {.C = wanted["C"], .balanced = wanted["balanced"], .tolerance = kTight}, pool),
                  test, wanted);
    }
  }
}

TEST_CASE("coefficients, intercepts and probabilities are scikit-learn's on dense rows") {
  ThreadPool pool(2);
  const Json golden = classify_goldens()["dense"];
  const std::vector<float> train = golden["train"], test = golden["test"];
  for (const auto& wanted : golden["regressions"])
    check_model(
        LogisticRegression::fit({train, golden["width"]}, golden["labels"].get<Labels>(), {.C = wanted["C"], .tolerance = kTight}, pool),
        {test, golden["width"]}, wanted);
}

TEST_CASE("dense rows, sparse rows and sums of rows give one model") {
  ThreadPool pool(2);
  const auto [values, labels] = drawn(80, 12, 3);
  const LogisticSettings settings{.C = 2, .tolerance = 1e-8};
  const auto dense = LogisticRegression::fit({values, 12}, labels, settings, pool);
  const SparseRows narrow = as_sparse(values, 12, 0), wide = as_sparse(values, 12, 1000);
  const auto a = LogisticRegression::fit(narrow, labels, settings, pool), b = LogisticRegression::fit(wide, labels, settings, pool);
  const auto p = dense.predict_proba({values, 12}), pa = a.predict_proba(narrow), pb = b.predict_proba(wide);
  for (std::size_t i = 0; i < p.size(); ++i) {
    CHECK(std::abs(p[i] - pa[i]) < 1e-7);
    CHECK(std::abs(p[i] - pb[i]) < 1e-7);
  }
  for (std::size_t i = 0; i < dense.coefficients().size(); ++i) CHECK(std::abs(dense.coefficients()[i] - b.coefficients()[i]) < 1e-6);
}

TEST_CASE("the model is the same to the bit whatever the number of threads") {
  ThreadPool one(1), four(4);
  const auto [values, labels] = drawn(3000, 24, 6);
  for (const int empty : {0, 20000}) {
    const SparseRows rows = as_sparse(values, 24, empty);
    const auto a = LogisticRegression::fit(rows, labels, {}, one), b = LogisticRegression::fit(rows, labels, {}, four);
    CHECK(a.iterations() == b.iterations());
    CHECK(std::equal(a.coefficients().begin(), a.coefficients().end(), b.coefficients().begin()));
    CHECK(std::equal(a.intercepts().begin(), a.intercepts().end(), b.intercepts().begin()));
  }
  const auto a = LogisticRegression::fit({values, 24}, labels, {}, one), b = LogisticRegression::fit({values, 24}, labels, {}, four);
  CHECK(std::equal(a.coefficients().begin(), a.coefficients().end(), b.coefficients().begin()));
}

TEST_CASE("without anything to tell classes apart their shares are the answer") {
  ThreadPool pool(1);
  const SparseRows rows{.width = 3, .begins = {0, 0, 0, 0, 0}};
  const auto model = LogisticRegression::fit(rows, Labels{"b", "a", "a", "a"}, {.tolerance = 1e-9}, pool);
  CHECK(model.classes() == Labels{"a", "b"});
  const auto p = model.predict_proba(rows);
  CHECK(p[0] == doctest::Approx(.75).epsilon(1e-7));
  CHECK(p[1] == doctest::Approx(.25).epsilon(1e-7));
}

TEST_CASE("one class alone is sure") {
  ThreadPool pool(1);
  const std::vector<float> values = {1, 2, 3};
  const auto model = LogisticRegression::fit({values, 1}, Labels{"x", "x", "x"}, {}, pool);
  CHECK(model.classes() == Labels{"x"});
  CHECK(model.predict_proba({values, 1}) == std::vector<double>{1, 1, 1});
}

TEST_CASE("rows that can be told apart perfectly have an end too") {
  ThreadPool pool(1);
  const std::vector<float> values = {-1, -2, 1, 2};
  const auto model = LogisticRegression::fit({values, 1}, Labels{"no", "no", "yes", "yes"}, {.C = 1e6}, pool);
  CHECK(model.converged());
  CHECK(model.predict_proba({values, 1})[1] < .01);
}

TEST_CASE("what cannot be learnt from is refused with a reason") {
  ThreadPool pool(1);
  const std::vector<float> values = {1, 2}, broken = {1, std::numeric_limits<float>::quiet_NaN()};
  CHECK_THROWS_AS(LogisticRegression::fit({std::span<const float>(), 1}, Labels{}, {}, pool), Error);
  CHECK_THROWS_AS(LogisticRegression::fit({values, 1}, Labels{"a"}, {}, pool), Error);
  CHECK_THROWS_AS(LogisticRegression::fit({values, 1}, Labels{"a", "b"}, {.C = 0}, pool), Error);
  CHECK_THROWS_WITH_AS(LogisticRegression::fit({broken, 1}, Labels{"a", "b"}, {}, pool), doctest::Contains("row 1"), Error);
  CHECK_THROWS_AS(TextClassifier::fit(std::vector<std::string_view>{"a"}, Labels{}, {}, pool), Error);
  CHECK_THROWS_AS(TextClassifier::fit({}, Labels{}, {}, pool), Error);
}

TEST_CASE("the classifier chooses its penalty on what it learns from, and the same one every time") {
  const Json golden = classify_goldens();
  const Texts texts(golden["texts"]), asked(golden["asked"]);
  const Labels labels = golden["labels"];
  ThreadPool one(1), two(2);
  const auto a = TextClassifier::fit(texts.views, labels, {}, one), b = TextClassifier::fit(texts.views, labels, {}, two);
  CHECK(a.C() == b.C());
  CHECK(a.predict_proba(asked.views) == b.predict_proba(asked.views));
  CHECK(TextClassifier::fit(texts.views, labels, {.C = {7}}, one).C() == 7);
  // A class of one ticket, and fewer tickets than folds.
  const std::vector<std::string_view> few = {"printer jams", "login locked", "printer offline"};
  const auto small = TextClassifier::fit(few, Labels{"Print", "Access", "Print"}, {}, one);
  CHECK(small.predict_proba(std::vector<std::string_view>{"the printer"})[1] > .5);
}

}  // namespace deskhand
