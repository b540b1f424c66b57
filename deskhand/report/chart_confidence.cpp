// How far a system's own confidence can be trusted: reliability before and after temperature scaling, and what share of tickets can be
// taken at which precision.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "deskhand/report/charts.h"
#include "deskhand/report/headline.h"
#include "deskhand/report/words.h"

namespace deskhand {
namespace {

const LabelDetail& detail_of(const SystemResult& system, std::string_view label) {
  return label == "urgency" ? system.urgency : system.category;
}

// Mean distance of confidence and accuracy over the bins, each counted by its tickets.
double gap(std::span<const ReliabilityBin> bins) {
  double sum = 0, count = 0;
  for (const ReliabilityBin& bin : bins)
    sum += std::abs(bin.confidence - bin.accuracy) * static_cast<double>(bin.count), count += static_cast<double>(bin.count);
  return count > 0 ? sum / count : 0;
}

Chart reliability_chart(const Scene& scene, std::size_t s, const std::string& label) {
  const SystemResult& system = scene.split.systems[s];
  const LabelDetail& detail = detail_of(system, label);
  Chart chart{.id = fmt::format("reliability-{}-{}", label, s),
              .choice = {label, fmt::format("{}", s)},
              .title = fmt::format("Confidence against accuracy: {}, {}", system.identity.name, label)};
  const double before = gap(detail.reliability);
  double sure = 0, right = 0, count = 0;
  for (const ReliabilityBin& bin : detail.reliability) {
    const double n = static_cast<double>(bin.count);
    sure += n * bin.confidence, right += n * bin.accuracy, count += n;
  }
  chart.message = fmt::format("{} says it is {} % sure of the {} and is right for {} %; confidence is off by {} points on average",
                              system.identity.name, decimal(count > 0 ? 100 * sure / count : 0, 0), label,
                              decimal(count > 0 ? 100 * right / count : 0, 0), decimal(100 * before, 1));
  if (!detail.reliability_scaled.empty())
    chart.message += fmt::format(", {} after temperature scaling{}", decimal(100 * gap(detail.reliability_scaled), 1),
                                 detail.temperature ? fmt::format(" (temperature {})", decimal(*detail.temperature, 2)) : "");
  chart.message += ".";
  Svg svg(760, 440, chart.title, chart.message);
  const Frame frame(70, 20, 660, 320, 0, 1, 0, 1);
  draw_axes(svg, frame, {.title = "Confidence", .per_cent = true}, {.title = "Right", .per_cent = true});
  svg.line(frame.at(0, 0), frame.at(1, 1), {.stroke = "#9aa5b1", .width = 1.5, .dash = "3 4"});
  svg.text(frame.x(0.16), frame.y(0.3), "exactly as sure as right", {.size = 11, .anchor = Anchor::kMiddle, .fill = "#52606d"});
  chart.table.head = {"Confidence", "Right", "Tickets", "As"};
  const auto draw = [&](std::span<const ReliabilityBin> bins, std::string_view symbol, std::string_view colour, std::string_view dash,
                        bool hollow, const char* as) {
    std::vector<Point> line;
    std::int64_t most = 1;
    for (const ReliabilityBin& bin : bins) most = std::max(most, bin.count);
    for (const ReliabilityBin& bin : bins) line.push_back(frame.at(bin.confidence, bin.accuracy));
    svg.path(line, {.stroke = colour, .width = 2, .dash = dash});
    for (std::size_t i = 0; i < bins.size(); ++i) {
      svg.marker(line[i], symbol, 3.5 + 6 * std::sqrt(static_cast<double>(bins[i].count) / static_cast<double>(most)), colour, hollow);
      chart.table.rows.push_back(
          {decimal(100 * bins[i].confidence, 1) + " %", decimal(100 * bins[i].accuracy, 1) + " %", fmt::format("{}", bins[i].count), as});
    }
  };
  draw(detail.reliability_scaled, "diamond", "#c8501e", "6 3", true, "after scaling");
  draw(detail.reliability, "circle", "#2563a8", "", false, "given");
  std::vector<LegendEntry> legend = {{"as given", "circle", "#2563a8", "", false}};
  if (!detail.reliability_scaled.empty()) legend.push_back({"after temperature scaling", "diamond", "#c8501e", "6 3", true});
  draw_legend(svg, 70, 404, 500, legend);
  svg.text(730, 418, "larger: more tickets", {.size = 11, .anchor = Anchor::kEnd, .fill = "#52606d"});
  chart.svg = svg.finish();
  return chart;
}

}  // namespace

Figure draw_reliability(const Scene& scene) {
  Figure figure{.id = "reliability",
                .title = "Is it as sure as it is right?",
                .about = "On the diagonal, of 100 tickets answered with 80 % confidence 80 are right. Below it the system is too sure."};
  figure.missing = "No system gives probabilities.";
  Selector systems{.key = "system", .title = "System", .options = {}};
  Selector labels{.key = "label", .title = "Label", .options = {}};
  const Selector all = system_selector(scene);
  const auto shown = main_system(scene.evaluation, scene.split);
  for (const std::string label : {"category", "urgency"})
    for (std::size_t s = 0; s < scene.split.systems.size(); ++s) {
      if (detail_of(scene.split.systems[s], label).reliability.empty()) continue;
      figure.charts.push_back(reliability_chart(scene, s, label));
      figure.charts.back().print = shown == s;
      if (std::find(systems.options.begin(), systems.options.end(), all.options[s]) == systems.options.end())
        systems.options.push_back(all.options[s]);
      if (labels.options.empty() || labels.options.back().first != label)
        labels.options.emplace_back(label, label == "urgency" ? "Urgency" : "Category");
    }
  std::sort(systems.options.begin(), systems.options.end(),
            [](const auto& a, const auto& b) { return std::stoul(a.first) < std::stoul(b.first); });
  figure.selectors = {labels, systems};
  return figure;
}

Figure draw_coverage(const Scene& scene) {
  Figure figure{
      .id = "coverage",
      .title = "How much could be answered without a person?",
      .about = "From left to right, less and less sure answers are taken too: the height is the share of taken answers that is right."};
  figure.missing = "No system gives probabilities.";
  Selector labels{.key = "label", .title = "Label", .options = {}};
  for (const std::string label : {"category", "urgency"}) {
    Chart chart{.id = "coverage-" + label, .choice = {label}, .title = fmt::format("Precision against coverage, {}", label), .print = true};
    std::vector<LegendEntry> legend;
    double lowest = 1;
    std::string best_name;
    double best_coverage = -1;
    constexpr double kWanted = 0.9;
    chart.table.head = {"System", "Right among the surest 25 %", "50 %", "75 %", "all"};
    for (std::size_t s = 0; s < scene.split.systems.size(); ++s) {
      const std::vector<CoveragePoint>& curve = detail_of(scene.split.systems[s], label).coverage;
      if (curve.empty()) continue;
      const std::string& name = scene.split.systems[s].identity.name;
      legend.push_back({name, scene.styles[s].symbol, scene.styles[s].colour, scene.styles[s].dash, scene.styles[s].baseline});
      double reached = 0;
      for (const CoveragePoint& p : curve) {
        lowest = std::min(lowest, p.precision);
        if (p.precision >= kWanted) reached = std::max(reached, p.coverage);
      }
      if (reached > best_coverage) best_coverage = reached, best_name = name;
      std::vector<std::string> row = {name};
      for (const double wanted : {0.25, 0.5, 0.75, 1.0}) {
        const auto nearest = std::min_element(curve.begin(), curve.end(), [&](const auto& a, const auto& b) {
          return std::abs(a.coverage - wanted) < std::abs(b.coverage - wanted);
        });
        row.push_back(decimal(100 * nearest->precision, 1) + " %");
      }
      chart.table.rows.push_back(std::move(row));
    }
    if (legend.empty()) continue;
    chart.message = best_coverage > 0
                        ? fmt::format("At {:.0f} % precision for the {}, {} can take the most tickets: {} % of them.", 100 * kWanted, label,
                                      best_name, decimal(100 * best_coverage, 0))
                        : fmt::format("No system reaches {:.0f} % precision for the {} at any coverage.", 100 * kWanted, label);
    Svg svg(760, 450, chart.title, chart.message);
    const Frame frame(70, 20, 660, 300, 0, 1, std::clamp(std::floor(lowest * 10) / 10, 0.0, 0.9), 1);
    draw_axes(svg, frame, {.title = "Share of tickets taken (coverage)", .per_cent = true},
              {.title = "Right among them", .per_cent = true});
    for (const bool baseline : {true, false})
      for (std::size_t s = 0; s < scene.split.systems.size(); ++s) {
        if (scene.styles[s].baseline != baseline) continue;
        std::vector<Point> line;
        const std::vector<CoveragePoint>& curve = detail_of(scene.split.systems[s], label).coverage;
        const std::size_t stride = curve.size() / 400 + 1;
        for (std::size_t i = 0; i < curve.size(); i += stride) line.push_back(frame.at(curve[i].coverage, curve[i].precision));
        if (line.empty()) continue;
        if (stride > 1) line.push_back(frame.at(curve.back().coverage, curve.back().precision));
        svg.path(line, {.stroke = scene.styles[s].colour, .width = baseline ? 1.5 : 2.2, .dash = scene.styles[s].dash});
        for (std::size_t i = 0; i < line.size(); i += line.size() / 6 + 1)
          svg.marker(line[i], scene.styles[s].symbol, 3.8, scene.styles[s].colour, baseline);
      }
    draw_legend(svg, 30, 378, 700, legend);
    chart.svg = svg.finish();
    labels.options.emplace_back(label, label == "urgency" ? "Urgency" : "Category");
    figure.charts.push_back(std::move(chart));
  }
  figure.selectors = {labels};
  return figure;
}

}  // namespace deskhand
