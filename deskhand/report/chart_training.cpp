// Training and validation loss against the epoch, every run on one figure, training smoothed.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "deskhand/report/charts.h"
#include "deskhand/report/words.h"

namespace deskhand {
namespace {

constexpr std::size_t kDrawn = 600;
constexpr std::array<std::string_view, 6> kColours = {"#2563a8", "#c8501e", "#1b7f5f", "#8e3a87", "#8a6a00", "#0e7c93"};
constexpr std::array<std::string_view, 4> kSymbols = {"circle", "square", "diamond", "triangle-up"};

std::vector<Point> series(std::span<const double> epoch, std::span<const double> loss) {
  std::vector<Point> points;
  for (std::size_t i = 0; i < std::min(epoch.size(), loss.size()); ++i)
    if (std::isfinite(epoch[i]) && std::isfinite(loss[i])) points.push_back({epoch[i], loss[i]});
  return points;
}

double mean(std::span<const Point> points) {
  return std::accumulate(points.begin(), points.end(), 0.0, [](double sum, const Point& p) { return sum + p.y; }) /
         static_cast<double>(points.size());
}

}  // namespace

Figure draw_training(const Scene& scene) {
  Figure figure{.id = "training",
                .title = "Loss while training",
                .about =
                    "Training loss is smoothed (Savitzky-Golay, window 9, order 2); markers are validation. A validation loss that turns "
                    "upwards has begun to learn by heart."};
  figure.missing = "No training run belongs to this evaluation.";
  Chart chart{.id = "training", .title = figure.title};
  std::vector<LegendEntry> legend;
  double epochs = 0, low = INFINITY, high = -INFINITY;
  struct Run {
    std::vector<Point> train, eval;
    std::string name;
  };
  std::vector<Run> runs;
  std::string lowest_name;
  double lowest = INFINITY;
  chart.table.head = {"Run", "Method", "Mean training loss", "Last validation loss", "Lowest validation loss"};
  for (const LossCurve& curve : scene.evaluation.training) {
    Run run{series(curve.epoch, smooth(curve.loss)), series(curve.eval_epoch, curve.eval_loss), curve.run + " (" + curve.method + ")"};
    if (run.train.empty() && run.eval.empty()) continue;
    for (const auto* points : {&run.train, &run.eval})
      for (const Point& p : *points) epochs = std::max(epochs, p.x), low = std::min(low, p.y), high = std::max(high, p.y);
    const std::vector<Point> given = series(curve.epoch, curve.loss);
    std::string best_text = "not evaluated";
    if (!run.eval.empty()) {
      const double best = std::min_element(run.eval.begin(), run.eval.end(), [](const Point& a, const Point& b) { return a.y < b.y; })->y;
      best_text = decimal(best, 3);
      if (best < lowest) lowest = best, lowest_name = run.name;
    }
    chart.table.rows.push_back({curve.run, curve.method, given.empty() ? "not recorded" : decimal(mean(given), 3),
                                run.eval.empty() ? "not evaluated" : decimal(run.eval.back().y, 3), best_text});
    runs.push_back(std::move(run));
  }
  if (runs.empty()) return figure;
  chart.message = lowest_name.empty() ? "Training loss of the runs; none was evaluated while training."
                                      : fmt::format("{} reaches the lowest validation loss, {}.", lowest_name, decimal(lowest, 3));
  Svg svg(760, 450, chart.title, chart.message);
  const double margin = std::max(0.05, 0.05 * (high - low));
  const Frame frame(70, 20, 660, 310, 0, std::max(epochs, 1e-9), std::max(0.0, low - margin), high + margin);
  draw_axes(svg, frame, {.title = "Epoch"}, {.title = "Loss"});
  for (std::size_t r = 0; r < runs.size(); ++r) {
    const std::string_view colour = kColours[r % kColours.size()];
    std::vector<Point> line;
    const std::size_t stride = runs[r].train.size() / kDrawn + 1;
    for (std::size_t i = 0; i < runs[r].train.size(); i += stride) line.push_back(frame.at(runs[r].train[i].x, runs[r].train[i].y));
    svg.path(line, {.stroke = colour, .width = 2});
    line.clear();
    for (const Point& p : runs[r].eval) line.push_back(frame.at(p.x, p.y));
    svg.path(line, {.stroke = colour, .width = 1.6, .dash = "6 3"});
    for (const Point& p : line) svg.marker(p, kSymbols[r % 4], 3.5, colour, true);
    legend.push_back({runs[r].name + ", training", "", colour, ""});
    legend.push_back({runs[r].name + ", validation", kSymbols[r % 4], colour, "6 3", true});
  }
  draw_legend(svg, 40, 388, 700, legend);
  chart.svg = svg.finish();
  figure.charts.push_back(std::move(chart));
  return figure;
}

}  // namespace deskhand
