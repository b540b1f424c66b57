#include "deskhand/report/charts.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "deskhand/report/headline.h"
#include "deskhand/report/testing.h"

namespace deskhand {
namespace {

const Figure& figure_of(const std::vector<Figure>& figures, std::string_view id) {
  return *std::find_if(figures.begin(), figures.end(), [&](const Figure& f) { return f.id == id; });
}

std::vector<Figure> figures_of(const testing::MadeUp& made) {
  return draw_figures(make_scene(made.evaluation, made.evaluation.splits[0], &made.records[0]));
}

std::size_t occurrences(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST_CASE("a drawing is one svg with a title and escaped texts") {
  Svg svg(100, 50, "a < b", "c & d");
  svg.text(1, 2, "</text><script>");
  svg.line({NAN, 0}, {INFINITY, 10});
  const std::string text = svg.finish();
  CHECK(text.find("<title>a &lt; b</title>") != std::string::npos);
  CHECK(text.find("<script") == std::string::npos);
  CHECK(text.find("nan") == std::string::npos);
  CHECK(text.find("inf") == std::string::npos);
  CHECK(occurrences(text, "<text") == occurrences(text, "</text>"));
}

TEST_CASE("ticks are round and inside the range, whatever the range") {
  CHECK(ticks(0, 1, 5) == std::vector<double>{0, 0.2, 0.4, 0.6000000000000001, 0.8, 1});
  CHECK(ticks(0, 100, 5).size() == 6);
  CHECK(ticks(3, 3).size() == 1);
  CHECK(ticks(NAN, 1).size() == 1);
  for (const double value : ticks(-0.37, 12.4)) CHECK((value >= -0.37 && value <= 12.4));
}

TEST_CASE("smoothing keeps a parabola and flattens noise") {
  std::vector<double> parabola, noise;
  for (int i = 0; i < 30; ++i) parabola.push_back(2 - 0.5 * i + 0.25 * i * i), noise.push_back(i % 2 ? 1.0 : -1.0);
  const std::vector<double> same = smooth(parabola), flat = smooth(noise);
  for (std::size_t i = 0; i < 30; ++i) CHECK(same[i] == doctest::Approx(parabola[i]));
  for (std::size_t i = 4; i < 26; ++i) CHECK(std::abs(flat[i]) < 0.25);
  CHECK(smooth(std::vector<double>{1, 5, 2}) == std::vector<double>{1, 5, 2});
}

TEST_CASE("savitzky-golay with window 9 and order 2 has the published weights") {
  std::vector<double> pulse(17, 0);
  pulse[8] = 231;  // Savitzky and Golay 1964, table I: -21 14 39 54 59 54 39 14 -21, divided by 231
  const std::vector<double> response = smooth(pulse);
  const double weights[] = {-21, 14, 39, 54, 59, 54, 39, 14, -21};
  for (std::size_t i = 0; i < 9; ++i) CHECK(response[4 + i] == doctest::Approx(weights[i]));
}

TEST_CASE("every figure has a drawing for each choice, a message and a table") {
  const auto made = testing::made_up();
  std::set<std::string> ids;
  for (const Figure& figure : figures_of(made)) {
    CAPTURE(figure.id);
    CHECK_FALSE(figure.charts.empty());
    CHECK(std::any_of(figure.charts.begin(), figure.charts.end(), [](const Chart& chart) { return chart.print; }));
    for (const Chart& chart : figure.charts) {
      CHECK(ids.insert(chart.id).second);
      CHECK(chart.choice.size() == figure.selectors.size());
      CHECK_FALSE(chart.message.empty());
      CHECK_FALSE(chart.table.rows.empty());
      CHECK(chart.svg.find("nan") == std::string::npos);
      for (const auto& row : chart.table.rows) CHECK(row.size() == chart.table.head.size());
    }
  }
}

TEST_CASE("two tickets, one system and no probabilities give figures or the reason why not") {
  const auto made = testing::made_up({.tickets = 2, .systems = 1, .probabilities = false, .training = false, .splits = 1});
  const std::vector<Figure> figures = figures_of(made);
  for (const Figure& figure : figures)
    if (figure.charts.empty()) CHECK_FALSE(figure.missing.empty());
  CHECK(figure_of(figures, "reliability").missing == "No system gives probabilities.");
  CHECK(figure_of(figures, "training").missing == "No training run belongs to this evaluation.");
  CHECK(figure_of(figures, "splits").charts.empty());
  CHECK(figure_of(figures, "radar").missing == "There are fewer than two systems to set against each other.");
  CHECK(figure_of(figures, "similarity").charts[0].message.find("not defined: fewer than three tickets") != std::string::npos);
}

TEST_CASE("an evaluation whose vectors are shorter than they should be is drawn all the same") {
  auto made = testing::made_up({.tickets = 5});
  for (SystemResult& system : made.evaluation.splits[0].systems) {
    system.measures.clear(), system.tickets.clear();
    system.category.confusion.counts.clear();
  }
  for (const Figure& figure : figures_of(made)) CHECK((!figure.charts.empty() || !figure.missing.empty()));
}

TEST_CASE("the message of bars names the best system and the best baseline") {
  auto made = testing::made_up({.splits = 1});
  SplitResult& split = made.evaluation.splits[0];
  for (SystemResult& system : split.systems) system.measures[0] = testing::share(0.5, 100);
  split.systems[5].measures[0] = {0.9, 0.8, 0.95, ""};
  split.systems[3].measures[0] = {0.7, 0.6, 0.8, ""};
  CHECK(figure_of(figures_of(made), "measures").charts[0].message ==
        "Category accuracy: best is TF-IDF + logistic regression with 90.0 % (80.0 to 95.0); best system that is no baseline is Qwen 1.5B, "
        "hybrid with 70.0 % (60.0 to 80.0).");
  CHECK(main_system(made.evaluation, split) == 3);
}

TEST_CASE("where lower is better the lowest is best, and where neither is nothing is marked") {
  const auto made = testing::made_up({.splits = 1});
  const SplitResult& split = made.evaluation.splits[0];
  const auto seconds = *measure_index(made.evaluation, "seconds"), words = *measure_index(made.evaluation, "words");
  const auto best = *best_system(made.evaluation, split, seconds, Among::kAll);
  for (const SystemResult& system : split.systems) CHECK(*split.systems[best].measures[seconds].value <= *system.measures[seconds].value);
  CHECK_FALSE(tells_apart(made.evaluation, split, words));
}

}  // namespace
}  // namespace deskhand
