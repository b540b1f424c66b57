// The figures of an audit: how many tickets each category has, whether the text says the labels, urgencies by month, languages, columns.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "deskhand/audit/language.h"
#include "deskhand/report/audit_report.h"
#include "deskhand/report/words.h"

namespace deskhand {
namespace {

constexpr double kWidth = 760, kLeft = 240, kRow = 22;
constexpr std::size_t kBars = 40, kMonths = 36;
constexpr std::string_view kBlue = "#2563a8", kRed = "#c8501e", kGrey = "#9aa5b1";
// Urgency 1 to 5, from dark to light: the order shows in grey too.
constexpr std::array<std::string_view, 5> kUrgencies = {"#7a1f0b", "#c8501e", "#e3a36a", "#9bbfdd", "#dbe7f2"};

struct Bar {
  std::string name;
  double value = 0;
  bool marked = false;
};

// Lying bars, one a row, each with its value; a marked one has another colour and a word.
Chart bars(std::string id, std::string title, std::string message, std::string axis, std::span<const Bar> rows, std::string_view mark,
           bool per_cent) {
  Chart chart{.id = std::move(id), .title = std::move(title), .message = std::move(message)};
  double most = per_cent ? 1 : 0;
  for (const Bar& bar : rows) most = std::max(most, bar.value);
  const double height = kRow * static_cast<double>(rows.size());
  Svg svg(kWidth, height + 70, chart.title, chart.message);
  const Frame frame(kLeft, 14, kWidth - kLeft - 90, height, 0, std::max(most, 1e-9), 0, 1);
  draw_axes(svg, frame, {.title = axis, .per_cent = per_cent}, {.hidden = true});
  double y = 14;
  for (const Bar& bar : rows) {
    svg.text(kLeft - 10, y + kRow / 2 + 4, fit(bar.name, kLeft - 20, 12), {.anchor = Anchor::kEnd});
    svg.rect(kLeft, y + 4, std::max(1.0, frame.x(bar.value) - kLeft), kRow - 8, bar.marked ? kRed : kBlue);
    svg.text(frame.x(bar.value) + 6, y + kRow / 2 + 4,
             (per_cent ? decimal(100 * bar.value, 0) + " %" : grouped(static_cast<std::int64_t>(bar.value))) +
                 (bar.marked ? fmt::format(", {}", mark) : ""),
             {.size = 11});
    y += kRow;
  }
  chart.svg = svg.finish();
  chart.print = true;
  return chart;
}

Figure draw_classes(const Audit& audit) {
  Figure figure{.id = "classes",
                .title = "Tickets of each category",
                .about = "Marked ones are too rare to be learnt. Similar names are counted apart here."};
  figure.missing = "No ticket has a category.";
  for (const ClassAudit& one : audit.classes) {
    if (one.field != LabelField::kCategory || one.classes.empty()) continue;
    std::vector<Bar> rows;
    ChartTable table{.head = {"Category", "Tickets", "Rare"}, .rows = {}};
    for (const ClassCount& c : one.classes) {
      const bool is_rare = std::any_of(one.rare.begin(), one.rare.end(), [&](const auto& r) { return r.label == c.label; });
      if (rows.size() < kBars) rows.push_back({c.label, static_cast<double>(c.tickets), is_rare});
      table.rows.push_back({c.label, grouped(c.tickets), is_rare ? "yes" : "no"});
    }
    const std::string left_out = one.classes.size() > kBars ? fmt::format(" The {} commonest are drawn.", kBars) : "";
    figure.charts.push_back(
        bars("classes", figure.title,
             fmt::format("{} categories; the commonest, {}, has {} tickets, {} are rare.{}", one.classes.size(),
                         visible(one.classes.front().label), grouped(one.classes.front().tickets), one.rare.size(), left_out),
             "Tickets", rows, "rare", false));
    figure.charts.back().table = std::move(table);
  }
  return figure;
}

Figure draw_prediction(const Audit& audit) {
  Figure figure{
      .id = "prediction",
      .title = "Does the text say the label?",
      .about = "Filled: from the text, by words alone, cross-validated. Hollow: the commonest label, always. Lines are 95 % intervals."};
  figure.missing = "There are too few labelled tickets.";
  std::vector<const PredictionAudit*> measured;
  for (const PredictionAudit& one : audit.predictions)
    if (one.missing.empty()) measured.push_back(&one);
  if (measured.empty()) return figure;
  Chart chart{.id = "prediction", .title = figure.title};
  for (const PredictionAudit* one : measured)
    chart.message += fmt::format("{}{}: {} % right from the text, {} % by guessing", chart.message.empty() ? "" : "; ", name_of(one->field),
                                 decimal(100 * *one->accuracy.value, 0), decimal(100 * *one->majority.value, 0));
  chart.message += ".";
  chart.table.head = {"Label", "From the text", "95 % interval", "Guessing", "95 % interval", "Macro-F1", "Tickets"};
  const double step = 48, height = step * static_cast<double>(measured.size());
  Svg svg(kWidth, height + 100, chart.title, chart.message);
  const Frame frame(kLeft, 40, kWidth - kLeft - 60, height, 0, 1, 0, 1);
  draw_axes(svg, frame, {.title = "Right", .per_cent = true}, {.hidden = true});
  const std::array<LegendEntry, 2> legend = {
      {{"from the text", "circle", kBlue, "", false, false}, {"the commonest", "square", kGrey, "", true, false}}};
  draw_legend(svg, kLeft, 6, kWidth - kLeft, legend);
  double y = 40;
  for (const PredictionAudit* one : measured) {
    svg.text(kLeft - 10, y + step / 2 + 4, name_of(one->field), {.anchor = Anchor::kEnd, .bold = true});
    const auto mark = [&](const Estimate& e, double at, std::string_view symbol, std::string_view colour, bool hollow) {
      svg.line({frame.x(e.low), at}, {frame.x(e.high), at}, {.stroke = colour, .width = 2});
      svg.marker({frame.x(*e.value), at}, symbol, 5.5, colour, hollow);
    };
    mark(one->accuracy, y + step / 2 - 8, "circle", kBlue, false);
    mark(one->majority, y + step / 2 + 8, "square", kGrey, true);
    const auto range = [](const Estimate& e) { return fmt::format("{} to {} %", decimal(100 * e.low, 0), decimal(100 * e.high, 0)); };
    chart.table.rows.push_back({std::string(name_of(one->field)), decimal(100 * *one->accuracy.value, 1) + " %", range(one->accuracy),
                                decimal(100 * *one->majority.value, 1) + " %", range(one->majority), decimal(one->macro_f1, 2),
                                grouped(one->tickets)});
    y += step;
  }
  chart.svg = svg.finish();
  chart.print = true;
  figure.charts.push_back(std::move(chart));
  return figure;
}

Figure draw_drift(const Audit& audit) {
  Figure figure{.id = "drift",
                .title = "Urgencies by month",
                .about = "Each column is the tickets of a month; a triangle marks those that differ from the others by more than chance."};
  figure.missing = audit.drift.missing.empty() ? "Nothing has a date." : "Not drawn: " + audit.drift.missing + ".";
  if (!audit.drift.test) return figure;
  const auto& all = audit.drift.months;
  const auto months = std::span(all).last(std::min(all.size(), kMonths));
  Chart chart{.id = "drift", .title = figure.title};
  std::string named;
  for (const MonthAudit& month : all)
    if (month.stands_out) named += (named.empty() ? "" : ", ") + month.month;
  chart.message = fmt::format("{} months, p {:.2g}, Cramér's V {}. {}", all.size(), audit.drift.test->p,
                              decimal(audit.drift.test->cramers_v, 2), named.empty() ? "No month stands out." : named + " stand out.");
  chart.table.head = {"Month", "Tickets", "Urgency 1", "2", "3", "4", "5", "p"};
  for (const MonthAudit& month : all) {
    std::vector<std::string> row = {month.month, grouped(month.tickets)};
    for (const auto count : month.urgencies)
      row.push_back(decimal(100.0 * static_cast<double>(count) / static_cast<double>(month.tickets), 0) + " %");
    row.push_back(fmt::format("{:.2g}", month.p));
    chart.table.rows.push_back(std::move(row));
  }
  Svg svg(kWidth, 400, chart.title, chart.message);
  const Frame frame(70, 50, kWidth - 100, 260, 0, static_cast<double>(months.size()), 0, 1);
  draw_axes(svg, frame, {.hidden = true}, {.title = "Share", .per_cent = true});
  std::vector<LegendEntry> legend;
  for (std::size_t u = 0; u < kUrgencies.size(); ++u)
    legend.push_back({fmt::format("urgency {}", u + 1), "square", kUrgencies[u], "", false, false});
  draw_legend(svg, 70, 6, kWidth - 100, legend);
  const std::size_t every = months.size() / 12 + 1;
  for (std::size_t m = 0; m < months.size(); ++m) {
    const double left = frame.x(static_cast<double>(m)) + 1.5, right = frame.x(static_cast<double>(m + 1)) - 1.5;
    double below = 0;
    for (std::size_t u = 0; u < kUrgencies.size(); ++u) {
      const double share = static_cast<double>(months[m].urgencies[u]) / static_cast<double>(months[m].tickets);
      if (share > 0) svg.rect(left, frame.y(below + share), right - left, frame.y(below) - frame.y(below + share), kUrgencies[u]);
      below += share;
    }
    if (months[m].stands_out) svg.marker({(left + right) / 2, 43}, "triangle-up", 4, "#1f2933");
    if (m % every == 0) svg.text((left + right) / 2, 326, months[m].month, {.size = 10.5, .anchor = Anchor::kStart, .rotate = 40});
  }
  chart.svg = svg.finish();
  chart.print = true;
  figure.charts.push_back(std::move(chart));
  return figure;
}

Figure draw_languages(const Audit& audit) {
  Figure figure{.id = "languages", .title = "Languages", .about = "Of the problems, as far as they can be told."};
  figure.missing = "No ticket has a text.";
  if (audit.languages.empty()) return figure;
  std::vector<Bar> rows;
  ChartTable table{.head = {"Language", "Tickets"}, .rows = {}};
  for (const LanguageCount& one : audit.languages) {
    const std::string name = one.code == "unknown" ? "cannot be told" : language_name(one.code);
    if (rows.size() < kBars) rows.push_back({name, static_cast<double>(one.tickets)});
    table.rows.push_back({name, grouped(one.tickets)});
  }
  figure.charts.push_back(
      bars("languages", figure.title,
           fmt::format("{} tickets are in {}, the commonest.", grouped(audit.languages.front().tickets), rows.front().name), "Tickets",
           rows, "", false));
  figure.charts.back().table = std::move(table);
  return figure;
}

Figure draw_columns(const Audit& audit) {
  Figure figure{.id = "columns", .title = "How full the export's columns are", .about = "Marked ones are empty or the same in every row."};
  figure.missing = "The export's files could not be read again.";
  if (audit.columns.empty()) return figure;
  std::vector<Bar> rows;
  ChartTable table{.head = {"Column", "File", "Read as", "Filled", "Different values"}, .rows = {}};
  std::size_t useless = 0;
  for (const ColumnAudit& one : audit.columns) {
    const double filled = one.rows > 0 ? static_cast<double>(one.filled) / static_cast<double>(one.rows) : 0;
    const bool marked = one.is_empty() || one.is_constant();
    useless += marked;
    if (rows.size() < kBars) rows.push_back({one.column, filled, marked});
    table.rows.push_back(
        {one.column, one.file, one.field.empty() ? "nothing" : one.field, decimal(100 * filled, 0) + " %", grouped(one.distinct)});
  }
  figure.charts.push_back(bars("columns", figure.title,
                               fmt::format("{} columns, {} of them empty or always the same.", audit.columns.size(), useless),
                               "Rows with a value", rows, "says nothing", true));
  figure.charts.back().table = std::move(table);
  return figure;
}

}  // namespace

std::vector<Figure> draw_audit(const Audit& audit) {
  return {draw_prediction(audit), draw_classes(audit), draw_drift(audit), draw_languages(audit), draw_columns(audit)};
}

}  // namespace deskhand
