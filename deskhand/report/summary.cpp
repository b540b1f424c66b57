// What `deskhand evaluate` and `deskhand compare` print: sentences, then tables with a line a system, as many as the width needs.
#include <fmt/format.h>

#include <algorithm>

#include "deskhand/report/headline.h"
#include "deskhand/report/page.h"
#include "deskhand/report/words.h"

namespace deskhand {
namespace {

constexpr std::size_t kNameWidth = 30;

// Words to lines; following lines are indented by `indent`.
std::string wrapped(std::string_view text, std::size_t width, std::size_t indent) {
  std::string lines, word;
  std::size_t column = 0;
  const auto place = [&] {
    if (word.empty()) return;
    if (column > 0 && column + 1 + columns(word) > width)
      lines += "\n" + std::string(indent, ' '), column = indent;
    else if (column > 0)
      lines += ' ', ++column;
    lines += word, column += columns(word);
    word.clear();
  };
  for (const char c : visible(text)) {
    if (c == ' ' || c == '\n' || c == '\t')
      place();
    else
      word += c;
  }
  place();
  return lines;
}

std::string ascii(std::string text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (static_cast<unsigned char>(text[i]) < 0x80)
      plain += text[i];
    else if (text.compare(i, 3, "…") == 0)
      plain += '~', i += 2;
    else if (text.compare(i, 2, "\xC2\xA0") == 0)
      plain += ' ', i += 1;
    else if ((text[i] & 0xC0) != 0x80)
      plain += '?';
  }
  return plain;
}

std::string finished(std::string text, const SummaryOptions& options) {
  return options.unicode ? text : ascii(std::move(text));
}

struct Column {
  std::string title;
  std::vector<std::string> cells;
};

std::string tables(std::span<const std::string> names, std::span<const Column> all, std::size_t rule, std::size_t width) {
  std::size_t name_width = 8;
  for (const std::string& name : names) name_width = std::max(name_width, std::min(columns(name), kNameWidth));
  const auto wide = [](const Column& column) {
    std::size_t most = std::min<std::size_t>(columns(column.title), 24);
    for (const std::string& cell : column.cells) most = std::max(most, columns(cell));
    return most;
  };
  std::string text;
  for (std::size_t first = 0; first < all.size();) {
    std::size_t used = name_width, last = first;
    while (last < all.size() && (last == first || used + 2 + wide(all[last]) <= width)) used += 2 + wide(all[last]), ++last;
    const auto line = [&](std::string_view name, auto&& cell) {
      std::string row = pad(name, name_width);
      for (std::size_t c = first; c < last; ++c) row += "  " + pad(cell(all[c]), wide(all[c]), true);
      row.erase(row.find_last_not_of(' ') + 1);
      text += row + "\n";
    };
    line("", [](const Column& c) { return elided(c.title, 24); });
    for (std::size_t r = 0; r < names.size(); ++r) {
      if (r == rule && r > 0) text += std::string(std::min(used, width), '-') + "\n";
      line(elided(names[r], kNameWidth), [&](const Column& c) { return c.cells[r]; });
    }
    text += "\n";
    first = last;
  }
  return text;
}

std::string split_table(const Evaluation& evaluation, const SplitResult& split, const SummaryOptions& options) {
  std::vector<std::size_t> order, measures = key_measures(evaluation);
  if (options.all_measures) {
    measures.clear();
    for (std::size_t m = 0; m < evaluation.measures.size(); ++m) measures.push_back(m);
  }
  std::size_t rule = 0;
  for (const bool baseline : {false, true}) {
    for (std::size_t s = 0; s < split.systems.size(); ++s)
      if (is_baseline(split.systems[s].identity) == baseline) order.push_back(s);
    if (!baseline) rule = order.size();
  }
  if (order.empty()) return "No system was measured.\n\n";
  std::vector<std::string> names;
  for (const std::size_t s : order) names.push_back(visible(split.systems[s].identity.name));
  std::vector<Column> all;
  bool undefined = false;
  for (const std::size_t m : measures) {
    const MeasureInfo& measure = evaluation.measures[m];
    const std::string unit = measure.unit.empty() || measure.unit == "0..100" ? "" : measure.unit == "bytes" ? "" : " " + measure.unit;
    Column column{visible(measure.title.size() + unit.size() > 24 ? elided(measure.title, 24 - unit.size()) + unit : measure.title + unit),
                  {}};
    const auto best = best_system(evaluation, split, m, Among::kAll);
    for (const std::size_t s : order) {
      const Estimate estimate = estimate_of(split.systems[s], m);
      if (!is_defined(estimate)) {
        column.cells.push_back("not defined ");
        undefined = true;
        continue;
      }
      const bool is_best = tells_apart(evaluation, split, m) && *estimate.value == *split.systems[*best].measures[m].value;
      column.cells.push_back(value_text(measure, *estimate.value, measure.unit == "bytes") + " (" + interval_text(measure, estimate) + ")" +
                             (is_best ? "*" : " "));
    }
    all.push_back(std::move(column));
  }
  std::string text = tables(names, all, rule, static_cast<std::size_t>(std::max(options.width, 60)));
  text.pop_back();
  text += "* best; in brackets the 95 % interval; " +
          std::string(rule < order.size() && rule > 0 ? "baselines below the line"
                      : rule == 0                     ? "all are baselines"
                                                      : "no baselines") +
          "\n";
  if (undefined) {
    std::vector<std::string> reasons;
    for (const std::size_t m : measures)
      for (const std::size_t s : order)
        if (const Estimate e = estimate_of(split.systems[s], m); !is_defined(e)) {
          const std::string reason = evaluation.measures[m].title + " is not defined: " + why_undefined(e);
          if (std::find(reasons.begin(), reasons.end(), reason) == reasons.end()) reasons.push_back(reason);
        }
    for (const std::string& reason : reasons)
      text += "  " + wrapped(reason, static_cast<std::size_t>(std::max(options.width, 60)) - 2, 2) + "\n";
  }
  return text + "\n";
}

std::string bullets(std::span<const std::string> sentences, std::size_t width) {
  std::string text;
  for (const std::string& sentence : sentences) text += "- " + wrapped(sentence, width - 2, 2) + "\n";
  return text;
}

}  // namespace

std::string summary_text(const Evaluation& evaluation, const SummaryOptions& options) {
  const auto width = static_cast<std::size_t>(std::max(options.width, 60));
  std::string text = wrapped(first_sentence(evaluation), width, 0) + "\n";
  if (evaluation.findings.size() > 1) text += bullets(std::span(evaluation.findings).subspan(1), width);
  text += "\n";
  for (const SplitResult& split : evaluation.splits) {
    text += wrapped(fmt::format("Split {}: {}{} tickets to learn from, {} held out", split.name,
                                split.description.empty() ? "" : split.description + "; ", split.train, split.test),
                    width, 2) +
            "\n\n";
    text += split_table(evaluation, split, options);
    text += wrapped(leakage_sentence(split), width, 2) + "\n";
    for (const std::string& warning : split.warnings) text += wrapped("warning: " + warning, width, 2) + "\n";
    for (const SystemResult& system : split.systems)
      for (const std::string& warning : system.warnings)
        text += wrapped("warning: " + system.identity.name + ": " + warning, width, 2) + "\n";
    text += "\n";
  }
  while (text.ends_with("\n\n")) text.pop_back();
  return finished(std::move(text), options);
}

std::string comparison_text(const Evaluation& a, const Evaluation& b, std::span<const Difference> differences,
                            const SummaryOptions& options) {
  const Evaluation both = side_by_side(a, b, differences);
  const auto width = static_cast<std::size_t>(std::max(options.width, 60));
  std::string text = wrapped(first_sentence(both), width, 0) + "\n";
  if (both.findings.size() > 1) text += bullets(std::span(both.findings).subspan(1), width);
  text += "\n";
  if (!both.splits.empty()) {
    text += split_table(both, both.splits.front(), options);
    const std::vector<std::size_t> keys = key_measures(both);
    const std::vector<Difference>& all = both.splits.front().differences;
    for (std::size_t i = 0; i < all.size(); ++i) {  // a table a pair of systems
      const auto same_pair = [&](const Difference& d) { return d.a == all[i].a && d.b == all[i].b; };
      if (std::any_of(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(i), same_pair)) continue;
      std::vector<std::string> names;
      std::vector<Column> shown = {{"difference", {}}, {"95 % interval", {}}, {"verdict", {}}};
      for (const Difference& d : all) {
        const auto m = measure_index(both, d.measure);
        if (!m || !same_pair(d) || (!options.all_measures && !d.matters && std::find(keys.begin(), keys.end(), *m) == keys.end())) continue;
        const bool known = is_defined(d.difference);
        names.push_back(visible(both.measures[*m].title));
        shown[0].cells.push_back(known ? difference_text(both.measures[*m], *d.difference.value) : "not defined");
        shown[1].cells.push_back(difference_interval(both.measures[*m], d.difference));
        shown[2].cells.push_back(visible(known ? d.verdict : "not defined"));
      }
      if (!names.empty()) text += wrapped(all[i].b + " against " + all[i].a, width, 2) + "\n" + tables(names, shown, 0, width);
    }
  }
  while (text.ends_with("\n\n")) text.pop_back();
  return finished(std::move(text), options);
}

std::string run_comparison_text(std::span<const RunCurves> runs, const SummaryOptions& options) {
  const auto width = static_cast<std::size_t>(std::max(options.width, 60));
  const std::vector<std::string> findings = findings_of(runs);
  std::string text = wrapped(findings.front(), width, 0) + "\n" + bullets(std::span(findings).subspan(1), width) + "\n";
  const ChartTable averages = averages_table(runs);
  std::vector<std::string> names;
  std::vector<Column> columns;
  for (std::size_t c = 1; c < averages.head.size(); ++c) columns.push_back({visible(averages.head[c]), {}});
  for (const auto& row : averages.rows) {
    names.push_back(row.front());
    for (std::size_t c = 1; c < row.size(); ++c) columns[c - 1].cells.push_back(elided(visible(row[c]), 28));
  }
  text += tables(names, columns, 0, width);
  while (text.ends_with("\n\n")) text.pop_back();
  return finished(std::move(text), options);
}

}  // namespace deskhand
