// The figures of a report. Each has one or more static charts, one for each choice of its selectors (a measure, a system); report.js draws
// the same choice interactively from data.js. To add one: a function that draws it, in a file of its own, and a line in charts.cpp's table;
// a drawer of the same name in report.js makes it interactive.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "deskhand/evaluate/evaluation.h"
#include "deskhand/evaluate/prediction.h"
#include "deskhand/report/svg.h"

namespace deskhand {

// How a system looks wherever it is drawn: colours that colour-blind readers tell apart, and a marker and a dash that differ without
// colour. Baselines are grey and hollow.
struct SystemStyle {
  std::string_view symbol, colour, colour_dark;  // on white, on dark
  std::string_view dash;                         // of SVG; empty: solid
  std::string_view dash_name;                    // the same for Plotly
  bool baseline = false;
};

struct ChartTable {
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;  // the first cell names the row
};

struct Chart {
  std::string id;                   // "confusion-category-2": its file is charts/<id>.svg
  std::vector<std::string> choice;  // one value for each selector of the figure
  std::string title, message;       // message: what the chart says, for those who do not see it
  std::string svg;
  ChartTable table;
  bool print = false;  // stands on paper too; the first such chart of a figure is shown first
};

struct Selector {
  std::string key, title;
  std::vector<std::pair<std::string, std::string>> options;  // value, shown text
};

struct Figure {
  std::string id, title, about;  // about: how to read it, a sentence
  std::vector<Selector> selectors;
  std::vector<Chart> charts;  // empty: `missing` says why
  std::string missing;
};

// What figures are drawn from.
struct Scene {
  const Evaluation& evaluation;
  const SplitResult& split;
  const SplitRecords* records = nullptr;  // of the split; null: there are none
  std::vector<SystemStyle> styles = {};   // one a system
};

Scene make_scene(const Evaluation& evaluation, const SplitResult& split, const SplitRecords* records);
std::vector<Figure> draw_figures(const Scene& scene);
void choose_printed(Figure& figure);  // its first chart, where none is

Figure draw_measures(const Scene& scene);
Figure draw_confusion(const Scene& scene);
Figure draw_radar(const Scene& scene);
Figure draw_similarity(const Scene& scene);
Figure draw_reliability(const Scene& scene);
Figure draw_coverage(const Scene& scene);
Figure draw_retrieval(const Scene& scene);
Figure draw_training(const Scene& scene);
Figure draw_differences(const Scene& scene);
Figure draw_splits(const Scene& scene);

// Shared by figures and data.js.

struct SimilarityPoint {
  std::string_view ticket_id;
  double similarity = 0, ratio = 0;  // mean of the found cases; token_set_ratio, 0..100
};
std::vector<SimilarityPoint> similarity_points(const Scene& scene, std::size_t system);

// Measures that a radar can show for these systems: higher is better, 0..1 or 0..100, defined for all of them. At most eight.
std::vector<std::size_t> radar_measures(const Scene& scene, std::span<const std::size_t> systems);
std::vector<std::size_t> radar_systems(const Scene& scene);    // raw against tuned, or the nearest to it
double radar_share(const MeasureInfo& measure, double value);  // 0..1

// Savitzky-Golay, window 9, order 2; ends use the parabola of the first and last nine. Shorter series stay as they are.
std::vector<double> smooth(std::span<const double> values);

Selector system_selector(const Scene& scene);
std::string symbol_mark(std::string_view symbol, bool hollow);  // the marker as a character: "●", "□"

}  // namespace deskhand
