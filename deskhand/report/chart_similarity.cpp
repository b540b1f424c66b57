// Does a better match among the past cases give a better answer? Each ticket's mean case similarity against the fuzzy ratio of its
// resolution, with density and the least-squares line.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_map>

#include "deskhand/report/charts.h"
#include "deskhand/report/headline.h"
#include "deskhand/report/words.h"

namespace deskhand {
namespace {

constexpr std::size_t kDrawn = 1500;           // points drawn one by one; of more, every n-th is
constexpr std::size_t kAcross = 28, kUp = 20;  // cells of the density; of fewer tickets it has half as many each way

std::string message_of(const std::string& name, const Correlation& correlation) {
  if (!is_defined(correlation.pearson))
    return fmt::format("{}: the correlation is not defined: {}.", name, why_undefined(correlation.pearson));
  const double r = *correlation.pearson.value;
  const char* strength = std::abs(r) < 0.1 ? "next to no" : std::abs(r) < 0.3 ? "a weak" : std::abs(r) < 0.6 ? "a moderate" : "a strong";
  return fmt::format("{}: {} linear relation, r = {} ({} to {}, {} tickets){}.", name, strength, decimal(r, 2),
                     decimal(correlation.pearson.low, 2), decimal(correlation.pearson.high, 2), correlation.pairs,
                     is_defined(correlation.spearman) ? fmt::format("; Spearman {}", decimal(*correlation.spearman.value, 2)) : "");
}

Chart scatter(const Scene& scene, std::size_t s) {
  const SystemResult& system = scene.split.systems[s];
  const Correlation& correlation = system.similarity_fuzzy;
  Chart chart{.id = fmt::format("similarity-{}", s),
              .choice = {fmt::format("{}", s)},
              .title = "Similarity of cases against fuzzy ratio: " + system.identity.name,
              .message = message_of(system.identity.name, correlation)};
  const std::vector<SimilarityPoint> points = similarity_points(scene, s);
  double low = 1, high = 0;
  for (const SimilarityPoint& p : points) low = std::min(low, p.similarity), high = std::max(high, p.similarity);
  if (points.empty()) low = 0, high = 1;
  low = std::max(-1.0, std::floor(low * 10) / 10), high = std::min(1.0, std::ceil(high * 10) / 10);
  if (high <= low) high = low + 0.1;
  Svg svg(760, 420, chart.title, chart.message);
  const Frame frame(70, 20, 660, 330, low, high, 0, 100);
  const std::size_t across = points.size() < kDrawn ? kAcross / 2 : kAcross, up = points.size() < kDrawn ? kUp / 2 : kUp;
  std::array<std::array<int, kUp>, kAcross> density{};
  int densest = 1;
  const auto cell = [](double share, std::size_t cells) {
    return std::min(static_cast<std::size_t>(share * static_cast<double>(cells)), cells - 1);
  };
  for (const SimilarityPoint& p : points)
    densest = std::max(densest, ++density[cell((p.similarity - low) / (high - low), across)][cell(p.ratio / 100, up)]);
  const double wide = frame.width / static_cast<double>(across), tall = frame.height / static_cast<double>(up);
  if (points.size() >= 60)
    for (std::size_t x = 0; x < across; ++x)
      for (std::size_t y = 0; y < up; ++y)
        if (density[x][y] > 0)
          svg.rect(frame.left + wide * static_cast<double>(x), frame.top + frame.height - tall * static_cast<double>(y + 1), wide, tall,
                   heat_colour(0.45 * density[x][y] / densest));
  draw_axes(svg, frame, {.title = "Mean similarity of the found cases (cosine)"}, {.title = "Fuzzy ratio of the resolution (0..100)"});
  const std::size_t stride = points.size() / kDrawn + 1;
  const SystemStyle& style = scene.styles[s];
  for (std::size_t i = 0; i < points.size(); i += stride)
    svg.marker(frame.at(points[i].similarity, points[i].ratio), style.symbol, 2.8, style.colour, false, 0.55);
  if (is_defined(correlation.pearson)) {
    // Only the part of the line inside the frame.
    double from = low, to = high;
    if (correlation.slope != 0) {
      const double at_bottom = -correlation.intercept / correlation.slope, at_top = (100 - correlation.intercept) / correlation.slope;
      from = std::max(from, std::min(at_bottom, at_top)), to = std::min(to, std::max(at_bottom, at_top));
    }
    const auto on_line = [&](double x) { return frame.at(x, correlation.slope * x + correlation.intercept); };
    if (from < to) svg.line(on_line(from), on_line(to), {.stroke = "#1f2933", .width = 2.2, .dash = "7 4"});
    svg.text(724, 38, fmt::format("r = {}", decimal(*correlation.pearson.value, 2)), {.size = 14, .anchor = Anchor::kEnd, .bold = true});
  } else {
    svg.text(724, 38, fit("r is not defined: " + why_undefined(correlation.pearson), 600, 13), {.size = 13, .anchor = Anchor::kEnd});
  }
  if (stride > 1)
    svg.text(724, 56, fmt::format("every {}th of {} tickets is drawn", stride, points.size()),
             {.size = 11, .anchor = Anchor::kEnd, .fill = "#52606d"});
  chart.svg = svg.finish();
  // Tickets by tenths of similarity: the table stays readable whatever their number.
  chart.table.head = {"Similarity", "Tickets", "Mean fuzzy ratio"};
  for (int tenth = -10; tenth < 10; ++tenth) {
    double sum = 0;
    int count = 0;
    for (const SimilarityPoint& p : points)
      if (std::min(static_cast<int>(std::floor(p.similarity * 10)), 9) == tenth) sum += p.ratio, ++count;
    if (count > 0)
      chart.table.rows.push_back(
          {fmt::format("{:.1f} to {:.1f}", tenth / 10.0, (tenth + 1) / 10.0), fmt::format("{}", count), decimal(sum / count, 1)});
  }
  return chart;
}

}  // namespace

std::vector<SimilarityPoint> similarity_points(const Scene& scene, std::size_t system) {
  const SystemResult& result = scene.split.systems[system];
  const auto ratio = measure_index(scene.evaluation, "token_set_ratio"), similarity = measure_index(scene.evaluation, "case_similarity");
  std::unordered_map<std::string_view, double> means;  // of the records, where no measure says it
  if (const SystemAnswers* answers = answers_of(scene.records, result))
    for (const Prediction& prediction : answers->predictions) {
      double sum = 0;
      for (const FoundCase& c : prediction.cases) sum += c.similarity;
      if (!prediction.cases.empty()) means.emplace(prediction.ticket_id, sum / static_cast<double>(prediction.cases.size()));
    }
  const auto value_of = [](const TicketMeasures& ticket, std::optional<std::size_t> m) {
    return m && *m < ticket.values.size() ? ticket.values[*m] : std::nullopt;
  };
  std::vector<SimilarityPoint> points;
  for (const TicketMeasures& ticket : result.tickets) {
    const std::optional<double> y = value_of(ticket, ratio);
    std::optional<double> x = value_of(ticket, similarity);
    if (const auto mean = means.find(ticket.ticket_id); !x && mean != means.end()) x = mean->second;
    if (x && y && std::isfinite(*x) && std::isfinite(*y))
      points.push_back({ticket.ticket_id, std::clamp(*x, -1.0, 1.0), std::clamp(*y, 0.0, 100.0)});
  }
  return points;
}

Figure draw_similarity(const Scene& scene) {
  Figure figure{.id = "similarity",
                .title = "Better cases, better answers?",
                .about =
                    "A dot is a ticket: right, the found cases were alike; up, the answer was close to the true resolution. Shades show "
                    "where tickets crowd."};
  figure.missing = scene.records ? "No system gave a resolution together with the cases it found."
                                 : "It needs the answers to the tickets, which are not part of this report.";
  Selector selector{.key = "system", .title = "System", .options = {}};
  const Selector all = system_selector(scene);
  for (std::size_t s = 0; s < scene.split.systems.size(); ++s)
    if (!similarity_points(scene, s).empty()) {
      selector.options.push_back(all.options[s]);
      figure.charts.push_back(scatter(scene, s));
      figure.charts.back().print = main_system(scene.evaluation, scene.split) == s;
    }
  figure.selectors = {selector};
  return figure;
}

}  // namespace deskhand
