// Differences between systems, one row a pair: an interval that leaves the zero line out is more than chance.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "deskhand/report/charts.h"
#include "deskhand/report/headline.h"
#include "deskhand/report/words.h"

namespace deskhand {

Figure draw_differences(const Scene& scene) {
  Figure figure{.id = "differences",
                .title = "Which differences are more than chance?",
                .about =
                    "Each row is one system minus another on the same tickets. An interval that leaves zero out is filled and matters; a "
                    "hollow one cannot tell."};
  figure.missing = "There are no two systems to compare.";
  Selector selector{.key = "measure", .title = "Measure", .options = {}};
  const std::vector<std::size_t> keys = key_measures(scene.evaluation);
  std::vector<std::size_t> order = keys;
  for (std::size_t m = 0; m < scene.evaluation.measures.size(); ++m)
    if (std::find(keys.begin(), keys.end(), m) == keys.end()) order.push_back(m);
  for (const std::size_t m : order) {
    const MeasureInfo& measure = scene.evaluation.measures[m];
    std::vector<const Difference*> rows;
    for (const Difference& difference : scene.split.differences)
      if (difference.measure == measure.id) rows.push_back(&difference);
    if (rows.empty()) continue;
    selector.options.emplace_back(measure.id, measure.title);
    Chart chart{.id = fmt::format("differences-{}", m), .choice = {measure.id}, .title = "Differences in " + measure.title};
    chart.table.head = {"Compared", "Difference", "95 % interval", "Verdict"};
    double low = 0, high = 0;
    std::size_t matter = 0;
    for (const Difference* d : rows) {
      if (d->matters) ++matter;
      if (is_defined(d->difference))
        low = std::min({low, d->difference.low, *d->difference.value}), high = std::max({high, d->difference.high, *d->difference.value});
    }
    if (high <= low) low = -1, high = 1;
    const double margin = 0.06 * (high - low), step = 28, left = 420, top = 14;
    chart.message =
        fmt::format("{}: {} of {} differences {} more than chance.", measure.title, matter, rows.size(), matter == 1 ? "is" : "are");
    Svg svg(900, top + step * static_cast<double>(rows.size()) + 56, chart.title, chart.message);
    const Frame frame(left, top, 340, step * static_cast<double>(rows.size()), low - margin, high + margin, 0, 1);
    draw_axes(svg, frame,
              {.title = measure.better == Better::kLower    ? "Difference (left: the first is better)"
                        : measure.better == Better::kHigher ? "Difference (right: the first is better)"
                                                            : "Difference",
               .per_cent = measure.unit == "%"},
              {.hidden = true});
    svg.line({frame.x(0), top}, {frame.x(0), top + frame.height}, {.stroke = "#1f2933", .width = 1.2});
    double y = top + step / 2;
    for (const Difference* d : rows) {
      const std::string pair = d->b + " against " + d->a;
      svg.text(left - 12, y + 4, fit(pair, left - 24, 12), {.anchor = Anchor::kEnd});
      const bool known = is_defined(d->difference);
      if (known) {
        const std::string_view colour = d->matters ? "#2563a8" : "#5b6673";
        svg.line({frame.x(d->difference.low), y}, {frame.x(d->difference.high), y}, {.stroke = colour, .width = d->matters ? 2.4 : 1.4});
        svg.marker({frame.x(*d->difference.value), y}, "circle", 4.5, colour, !d->matters);
      }
      svg.text(left + 352, y + 4, fit(known ? d->verdict : "not defined", 120, 12), {.size = 12, .bold = d->matters});
      chart.table.rows.push_back({pair,
                                  known ? difference_text(measure, *d->difference.value) : "not defined: " + why_undefined(d->difference),
                                  difference_interval(measure, d->difference), d->verdict});
      y += step;
    }
    chart.svg = svg.finish();
    figure.charts.push_back(std::move(chart));
  }
  figure.selectors = {selector};
  return figure;
}

}  // namespace deskhand
