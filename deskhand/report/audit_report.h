// What becomes of an Audit: text for the terminal, JSON, and a folder like a report's.
#pragma once
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "deskhand/audit/audit.h"
#include "deskhand/report/charts.h"
#include "deskhand/report/report.h"

namespace deskhand {

struct AuditReportOptions {
  std::set<std::string> present;  // sections that desk.toml has, as for fixes_toml
  bool texts = true;              // false: what quotes tickets is left out; ids, labels and figures stay
  bool force = false;
  std::vector<std::string> commands;
};

// Classes, prediction, urgencies by month, languages, columns.
std::vector<Figure> draw_audit(const Audit& audit);

// The summary first, then findings with their first rows, then the lines for desk.toml.
std::string audit_text(const Audit& audit, const AuditReportOptions& options = {});
// {"summary", "findings": [...], "fixes", "classes", "columns", "copies", "predictions", "drift", "languages", "warnings"}
std::string audit_json(const Audit& audit, const AuditReportOptions& options = {});

std::string audit_page(const Audit& audit, std::span<const Figure> figures, const AuditReportOptions& options);
std::string audit_markdown(const Audit& audit, std::span<const Figure> figures, const AuditReportOptions& options);

// By the rules of write_report; index.html, report.md, metrics.json (audit_json) and charts/*.svg.
void write_audit(const std::filesystem::path& folder, const Audit& audit, const AuditReportOptions& options = {});

}  // namespace deskhand
