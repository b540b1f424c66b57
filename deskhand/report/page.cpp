#include "deskhand/report/page.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "deskhand/report/audit_report.h"
#include "deskhand/report/headline.h"
#include "deskhand/report/words.h"

namespace deskhand {
namespace {

// ---- pieces --------------------------------------------------------------------------------------------------------------------------

std::string element(std::string_view name, std::string_view text, std::string_view attributes = "") {
  return fmt::format("<{0}{1}{2}>{3}</{0}>\n", name, attributes.empty() ? "" : " ", attributes, html(text));
}

std::string head(std::string_view title, std::string_view scripts) {
  // 'self' is what a server needs, file: what browsers need that give pages on disk no origin. Nothing may come from a network.
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'self' file:; style-src 'self' file: "
      "'unsafe-inline'; "
      "img-src 'self' file: data: blob:; base-uri 'none'; form-action 'none'\">\n"
      "{}\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n"
      "<meta name=\"referrer\" content=\"no-referrer\">\n<title>{}</title>\n<link rel=\"icon\" href=\"data:,\">\n<link rel=\"stylesheet\" "
      "href=\"report.css\">\n{}</head>\n",
      kReportMark, html(title), scripts);
}

std::string scripts(const PageOptions& options) {
  std::string text;
  for (const char* name : {"data.js", "plotly.min.js", "report.js"})
    if (options.plotly || name != std::string_view("plotly.min.js")) text += fmt::format("<script src=\"{}\" defer></script>\n", name);
  return text;
}

std::string table(const ChartTable& content, std::string_view caption, std::string_view css = "plain") {
  std::string text = fmt::format(
      "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{0}\"><table class=\"{1}\"><caption>{0}</caption>\n<thead><tr>",
      html(caption), css);
  for (const std::string& cell : content.head) text += "<th scope=\"col\">" + html(cell) + "</th>";
  text += "</tr></thead>\n<tbody>\n";
  for (const auto& row : content.rows) {
    text += "<tr>";
    for (std::size_t i = 0; i < row.size(); ++i)
      text += (i == 0 ? "<th scope=\"row\">" : "<td>") + html(row[i]) + (i == 0 ? "</th>" : "</td>");
    text += "</tr>\n";
  }
  return text + "</tbody></table></div>\n";
}

std::string definition(std::string_view term, std::string_view text, std::string_view attributes = "") {
  return text.empty()
             ? ""
             : fmt::format("<div{}{}><dt>{}</dt><dd>{}</dd></div>\n", attributes.empty() ? "" : " ", attributes, html(term), html(text));
}

std::string list(std::span<const std::string> sentences) {
  std::string text = "<ul>\n";
  for (const std::string& sentence : sentences) text += element("li", sentence);
  return text + "</ul>\n";
}

std::string notice(std::string_view kind, std::string_view title, const std::string& body) {
  return fmt::format("<aside class=\"notice {}\"><h3>{}</h3>\n{}</aside>\n", kind, html(title), body);
}

std::string system_head(const SystemResult& system, const SystemStyle& style) {
  return fmt::format("<span class=\"mark\" style=\"--own:{};--own-dark:{}\" aria-hidden=\"true\">{}</span> {}", style.colour,
                     style.colour_dark, symbol_mark(style.symbol, style.baseline), html(system.identity.name));
}

std::vector<std::size_t> systems_then_baselines(const Scene& scene) {
  std::vector<std::size_t> order;
  for (const bool baseline : {false, true})
    for (std::size_t s = 0; s < scene.styles.size(); ++s)
      if (scene.styles[s].baseline == baseline) order.push_back(s);
  return order;
}

std::string way(const MeasureInfo& measure) {
  return measure.better == Better::kHigher  ? "higher is better"
         : measure.better == Better::kLower ? "lower is better"
                                            : "neither way is better";
}

// Every measure x every system, best marked by a word, baselines in columns of their own.
std::string measures_table(const Scene& scene, std::string_view caption) {
  const std::vector<std::size_t> order = systems_then_baselines(scene);
  const auto own =
      static_cast<std::size_t>(std::count_if(scene.styles.begin(), scene.styles.end(), [](const SystemStyle& s) { return !s.baseline; }));
  if (order.empty()) return "<p>No system was measured.</p>\n";
  std::string text = fmt::format(
      "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{0}\"><table class=\"measures\"><caption>{0}</caption>\n",
      html(caption));
  text += "<colgroup><col></colgroup>";
  if (own > 0) text += fmt::format("<colgroup span=\"{}\"></colgroup>", own);
  if (own < order.size()) text += fmt::format("<colgroup span=\"{}\" class=\"baselines\"></colgroup>", order.size() - own);
  text += "\n<thead><tr><td></td>";
  if (own > 0) text += fmt::format("<th scope=\"colgroup\" colspan=\"{}\">Systems</th>", own);
  if (own < order.size())
    text += fmt::format("<th scope=\"colgroup\" colspan=\"{}\" class=\"first-baseline\">Baselines</th>", order.size() - own);
  text += "</tr>\n<tr><th scope=\"col\">Measure</th>";
  const auto column_class = [&](std::size_t place) { return place == own ? " first-baseline" : ""; };
  for (std::size_t place = 0; place < order.size(); ++place)
    text += fmt::format("<th scope=\"col\" class=\"system{}\">{}</th>", column_class(place),
                        system_head(scene.split.systems[order[place]], scene.styles[order[place]]));
  text += "</tr></thead>\n";
  std::string section;
  bool open = false;
  for (std::size_t m = 0; m < scene.evaluation.measures.size(); ++m) {
    const MeasureInfo& measure = scene.evaluation.measures[m];
    if (!open || measure.section != section) {
      text += open ? "</tbody>\n" : "";
      text += fmt::format("<tbody><tr class=\"section\"><th scope=\"rowgroup\" colspan=\"{}\">{}</th></tr>\n", order.size() + 1,
                          html(measure.section));
      section = measure.section, open = true;
    }
    text +=
        fmt::format("<tr><th scope=\"row\"><a href=\"#measure-{}\">{}</a> <small>{}</small></th>", m, html(measure.title), way(measure));
    const auto best = best_system(scene.evaluation, scene.split, m, Among::kAll);
    const bool marks_best = best && tells_apart(scene.evaluation, scene.split, m);
    for (std::size_t place = 0; place < order.size(); ++place) {
      const Estimate estimate = estimate_of(scene.split.systems[order[place]], m);
      if (!is_defined(estimate)) {
        text +=
            fmt::format("<td class=\"undefined{}\">not defined <small>{}</small></td>", column_class(place), html(why_undefined(estimate)));
        continue;
      }
      const bool is_best = marks_best && *estimate.value == *scene.split.systems[*best].measures[m].value;
      text += fmt::format("<td class=\"{}{}\"><span class=\"value\">{}</span>{} <small>{}</small></td>", is_best ? "best" : "",
                          column_class(place), html(value_text(measure, *estimate.value)), is_best ? " <b class=\"tag\">best</b>" : "",
                          html(interval_text(measure, estimate)));
    }
    text += "</tr>\n";
  }
  return text + (open ? "</tbody>" : "") + "</table></div>\n";
}

// One row group a measure.
std::string differences_table(const Evaluation& evaluation, std::span<const Difference* const> rows, std::string_view caption) {
  std::string text = fmt::format(
      "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{0}\"><table "
      "class=\"differences\"><caption>{0}</caption>\n<thead><tr>",
      html(caption));
  for (const char* cell : {"Compared", "Difference", "95 % interval", "Chance (p)", "McNemar's p", "Verdict"})
    text += fmt::format("<th scope=\"col\">{}</th>", cell);
  text += "</tr></thead>\n";
  const std::string* measure_id = nullptr;
  for (const Difference* d : rows) {
    const auto m = measure_index(evaluation, d->measure);
    const MeasureInfo measure = m ? evaluation.measures[*m] : MeasureInfo{.title = d->measure};
    if (!measure_id || *measure_id != d->measure) {
      text += fmt::format("{}<tbody><tr class=\"section\"><th scope=\"rowgroup\" colspan=\"6\">{}</th></tr>\n",
                          measure_id ? "</tbody>\n" : "", html(measure.title));
      measure_id = &d->measure;
    }
    const bool known = is_defined(d->difference);
    const std::string mcnemar =
        d->mcnemar_p ? fmt::format("{} <small>right alone: {} against {}</small>", chance_text(d->mcnemar_p), d->only_b, d->only_a)
                     : "not defined <small>not a right-or-wrong measure</small>";
    text += fmt::format(
        "<tr{}><th scope=\"row\"><b>{}</b> against {}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"verdict\">{}</td></tr>\n",
        d->matters ? " class=\"matters\"" : "", html(d->b), html(d->a),
        known ? html(difference_text(measure, *d->difference.value))
              : "not defined <small>" + html(why_undefined(d->difference)) + "</small>",
        html(difference_interval(measure, d->difference)), chance_text(d->p), mcnemar, html(known ? d->verdict : "not defined"));
  }
  return text + (measure_id ? "</tbody>" : "") + "</table></div>\n";
}

constexpr std::size_t kFewPairs = 10;

// In sight: key measures, of many pairs those with the system that the page speaks of. The others a measure at a time behind a click.
std::string all_differences(const Evaluation& evaluation, const SplitResult& split) {
  if (split.differences.empty()) return "<p>There are no two systems to compare.</p>\n";
  const std::vector<std::size_t> keys = key_measures(evaluation, 3);
  const auto main = main_system(evaluation, split);
  const std::string name = main ? split.systems[*main].identity.name : "";
  std::vector<const Difference*> in_sight;
  std::string others;
  std::vector<std::string> ids;
  for (const Difference& d : split.differences)
    if (std::find(ids.begin(), ids.end(), d.measure) == ids.end()) ids.push_back(d.measure);
  for (const std::string& id : ids) {
    std::vector<const Difference*> rows;
    const auto m = measure_index(evaluation, id);
    const bool key = m && std::find(keys.begin(), keys.end(), *m) != keys.end();
    for (const Difference& d : split.differences)
      if (d.measure == id) rows.push_back(&d);
    for (const Difference* d : rows)
      if (key && (rows.size() <= kFewPairs || d->a == name || d->b == name)) in_sight.push_back(d);
    const std::string title = m ? evaluation.measures[*m].title : id;
    const auto matter = std::count_if(rows.begin(), rows.end(), [](const Difference* d) { return d->matters; });
    others += fmt::format("<details><summary>{}: {} of {} more than chance</summary>\n{}</details>\n", html(title), matter, rows.size(),
                          differences_table(evaluation, rows, "Differences in " + title));
  }
  std::string text = in_sight.empty() ? "" : differences_table(evaluation, in_sight, "Differences to " + name + " on the same tickets");
  return text + "<h3>All pairs, a measure at a time</h3>\n" + others;
}

std::string figure_html(const Figure& figure) {
  std::string text =
      fmt::format("<figure class=\"figure\" id=\"figure-{0}\" data-figure=\"{0}\">\n<figcaption><h3>{1}</h3><p>{2}</p></figcaption>\n",
                  figure.id, html(figure.title), html(figure.about));
  if (figure.charts.empty()) return text + element("p", figure.missing, "class=\"missing\"") + "</figure>\n";
  text += "<div class=\"controls\" hidden>";
  for (const Selector& selector : figure.selectors) {
    text += fmt::format("<label>{} <select name=\"{}\">", html(selector.title), selector.key);
    for (const auto& [value, shown] : selector.options) text += fmt::format("<option value=\"{}\">{}</option>", html(value), html(shown));
    text += "</select></label> ";
  }
  text += "</div>\n<div class=\"plot\" role=\"img\" hidden></div>\n";
  bool chosen = false;
  for (const Chart& chart : figure.charts) {
    std::string choice;
    for (const std::string& value : chart.choice) choice += (choice.empty() ? "" : "|") + value;
    text += fmt::format(
        "<div class=\"chart{}{}\" data-choice=\"{}\">\n<img src=\"charts/{}.svg\" alt=\"{}\"{}>\n<p class=\"message\">{}</p>\n"
        "<p class=\"links\"><a href=\"charts/{}.svg\" download>Drawing (SVG)</a></p>\n<details class=\"data\"><summary>The figures as a "
        "table</summary>\n{}</details>\n</div>\n",
        chart.print ? " print" : "", chart.print && !chosen ? " chosen" : "", html(choice), chart.id, html(chart.message),
        chart.print ? "" : " loading=\"lazy\"", html(chart.message), chart.id, table(chart.table, chart.title));
    chosen = chosen || chart.print;
  }
  if (figure.charts.size() > 1) {
    text += fmt::format("<details class=\"drawings\"><summary>All {} drawings</summary>\n<ul>\n", figure.charts.size());
    for (const Chart& chart : figure.charts)
      text += fmt::format("<li><a href=\"charts/{}.svg\">{}</a></li>\n", chart.id, html(chart.title));
    text += "</ul></details>\n";
  }
  return text + "</figure>\n";
}

const Figure* find_figure(std::span<const Figure> figures, std::string_view id) {
  const auto found = std::find_if(figures.begin(), figures.end(), [&](const Figure& f) { return f.id == id; });
  return found == figures.end() ? nullptr : &*found;
}

// ---- 1. summary ----------------------------------------------------------------------------------------------------------------------

// The interval of the system (thick) and of the best baseline (thin) on one line from worst to best.
std::string strip(const MeasureInfo& measure, const Estimate& system, const Estimate* baseline) {
  double low = 0, high = measure.unit == "%" ? 1 : measure.unit == "0..100" ? 100 : 0;
  for (const Estimate* e : {&system, baseline})
    if (e && is_defined(*e)) low = std::min({low, e->low, *e->value}), high = std::max({high, e->high, *e->value});
  if (!(high > low)) return "";
  const Scale x{low, high, 6, 254};
  std::string text =
      "<svg class=\"strip\" viewBox=\"0 0 260 26\" aria-hidden=\"true\"><line class=\"rail\" x1=\"6\" x2=\"254\" y1=\"13\" y2=\"13\"/>";
  if (baseline && is_defined(*baseline))
    text += fmt::format(
        "<line class=\"base\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"20\" y2=\"20\"/><circle class=\"base\" cx=\"{:.1f}\" cy=\"20\" r=\"3.5\"/>",
        x(baseline->low), x(baseline->high), x(*baseline->value));
  return text + fmt::format(
                    "<line class=\"main\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"10\" y2=\"10\"/><circle class=\"main\" cx=\"{:.1f}\" cy=\"10\" "
                    "r=\"6\"/></svg>\n",
                    x(system.low), x(system.high), x(*system.value));
}

std::string card(const Evaluation& evaluation, const SplitResult& split, std::size_t system, std::size_t m) {
  const MeasureInfo& measure = evaluation.measures[m];
  const Estimate estimate = estimate_of(split.systems[system], m);
  std::string text = "<div class=\"card\">" + element("h3", measure.title);
  if (!is_defined(estimate))
    return text + fmt::format("<p class=\"big small\">not defined</p><p>{}</p></div>\n", html(why_undefined(estimate)));
  const std::string words = in_words(measure, estimate);
  if (words.starts_with("of 100 tickets")) {
    text += fmt::format("<p class=\"big\">{}<span> of 100</span></p>", decimal(100 * *estimate.value, 0));
    text += element("p", "Of" + words.substr(2) + ".");
  } else {
    const auto unit = value_text(measure, *estimate.value, false);
    text +=
        fmt::format("<p class=\"big\">{}<span> {}</span></p>", html(measure.unit == "bytes" ? value_text(measure, *estimate.value) : unit),
                    measure.unit == "%"        ? "%"
                    : measure.unit == "0..100" ? "of 100"
                    : measure.unit == "bytes"  ? ""
                                               : html(measure.unit));
    text += element("p", "Likely " + interval_text(measure, estimate) + ".");
  }
  const auto best = best_system(evaluation, split, m, Among::kBaselines);
  const bool other = best && *best != system;
  text += strip(measure, estimate, other ? &split.systems[*best].measures[m] : nullptr);
  if (other)
    text += element(
        "p",
        fmt::format("Best baseline, {}: {}", split.systems[*best].identity.name, estimate_text(measure, split.systems[*best].measures[m])),
        "class=\"against\"");
  else if (!best)
    text += element("p", "No baseline has this measure.", "class=\"against\"");
  return text + "</div>\n";
}

std::string summary_section(const Evaluation& evaluation, const PageOptions& options) {
  std::string text = "<section id=\"summary\" aria-labelledby=\"summary-title\">\n<h2 id=\"summary-title\">Summary</h2>\n";
  text += element("p", first_sentence(evaluation), "class=\"lead\"");
  if (evaluation.findings.size() > 1) text += "<div class=\"findings\">" + list(std::span(evaluation.findings).subspan(1)) + "</div>";
  if (evaluation.splits.empty()) return text + "</section>\n";
  const SplitResult& split = evaluation.splits.front();
  const auto system = main_system(evaluation, split);
  if (system) {
    text += element("p",
                    fmt::format("The figures of {}{}:", split.systems[*system].identity.name,
                                is_baseline(split.systems[*system].identity) ? ", a baseline (nothing else was measured)" : ""),
                    "class=\"whose\"");
    text += "<div class=\"cards\">\n";
    for (const std::size_t m : key_measures(evaluation, 4)) text += card(evaluation, split, *system, m);
    text +=
        "</div>\n<p class=\"key\"><span class=\"dot main\"></span> the system with its likely range <span class=\"dot base\"></span> the "
        "best baseline with its own</p>\n";
  }
  std::size_t baselines = 0;
  for (const SystemResult& s : split.systems) baselines += is_baseline(s.identity) ? 1 : 0;
  text += "<dl class=\"facts\">\n";
  text += definition("What was measured",
                     fmt::format("{} {} and {} {}, on tickets whose answers people had given and no system had seen",
                                 split.systems.size() - baselines, split.systems.size() - baselines == 1 ? "system" : "systems",
                                 baselines == 0 ? "no" : fmt::format("{}", baselines), baselines == 1 ? "baseline" : "baselines"));
  text += definition("Held-out tickets", grouped(split.test));
  text += definition("Tickets learnt from", grouped(split.train));
  text += definition("Split", split.description.empty() ? split.name : split.name + ": " + split.description);
  text += definition("How sure",
                     fmt::format("\"Likely\" is a 95 % interval from {} bootstrap resamples: with other tickets of this kind "
                                 "the figure would stay inside about 95 times of 100.",
                                 grouped(evaluation.resamples)),
                     "class=\"wide\"");
  text += "</dl>\n";
  std::vector<std::string> warnings = split.warnings;
  for (const SystemResult& s : split.systems)
    for (const std::string& warning : s.warnings) warnings.push_back(s.identity.name + ": " + warning);
  if (!warnings.empty()) text += notice("warning", "Warnings", list(warnings));
  std::string leakage = element("p", leakage_sentence(split));
  if (!split.leakage.examples.empty()) {
    ChartTable content{.head = {"Held-out ticket", "Ticket learnt from", "Words in common"}, .rows = {}};
    for (const NearCopy& copy : split.leakage.examples)
      content.rows.push_back({copy.test_id, copy.train_id, decimal(100 * copy.similarity, 0) + " %"});
    leakage += "<details><summary>The closest pairs</summary>\n" + table(content, "Near copies across the split") + "</details>\n";
  }
  text += notice(split.leakage.leaked > 0 ? "warning" : "good", "Leakage check", leakage);
  if (!options.texts)
    text += notice("note", "Texts are left out", element("p", "This report was written without the texts of tickets, cases and answers."));
  return text + "</section>\n";
}

// ---- 4, 5, 6 --------------------------------------------------------------------------------------------------------------------------

std::string classes_of(const SystemResult& system, std::string_view label, const LabelDetail& detail) {
  if (detail.classes.empty()) return "<p>No ticket has a known " + std::string(label) + ".</p>\n";
  ChartTable content{.head = {label == "urgency" ? "Urgency" : "Category", "Tickets", "Answered", "Precision", "Recall", "F1"}, .rows = {}};
  for (const ClassRow& row : detail.classes)
    content.rows.push_back({row.label, grouped(row.support), grouped(row.predicted),
                            row.predicted > 0 ? decimal(100 * row.precision, 1) + " %" : "not defined: never answered",
                            row.support > 0 ? decimal(100 * row.recall, 1) + " %" : "not defined: no such ticket",
                            decimal(100 * row.f1, 1) + " %"});
  return table(content, fmt::format("{}: every {}", system.identity.name, label));
}

std::string classes_section(const Evaluation& evaluation, const SplitResult& split) {
  std::string text = "<h3>Class by class</h3>\n";
  const auto shown = main_system(evaluation, split);
  for (std::size_t s = 0; s < split.systems.size(); ++s)
    text += fmt::format("<details{}><summary>{}</summary>\n<div class=\"two\">{}{}</div></details>\n", shown == s ? " open" : "",
                        html(split.systems[s].identity.name), classes_of(split.systems[s], "category", split.systems[s].category),
                        classes_of(split.systems[s], "urgency", split.systems[s].urgency));
  return text;
}

std::string splits_section(const Evaluation& evaluation, std::span<const Figure> figures) {
  std::string text =
      "<section id=\"splits\" aria-labelledby=\"splits-title\">\n<h2 id=\"splits-title\">Other ways of dividing the tickets</h2>\n";
  ChartTable content{.head = {"Split", "Tickets learnt from", "Held-out tickets", "With a near copy", "How they were divided"}, .rows = {}};
  for (const SplitResult& split : evaluation.splits)
    content.rows.push_back({split.name, grouped(split.train), grouped(split.test),
                            fmt::format("{} of {}", grouped(split.leakage.leaked), grouped(split.leakage.test)), split.description});
  text += table(content, "The splits that were measured", "plain texts");
  if (const Figure* figure = find_figure(figures, "splits")) text += figure_html(*figure);
  for (std::size_t i = 1; i < evaluation.splits.size(); ++i) {
    const Scene scene = make_scene(evaluation, evaluation.splits[i], nullptr);
    text += fmt::format("<details><summary>Every measure on the split {}</summary>\n{}{}{}</details>\n", html(scene.split.name),
                        element("p", leakage_sentence(scene.split)), scene.split.warnings.empty() ? "" : list(scene.split.warnings),
                        measures_table(scene, "Every measure on the split " + scene.split.name));
  }
  return text + "</section>\n";
}

std::string tickets_section(const Evaluation& evaluation) {
  std::int64_t tickets = 0;
  for (const SplitResult& split : evaluation.splits) tickets += split.test;
  return fmt::format(
      "<section id=\"tickets\" aria-labelledby=\"tickets-title\">\n<h2 id=\"tickets-title\">Ticket by ticket</h2>\n<p class=\"about\">{} "
      "held-out tickets. Filter, sort by any measure, and open "
      "a ticket to read its cases, its answer and the truth.</p>\n<div id=\"ticket-list\"></div>\n<noscript><p class=\"missing\">The list "
      "needs JavaScript. Each ticket's values stand in "
      "metrics.json too.</p></noscript>\n</section>\n",
      grouped(tickets));
}

std::string definitions(const Evaluation& evaluation) {
  std::string text = "<dl class=\"definitions\">\n";
  for (std::size_t m = 0; m < evaluation.measures.size(); ++m) {
    const MeasureInfo& measure = evaluation.measures[m];
    text += fmt::format("<div id=\"measure-{}\"><dt>{} <small>{}</small></dt><dd>{}</dd></div>\n", m, html(measure.title), way(measure),
                        html(measure.about));
  }
  return text +
         "</dl>\n<p>Differences are paired: the same tickets, resampled together. One matters if its interval leaves zero out and, for "
         "right-or-wrong measures, McNemar's exact test agrees at .05. Reliability is shown as given and after one temperature, fitted on "
         "tickets outside the test part.</p>\n";
}

std::string method_section(const Evaluation& evaluation, const PageOptions& options) {
  std::string text = "<section id=\"method\" aria-labelledby=\"method-title\">\n<h2 id=\"method-title\">How it was measured</h2>\n";
  text += "<h3>Settings</h3>\n<dl class=\"facts\">\n";
  text += definition("Evaluation", evaluation.name) + definition("Desk", evaluation.desk) + definition("Made", evaluation.made) +
          definition("deskhand", evaluation.version);
  text += definition("Bootstrap resamples", grouped(evaluation.resamples)) + definition("Seed", fmt::format("{}", evaluation.seed));
  text += definition("A resolution is close from", fmt::format("{} of 100 (token_set_ratio above it)", decimal(evaluation.above, 0)));
  text += definition("A case is relevant from",
                     fmt::format("the same category and a resolution similarity of {}", decimal(evaluation.relevant_similarity, 2)));
  std::string costs;
  for (const double cost : evaluation.urgency_costs) costs += (costs.empty() ? "" : ", ") + decimal(cost, 1);
  text += definition("Cost of a missed level, urgency 1 first", costs) + "</dl>\n";
  text += "<h3>Systems</h3>\n";
  std::vector<const SystemIdentity*> seen;
  for (const SplitResult& split : evaluation.splits)
    for (const SystemResult& system : split.systems) {
      const SystemIdentity& i = system.identity;
      if (std::any_of(seen.begin(), seen.end(), [&](const SystemIdentity* s) { return s->name == i.name; })) continue;
      seen.push_back(&i);
      text += fmt::format("<details><summary>{} <small>{}</small></summary>\n{}<dl class=\"hashes\">\n", html(i.name), html(i.kind),
                          i.description.empty() ? "" : element("p", i.description));
      text += definition("Model", i.model) + definition("Model's SHA-256", i.model_hash) + definition("Adapter", i.adapter) +
              definition("Adapter's SHA-256", i.adapter_hash) + definition("Prompt's SHA-256", i.prompt_hash) +
              definition("Data's SHA-256", i.data_hash);
      text += "</dl></details>\n";
    }
  if (seen.empty()) text += "<p>No system was measured.</p>\n";
  text += "<h3>What each measure means</h3>\n" + definitions(evaluation);
  if (!options.commands.empty()) {
    text += "<h3>To repeat it</h3>\n<pre><code>";
    for (const std::string& command : options.commands) text += html(command) + "\n";
    text += "</code></pre>\n";
  }
  text +=
      "<h3>Files of this report</h3>\n<ul><li><a href=\"report.md\">report.md</a>: the tables as text</li><li><a "
      "href=\"metrics.json\">metrics.json</a>: every figure, for programs</li>"
      "<li><a href=\"charts/\">charts</a>: every drawing as SVG</li></ul>\n";
  if (options.plotly)
    text += "<p><small>Interactive charts are drawn by Plotly.js, <a href=\"plotly.LICENSE.txt\">MIT licence</a>.</small></p>\n";
  return text + "</section>\n";
}

std::string top(std::string_view title, std::string_view under, std::string_view navigation) {
  return fmt::format(
      "<body>\n<a class=\"skip\" href=\"#main\">Skip to the report</a>\n<header class=\"top\"><div class=\"wrap\">\n<div "
      "class=\"title\"><h1>{}</h1><p>{}</p></div>\n"
      "<div class=\"theme\" hidden><label>Appearance <select id=\"theme\"><option value=\"auto\">As the system</option><option "
      "value=\"light\">Light</option><option "
      "value=\"dark\">Dark</option></select></label></div>\n</div></header>\n<nav class=\"sections\" aria-label=\"Sections\"><div "
      "class=\"wrap\">{}</div></nav>\n<main id=\"main\" class=\"wrap\">\n",
      html(title), html(under), navigation);
}

using SectionLink = std::pair<const char*, const char*>;
constexpr std::array<SectionLink, 7> kSections = {{{"summary", "Summary"},
                                                   {"measures", "Measures"},
                                                   {"charts", "Charts"},
                                                   {"differences", "Differences"},
                                                   {"splits", "Splits"},
                                                   {"tickets", "Tickets"},
                                                   {"method", "Method"}}};
constexpr std::array<SectionLink, 2> kSectionsOfNothing = {kSections.front(), kSections.back()};
constexpr std::array<SectionLink, 5> kCompared = {
    {{"summary", "Summary"}, {"differences", "Differences"}, {"measures", "Measures"}, {"charts", "Charts"}, {"method", "Method"}}};
constexpr std::array<SectionLink, 4> kAudit = {
    {{"summary", "Summary"}, {"findings", "Findings"}, {"fixes", "For desk.toml"}, {"charts", "Charts"}}};
constexpr std::array<SectionLink, 2> kRuns = {{{"summary", "Summary"}, {"charts", "Charts"}}};

std::string links(std::span<const SectionLink> sections) {
  std::string text;
  for (const auto& [id, title] : sections) text += fmt::format("<a href=\"#{}\">{}</a>", id, title);
  return text;
}

std::string day_of(const std::string& made) {
  return made.substr(0, 10);
}

constexpr std::string_view kEnd =
    "</main>\n<footer class=\"wrap\"><p>Written by deskhand. This page needs no network and sends "
    "nothing.</p></footer>\n</body>\n</html>\n";

}  // namespace

std::string first_sentence(const Evaluation& evaluation) {
  if (!evaluation.findings.empty()) return evaluation.findings.front();
  if (evaluation.splits.empty()) return "Nothing was measured.";
  const SplitResult& split = evaluation.splits.front();
  const auto system = main_system(evaluation, split);
  const std::vector<std::size_t> keys = key_measures(evaluation, 1);
  if (!system || keys.empty()) return "No system was measured.";
  const Estimate estimate = estimate_of(split.systems[*system], keys[0]);
  std::string text = split.systems[*system].identity.name + ": " + in_words(evaluation.measures[keys[0]], estimate);
  const auto best = best_system(evaluation, split, keys[0], Among::kBaselines);
  if (best && *best != *system)
    text += fmt::format("; the best baseline, {}, has {}", split.systems[*best].identity.name,
                        estimate_text(evaluation.measures[keys[0]], split.systems[*best].measures[keys[0]]));
  return text + ".";
}

std::string leakage_sentence(const SplitResult& split) {
  const Leakage& leakage = split.leakage;
  if (leakage.test == 0) return "There were no held-out tickets to look for near copies of.";
  if (leakage.leaked == 0)
    return fmt::format(
        "None of the {} held-out tickets has a near copy among those learnt from ({} % of word sequences in common or more).",
        grouped(leakage.test), decimal(100 * leakage.threshold, 0));
  return fmt::format(
      "{} of {} held-out tickets ({} %) {} a near copy among those learnt from ({} % of word sequences in common or more): figures may be "
      "too good.",
      grouped(leakage.leaked), grouped(leakage.test),
      decimal(100.0 * static_cast<double>(leakage.leaked) / static_cast<double>(leakage.test), 1), leakage.leaked == 1 ? "has" : "have",
      decimal(100 * leakage.threshold, 0));
}

std::string report_page(const Evaluation& evaluation, std::span<const SplitRecords> records, std::span<const Figure> figures,
                        const PageOptions& options) {
  const std::string title = evaluation.name.empty() ? "Evaluation" : evaluation.name;
  std::string text = head(title + " · deskhand report", scripts(options));
  text +=
      top(title,
          fmt::format("{}{}{}", evaluation.desk, evaluation.desk.empty() || evaluation.made.empty() ? "" : " · ", day_of(evaluation.made)),
          evaluation.splits.empty() ? links(kSectionsOfNothing) : links(kSections));
  text += summary_section(evaluation, options);
  if (evaluation.splits.empty()) return text + method_section(evaluation, options) + std::string(kEnd);
  const SplitResult& split = evaluation.splits.front();
  const Scene scene = make_scene(evaluation, split, records_of(records, split));
  text += "<section id=\"measures\" aria-labelledby=\"measures-title\">\n<h2 id=\"measures-title\">Every measure</h2>\n";
  text +=
      "<p class=\"about\">Small figures are 95 % intervals. The best value of a row says so; baselines stand on the right. A measure's "
      "name leads to its meaning.</p>\n";
  text += measures_table(scene, fmt::format("Every measure of every system, {} held-out tickets", grouped(split.test))) + "</section>\n";
  text += "<section id=\"charts\" aria-labelledby=\"charts-title\">\n<h2 id=\"charts-title\">Charts</h2>\n";
  if (!options.plotly)
    text += notice("note", "Drawings only",
                   element("p",
                           "This report was written by a build without Plotly.js: its charts are drawings that do not react to the "
                           "pointer. The choices work."));
  text +=
      "<noscript><p class=\"missing\">Without JavaScript the charts are drawings; each figure lists all of its "
      "drawings.</p></noscript>\n<div class=\"figures\">\n";
  for (const Figure& figure : figures)
    if (figure.id != "differences" && figure.id != "splits") text += figure_html(figure);
  text +=
      "</div></section>\n<section id=\"differences\" aria-labelledby=\"differences-title\">\n<h2 id=\"differences-title\">Differences "
      "between systems</h2>\n";
  if (const Figure* figure = find_figure(figures, "differences")) text += figure_html(*figure);
  text += all_differences(evaluation, split) + classes_section(evaluation, split) + "</section>\n";
  text += splits_section(evaluation, figures) + tickets_section(evaluation) + method_section(evaluation, options);
  return text + std::string(kEnd);
}

std::string comparison_page(const Evaluation& a, const Evaluation& b, std::span<const Difference> differences,
                            std::span<const Figure> figures, const PageOptions& options) {
  const Evaluation both = side_by_side(a, b, differences);
  const std::string title = fmt::format("{} against {}", b.name, a.name);
  std::string text = head(title + " · deskhand comparison", scripts(options));
  text += top(title, "B, the second evaluation, against A, the first", links(kCompared));
  text += "<section id=\"summary\" aria-labelledby=\"summary-title\">\n<h2 id=\"summary-title\">Summary</h2>\n" +
          element("p", first_sentence(both), "class=\"lead\"");
  if (both.findings.size() > 1) text += "<div class=\"findings\">" + list(std::span(both.findings).subspan(1)) + "</div>";
  ChartTable content{.head = {"", "A: " + a.name, "B: " + b.name}, .rows = {}};
  const auto row = [&](const char* what, auto&& of) { content.rows.push_back({what, of(a), of(b)}); };
  const auto split = [](const Evaluation& e) { return e.splits.empty() ? SplitResult{} : e.splits.front(); };
  row("Made", [](const Evaluation& e) { return e.made; });
  row("Desk", [](const Evaluation& e) { return e.desk; });
  row("deskhand", [](const Evaluation& e) { return e.version; });
  row("Split", [&](const Evaluation& e) { return split(e).name; });
  row("Held-out tickets", [&](const Evaluation& e) { return grouped(split(e).test); });
  row("Tickets learnt from", [&](const Evaluation& e) { return grouped(split(e).train); });
  row("With a near copy", [&](const Evaluation& e) { return grouped(split(e).leakage.leaked); });
  row("First finding", [](const Evaluation& e) { return first_sentence(e); });
  text += table(content, "The two evaluations", "plain texts") + "</section>\n";
  text += "<section id=\"differences\" aria-labelledby=\"differences-title\">\n<h2 id=\"differences-title\">Which changes matter</h2>\n";
  if (const Figure* figure = find_figure(figures, "differences")) text += figure_html(*figure);
  text += all_differences(both, both.splits.empty() ? SplitResult{} : both.splits.front()) + "</section>\n";
  text += "<section id=\"measures\" aria-labelledby=\"measures-title\">\n<h2 id=\"measures-title\">Every measure</h2>\n";
  if (!both.splits.empty()) text += measures_table(make_scene(both, both.splits.front(), nullptr), "Every measure of both evaluations");
  text +=
      "</section>\n<section id=\"charts\" aria-labelledby=\"charts-title\">\n<h2 id=\"charts-title\">Charts</h2>\n<div "
      "class=\"figures\">\n";
  for (const Figure& figure : figures)
    if (figure.id != "differences") text += figure_html(figure);
  text +=
      "</div></section>\n<section id=\"method\" aria-labelledby=\"method-title\">\n<h2 id=\"method-title\">What each measure means</h2>\n";
  return text + definitions(both) + "</section>\n" + std::string(kEnd);
}

std::string run_comparison_page(std::span<const RunCurves> runs, std::span<const Figure> figures) {
  std::string names;
  for (const RunCurves& run : runs) names += (names.empty() ? "" : ", ") + run.name;
  const std::vector<std::string> findings = findings_of(runs);
  std::string text = head(names + " · deskhand training runs", "<script src=\"report.js\" defer></script>\n");
  text += top("Training runs", names, links(kRuns));
  text += "<section id=\"summary\" aria-labelledby=\"summary-title\">\n<h2 id=\"summary-title\">Summary</h2>\n" +
          element("p", findings.front(), "class=\"lead\"");
  if (findings.size() > 1) text += "<div class=\"findings\">" + list(std::span(findings).subspan(1)) + "</div>";
  text += table(averages_table(runs), "Averages of the runs", "plain texts") + "</section>\n";
  text += "<section id=\"charts\" aria-labelledby=\"charts-title\">\n<h2 id=\"charts-title\">Charts</h2>\n<div class=\"figures\">\n";
  for (const Figure& figure : figures) text += figure_html(figure);
  return text + "</div></section>\n" + std::string(kEnd);
}

std::string audit_page(const Audit& audit, std::span<const Figure> figures, const AuditReportOptions& options) {
  std::string text = head(audit.desk + " · deskhand audit", "<script src=\"report.js\" defer></script>\n");
  text += top("Audit", fmt::format("{}{}{}", audit.desk, audit.desk.empty() || audit.made.empty() ? "" : " · ", day_of(audit.made)),
              links(kAudit));
  text += "<section id=\"summary\" aria-labelledby=\"summary-title\">\n<h2 id=\"summary-title\">Summary</h2>\n" +
          element("p", audit.summary, "class=\"lead\"");
  text += "<dl class=\"facts\">\n" + definition("Desk", audit.desk) + definition("Tickets", grouped(audit.tickets)) +
          definition("Made", audit.made) + definition("deskhand", audit.version) + "</dl>\n";
  if (!audit.warnings.empty()) text += notice("warning", "Warnings", list(audit.warnings));
  if (!options.texts) text += notice("note", "Texts are left out", element("p", "This page was written without a word of any ticket."));
  text += "</section>\n<section id=\"findings\" aria-labelledby=\"findings-title\">\n<h2 id=\"findings-title\">Findings</h2>\n";
  for (const Finding& finding : audit.findings) {
    constexpr std::array<std::pair<const char*, const char*>, 3> kKinds = {
        {{"warning", "To mend: "}, {"note", "Worth a look: "}, {"good", ""}}};
    const auto& [kind, before] = kKinds[static_cast<std::size_t>(finding.severity)];
    std::string body = finding.advice.empty() ? "" : element("p", finding.advice);
    if (!finding.rows.empty()) {
      ChartTable content{.head = finding.head, .rows = finding.rows};
      if (finding.has_texts && !options.texts) {
        content.head.pop_back();
        for (auto& row : content.rows) row.pop_back();
      }
      body += fmt::format("<details{}><summary>What was found</summary>\n{}{}</details>\n",
                          finding.severity == Severity::kMend ? " open" : "", table(content, finding.title, "plain texts"),
                          finding.more > 0 ? element("p", fmt::format("And {} more, in metrics.json.", grouped(finding.more))) : "");
    }
    text += notice(kind, before + finding.title, body);
  }
  const std::string fixes = fixes_toml(audit, options.present);
  text += "</section>\n<section id=\"fixes\" aria-labelledby=\"fixes-title\">\n<h2 id=\"fixes-title\">For desk.toml</h2>\n";
  text +=
      fixes.empty()
          ? element("p", "Nothing is proposed.")
          : element("p", "These lines go to the end of desk.toml, those that you agree with. Then: deskhand prepare, split --force, index.",
                    "class=\"about\"") +
                element("pre", fixes);
  for (const std::string& command : options.commands) text += element("p", "To repeat it: " + command, "class=\"about\"");
  text +=
      "</section>\n<section id=\"charts\" aria-labelledby=\"charts-title\">\n<h2 id=\"charts-title\">Charts</h2>\n<div "
      "class=\"figures\">\n";
  for (const Figure& figure : figures) text += figure_html(figure);
  return text + "</div></section>\n" + std::string(kEnd);
}

}  // namespace deskhand
