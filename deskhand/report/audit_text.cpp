// An audit for the terminal and for programs.
#include <fmt/format.h>

#include <algorithm>

#include "deskhand/audit/language.h"
#include "deskhand/base/json.h"
#include "deskhand/report/audit_report.h"
#include "deskhand/report/words.h"

namespace deskhand {
namespace {

constexpr std::size_t kRows = 5, kCell = 60, kFixLines = 30, kWidth = 120;  // on the terminal

// Broken at blanks into lines of at most kWidth columns, each behind the indent.
std::string wrapped(std::string_view text, std::string_view indent) {
  std::string out, line;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    const std::string_view word = text.substr(at, end - at);
    if (!line.empty() && columns(indent) + columns(line) + 1 + columns(word) > kWidth)
      out += fmt::format("{}{}\n", indent, line), line.clear();
    line += fmt::format("{}{}", line.empty() ? "" : " ", word);
    at = end + 1;
  }
  return line.empty() ? out : out + fmt::format("{}{}\n", indent, line);
}

std::string rows_text(const Finding& finding, bool texts) {
  const std::size_t columns_shown = finding.head.size() - (finding.has_texts && !texts ? 1 : 0);
  std::vector<std::vector<std::string>> lines = {{finding.head.begin(), finding.head.begin() + static_cast<std::ptrdiff_t>(columns_shown)}};
  for (std::size_t r = 0; r < std::min(finding.rows.size(), kRows); ++r) {
    lines.emplace_back();
    for (std::size_t c = 0; c < columns_shown; ++c) lines.back().push_back(elided(visible(finding.rows[r][c]), kCell));
  }
  std::string text;
  for (const auto& line : lines) {
    std::string row = "      ";
    for (std::size_t c = 0; c < columns_shown; ++c) {
      std::size_t wide = 0;
      for (const auto& other : lines) wide = std::max(wide, columns(other[c]));
      row += c + 1 == columns_shown ? line[c] : pad(line[c], wide) + "  ";
    }
    text += row + "\n";
  }
  const auto more = finding.more + std::ssize(finding.rows) - std::ssize(lines) + 1;
  if (more > 0) text += fmt::format("      and {} more\n", grouped(more));
  return text;
}

Json json_of(const Estimate& estimate) {
  if (!estimate.value) return nullptr;
  return {{"value", *estimate.value}, {"low", estimate.low}, {"high", estimate.high}};
}

Json json_of(const std::vector<ClassCount>& classes) {
  Json list = Json::array();
  for (const ClassCount& one : classes) list.push_back({{"label", one.label}, {"tickets", one.tickets}});
  return list;
}

Json json_of(const ClassAudit& audit) {
  Json similar = Json::array();
  for (const SimilarClasses& pair : audit.similar)
    similar.push_back({{"keep", pair.keep.label},
                       {"keep_tickets", pair.keep.tickets},
                       {"merge", pair.merge.label},
                       {"merge_tickets", pair.merge.tickets},
                       {"differ", pair.differ},
                       {"certain", pair.is_certain}});
  return {{"field", name_of(audit.field)},
          {"missing", audit.missing},
          {"classes", json_of(audit.classes)},
          {"similar", similar},
          {"rare", json_of(audit.rare)}};
}

Json json_of(const CopyAudit& audit, bool texts) {
  Json duplicates = Json::array(), conflicts = Json::array();
  for (const Copies& own : audit.duplicates) duplicates.push_back(own.ids);
  for (const Conflict& conflict : audit.conflicts) {
    Json tickets = Json::array();
    for (const auto& [id, label] : conflict.tickets) tickets.push_back({{"id", id}, {"label", label}});
    Json object = {{"field", name_of(conflict.field)},
                   {"tickets", tickets},
                   {"majority", conflict.majority.empty() ? Json() : Json(conflict.majority)}};
    if (texts) object["problem"] = conflict.problem;
    conflicts.push_back(std::move(object));
  }
  return {{"duplicates", duplicates}, {"repeats", audit.repeats}, {"groups", audit.groups},
          {"largest", audit.largest}, {"conflicts", conflicts},   {"compared", audit.compared}};
}

Json json_of(const PredictionAudit& audit) {
  if (!audit.missing.empty()) return {{"field", name_of(audit.field)}, {"missing", audit.missing}};
  Json classes = Json::array();
  for (const ClassPrediction& one : audit.classes)
    classes.push_back({{"label", one.label},
                       {"tickets", one.tickets},
                       {"right", one.right},
                       {"predicted", one.predicted},
                       {"f1", one.f1},
                       {"taken_for", one.taken_for},
                       {"taken", one.taken}});
  constexpr std::string_view kVerdicts[] = {"predicts", "says something", "cannot"};
  return {{"field", name_of(audit.field)},
          {"verdict", kVerdicts[static_cast<int>(audit.verdict)]},
          {"tickets", audit.tickets},
          {"of", audit.of},
          {"folds", audit.folds},
          {"accuracy", json_of(audit.accuracy)},
          {"majority", json_of(audit.majority)},
          {"difference", json_of(audit.difference)},
          {"gain_bits", json_of(audit.gain)},
          {"macro_f1", audit.macro_f1},
          {"classes", classes}};
}

Json json_of(const DriftAudit& audit) {
  Json months = Json::array();
  for (const MonthAudit& month : audit.months)
    months.push_back({{"month", month.month},
                      {"tickets", month.tickets},
                      {"urgencies", month.urgencies},
                      {"p", month.p},
                      {"stands_out", month.stands_out},
                      {"urgency", month.urgency},
                      {"share", month.share},
                      {"elsewhere", month.elsewhere}});
  Json object = {{"months", months}, {"undated", audit.undated}};
  if (!audit.test) {
    object["missing"] = audit.missing;
  } else {
    object["chi_square"] = audit.test->statistic;
    object["degrees"] = audit.test->degrees;
    object["p"] = audit.test->p;
    object["by_permutation"] = audit.by_permutation;
    object["cramers_v"] = audit.test->cramers_v;
  }
  return object;
}

Json json_of(const Finding& finding, bool texts) {
  const auto left_out = finding.has_texts && !texts ? 1 : 0;
  Json rows = Json::array(), fixes = Json::array();
  for (const auto& row : finding.rows) rows.push_back(std::vector<std::string>(row.begin(), row.end() - left_out));
  for (const Fix& fix : finding.fixes) fixes.push_back({{"section", fix.section}, {"lines", fix.lines}, {"about", fix.about}});
  return {
      {"id", finding.id},
      {"severity", name_of(finding.severity)},
      {"title", finding.title},
      {"advice", finding.advice},
      {"head", std::vector<std::string>(finding.head.begin(), finding.head.empty() ? finding.head.end() : finding.head.end() - left_out)},
      {"rows", rows},
      {"more", finding.more},
      {"fixes", fixes}};
}

}  // namespace

std::string audit_text(const Audit& audit, const AuditReportOptions& options) {
  std::string text = wrapped(visible(audit.summary), "");
  constexpr std::pair<Severity, const char*> kHeads[] = {
      {Severity::kMend, "To mend"}, {Severity::kLook, "Worth a look"}, {Severity::kNote, "To know"}};
  for (const auto& [severity, head] : kHeads) {
    bool first = true;
    for (const Finding& finding : audit.findings) {
      if (finding.severity != severity) continue;
      if (first) text += fmt::format("\n{}\n", head);
      first = false;
      text += wrapped(visible(finding.title) + ".", "  ");
      if (!finding.advice.empty()) text += wrapped(visible(finding.advice), "      ");
      if (!finding.rows.empty()) text += rows_text(finding, options.texts);
    }
  }
  for (const std::string& warning : audit.warnings) text += fmt::format("\nwarning: {}\n", visible(warning));
  const std::string fixes = fixes_toml(audit, options.present);
  if (fixes.empty()) return text;
  std::size_t end = 0, lines = 0;
  while (lines < kFixLines && end < fixes.size()) end = std::min(fixes.find('\n', end), fixes.size() - 1) + 1, ++lines;
  text += fmt::format("\nFor the end of desk.toml{}:\n{}", end < fixes.size() ? " (the beginning; --fixes FILE writes all of it)" : "",
                      visible(fixes.substr(0, end)));
  return text;
}

std::string audit_json(const Audit& audit, const AuditReportOptions& options) {
  Json findings = Json::array(), classes = Json::array(), columns = Json::array(), predictions = Json::array(), languages = Json::array();
  for (const Finding& one : audit.findings) findings.push_back(json_of(one, options.texts));
  for (const ClassAudit& one : audit.classes) classes.push_back(json_of(one));
  for (const PredictionAudit& one : audit.predictions) predictions.push_back(json_of(one));
  for (const LanguageCount& one : audit.languages)
    languages.push_back({{"code", one.code}, {"name", language_name(one.code)}, {"tickets", one.tickets}});
  for (const ColumnAudit& one : audit.columns)
    columns.push_back({{"file", one.file},
                       {"column", one.column},
                       {"field", one.field.empty() ? Json() : Json(one.field)},
                       {"rows", one.rows},
                       {"filled", one.filled},
                       {"distinct", one.distinct}});
  return write_json({{"summary", audit.summary},
                     {"desk", audit.desk},
                     {"made", audit.made},
                     {"version", audit.version},
                     {"tickets", audit.tickets},
                     {"without_problem", audit.without_problem},
                     {"short_problems", audit.short_problems},
                     {"findings", findings},
                     {"fixes", fixes_toml(audit, options.present)},
                     {"classes", classes},
                     {"columns", columns},
                     {"copies", json_of(audit.copies, options.texts)},
                     {"predictions", predictions},
                     {"drift", json_of(audit.drift)},
                     {"languages", languages},
                     {"warnings", audit.warnings}},
                    1) +
         "\n";
}

}  // namespace deskhand
