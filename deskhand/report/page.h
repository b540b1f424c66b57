// The HTML of a report and of a comparison. Everything that matters stands in the page itself; report.js adds interactive charts, the list
// of tickets and the switch of light and dark.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "deskhand/report/charts.h"
#include "deskhand/report/report.h"
#include "deskhand/report/run_comparison.h"

namespace deskhand {

// A mark in the head by which a folder is known to be a report.
inline constexpr std::string_view kReportMark = "<meta name=\"generator\" content=\"deskhand report\">";

struct PageOptions {
  bool plotly = false;  // plotly.min.js stands beside the page
  bool texts = true;
  std::vector<std::string> commands;
};

// `figures` are those of the first split.
std::string report_page(const Evaluation& evaluation, std::span<const SplitRecords> records, std::span<const Figure> figures,
                        const PageOptions& options);
std::string comparison_page(const Evaluation& a, const Evaluation& b, std::span<const Difference> differences,
                            std::span<const Figure> figures, const PageOptions& options);
std::string run_comparison_page(std::span<const RunCurves> runs, std::span<const Figure> figures);

// The sentence that begins page, report.md and terminal text: the first finding, or what can be said without one.
std::string first_sentence(const Evaluation& evaluation);
std::string leakage_sentence(const SplitResult& split);

// data.js: "globalThis.deskhandReport = {...};". Everything that report.js draws and lists.
std::string report_data(const Evaluation& evaluation, std::span<const SplitRecords> records, bool texts);

std::string report_markdown(const Evaluation& evaluation, std::span<const Figure> figures, std::span<const std::string> commands);
std::string comparison_markdown(const Evaluation& a, const Evaluation& b, std::span<const Difference> differences,
                                std::span<const Figure> figures);
std::string run_comparison_markdown(std::span<const RunCurves> runs, std::span<const Figure> figures);

// The measures of both evaluations, and as "systems" those of a ("A: raw") and b ("B: raw"): what a comparison's tables and charts show.
Evaluation side_by_side(const Evaluation& a, const Evaluation& b, std::span<const Difference> differences);

}  // namespace deskhand
