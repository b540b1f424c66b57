#include "deskhand/report/run_comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <set>

#include "deskhand/base/json.h"
#include "deskhand/evaluate/smoothing.h"
#include "deskhand/report/words.h"

namespace deskhand {
namespace {

constexpr std::size_t kDrawn = 600;  // points of a line
// A strong line's colour, and a pale one for what it smooths.
constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kColours = {{{"#2563a8", "#b7cde6"},
                                                                                    {"#c8501e", "#f0c3b0"},
                                                                                    {"#1b7f5f", "#b0d8cb"},
                                                                                    {"#8e3a87", "#dcbdd9"},
                                                                                    {"#8a6a00", "#dccf9f"},
                                                                                    {"#0e7c93", "#aed6de"}}};
constexpr std::array<std::string_view, 4> kSymbols = {"circle", "square", "diamond", "triangle-up"};
constexpr std::array<std::string_view, 3> kDashes = {"", "7 3", "2 3"};  // for the runs beyond six

using Values = std::vector<double> RunCurves::*;

struct Quantity {
  std::string_view id, title, axis, about;
  Values train = nullptr, eval = nullptr;
  bool smoothed = true;
  int digits = 3;
};
const Quantity kQuantities[] = {
    {"train-loss", "Training loss", "Loss", "Pale: each step. Strong: smoothed (Savitzky-Golay, window 9, order 2).", &RunCurves::loss,
     nullptr},
    {"eval-loss", "Validation loss", "Loss",
     "Markers: each evaluation. Lines: smoothed as the training loss is. A loss that turns upwards has begun to learn by heart.", nullptr,
     &RunCurves::eval_loss},
    {"token-accuracy", "Token accuracy", "Accuracy",
     "The share of the answer's tokens that were the likeliest. Lines: training, smoothed; markers: validation.",
     &RunCurves::token_accuracy, &RunCurves::eval_token_accuracy},
    {"entropy", "Entropy", "Nats", "How undecided the model is between tokens. Lines: training, smoothed; markers: validation.",
     &RunCurves::entropy, &RunCurves::eval_entropy},
    {"grad-norm", "Gradient norm", "Norm", "Before clipping. Pale: each step. Strong: smoothed.", &RunCurves::grad_norm, nullptr},
    {"learning-rate", "Learning rate", "Rate", "As the schedule had it.", &RunCurves::learning_rate, nullptr, false, 7},
};

struct Axis {
  std::string_view id, title;
  Values train, eval;
};
const Axis kAxes[] = {{"epoch", "Epoch", &RunCurves::epoch, &RunCurves::eval_epoch},
                      {"tokens", "Tokens read", &RunCurves::tokens, &RunCurves::eval_tokens}};

std::vector<Point> series(std::span<const double> x, std::span<const double> y) {
  std::vector<Point> points;
  for (std::size_t i = 0; i < std::min(x.size(), y.size()); ++i)
    if (std::isfinite(x[i]) && std::isfinite(y[i])) points.push_back({x[i], y[i]});
  return points;
}

std::vector<Point> smoothed(std::vector<Point> points) {
  std::vector<double> values;
  for (const Point& p : points) values.push_back(p.y);
  values = savitzky_golay(values);
  for (std::size_t i = 0; i < points.size(); ++i) points[i].y = values[i];
  return points;
}

std::vector<Point> placed(const Frame& frame, std::span<const Point> points) {
  std::vector<Point> line;
  const std::size_t stride = points.size() / kDrawn + 1;
  for (std::size_t i = 0; i < points.size(); i += stride) line.push_back(frame.at(points[i].x, points[i].y));
  return line;
}

std::optional<double> mean(std::span<const double> values) {
  double sum = 0;
  std::int64_t count = 0;
  for (const double value : values)
    if (std::isfinite(value)) sum += value, ++count;
  return count > 0 ? std::optional(sum / static_cast<double>(count)) : std::nullopt;
}

std::optional<double> end_of(std::span<const double> values, bool last) {
  for (std::size_t i = 0; i < values.size(); ++i)
    if (const double value = values[last ? values.size() - 1 - i : i]; std::isfinite(value)) return value;
  return std::nullopt;
}

std::string shown(const std::optional<double>& value, int digits = 3) {
  return value ? decimal(*value, digits) : "-";
}

// What the chart of one quantity says without eyes.
std::string message_of(std::span<const RunCurves> runs, const Quantity& quantity) {
  std::string text;
  for (const RunCurves& run : runs) {
    const auto& values = run.*(quantity.eval ? quantity.eval : quantity.train);
    const auto first = end_of(values, false), last = end_of(values, true);
    if (first)
      text += fmt::format("{}{} goes from {} to {}", text.empty() ? "" : "; ", run.name, decimal(*first, quantity.digits),
                          decimal(*last, quantity.digits));
  }
  return text.empty() ? "Nothing was recorded." : text + ".";
}

struct Drawn {
  std::vector<Point> raw, line, marks;  // each step, smoothed, each evaluation
};

Chart draw(std::span<const RunCurves> runs, const Quantity& quantity, const Axis& axis) {
  Chart chart{.id = fmt::format("{}-{}", quantity.id, axis.id),
              .choice = {std::string(axis.id)},
              .title = fmt::format("{} against {}", quantity.title, axis.id == "epoch" ? "the epoch" : "the tokens read"),
              .message = message_of(runs, quantity)};
  chart.table.head = {"Run", "Mean", "First", "Last", "Lowest", "Highest"};
  std::vector<Drawn> drawn;
  double right = 0, low = INFINITY, high = -INFINITY;
  for (const RunCurves& run : runs) {
    Drawn own;
    if (quantity.train) {
      own.raw = series(run.*axis.train, run.*quantity.train);
      own.line = quantity.smoothed ? smoothed(own.raw) : own.raw;
    }
    if (quantity.eval) own.marks = series(run.*axis.eval, run.*quantity.eval);
    if (!quantity.train) own.line = smoothed(own.marks);
    for (const auto* points : {&own.raw, &own.marks})
      for (const Point& p : *points) right = std::max(right, p.x), low = std::min(low, p.y), high = std::max(high, p.y);
    const auto& of = run.*(quantity.eval ? quantity.eval : quantity.train);
    std::vector<double> values;
    for (const double value : of)
      if (std::isfinite(value)) values.push_back(value);
    std::vector<std::string> row = {run.name};
    if (values.empty()) {
      row.resize(chart.table.head.size(), "not recorded");
    } else {
      const auto [least, most] = std::minmax_element(values.begin(), values.end());
      for (const double value : {*mean(values), values.front(), values.back(), *least, *most})
        row.push_back(decimal(value, quantity.digits));
    }
    chart.table.rows.push_back(std::move(row));
    drawn.push_back(std::move(own));
  }
  if (!(low <= high)) low = 0, high = 1;
  const double margin = high > low ? 0.05 * (high - low) : std::max(0.05 * std::abs(high), 1e-9);
  Svg svg(760, 430, chart.title, chart.message);
  const Frame frame(78, 20, 652, 310, 0, std::max(right, 1e-9), std::max(0.0, low - margin), high + margin);
  draw_axes(svg, frame, {.title = axis.title}, {.title = quantity.axis});
  if (quantity.smoothed && !quantity.eval)
    for (std::size_t r = 0; r < runs.size(); ++r)
      svg.path(placed(frame, drawn[r].raw), {.stroke = kColours[r % kColours.size()].second, .width = 1});
  std::vector<LegendEntry> legend;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    const std::string_view colour = kColours[r % kColours.size()].first, dash = kDashes[r / kColours.size() % kDashes.size()];
    svg.path(placed(frame, drawn[r].line), {.stroke = colour, .width = 2, .dash = dash});
    for (const Point& p : placed(frame, drawn[r].marks)) svg.marker(p, kSymbols[r % kSymbols.size()], 3.5, colour, true);
    legend.push_back(
        {fmt::format("{} ({})", runs[r].name, runs[r].method), quantity.eval ? kSymbols[r % kSymbols.size()] : "", colour, dash, true});
  }
  draw_legend(svg, 40, 384, 700, legend);
  chart.svg = svg.finish();
  chart.print = axis.id == "epoch";
  return chart;
}

Json json_of(std::span<const double> values) {
  Json list = Json::array();
  for (const double value : values) list.push_back(std::isfinite(value) ? Json(value) : Json());
  return list;
}

Json json_of(const std::optional<double>& value) {
  return value ? Json(*value) : Json();
}

}  // namespace

RunAverages averages_of(const RunCurves& run) {
  RunAverages averages{.train_loss = mean(run.loss),
                       .token_accuracy = mean(run.token_accuracy),
                       .grad_norm = mean(run.grad_norm),
                       .last_train_loss = end_of(run.loss, true),
                       .eval_loss = mean(run.eval_loss),
                       .eval_token_accuracy = mean(run.eval_token_accuracy),
                       .eval_entropy = mean(run.eval_entropy),
                       .first_eval_loss = end_of(run.eval_loss, false),
                       .last_eval_loss = end_of(run.eval_loss, true),
                       .last_eval_token_accuracy = end_of(run.eval_token_accuracy, true)};
  for (std::size_t i = 0; i < run.eval_loss.size(); ++i)
    if (std::isfinite(run.eval_loss[i]) && (!averages.best_eval_loss || run.eval_loss[i] < *averages.best_eval_loss))
      averages.best_eval_loss = run.eval_loss[i], averages.best_eval_step = run.eval_step[i];
  return averages;
}

std::vector<std::string> findings_of(std::span<const RunCurves> runs) {
  std::vector<std::string> findings;
  const RunCurves* best = nullptr;
  double lowest = INFINITY;
  for (const RunCurves& run : runs)
    if (const auto own = averages_of(run); own.best_eval_loss && *own.best_eval_loss < lowest) lowest = *own.best_eval_loss, best = &run;
  if (best)
    findings.push_back(fmt::format("The lowest validation loss is {}, of {} at step {}.", decimal(lowest, 3), best->name,
                                   averages_of(*best).best_eval_step));
  else
    findings.push_back("None of the runs was evaluated while training.");
  std::set<std::string> data;
  for (const RunCurves& run : runs) data.insert(run.data_hash);
  if (data.size() > 1)
    findings.push_back(
        "The runs did not learn from the same texts: their losses cannot be compared with one another, only their answers to held-out "
        "tickets can (deskhand evaluate).");
  for (const RunCurves& run : runs)
    if (run.state != "finished") findings.push_back(fmt::format("{} is not finished: {}.", run.name, run.state));
  for (const RunCurves& run : runs)
    if (const auto own = averages_of(run); own.best_eval_loss && *own.last_eval_loss > 1.05 * *own.best_eval_loss)
      findings.push_back(fmt::format("{} began to learn by heart: its validation loss rose from {} at step {} to {} at its end.", run.name,
                                     decimal(*own.best_eval_loss, 3), own.best_eval_step, decimal(*own.last_eval_loss, 3)));
  return findings;
}

std::vector<Figure> draw_runs(std::span<const RunCurves> runs) {
  std::vector<Figure> figures;
  for (const Quantity& quantity : kQuantities) {
    Figure figure{.id = std::string(quantity.id), .title = std::string(quantity.title), .about = std::string(quantity.about)};
    figure.missing = "Nothing was recorded.";
    const bool any = std::any_of(runs.begin(), runs.end(), [&](const RunCurves& run) {
      return (quantity.train && mean(run.*quantity.train)) || (quantity.eval && mean(run.*quantity.eval));
    });
    if (any) {
      Selector selector{.key = "axis", .title = "Against", .options = {}};
      for (const Axis& axis : kAxes) {
        selector.options.emplace_back(axis.id, axis.title);
        figure.charts.push_back(draw(runs, quantity, axis));
      }
      figure.selectors.push_back(std::move(selector));
    }
    figures.push_back(std::move(figure));
  }
  return figures;
}

ChartTable averages_table(std::span<const RunCurves> runs) {
  ChartTable table{.head = {""}, .rows = {}};
  std::vector<RunAverages> averages;
  for (const RunCurves& run : runs) table.head.push_back(run.name), averages.push_back(averages_of(run));
  const auto row = [&](std::string name, auto&& cell) {
    std::vector<std::string> cells = {std::move(name)};
    for (std::size_t r = 0; r < runs.size(); ++r) cells.push_back(cell(runs[r], averages[r]));
    table.rows.push_back(std::move(cells));
  };
  const auto last = [](std::span<const double> values) { return end_of(values, true); };
  row("Method", [](const RunCurves& run, const RunAverages&) { return run.method; });
  row("Base", [](const RunCurves& run, const RunAverages&) { return run.base; });
  row("State", [](const RunCurves& run, const RunAverages&) { return run.state; });
  row("Steps", [](const RunCurves& run, const RunAverages&) { return grouped(static_cast<std::int64_t>(run.loss.size())); });
  row("Epochs", [&](const RunCurves& run, const RunAverages&) { return shown(last(run.epoch), 2); });
  row("Tokens read", [&](const RunCurves& run, const RunAverages&) {
    const auto tokens = last(run.tokens);
    return tokens ? grouped(static_cast<std::int64_t>(*tokens)) : "-";
  });
  row("Tokens a second", [&](const RunCurves& run, const RunAverages&) {
    const auto tokens = last(run.tokens);
    return tokens && run.seconds > 0 ? grouped(static_cast<std::int64_t>(*tokens / run.seconds)) : "-";
  });
  row("Training loss, mean", [](const RunCurves&, const RunAverages& a) { return shown(a.train_loss); });
  row("Training loss, last", [](const RunCurves&, const RunAverages& a) { return shown(a.last_train_loss); });
  row("Token accuracy, mean", [](const RunCurves&, const RunAverages& a) { return shown(a.token_accuracy); });
  row("Gradient norm, mean", [](const RunCurves&, const RunAverages& a) { return shown(a.grad_norm); });
  row("Validation loss, mean", [](const RunCurves&, const RunAverages& a) { return shown(a.eval_loss); });
  row("Validation accuracy, mean", [](const RunCurves&, const RunAverages& a) { return shown(a.eval_token_accuracy); });
  row("Validation entropy, mean", [](const RunCurves&, const RunAverages& a) { return shown(a.eval_entropy); });
  row("Validation loss, first", [](const RunCurves&, const RunAverages& a) { return shown(a.first_eval_loss); });
  row("Validation loss, lowest", [](const RunCurves&, const RunAverages& a) {
    return a.best_eval_loss ? fmt::format("{} (step {})", decimal(*a.best_eval_loss, 3), a.best_eval_step) : "-";
  });
  row("Validation loss, last", [](const RunCurves&, const RunAverages& a) { return shown(a.last_eval_loss); });
  row("Validation accuracy, last", [](const RunCurves&, const RunAverages& a) { return shown(a.last_eval_token_accuracy); });
  return table;
}

std::string run_comparison_json(std::span<const RunCurves> runs) {
  Json list = Json::array();
  for (const RunCurves& run : runs) {
    const RunAverages a = averages_of(run);
    list.push_back({{"name", run.name},
                    {"method", run.method},
                    {"base", run.base},
                    {"state", run.state},
                    {"data_hash", run.data_hash},
                    {"averages",
                     {{"train_loss", json_of(a.train_loss)},
                      {"mean_token_accuracy", json_of(a.token_accuracy)},
                      {"grad_norm", json_of(a.grad_norm)},
                      {"last_train_loss", json_of(a.last_train_loss)},
                      {"eval_loss", json_of(a.eval_loss)},
                      {"eval_mean_token_accuracy", json_of(a.eval_token_accuracy)},
                      {"eval_entropy", json_of(a.eval_entropy)},
                      {"first_eval_loss", json_of(a.first_eval_loss)},
                      {"best_eval_loss", json_of(a.best_eval_loss)},
                      {"best_eval_step", a.best_eval_step},
                      {"last_eval_loss", json_of(a.last_eval_loss)},
                      {"last_eval_mean_token_accuracy", json_of(a.last_eval_token_accuracy)}}},
                    {"steps",
                     {{"epoch", json_of(run.epoch)},
                      {"num_tokens", json_of(run.tokens)},
                      {"loss", json_of(run.loss)},
                      {"loss_smoothed", json_of(savitzky_golay(run.loss))},
                      {"mean_token_accuracy", json_of(run.token_accuracy)},
                      {"entropy", json_of(run.entropy)},
                      {"grad_norm", json_of(run.grad_norm)},
                      {"learning_rate", json_of(run.learning_rate)}}},
                    {"evaluations",
                     {{"step", run.eval_step},
                      {"epoch", json_of(run.eval_epoch)},
                      {"num_tokens", json_of(run.eval_tokens)},
                      {"eval_loss", json_of(run.eval_loss)},
                      {"eval_mean_token_accuracy", json_of(run.eval_token_accuracy)},
                      {"eval_entropy", json_of(run.eval_entropy)}}}});
  }
  return write_json({{"runs", list}, {"findings", findings_of(runs)}}, 1) + "\n";
}

}  // namespace deskhand
