// Radar: several measures of a few systems at once, the raw model against the tuned ones.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "deskhand/report/charts.h"
#include "deskhand/report/headline.h"
#include "deskhand/report/words.h"

namespace deskhand {

double radar_share(const MeasureInfo& measure, double value) {
  return std::clamp(measure.unit == "0..100" ? value / 100 : value, 0.0, 1.0);
}

std::vector<std::size_t> radar_systems(const Scene& scene) {
  std::vector<std::size_t> chosen;
  const auto take = [&](auto&& wanted, std::size_t at_most) {
    for (std::size_t s = 0; s < scene.split.systems.size() && chosen.size() < at_most; ++s)
      if (std::find(chosen.begin(), chosen.end(), s) == chosen.end() && wanted(scene.split.systems[s].identity)) chosen.push_back(s);
  };
  take([](const SystemIdentity& i) { return i.kind == "raw"; }, 1);
  take([](const SystemIdentity& i) { return i.kind == "lora" || i.kind == "hybrid"; }, 4);
  take([](const SystemIdentity& i) { return !is_baseline(i); }, 2);
  if (chosen.size() < 2)
    if (const auto best = main_system(scene.evaluation, scene.split);
        best && std::find(chosen.begin(), chosen.end(), *best) == chosen.end())
      chosen.push_back(*best);
  if (chosen.size() < 2)
    for (const std::size_t key : key_measures(scene.evaluation))
      if (const auto best = best_system(scene.evaluation, scene.split, key, Among::kBaselines);
          best && chosen.size() < 2 && std::find(chosen.begin(), chosen.end(), *best) == chosen.end())
        chosen.push_back(*best);
  return chosen;
}

std::vector<std::size_t> radar_measures(const Scene& scene, std::span<const std::size_t> systems) {
  std::vector<std::size_t> chosen;
  const auto fits = [&](std::size_t m) {
    const MeasureInfo& measure = scene.evaluation.measures[m];
    if (measure.better != Better::kHigher || (measure.unit != "%" && measure.unit != "0..100" && !measure.unit.empty())) return false;
    return std::all_of(systems.begin(), systems.end(), [&](std::size_t s) {
      const Estimate estimate = estimate_of(scene.split.systems[s], m);
      return is_defined(estimate) && *estimate.value >= 0 && *estimate.value <= (measure.unit == "0..100" ? 100 : 1);
    });
  };
  for (const std::size_t m : key_measures(scene.evaluation))
    if (fits(m)) chosen.push_back(m);
  for (std::size_t m = 0; m < scene.evaluation.measures.size() && chosen.size() < 8; ++m)
    if (std::find(chosen.begin(), chosen.end(), m) == chosen.end() && fits(m)) chosen.push_back(m);
  return chosen;
}

Figure draw_radar(const Scene& scene) {
  Figure figure{.id = "radar",
                .title = "Raw model against tuned",
                .about = "Further out is better; every axis runs from 0 in the middle to the best possible value at the rim."};
  const std::vector<std::size_t> systems = radar_systems(scene), measures = radar_measures(scene, systems);
  figure.missing = systems.size() < 2 ? "There are fewer than two systems to set against each other."
                                      : "Fewer than three measures are defined for these systems.";
  if (systems.size() < 2 || measures.size() < 3) return figure;
  Chart chart{.id = "radar", .title = figure.title};
  const double radius = 165;
  const Point centre = {380, 220};
  std::vector<LegendEntry> legend;
  chart.table.head = {"Measure"};
  std::vector<std::size_t> wins(systems.size(), 0);
  for (const std::size_t s : systems) chart.table.head.push_back(scene.split.systems[s].identity.name);
  for (const std::size_t m : measures) {
    std::vector<std::string> row = {scene.evaluation.measures[m].title};
    std::size_t best = 0;
    for (std::size_t i = 0; i < systems.size(); ++i) {
      const double value = *scene.split.systems[systems[i]].measures[m].value;
      row.push_back(value_text(scene.evaluation.measures[m], value));
      if (value > *scene.split.systems[systems[best]].measures[m].value) best = i;
    }
    ++wins[best];
    chart.table.rows.push_back(std::move(row));
  }
  const auto most = static_cast<std::size_t>(std::max_element(wins.begin(), wins.end()) - wins.begin());
  chart.message = fmt::format("{} is ahead or level on {} of {} measures among {} systems.",
                              scene.split.systems[systems[most]].identity.name, wins[most], measures.size(), systems.size());
  Svg svg(760, 470, chart.title, chart.message);
  const auto spoke = [&](std::size_t i, double share) {
    const double angle = 2 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(measures.size()) - std::numbers::pi / 2;
    return Point{centre.x + radius * share * std::cos(angle), centre.y + radius * share * std::sin(angle)};
  };
  const auto ring = [&](auto&& share) {
    std::vector<Point> points;
    for (std::size_t i = 0; i <= measures.size(); ++i) points.push_back(spoke(i, share(i % measures.size())));
    return points;
  };
  for (const double share : {0.25, 0.5, 0.75, 1.0}) {
    svg.path(ring([&](std::size_t) { return share; }), {.stroke = share == 1 ? "#9aa5b1" : "#e4e7eb"});
    svg.text(centre.x + 4, centre.y - radius * share - 3, fmt::format("{:.0f}", 100 * share), {.size = 10, .fill = "#52606d"});
  }
  for (std::size_t i = 0; i < measures.size(); ++i) {
    svg.line(centre, spoke(i, 1), {.stroke = "#e4e7eb"});
    const Point at = spoke(i, 1.1);
    const Anchor anchor = std::abs(at.x - centre.x) < 12 ? Anchor::kMiddle : at.x > centre.x ? Anchor::kStart : Anchor::kEnd;
    svg.text(at.x, at.y + 4, fit(scene.evaluation.measures[measures[i]].title, 185, 12), {.anchor = anchor});
  }
  for (const std::size_t s : systems) {
    const SystemStyle& style = scene.styles[s];
    const auto share = [&](std::size_t i) {
      return radar_share(scene.evaluation.measures[measures[i]], *scene.split.systems[s].measures[measures[i]].value);
    };
    const std::vector<Point> line = ring(share);
    svg.area(line, style.colour, 0.1);
    svg.path(line, {.stroke = style.colour, .width = 2, .dash = style.dash});
    for (std::size_t i = 0; i < measures.size(); ++i) svg.marker(line[i], style.symbol, 4, style.colour, style.baseline);
    legend.push_back({scene.split.systems[s].identity.name, style.symbol, style.colour, style.dash, style.baseline});
  }
  draw_legend(svg, 30, 425, 700, legend);
  chart.svg = svg.finish();
  figure.charts.push_back(std::move(chart));
  return figure;
}

}  // namespace deskhand
