// What becomes of an Evaluation: a folder that opens from the file system without any network, and text for the terminal.
//
// The folder: index.html (with report.css, report.js, data.js and, where it was built in, plotly.min.js beside it), report.md,
// metrics.json (write_evaluation) and charts/*.svg, each chart as a drawing that needs no script: for print, for a paper, and shown where
// JavaScript is off. Every text of tickets and settings is treated as hostile: escaped, control and bidirectional marks made visible.
#pragma once
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "deskhand/evaluate/evaluation.h"
#include "deskhand/evaluate/prediction.h"

namespace deskhand {

struct ReportOptions {
  bool texts = true;                  // false: problems, resolutions and case texts are left out; ids, labels and measures stay
  bool force = false;                 // replace a report that is there
  std::vector<std::string> commands;  // shown under "How it was measured": what repeats this evaluation
};

// Written beside `folder` and renamed into its place, so that it is there whole or not at all. `records` are matched to the evaluation's
// splits by name, their systems by identity.name, tickets by id; where none match (or `records` is empty) answers and texts are not shown.
// Throws Error(kCannotWrite): the folder is there and force is not set, what is there is not a report (force never replaces that), disk.
void write_report(const std::filesystem::path& folder, const Evaluation& evaluation, std::span<const SplitRecords> records,
                  const ReportOptions& options = {});

struct SummaryOptions {
  int width = 120;            // columns of the terminal; the columns of systems are wrapped into as many tables as are needed
  bool all_measures = false;  // false: those a manager asks for
  bool unicode = true;        // false: ASCII only
};

// For the terminal: findings (the first sentence is the honest one), what was measured, a compact table a split, leakage, warnings.
// Ends with a line break; no escape sequences.
std::string summary_text(const Evaluation& evaluation, const SummaryOptions& options = {});

// Two evaluations side by side. In each Difference `a` names a system of evaluation a and `b` one of evaluation b; difference = b - a on
// tickets that both have.
std::string comparison_text(const Evaluation& a, const Evaluation& b, std::span<const Difference> differences,
                            const SummaryOptions& options = {});

// The same for programs: {"a", "b", "differences"}, and "notes" where there are any.
std::string comparison_json(const Evaluation& a, const Evaluation& b, std::span<const Difference> differences,
                            std::span<const std::string> notes = {});

// A folder as write_report's, by the same rules: the same files; metrics.json is comparison_json without notes.
void write_comparison(const std::filesystem::path& folder, const Evaluation& a, const Evaluation& b,
                      std::span<const Difference> differences, const ReportOptions& options = {});

}  // namespace deskhand
