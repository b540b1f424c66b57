// report.md: the page's sentences and tables as text.
#include <fmt/format.h>

#include <algorithm>

#include "deskhand/report/audit_report.h"
#include "deskhand/report/headline.h"
#include "deskhand/report/page.h"
#include "deskhand/report/words.h"

namespace deskhand {
namespace {

std::string row(std::span<const std::string> cells) {
  std::string text = "|";
  for (const std::string& cell : cells) text += " " + markdown(cell) + " |";
  return text + "\n";
}

std::string table(std::span<const std::string> head, std::span<const std::vector<std::string>> rows) {
  std::string text = row(head) + "|";
  for (std::size_t i = 0; i < head.size(); ++i) text += i == 0 ? " --- |" : " ---: |";
  text += "\n";
  for (const auto& cells : rows) text += row(cells);
  return text + "\n";
}

std::string sentences(std::span<const std::string> all) {
  std::string text;
  for (const std::string& sentence : all) text += "- " + markdown(sentence) + "\n";
  return text.empty() ? "" : text + "\n";
}

std::string measures(const Evaluation& evaluation, const SplitResult& split) {
  std::string text, section;
  std::vector<std::string> head = {"Measure"};
  std::vector<std::size_t> order;
  for (const bool baseline : {false, true})
    for (std::size_t s = 0; s < split.systems.size(); ++s)
      if (is_baseline(split.systems[s].identity) == baseline) {
        head.push_back(split.systems[s].identity.name + (baseline ? " (baseline)" : ""));
        order.push_back(s);
      }
  if (order.empty()) return "No system was measured.\n\n";
  std::vector<std::vector<std::string>> rows;
  for (std::size_t m = 0; m < evaluation.measures.size(); ++m) {
    const MeasureInfo& measure = evaluation.measures[m];
    const auto best = best_system(evaluation, split, m, Among::kAll);
    std::vector<std::string> cells = {measure.title};
    for (const std::size_t s : order) {
      const Estimate estimate = estimate_of(split.systems[s], m);
      const bool is_best =
          tells_apart(evaluation, split, m) && is_defined(estimate) && *estimate.value == *split.systems[*best].measures[m].value;
      cells.push_back(estimate_text(measure, estimate) + (is_best ? ", best" : ""));
    }
    rows.push_back(std::move(cells));
  }
  return table(head, rows);
}

std::string differences(const Evaluation& evaluation, std::span<const Difference> all) {
  if (all.empty()) return "There are no two systems to compare.\n\n";
  const std::vector<std::string> head = {"Measure", "Compared", "Difference", "95 % interval", "p", "McNemar p", "Verdict"};
  std::vector<std::vector<std::string>> rows;
  for (const Difference& d : all) {
    const auto m = measure_index(evaluation, d.measure);
    const MeasureInfo measure = m ? evaluation.measures[*m] : MeasureInfo{.title = d.measure};
    const bool known = is_defined(d.difference);
    rows.push_back({measure.title, d.b + " against " + d.a,
                    known ? difference_text(measure, *d.difference.value) : "not defined: " + why_undefined(d.difference),
                    difference_interval(measure, d.difference), chance_text(d.p), chance_text(d.mcnemar_p),
                    known ? d.verdict : "not defined"});
  }
  return table(head, rows);
}

std::string drawings(std::span<const Figure> figures) {
  std::string text;
  for (const Figure& figure : figures)
    for (const Chart& chart : figure.charts)
      if (chart.print) text += fmt::format("![{}](charts/{}.svg)\n\n{}\n\n", markdown(chart.title), chart.id, markdown(chart.message));
  return text;
}

std::string split_text(const Evaluation& evaluation, const SplitResult& split) {
  std::string text = fmt::format("## Split {}\n\n{}{} tickets to learn from, {} held out. {}\n\n", markdown(split.name),
                                 split.description.empty() ? "" : markdown(split.description) + ". ", grouped(split.train),
                                 grouped(split.test), markdown(leakage_sentence(split)));
  std::vector<std::string> warnings = split.warnings;
  for (const SystemResult& system : split.systems)
    for (const std::string& warning : system.warnings) warnings.push_back(system.identity.name + ": " + warning);
  if (!warnings.empty()) text += "Warnings:\n\n" + sentences(warnings);
  text += "### Measures\n\n" + measures(evaluation, split) + "### Differences\n\n" + differences(evaluation, split.differences);
  if (split.retrieval.empty()) return text;
  const std::vector<std::string> head = {"Method", "k", "Recall", "Precision", "F1", "MRR", "nDCG", "MAP"};
  std::vector<std::vector<std::string>> rows;
  const MeasureInfo plain{.unit = ""};
  for (const RetrievalRow& r : split.retrieval) {
    std::vector<std::string> cells = {r.method, fmt::format("{}", r.k)};
    for (const Estimate* e : {&r.recall, &r.precision, &r.f1, &r.mrr, &r.ndcg, &r.map}) cells.push_back(estimate_text(plain, *e));
    rows.push_back(std::move(cells));
  }
  return text + "### Retrieval\n\n" + table(head, rows);
}

}  // namespace

std::string report_markdown(const Evaluation& evaluation, std::span<const Figure> figures, std::span<const std::string> commands) {
  std::string text = fmt::format("# {}\n\n{}\n\n", markdown(evaluation.name.empty() ? "Evaluation" : evaluation.name),
                                 markdown(first_sentence(evaluation)));
  if (evaluation.findings.size() > 1) text += sentences(std::span(evaluation.findings).subspan(1));
  text += fmt::format("Desk {}, made {}, deskhand {}. In brackets: 95 % intervals from {} bootstrap resamples (seed {}).\n\n",
                      markdown(evaluation.desk), markdown(evaluation.made), markdown(evaluation.version), grouped(evaluation.resamples),
                      evaluation.seed);
  for (const SplitResult& split : evaluation.splits) text += split_text(evaluation, split);
  if (const std::string shown = drawings(figures); !shown.empty()) text += "## Charts\n\n" + shown;
  text += "## Measures and their meaning\n\n";
  for (const MeasureInfo& measure : evaluation.measures)
    text += fmt::format("- **{}**: {}\n", markdown(measure.title), markdown(measure.about));
  text += "\n## Systems\n\n";
  std::vector<std::string> seen;
  for (const SplitResult& split : evaluation.splits)
    for (const SystemResult& system : split.systems) {
      const SystemIdentity& i = system.identity;
      if (std::find(seen.begin(), seen.end(), i.name) != seen.end()) continue;
      seen.push_back(i.name);
      text += fmt::format("- **{}** ({}): {}", markdown(i.name), markdown(i.kind), markdown(i.description));
      for (const auto& [what, value] : {std::pair{"model", &i.model},
                                        {"model's SHA-256", &i.model_hash},
                                        {"adapter", &i.adapter},
                                        {"adapter's SHA-256", &i.adapter_hash},
                                        {"prompt's SHA-256", &i.prompt_hash},
                                        {"data's SHA-256", &i.data_hash}})
        if (!value->empty()) text += fmt::format("; {} {}", what, markdown(*value));
      text += "\n";
    }
  if (!commands.empty()) text += "\n## To repeat it\n\n";
  for (const std::string& command : commands) text += "    " + visible(command) + "\n";
  return text;
}

std::string comparison_markdown(const Evaluation& a, const Evaluation& b, std::span<const Difference> all,
                                std::span<const Figure> figures) {
  const Evaluation both = side_by_side(a, b, all);
  std::string text = fmt::format("# {}\n\n{}\n\n", markdown(both.name), markdown(first_sentence(both)));
  if (both.findings.size() > 1) text += sentences(std::span(both.findings).subspan(1));
  if (both.splits.empty()) return text;
  text += "## Which changes matter\n\n" + differences(both, both.splits.front().differences) + "## Every measure\n\n" +
          measures(both, both.splits.front());
  return text + drawings(figures);
}

std::string run_comparison_markdown(std::span<const RunCurves> runs, std::span<const Figure> figures) {
  const std::vector<std::string> findings = findings_of(runs);
  const ChartTable averages = averages_table(runs);
  return fmt::format("# Training runs\n\n{}\n\n", markdown(findings.front())) + sentences(std::span(findings).subspan(1)) +
         "## Averages\n\n" + table(averages.head, averages.rows) + drawings(figures);
}

std::string audit_markdown(const Audit& audit, std::span<const Figure> figures, const AuditReportOptions& options) {
  std::string text = fmt::format("# Audit of {}\n\n{}\n\n", markdown(audit.desk), markdown(audit.summary));
  text += fmt::format("{} tickets, made {}, deskhand {}.\n\n", grouped(audit.tickets), markdown(audit.made), markdown(audit.version));
  for (const Finding& finding : audit.findings) {
    text += fmt::format("## {} ({})\n\n{}\n\n", markdown(finding.title), name_of(finding.severity), markdown(finding.advice));
    auto head = finding.head;
    auto rows = finding.rows;
    if (finding.has_texts && !options.texts) {
      head.pop_back();
      for (auto& cells : rows) cells.pop_back();
    }
    if (!rows.empty()) text += table(head, rows);
  }
  if (const std::string fixes = fixes_toml(audit, options.present); !fixes.empty()) {
    text += "## For desk.toml\n";
    for (std::size_t at = 0; at < fixes.size(); at = std::min(fixes.find('\n', at), fixes.size() - 1) + 1)
      text += "\n    " + visible(fixes.substr(at, fixes.find('\n', at) - at));
    text += "\n\n";
  }
  for (const std::string& warning : audit.warnings) text += "- " + markdown(warning) + "\n";
  return text + drawings(figures);
}

}  // namespace deskhand
