// Confusion matrices: rows are the truth, columns the answers; the shade is the share of the row, the number the count.
#include <fmt/format.h>

#include <algorithm>

#include "deskhand/report/charts.h"
#include "deskhand/report/headline.h"
#include "deskhand/report/words.h"

namespace deskhand {
namespace {

struct Cell {
  std::size_t truth = 0, answer = 0;
  std::int64_t count = 0;
};

std::int64_t count_at(const ConfusionMatrix& matrix, std::size_t truth, std::size_t answer) {
  const std::size_t at = truth * (matrix.labels.size() + 1) + answer;
  return at < matrix.counts.size() ? matrix.counts[at] : 0;
}

std::string answer_name(const ConfusionMatrix& matrix, std::size_t answer) {
  return answer < matrix.labels.size() ? matrix.labels[answer] : "none or other";
}

std::string message_of(const ConfusionMatrix& matrix, std::string_view system, std::string_view what) {
  std::int64_t right = 0, all = 0;
  Cell worst;
  for (std::size_t truth = 0; truth < matrix.labels.size(); ++truth)
    for (std::size_t answer = 0; answer <= matrix.labels.size(); ++answer) {
      const std::int64_t count = count_at(matrix, truth, answer);
      all += count;
      if (answer == truth)
        right += count;
      else if (count > worst.count)
        worst = {truth, answer, count};
    }
  if (all == 0) return fmt::format("{}: no ticket has a known {}.", system, what);
  std::string message = fmt::format("{}: {} of {} tickets have the right {}", system, right, all, what);
  if (worst.count > 0)
    message += fmt::format("; most often wrong: {} answered as {}, {} {}", matrix.labels[worst.truth], answer_name(matrix, worst.answer),
                           worst.count, worst.count == 1 ? "time" : "times");
  return message + ".";
}

Chart matrix_chart(const ConfusionMatrix& matrix, std::string id, std::vector<std::string> choice, const std::string& system,
                   const std::string& what) {
  Chart chart{.id = std::move(id),
              .choice = std::move(choice),
              .title = fmt::format("{} of {}: answers against truth", what == "urgency" ? "Urgency" : "Category", system),
              .message = message_of(matrix, system, what)};
  const std::size_t labels = matrix.labels.size();
  double longest = 40;
  for (const std::string& label : matrix.labels) longest = std::max(longest, text_width(label, 12));
  longest = std::min(longest, 170.0);
  const double side = std::clamp(480.0 / static_cast<double>(labels + 1), 18.0, 64.0), left = longest + 52, top = 30;
  const double width = left + side * static_cast<double>(labels + 1) + 24, height = top + side * static_cast<double>(labels);
  const bool slanted = longest > side - 6;
  Svg svg(std::max(width, 380.0), height + (slanted ? longest * 0.75 + 20 : 22) + 30, chart.title, chart.message);
  svg.text(left + side * static_cast<double>(labels) / 2, 18, "Answer", {.anchor = Anchor::kMiddle, .bold = true});
  svg.text(18, top + side * static_cast<double>(labels) / 2, "Truth", {.anchor = Anchor::kMiddle, .bold = true, .rotate = -90});
  chart.table.head = {"Truth"};
  for (std::size_t answer = 0; answer <= labels; ++answer) chart.table.head.push_back(answer_name(matrix, answer));
  const double size = std::clamp(side * 0.36, 8.0, 14.0);
  for (std::size_t truth = 0; truth < labels; ++truth) {
    std::int64_t all = 0;
    for (std::size_t answer = 0; answer <= labels; ++answer) all += count_at(matrix, truth, answer);
    const double y = top + side * static_cast<double>(truth);
    svg.text(left - 8, y + side / 2 + 4, fit(matrix.labels[truth], longest, 12), {.anchor = Anchor::kEnd});
    std::vector<std::string> row = {matrix.labels[truth]};
    for (std::size_t answer = 0; answer <= labels; ++answer) {
      const std::int64_t count = count_at(matrix, truth, answer);
      const double share = all > 0 ? static_cast<double>(count) / static_cast<double>(all) : 0;
      const double x = left + side * static_cast<double>(answer) + (answer == labels ? 8 : 0);
      svg.rect(x + 1, y + 1, side - 2, side - 2, heat_colour(share), 1, answer == truth ? "#1f2933" : "#e4e7eb");
      if (count > 0)
        svg.text(x + side / 2, y + side / 2 + size * 0.36, fmt::format("{}", count),
                 {.size = size, .anchor = Anchor::kMiddle, .bold = answer == truth, .fill = ink_on_heat(share)});
      row.push_back(fmt::format("{}", count));
    }
    chart.table.rows.push_back(std::move(row));
  }
  for (std::size_t answer = 0; answer <= labels; ++answer) {
    const double x = left + side * (static_cast<double>(answer) + 0.5) + (answer == labels ? 8 : 0);
    const std::string name = fit(answer_name(matrix, answer), slanted ? longest : side, 12);
    if (slanted)
      svg.text(x + 4, height + 14, name, {.size = 11, .anchor = Anchor::kEnd, .rotate = -45});
    else
      svg.text(x, height + 18, answer == labels ? "none" : name, {.size = 12, .anchor = Anchor::kMiddle});
  }
  chart.svg = svg.finish();
  return chart;
}

}  // namespace

Figure draw_confusion(const Scene& scene) {
  Figure figure{.id = "confusion",
                .title = "Which labels are taken for which",
                .about = "Rows are the truth, columns the answer; outlined cells are right. The shade is the share of the row."};
  figure.missing = "No system was measured.";
  figure.selectors = {{.key = "label", .title = "Label", .options = {{"category", "Category"}, {"urgency", "Urgency"}}},
                      system_selector(scene)};
  const auto shown = main_system(scene.evaluation, scene.split);
  for (const std::string what : {"category", "urgency"})
    for (std::size_t s = 0; s < scene.split.systems.size(); ++s) {
      const SystemResult& system = scene.split.systems[s];
      const LabelDetail& detail = what == "urgency" ? system.urgency : system.category;
      figure.charts.push_back(matrix_chart(detail.confusion, fmt::format("confusion-{}-{}", what, s), {what, fmt::format("{}", s)},
                                           system.identity.name, what));
      figure.charts.back().print = shown == s;
    }
  return figure;
}

}  // namespace deskhand
