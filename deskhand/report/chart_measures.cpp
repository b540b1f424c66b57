// Bars: a measure of every system with its interval, systems above, baselines set apart below. And the same figure for the ways of dividing
// the tickets: one dot a split and a system.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "deskhand/report/charts.h"
#include "deskhand/report/headline.h"
#include "deskhand/report/words.h"

namespace deskhand {
namespace {

constexpr std::size_t kPrinted = 3;  // of the measures, the first of the key ones
constexpr double kWidth = 760, kLeft = 220, kRight = 110;

struct Range {
  double low = 0, high = 0;
  void cover(double value) {
    if (std::isfinite(value)) low = std::min(low, value), high = std::max(high, value);
  }
};

// From zero, so that the length of a bar is its value. Shares go to 100 % where they come near it.
Range range_of(const MeasureInfo& measure, std::span<const SplitResult* const> splits, std::size_t index) {
  Range range;
  for (const SplitResult* split : splits)
    for (const SystemResult& system : split->systems) {
      const Estimate estimate = estimate_of(system, index);
      if (!is_defined(estimate)) continue;
      range.cover(*estimate.value), range.cover(estimate.low), range.cover(estimate.high);
    }
  const double full = measure.unit == "%" ? 1 : measure.unit == "0..100" ? 100 : 0;
  if (full > 0 && range.high > 0.5 * full) range.high = full;
  if (range.high <= range.low) range.high = range.low + (full > 0 ? full : 1);
  return range;
}

std::string axis_title(const MeasureInfo& measure) {
  const std::string unit = measure.unit.empty() || measure.unit == "0..100" || measure.unit == "%" ? "" : ", " + measure.unit;
  const char* way = measure.better == Better::kHigher  ? " (higher is better)"
                    : measure.better == Better::kLower ? " (lower is better)"
                                                       : "";
  return measure.title + unit + way;
}

std::string bars_message(const Scene& scene, std::size_t m) {
  const MeasureInfo& measure = scene.evaluation.measures[m];
  const auto best = best_system(scene.evaluation, scene.split, m, Among::kAll);
  if (!best) return measure.title + " is not defined for any system.";
  const auto said = [&](std::size_t s) {
    return scene.split.systems[s].identity.name + " with " + estimate_text(measure, scene.split.systems[s].measures[m]);
  };
  if (measure.better == Better::kNeither) return fmt::format("{}, for example {}.", measure.title, said(*best));
  std::string message = fmt::format("{}: best is {}", measure.title, said(*best));
  const bool baseline_leads = is_baseline(scene.split.systems[*best].identity);
  const auto other = best_system(scene.evaluation, scene.split, m, baseline_leads ? Among::kSystems : Among::kBaselines);
  if (other) message += fmt::format("; best {} is {}", baseline_leads ? "system that is no baseline" : "baseline", said(*other));
  return message + ".";
}

}  // namespace

Figure draw_measures(const Scene& scene) {
  Figure figure{.id = "measures",
                .title = "Every measure, every system",
                .about = "The thin line is the 95 % interval: where two overlap widely, the difference may be chance."};
  figure.missing = "No system was measured.";
  if (scene.split.systems.empty()) return figure;
  Selector selector{.key = "measure", .title = "Measure", .options = {}};
  const std::vector<std::size_t> keys = key_measures(scene.evaluation);
  std::vector<std::size_t> order = keys;
  for (std::size_t m = 0; m < scene.evaluation.measures.size(); ++m)
    if (std::find(keys.begin(), keys.end(), m) == keys.end()) order.push_back(m);
  std::vector<std::size_t> rows;
  for (const bool baseline : {false, true})
    for (std::size_t s = 0; s < scene.split.systems.size(); ++s)
      if (scene.styles[s].baseline == baseline) rows.push_back(s);

  for (const std::size_t m : order) {
    const MeasureInfo& measure = scene.evaluation.measures[m];
    selector.options.emplace_back(measure.id, measure.title);
    Chart chart{.id = "measure-" + std::to_string(m), .choice = {measure.id}, .title = measure.title, .message = bars_message(scene, m)};
    chart.print = figure.charts.size() < kPrinted;
    chart.table.head = {"System", measure.title, "95 % interval"};
    const SplitResult* split = &scene.split;
    const Range range = range_of(measure, {&split, 1}, m);
    const double step = 36, top = 16, height = step * static_cast<double>(rows.size()) + 18;
    Svg svg(kWidth, top + height + 52, measure.title, chart.message);
    Frame frame(kLeft, top, kWidth - kLeft - kRight, height, range.low, range.high, 0, 1);
    draw_axes(svg, frame, {.title = axis_title(measure), .per_cent = measure.unit == "%"}, {.hidden = true});
    double y = top + 4;
    bool baselines = false;
    for (const std::size_t s : rows) {
      const SystemStyle& style = scene.styles[s];
      if (style.baseline && !baselines) {
        if (y > top + 5) svg.line({12, y + 4}, {kWidth - 12, y + 4}, {.stroke = "#9aa5b1", .dash = "2 3"});
        baselines = true, y += 9;
      }
      const std::string& name = scene.split.systems[s].identity.name;
      const Estimate estimate = estimate_of(scene.split.systems[s], m);
      const double middle = y + step / 2;
      svg.text(kLeft - 12, middle + 4, fit(name, kLeft - 44, 12.5), {.size = 12.5, .anchor = Anchor::kEnd, .bold = !style.baseline});
      svg.marker({18, middle}, style.symbol, 4.5, style.colour, style.baseline);
      if (is_defined(estimate)) {
        const double zero = frame.x(std::clamp(0.0, range.low, range.high));
        svg.rect(zero, middle - 8, frame.x(*estimate.value) - zero, 16, style.colour, style.baseline ? 0.35 : 0.85, style.colour);
        const double low = frame.x(estimate.low), high = frame.x(estimate.high);
        svg.line({low, middle}, {high, middle}, {.stroke = "#1f2933", .width = 1.6});
        for (const double end : {low, high}) svg.line({end, middle - 5}, {end, middle + 5}, {.stroke = "#1f2933", .width = 1.6});
        svg.text(std::max(high, frame.x(*estimate.value)) + 8, middle + 4, value_text(measure, *estimate.value),
                 {.size = 12, .bold = true});
      } else {
        svg.text(kLeft + 6, middle + 4, fit("not defined: " + why_undefined(estimate), kWidth - kLeft - 10, 12),
                 {.size = 12, .fill = "#52606d"});
      }
      chart.table.rows.push_back({name,
                                  is_defined(estimate) ? value_text(measure, *estimate.value) : "not defined: " + why_undefined(estimate),
                                  is_defined(estimate) ? interval_text(measure, estimate) : "not defined"});
      y += step;
    }
    chart.svg = svg.finish();
    figure.charts.push_back(std::move(chart));
  }
  figure.selectors = {selector};
  if (figure.charts.empty()) figure.missing = "The evaluation names no measure.";
  return figure;
}

Figure draw_splits(const Scene& scene) {
  Figure figure{.id = "splits",
                .title = "The same systems on other splits",
                .about = "A figure that falls when near copies or later tickets are kept apart was partly remembered, not learnt."};
  figure.missing = "The tickets were divided in one way only.";
  if (scene.evaluation.splits.size() < 2) return figure;
  std::vector<const SplitResult*> splits;
  for (const SplitResult& split : scene.evaluation.splits) splits.push_back(&split);
  std::vector<std::string> names;
  std::vector<SystemStyle> looks;
  for (const SplitResult* split : splits)
    for (std::size_t s = 0; s < split->systems.size(); ++s)
      if (const std::string& name = split->systems[s].identity.name; std::find(names.begin(), names.end(), name) == names.end()) {
        names.push_back(name);
        looks.push_back(make_scene(scene.evaluation, *split, nullptr).styles[s]);
      }
  Selector selector{.key = "measure", .title = "Measure", .options = {}};
  constexpr std::array<std::string_view, 4> kSymbols = {"circle", "square", "diamond", "triangle-up"};
  constexpr std::array<std::string_view, 4> kColours = {"#2563a8", "#c8501e", "#1b7f5f", "#8e3a87"};
  for (const std::size_t m : key_measures(scene.evaluation)) {
    const MeasureInfo& measure = scene.evaluation.measures[m];
    selector.options.emplace_back(measure.id, measure.title);
    Chart chart{.id = "splits-" + std::to_string(m), .choice = {measure.id}, .title = measure.title + " on each split"};
    chart.table.head = {"System"};
    for (const SplitResult* split : splits) chart.table.head.push_back(split->name);
    const Range range = range_of(measure, splits, m);
    const double lane = 13, step = lane * static_cast<double>(splits.size()) + 16, top = 44;
    Svg svg(kWidth, top + step * static_cast<double>(names.size()) + 56, chart.title,
            measure.title + " of each system on each split, with 95 % intervals");
    Frame frame(kLeft, top, kWidth - kLeft - 40, step * static_cast<double>(names.size()), range.low, range.high, 0, 1);
    draw_axes(svg, frame, {.title = axis_title(measure), .per_cent = measure.unit == "%"}, {.hidden = true});
    std::vector<LegendEntry> legend;
    for (std::size_t i = 0; i < splits.size(); ++i)
      legend.push_back({splits[i]->name, kSymbols[i % 4], kColours[i % 4], "", i >= 4, false});
    draw_legend(svg, kLeft, 8, kWidth - kLeft, legend);
    double most = 0;
    std::string most_text;
    for (std::size_t n = 0; n < names.size(); ++n) {
      const double y = top + step * static_cast<double>(n);
      svg.text(kLeft - 12, y + step / 2 + 4, fit(names[n], kLeft - 30, 12.5),
               {.size = 12.5, .anchor = Anchor::kEnd, .bold = !looks[n].baseline});
      std::vector<std::string> row = {names[n]};
      std::optional<double> first;
      for (std::size_t i = 0; i < splits.size(); ++i) {
        const auto system = std::find_if(splits[i]->systems.begin(), splits[i]->systems.end(),
                                         [&](const SystemResult& r) { return r.identity.name == names[n]; });
        const Estimate estimate =
            system == splits[i]->systems.end() ? Estimate{.undefined = "not run on this split"} : estimate_of(*system, m);
        row.push_back(estimate_text(measure, estimate));
        if (!is_defined(estimate)) continue;
        const double lane_y = y + 8 + lane * (static_cast<double>(i) + 0.5);
        svg.line({frame.x(estimate.low), lane_y}, {frame.x(estimate.high), lane_y}, {.stroke = kColours[i % 4], .width = 1.6});
        svg.marker({frame.x(*estimate.value), lane_y}, kSymbols[i % 4], 4.5, kColours[i % 4], i >= 4);
        if (!first)
          first = *estimate.value;
        else if (std::abs(*estimate.value - *first) > most) {
          most = std::abs(*estimate.value - *first);
          most_text = fmt::format("the largest change is that of {}: {} on {} against {} on {}", names[n],
                                  value_text(measure, *estimate.value), splits[i]->name, value_text(measure, *first), splits[0]->name);
        }
      }
      chart.table.rows.push_back(std::move(row));
    }
    chart.message = measure.title + " by split: " + (most_text.empty() ? "no system was measured on two splits" : most_text) + ".";
    chart.svg = svg.finish();
    figure.charts.push_back(std::move(chart));
  }
  figure.selectors = {selector};
  return figure;
}

}  // namespace deskhand
