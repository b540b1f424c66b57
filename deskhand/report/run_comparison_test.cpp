#include "deskhand/report/run_comparison.h"

#include <doctest/doctest.h>

#include <cmath>

#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/report/testing.h"
#include "tests/temporary_folder.h"

namespace deskhand {
namespace {

RunCurves made_up_run(const std::string& name, int steps, double from) {
  RunCurves run{.name = name, .method = "lora", .base = "tiny", .state = "finished", .data_hash = "d", .seconds = 2};
  for (int i = 1; i <= steps; ++i) {
    run.epoch.push_back(i / 10.0), run.tokens.push_back(100.0 * i), run.loss.push_back(from / i + (i % 2 ? 0.1 : -0.1));
    run.token_accuracy.push_back(1 - 1.0 / (i + 1)), run.grad_norm.push_back(1), run.learning_rate.push_back(1e-4 * (steps - i)),
        run.entropy.push_back(0.5);
    if (i % 5 != 0) continue;
    run.eval_step.push_back(i), run.eval_epoch.push_back(i / 10.0), run.eval_tokens.push_back(100.0 * i),
        run.eval_loss.push_back(from / i + 0.2), run.eval_token_accuracy.push_back(0.5), run.eval_entropy.push_back(1.5);
  }
  return run;
}

bool holds(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

TEST_CASE("averages are means over all steps and over all evaluations, numbers alone") {
  RunCurves run = made_up_run("a", 10, 2);
  run.loss = {1, 2, std::nan(""), 3};
  run.eval_loss = {4, 2, 3}, run.eval_step = {1, 2, 3};
  const RunAverages a = averages_of(run);
  CHECK(*a.train_loss == doctest::Approx(2));
  CHECK(*a.last_train_loss == 3);
  CHECK(*a.eval_loss == 3);
  CHECK(*a.first_eval_loss == 4);
  CHECK(*a.best_eval_loss == 2);
  CHECK(a.best_eval_step == 2);
  CHECK(*a.last_eval_loss == 3);
  CHECK_FALSE(averages_of(RunCurves{}).train_loss.has_value());
}

TEST_CASE("the run with the lowest validation loss is named, and what speaks against comparing is said") {
  std::vector<RunCurves> runs = {made_up_run("first", 20, 2), made_up_run("second", 20, 1)};
  CHECK(findings_of(runs) == std::vector<std::string>{"The lowest validation loss is 0.250, of second at step 20."});
  runs[1].data_hash = "other", runs[1].state = "stopped at step 20";
  runs[0].eval_loss.back() = 9;
  const auto findings = findings_of(runs);
  REQUIRE(findings.size() == 4);
  CHECK(holds(findings[1], "cannot be compared"));
  CHECK(holds(findings[2], "second is not finished: stopped at step 20"));
  CHECK(holds(findings[3], "first began to learn by heart"));
  CHECK(findings_of(std::vector{RunCurves{.state = "finished"}}).front() == "None of the runs was evaluated while training.");
}

TEST_CASE("both runs stand on one figure, against the epoch and against the tokens") {
  const std::vector<RunCurves> runs = {made_up_run("first", 20, 2), made_up_run("second", 12, 1)};
  const auto figures = draw_runs(runs);
  CHECK(figures.size() == 6);
  for (const Figure& figure : figures) {
    REQUIRE(figure.charts.size() == 2);
    for (const Chart& chart : figure.charts) {
      CHECK(holds(chart.svg, "first (lora)"));
      CHECK(holds(chart.svg, "second (lora)"));
      CHECK_FALSE(holds(chart.svg, "nan"));
    }
  }
}

TEST_CASE("a comparison of runs is a folder that is replaced with force only, and hostile names stay texts") {
  TemporaryFolder folder;
  std::vector<RunCurves> runs = {made_up_run("first", 20, 2), RunCurves{.name = testing::kHostile[0], .state = "not begun"}};
  const auto place = folder.path() / "runs";
  write_run_comparison(place, runs);
  for (const char* name : {"index.html", "report.md", "metrics.json", "report.css", "report.js", "charts/train-loss-epoch.svg"})
    CHECK(std::filesystem::file_size(place / name) > 0);
  CHECK_FALSE(holds(read_text_file(place / "index.html"), "<script>document"));
  const Json json = parse_json(read_text_file(place / "metrics.json"), "m");
  CHECK(json["runs"][0]["steps"]["loss"].size() == 20);
  CHECK(json["runs"][1]["averages"]["train_loss"].is_null());
  CHECK_THROWS_AS(write_run_comparison(place, runs), Error);
  write_run_comparison(place, runs, {.force = true});
  const std::string text = run_comparison_text(runs);
  CHECK(holds(text, "Training loss, mean"));
  CHECK(holds(text, "first"));
}

}  // namespace
}  // namespace deskhand
