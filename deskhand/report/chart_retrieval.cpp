// Retrieval: each quality of each method at k = 1, 3, 5, 10.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "deskhand/report/charts.h"
#include "deskhand/report/words.h"

namespace deskhand {
namespace {

struct Quality {
  std::string_view id, title;
  Estimate RetrievalRow::*value;
};
constexpr std::array<Quality, 6> kQualities = {{{"recall", "Recall", &RetrievalRow::recall},
                                                {"precision", "Precision", &RetrievalRow::precision},
                                                {"f1", "F1", &RetrievalRow::f1},
                                                {"mrr", "Mean reciprocal rank", &RetrievalRow::mrr},
                                                {"ndcg", "nDCG", &RetrievalRow::ndcg},
                                                {"map", "Mean average precision", &RetrievalRow::map}}};
constexpr std::array<std::string_view, 5> kSymbols = {"circle", "square", "diamond", "triangle-up", "cross"};
constexpr std::array<std::string_view, 5> kColours = {"#2563a8", "#c8501e", "#1b7f5f", "#8e3a87", "#8a6a00"};
constexpr std::array<std::string_view, 5> kDashes = {"", "7 3", "2 3", "7 3 2 3", "4 2"};

}  // namespace

Figure draw_retrieval(const Scene& scene) {
  Figure figure{
      .id = "retrieval",
      .title = "Are the right cases found?",
      .about = "k is how many cases are looked at. A case is relevant if it has the ticket's category and a resolution like its own."};
  figure.missing = "Retrieval was not measured.";
  std::vector<std::string> methods;
  std::vector<double> ks;
  for (const RetrievalRow& row : scene.split.retrieval) {
    if (std::find(methods.begin(), methods.end(), row.method) == methods.end()) methods.push_back(row.method);
    if (std::find(ks.begin(), ks.end(), row.k) == ks.end()) ks.push_back(row.k);
  }
  if (methods.empty()) return figure;
  std::sort(ks.begin(), ks.end());
  Selector selector{.key = "quality", .title = "Measure", .options = {}};
  const MeasureInfo plain{.unit = ""};
  for (const Quality& quality : kQualities) {
    selector.options.emplace_back(quality.id, quality.title);
    Chart chart{.id = fmt::format("retrieval-{}", quality.id),
                .choice = {std::string(quality.id)},
                .title = fmt::format("{} of retrieval", quality.title)};
    chart.print = quality.id == "recall" || quality.id == "ndcg";
    chart.table.head = {"Method"};
    for (const double k : ks) chart.table.head.push_back(fmt::format("k = {:.0f}", k));
    const RetrievalRow* best = nullptr;
    double highest = 0;
    for (const RetrievalRow& row : scene.split.retrieval) {
      const Estimate& estimate = row.*quality.value;
      if (!is_defined(estimate)) continue;
      highest = std::max({highest, *estimate.value, estimate.high});
      if (row.k == ks.back() && (!best || *estimate.value > *((*best).*quality.value).value)) best = &row;
    }
    chart.message = best
                        ? fmt::format("{} at k = {}: {} is best with {}.", quality.title, best->k, best->method,
                                      estimate_text(plain, (*best).*quality.value))
                        : fmt::format("{} is not defined: {}.", quality.title, why_undefined(scene.split.retrieval.front().*quality.value));
    Svg svg(760, 430, chart.title, chart.message);
    const Frame frame(70, 20, 660, 310, -0.4, static_cast<double>(ks.size()) - 0.6, 0,
                      highest > 0.5 || highest <= 0 ? 1 : std::max(0.1, highest * 1.1));
    draw_axes(svg, frame, {.hidden = true}, {.title = std::string_view(quality.title)});
    for (std::size_t i = 0; i < ks.size(); ++i)
      svg.text(frame.x(static_cast<double>(i)), 347, fmt::format("{:.0f}", ks[i]),
               {.size = 11, .anchor = Anchor::kMiddle, .fill = "#52606d"});
    svg.text(400, 368, "Cases looked at (k)", {.anchor = Anchor::kMiddle});
    std::vector<LegendEntry> legend;
    for (std::size_t m = 0; m < methods.size(); ++m) {
      std::vector<Point> line;
      std::vector<std::string> cells = {methods[m]};
      const double aside = 0.035 * (static_cast<double>(m) - static_cast<double>(methods.size() - 1) / 2);  // whiskers side by side
      for (std::size_t i = 0; i < ks.size(); ++i) {
        const auto row = std::find_if(scene.split.retrieval.begin(), scene.split.retrieval.end(),
                                      [&](const RetrievalRow& r) { return r.method == methods[m] && r.k == ks[i]; });
        cells.push_back(row == scene.split.retrieval.end() ? "not measured" : estimate_text(plain, (*row).*quality.value));
        if (row == scene.split.retrieval.end() || !is_defined((*row).*quality.value)) continue;
        const Estimate& estimate = (*row).*quality.value;
        const double x = static_cast<double>(i) + aside;
        svg.line(frame.at(x, estimate.low), frame.at(x, estimate.high), {.stroke = kColours[m % 5], .width = 1.2});
        line.push_back(frame.at(x, *estimate.value));
      }
      svg.path(line, {.stroke = kColours[m % 5], .width = 2, .dash = kDashes[m % 5]});
      for (const Point& p : line) svg.marker(p, kSymbols[m % 5], 4.5, kColours[m % 5]);
      legend.push_back({methods[m], kSymbols[m % 5], kColours[m % 5], kDashes[m % 5]});
      chart.table.rows.push_back(std::move(cells));
    }
    draw_legend(svg, 70, 392, 660, legend);
    chart.svg = svg.finish();
    figure.charts.push_back(std::move(chart));
  }
  figure.selectors = {selector};
  return figure;
}

}  // namespace deskhand
