#include "deskhand/report/charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "deskhand/report/headline.h"
#include "deskhand/report/words.h"

namespace deskhand {
namespace {

constexpr std::array kFigures = {draw_measures, draw_confusion, draw_radar,    draw_similarity,  draw_reliability,
                                 draw_coverage, draw_retrieval, draw_training, draw_differences, draw_splits};

struct Colour {
  std::string_view light, dark;
};
// After Paul Tol's "bright" scheme and Okabe and Ito: told apart with protanopia, deuteranopia and tritanopia.
constexpr std::array<Colour, 6> kColours = {{{"#2563a8", "#7ab3ef"},
                                             {"#c8501e", "#f2955f"},
                                             {"#1b7f5f", "#4fc79d"},
                                             {"#8e3a87", "#d38bcb"},
                                             {"#8a6a00", "#dcb93c"},
                                             {"#0e7c93", "#57c4dc"}}};
constexpr std::array<Colour, 4> kGreys = {{{"#5b6673", "#a9b4c0"}, {"#7b8794", "#8f9ba8"}, {"#4a5560", "#c0c9d2"}, {"#8d99a6", "#788492"}}};
constexpr std::array<std::string_view, 6> kSymbols = {"circle", "square", "diamond", "triangle-up", "triangle-down", "cross"};
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kDashes = {
    {{"", "solid"}, {"7 3", "dash"}, {"2 3", "dot"}, {"7 3 2 3", "dashdot"}}};

}  // namespace

Scene make_scene(const Evaluation& evaluation, const SplitResult& split, const SplitRecords* records) {
  Scene scene{.evaluation = evaluation, .split = split, .records = records};
  std::size_t systems = 0, baselines = 0;
  for (const SystemResult& system : split.systems) {
    const bool baseline = is_baseline(system.identity);
    const std::size_t number = baseline ? baselines++ : systems++;
    const Colour colour = baseline ? kGreys[number % kGreys.size()] : kColours[number % kColours.size()];
    const auto& dash = kDashes[baseline ? 1 + number % 3 : number / kColours.size() % kDashes.size()];
    scene.styles.push_back({kSymbols[number % kSymbols.size()], colour.light, colour.dark, dash.first, dash.second, baseline});
  }
  return scene;
}

void choose_printed(Figure& figure) {
  const bool any = std::any_of(figure.charts.begin(), figure.charts.end(), [](const Chart& chart) { return chart.print; });
  if (!any && !figure.charts.empty()) figure.charts.front().print = true;
}

std::vector<Figure> draw_figures(const Scene& scene) {
  std::vector<Figure> figures;
  for (const auto draw : kFigures) {
    figures.push_back(draw(scene));
    choose_printed(figures.back());
  }
  return figures;
}

std::vector<double> smooth(std::span<const double> values) {
  constexpr int kHalf = 4, kWindow = 9;
  // Least-squares parabola over nine evenly spaced values y(-4..4): a + b t + c t^2 from sums of y, t y, t^2 y (t^2 sums to 60, t^4 to
  // 708).
  const auto fitted = [&](std::size_t centre, double t) {
    double s0 = 0, s1 = 0, s2 = 0;
    for (int i = -kHalf; i <= kHalf; ++i) {
      const double y = values[centre + static_cast<std::size_t>(i + kHalf) - kHalf];
      s0 += y, s1 += i * y, s2 += i * i * y;
    }
    const double c = (s2 - 60.0 / kWindow * s0) / (708.0 - 60.0 * 60.0 / kWindow);
    return (s0 - 60 * c) / kWindow + s1 / 60 * t + c * t * t;
  };
  std::vector<double> smoothed(values.begin(), values.end());
  if (values.size() < kWindow) return smoothed;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t centre = std::min(std::max<std::size_t>(i, kHalf), values.size() - 1 - kHalf);
    smoothed[i] = fitted(centre, static_cast<double>(i) - static_cast<double>(centre));
  }
  return smoothed;
}

Selector system_selector(const Scene& scene) {
  Selector selector{.key = "system", .title = "System", .options = {}};
  for (std::size_t s = 0; s < scene.split.systems.size(); ++s) {
    const SystemIdentity& identity = scene.split.systems[s].identity;
    selector.options.emplace_back(fmt::format("{}", s), identity.name + (is_baseline(identity) ? " (baseline)" : ""));
  }
  return selector;
}

std::string symbol_mark(std::string_view symbol, bool hollow) {
  if (symbol == "square") return hollow ? "□" : "■";
  if (symbol == "diamond") return hollow ? "◇" : "◆";
  if (symbol == "triangle-up") return hollow ? "△" : "▲";
  if (symbol == "triangle-down") return hollow ? "▽" : "▼";
  if (symbol == "cross") return hollow ? "✛" : "✚";
  return hollow ? "○" : "●";
}

}  // namespace deskhand
