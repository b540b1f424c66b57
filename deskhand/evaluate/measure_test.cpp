#include "deskhand/evaluate/measure.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

const MeasureSettings kFew{.resamples = 200};

// Urgencies 1, 2, 3, ...; categories A, B, A, B, ...; every answer right unless a test says otherwise.
SplitRecords records(int tickets, const char* system = "model") {
  SplitRecords made{.name = "desk", .description = "random", .train = 100, .categories = {"A", "B"}};
  SystemAnswers answers{.identity = {.name = system, .kind = "raw"}};
  for (int i = 0; i < tickets; ++i) {
    const std::string id = "T" + std::to_string(i);
    made.tickets.push_back({.id = id,
                            .problem = "printer fails",
                            .urgency = 1 + i % 5,
                            .category = i % 2 == 0 ? "A" : "B",
                            .resolution = "restart the spooler number " + std::to_string(i)});
    answers.predictions.push_back({.ticket_id = id,
                                   .urgency = 1 + i % 5,
                                   .category = i % 2 == 0 ? "A" : "B",
                                   .resolution = "restart the spooler number " + std::to_string(i),
                                   .seconds = 2});
  }
  made.systems.push_back(answers);
  return made;
}

std::size_t index_of(const std::string& id) {
  const auto list = measure_list({});
  const auto at = std::find_if(list.begin(), list.end(), [&](const auto& info) { return info.id == id; });
  REQUIRE(at != list.end());
  return static_cast<std::size_t>(at - list.begin());
}

const Estimate& of(const SplitResult& result, const std::string& id, std::size_t system = 0) {
  return result.systems[system].measures[index_of(id)];
}

bool warns(const std::vector<std::string>& warnings, const std::string& part) {
  return std::any_of(warnings.begin(), warnings.end(), [&](const auto& text) { return text.find(part) != std::string::npos; });
}

void check_finite(const Estimate& e) {
  if (!e.value) {
    CHECK_FALSE(e.undefined.empty());
    return;
  }
  CHECK(std::isfinite(*e.value));
  CHECK(std::isfinite(e.low));
  CHECK(std::isfinite(e.high));
  CHECK(e.low <= e.high);
}

SplitResult measured(const SplitRecords& from) {
  ThreadPool pool(1);
  SplitResult result = measure_split(from, kFew, pool);
  for (const auto& system : result.systems) {
    for (const auto& estimate : system.measures) check_finite(estimate);
    check_finite(system.similarity_fuzzy.pearson);
    check_finite(system.similarity_fuzzy.spearman);
    for (const auto& ticket : system.tickets)
      for (const auto& value : ticket.values) CHECK((!value || std::isfinite(*value)));
  }
  for (const auto& difference : result.differences) check_finite(difference.difference);
  Evaluation whole{.name = "t", .measures = measure_list(kFew), .splits = {result}};
  CHECK(write_evaluation(read_evaluation(write_evaluation(whole), "m")) == write_evaluation(whole));
  CHECK(write_evaluation(whole).find("nan") == std::string::npos);
  return result;
}

TEST_CASE("a system that is always right measures as perfect") {
  const SplitResult result = measured(records(40));
  for (const char* id : {"urgency_accuracy", "category_accuracy", "both_accuracy", "urgency_macro_f1", "category_macro_f1", "urgency_kappa",
                         "rouge_l", "token_set_above"})
    CHECK(*of(result, id).value == doctest::Approx(1));
  for (const char* id : {"token_set_ratio", "bleu", "chrf"}) CHECK(*of(result, id).value == doctest::Approx(100));
  for (const char* id : {"urgency_mae", "urgency_cost"}) CHECK(*of(result, id).value == 0);
  CHECK(of(result, "urgency_accuracy").low == doctest::Approx(0.912).epsilon(0.01));  // Wilson's bound: 40 of 40 is no proof
  CHECK(*of(result, "seconds").value == doctest::Approx(2));
  CHECK(of(result, "category_brier").undefined == "the system gives no probabilities");
  CHECK(of(result, "resolution_cosine").undefined == "the system gives no resolution, or the desk has no encoder");
  CHECK(result.systems[0].warnings.empty());
}

TEST_CASE("a missing prediction counts as wrong and is told") {
  SplitRecords some = records(10);
  some.systems[0].predictions.erase(some.systems[0].predictions.begin(), some.systems[0].predictions.begin() + 4);
  const SplitResult result = measured(some);
  CHECK(*of(result, "urgency_accuracy").value == doctest::Approx(0.6));
  CHECK(*of(result, "token_set_ratio").value == doctest::Approx(60));
  CHECK(warns(result.systems[0].warnings, "4 held-out tickets have no prediction and count as wrong (the first: T0)"));
  CHECK(result.systems[0].urgency.confusion.counts[5] == 1);  // truth 1, no answer
}

TEST_CASE("of two predictions for one ticket the first counts, one for an unknown ticket is passed over") {
  SplitRecords some = records(10);
  auto wrong = some.systems[0].predictions[3];
  wrong.category = "A", wrong.urgency = 5;
  some.systems[0].predictions.push_back(wrong);
  wrong.ticket_id = "nobody's";
  some.systems[0].predictions.push_back(wrong);
  const SplitResult result = measured(some);
  CHECK(*of(result, "both_accuracy").value == doctest::Approx(1));
  CHECK(warns(result.systems[0].warnings, "1 predictions stand beside an earlier one"));
  CHECK(
      warns(result.systems[0].warnings, "1 predictions are for tickets that are not held out and were passed over (the first: nobody's)"));
}

TEST_CASE("labels outside the set are wrong, and a true label that nobody could learn is one") {
  SplitRecords some = records(10);
  some.systems[0].predictions[0].category = "Z";
  some.systems[0].predictions[1].urgency = 9;
  some.tickets[3].category = "New";
  const SplitResult result = measured(some);
  CHECK(*of(result, "category_accuracy").value == doctest::Approx(0.8));
  CHECK(*of(result, "urgency_accuracy").value == doctest::Approx(0.9));
  CHECK(warns(result.systems[0].warnings, "2 predictions have a label outside the desk's labels"));
  CHECK(result.category_labels == std::vector<std::string>{"A", "B", "New"});
}

TEST_CASE("empty texts score 0, and a system without any resolution has no such measure") {
  SplitRecords some = records(10);
  for (int i = 0; i < 5; ++i) some.systems[0].predictions[static_cast<std::size_t>(i)].resolution.clear();
  CHECK(*of(measured(some), "rouge_l").value == doctest::Approx(0.5));
  for (auto& prediction : some.systems[0].predictions) prediction.resolution.clear();
  CHECK_FALSE(of(measured(some), "rouge_l").value);
  CHECK_FALSE(of(measured(some), "bleu").value);
  CHECK(of(measured(some), "bleu").undefined.find("no resolution") != std::string::npos);
}

TEST_CASE("unknown truths are passed over, and nothing known is not defined") {
  SplitRecords some = records(10);
  some.tickets[0].urgency = 0;
  some.tickets[1].category.clear();
  some.tickets[2].resolution.clear();
  some.systems[0].predictions[0].urgency = 4;
  CHECK(*of(measured(some), "urgency_accuracy").value == doctest::Approx(1));
  for (auto& ticket : some.tickets) ticket.urgency = 0, ticket.category.clear(), ticket.resolution.clear();
  const SplitResult result = measured(some);
  CHECK(of(result, "urgency_accuracy").undefined == "no held-out ticket has a known label");
  CHECK_FALSE(of(result, "category_macro_f1").value);
  CHECK_FALSE(of(result, "urgency_cost").value);
}

TEST_CASE("two tickets of one class are measured, with what is not defined named") {
  SplitRecords two = records(2);
  for (auto& ticket : two.tickets) ticket.urgency = 3, ticket.category = "A";
  for (auto& answer : two.systems[0].predictions)
    answer.urgency = 3, answer.category = "A", answer.cases = {{.ticket_id = "C", .similarity = 0.5}};
  const SplitResult result = measured(two);
  CHECK(*of(result, "urgency_accuracy").value == 1);
  CHECK(of(result, "urgency_kappa").undefined == "one label only among truths and answers");
  CHECK(result.systems[0].similarity_fuzzy.pearson.undefined.find("at least 3 are needed") != std::string::npos);
  CHECK(warns(result.warnings, "no difference between systems can be told from chance"));
}

TEST_CASE("probabilities are judged, bad ones are not used, and the temperature is fitted on validation tickets alone") {
  SplitRecords some = records(60);
  auto& answers = some.systems[0];
  for (std::size_t i = 0; i < 60; ++i) {
    auto& answer = answers.predictions[i];
    if (i % 3 == 0) answer.category = answer.category == "A" ? "B" : "A";  // right two times in three, but as good as certain
    answer.category_probabilities = answer.category == "A" ? std::vector<double>{0.999, 0.001} : std::vector<double>{0.001, 0.999};
    answers.validation.push_back(answer);
    answers.validation_truth.push_back(some.tickets[i]);
  }
  answers.predictions[0].category_probabilities = {0.5, 0.25, 0.25};
  answers.predictions[1].category_probabilities = {std::nan(""), 1};
  const SplitResult result = measured(some);
  CHECK(warns(result.systems[0].warnings, "2 distributions"));
  const LabelDetail& category = result.systems[0].category;
  CHECK(*of(result, "category_calibration_error").value > 0.3);
  REQUIRE(category.temperature);
  CHECK(*category.temperature > 5);
  CHECK(*category.calibration_error_scaled < 0.05);
  CHECK(*category.brier_scaled < *of(result, "category_brier").value);
  CHECK_FALSE(result.systems[0].urgency.temperature);
}

TEST_CASE("systems are compared on the same tickets, and a clear difference matters") {
  SplitRecords some = records(60, "good");
  SystemAnswers bad = some.systems[0];
  bad.identity = {.name = "bad", .kind = "baseline"};
  for (std::size_t i = 0; i < 60; i += 2) bad.predictions[i].category = "B";  // half of them wrong
  some.systems.push_back(bad);
  const SplitResult result = measured(some);
  const auto found = std::find_if(result.differences.begin(), result.differences.end(),
                                  [](const Difference& d) { return d.measure == "category_accuracy"; });
  REQUIRE(found != result.differences.end());
  CHECK(found->a == "good");
  CHECK(*found->difference.value == doctest::Approx(-0.5));
  CHECK(found->only_a == 30);
  CHECK(found->only_b == 0);
  CHECK(*found->mcnemar_p < 1e-6);
  CHECK(found->matters);
  CHECK(found->verdict == "worse");
  const auto same = std::find_if(result.differences.begin(), result.differences.end(),
                                 [](const Difference& d) { return d.measure == "urgency_accuracy"; });
  CHECK_FALSE(same->matters);
  CHECK(same->verdict == "cannot tell");
}

TEST_CASE("two systems of one name and a split without tickets are refused") {
  SplitRecords some = records(3);
  some.systems.push_back(some.systems[0]);
  ThreadPool pool(1);
  CHECK_THROWS_AS(measure_split(some, kFew, pool), Error);
  CHECK_THROWS_AS(measure_split(SplitRecords{.name = "desk"}, kFew, pool), Error);
}

TEST_CASE("if a cheap baseline wins, the first sentence says so") {
  SplitRecords some = records(60, "language model");
  SystemAnswers cheap = some.systems[0];
  cheap.identity = {.name = "majority", .kind = "baseline"};
  for (std::size_t i = 0; i < 60; i += 2) some.systems[0].predictions[i].category = "B";
  some.systems.push_back(cheap);
  ThreadPool pool(1);
  Evaluation evaluation{.measures = measure_list(kFew), .splits = {measure_split(some, kFew, pool)}};
  const auto sentences = findings(evaluation);
  REQUIRE_FALSE(sentences.empty());
  CHECK(sentences[0].find("A cheap baseline wins: majority gets the category right: 100 %") == 0);
  CHECK(sentences[0].find("language model") != std::string::npos);
  CHECK(sentences[0].find("more than chance") != std::string::npos);
}

TEST_CASE("the same evaluation against itself has no change that matters, and tickets that only one has are left out") {
  SplitRecords some = records(30);
  for (std::size_t i = 0; i < 10; ++i) some.systems[0].predictions[i].category = "B";
  ThreadPool pool(1);
  const Evaluation a{.measures = measure_list(kFew), .splits = {measure_split(some, kFew, pool)}};
  Evaluation b = a;
  b.splits[0].systems[0].tickets.resize(20);
  for (const auto& difference : compare_systems(a, a.splits[0].systems[0], b, b.splits[0].systems[0], kFew, pool)) {
    CHECK_FALSE(difference.matters);
    if (difference.difference.value) CHECK(*difference.difference.value == 0);
  }
}

TEST_CASE("results do not depend on the number of threads") {
  ThreadPool one(1), three(3);
  SplitRecords some = records(50);
  some.systems[0].predictions[7].category = "B";
  Evaluation a{.measures = measure_list(kFew), .splits = {measure_split(some, kFew, one)}}, b = a;
  b.splits = {measure_split(some, kFew, three)};
  CHECK(write_evaluation(a) == write_evaluation(b));
}

}  // namespace
}  // namespace deskhand
