#include "deskhand/evaluate/evaluation.h"

#include <doctest/doctest.h>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

Evaluation small_evaluation() {
  Evaluation e;
  e.name = "first", e.desk = "Sample </script>", e.made = "2024-03-01T08:00:00Z", e.version = "0.1.0", e.resamples = 500, e.seed = 7;
  e.measures = {{"urgency_mae", "Urgency error", "Labels", "Mean distance in levels", "levels", Better::kLower, true}};
  e.findings = {"A cheap baseline wins."};
  SplitResult split;
  split.name = "desk", split.train = 10, split.test = 2, split.category_labels = {"Stock"};
  split.leakage = {2, 1, 0.5, {{"T2", "T1", 0.75}}};
  SystemResult system;
  system.identity.name = "majority";
  system.measures = {{0.5, 0, 1, ""}};
  system.similarity_fuzzy.pearson = {std::nullopt, 0, 0, "two tickets"};
  system.tickets = {{"T2", {std::nullopt}}, {"T3", {1.0}}};
  system.urgency.confusion = {{"1"}, {2, 0}};
  system.urgency.temperature = 1.5;
  split.systems = {system};
  split.differences.resize(1);
  Difference& difference = split.differences[0];
  difference.a = "majority", difference.b = "other", difference.measure = "urgency_mae", difference.p = 0.25;
  difference.verdict = "cannot tell";
  split.retrieval = {{.method = "dense", .k = 3, .recall = {0.25, 0.1, 0.4, ""}}};
  e.splits = {split};
  e.training = {{"run1", "lora", {0.1}, {2.5}, {0.5}, {2.25}}};
  return e;
}

TEST_CASE("an evaluation that is written and read is the same, to the byte of the file") {
  const std::string written = write_evaluation(small_evaluation());
  const Evaluation read = read_evaluation(written, "metrics.json");
  CHECK(write_evaluation(read) == written);
  CHECK(read.measures[0].better == Better::kLower);
  CHECK(read.splits[0].systems[0].tickets[1].values[0] == 1.0);
  CHECK_FALSE(read.splits[0].systems[0].tickets[0].values[0].has_value());
  CHECK(read.splits[0].systems[0].similarity_fuzzy.pearson.undefined == "two tickets");
  CHECK(read.splits[0].leakage.examples[0].train_id == "T1");
  CHECK(read.training[0].eval_loss[0] == 2.25);
}

TEST_CASE("a metrics.json that is not one is refused with the place of the fault") {
  const auto message = [](const std::string& text) -> std::string {
    try {
      read_evaluation(text, "m.json");
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  std::string written = write_evaluation(small_evaluation());
  CHECK(message("[]").find("not the metrics.json") != std::string::npos);
  CHECK(message(R"({"deskhand_evaluation": 99})").find("form 99") != std::string::npos);
  CHECK(message(R"({"deskhand_evaluation": 1})") == "m.json: name is missing");
  const auto at = written.find("\"leaked\": 1");
  REQUIRE(at != std::string::npos);
  written.replace(at, 11, "\"leaked\": \"\"");
  CHECK(message(written) == "m.json: splits[0].leakage.leaked is \"\", wanted a whole number");
}

}  // namespace
}  // namespace deskhand
