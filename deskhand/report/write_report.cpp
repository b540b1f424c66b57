// The folder: made beside its place under another name, then renamed, so that a reader never meets half of it.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <system_error>

#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/report/audit_report.h"
#include "deskhand/report/page.h"
#include "deskhand/report/report.h"

namespace deskhand {

std::string_view report_asset(
    std::string_view name);  // built in: report.css, report.js, plotly.min.js, LICENSE.txt (Plotly's); empty: not there

namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 8> kFiles = {"index.html",    "report.css",         "report.js", "data.js",
                                                    "plotly.min.js", "plotly.LICENSE.txt", "report.md", "metrics.json"};

// Empty: the folder is a report and nothing else. Otherwise what speaks against replacing it.
std::string not_a_report(const fs::path& folder) {
  std::ifstream page(folder / "index.html", std::ios::binary);
  std::string beginning(2048, '\0');
  page.read(beginning.data(), static_cast<std::streamsize>(beginning.size()));
  if (beginning.find(kReportMark) == std::string::npos) return "it is not a report of deskhand";
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const bool known = entry.is_directory() ? name == "charts" : std::find(kFiles.begin(), kFiles.end(), name) != kFiles.end();
    if (!known) return fmt::format("it holds '{}', which no report writes", name);
  }
  if (fs::is_directory(folder / "charts"))
    for (const auto& entry : fs::directory_iterator(folder / "charts"))
      if (entry.is_directory() || entry.path().extension() != ".svg")
        return fmt::format("it holds 'charts/{}', which no report writes", entry.path().filename().string());
  return "";
}

class NewFolder {
 public:
  NewFolder(const fs::path& wanted, bool force) {
    try {
      place_ = fs::exists(wanted) ? fs::canonical(wanted) : fs::absolute(wanted).lexically_normal();
      if (!place_.has_filename()) place_ = place_.parent_path();
      if (fs::exists(place_)) {
        if (!fs::is_directory(place_))
          throw Error(ExitCode::kCannotWrite, "{} is a file, a report is a folder: give another name", place_.string());
        if (!fs::is_empty(place_)) {
          const std::string reason = not_a_report(place_);
          if (!reason.empty()) throw Error(ExitCode::kCannotWrite, "{} is not replaced: {}; give another folder", place_.string(), reason);
          if (!force)
            throw Error(ExitCode::kCannotWrite, "{} holds a report already: add --force to replace it, or give another folder",
                        place_.string());
        }
      }
      part_ = place_, old_ = place_;
      part_ += fmt::format(".part-{}", ::getpid());
      old_ += fmt::format(".old-{}", ::getpid());
      fs::remove_all(part_);
      fs::create_directories(part_ / "charts");
    } catch (const fs::filesystem_error& error) {
      throw Error(ExitCode::kCannotWrite, "cannot write the report {}: {}", wanted.string(), error.code().message());
    }
  }
  ~NewFolder() {
    std::error_code ignored;
    if (!part_.empty()) fs::remove_all(part_, ignored);
  }
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;

  void write(const std::string& name, std::string_view bytes) const {
    std::ofstream file(part_ / name, std::ios::binary);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    file.close();
    if (!file) throw Error(ExitCode::kCannotWrite, "cannot write {}: {}", (place_ / name).string(), std::strerror(errno));
  }

  void commit() {
    try {
      const bool replaces = fs::exists(place_) && !fs::is_empty(place_);
      if (replaces) fs::rename(place_, old_);
      std::error_code failed;
      fs::rename(part_, place_, failed);
      if (failed) {
        if (replaces) fs::rename(old_, place_);
        throw fs::filesystem_error("rename", part_, place_, failed);
      }
      part_.clear();
      if (replaces) fs::remove_all(old_);
    } catch (const fs::filesystem_error& error) {
      throw Error(ExitCode::kCannotWrite, "cannot write the report {}: {}", place_.string(), error.code().message());
    }
  }

 private:
  fs::path place_, part_, old_;
};

void write_drawings(const NewFolder& folder, std::span<const Figure> figures) {
  for (const Figure& figure : figures)
    for (const Chart& chart : figure.charts) folder.write("charts/" + chart.id + ".svg", chart.svg);
}

bool plotly_is_there() {
  return !report_asset("plotly.min.js").empty();
}

void write_assets(const NewFolder& folder) {
  for (const char* name : {"report.css", "report.js"}) folder.write(name, report_asset(name));
  if (!plotly_is_there()) return;
  folder.write("plotly.min.js", report_asset("plotly.min.js"));
  folder.write("plotly.LICENSE.txt", report_asset("LICENSE.txt"));
}

}  // namespace

void write_report(const std::filesystem::path& folder, const Evaluation& evaluation, std::span<const SplitRecords> records,
                  const ReportOptions& options) {
  NewFolder made(folder, options.force);
  std::vector<Figure> figures;
  if (!evaluation.splits.empty()) {
    const SplitResult& split = evaluation.splits.front();
    const auto own = std::find_if(records.begin(), records.end(), [&](const SplitRecords& r) { return r.name == split.name; });
    figures = draw_figures(make_scene(evaluation, split, own == records.end() ? nullptr : &*own));
  }
  const PageOptions page{.plotly = plotly_is_there(), .texts = options.texts, .commands = options.commands};
  made.write("index.html", report_page(evaluation, records, figures, page));
  made.write("data.js", report_data(evaluation, records, options.texts));
  made.write("report.md", report_markdown(evaluation, figures, options.commands));
  made.write("metrics.json", write_evaluation(evaluation));
  write_assets(made);
  write_drawings(made, figures);
  made.commit();
}

std::string comparison_json(const Evaluation& a, const Evaluation& b, std::span<const Difference> differences,
                            std::span<const std::string> notes) {
  Evaluation carrier;  // differences are written as a split of metrics.json writes them
  carrier.splits.push_back({.differences = {differences.begin(), differences.end()}});
  const Json rows = parse_json(write_evaluation(carrier), "differences");
  Json json = {{"a", parse_json(write_evaluation(a), "a")},
               {"b", parse_json(write_evaluation(b), "b")},
               {"differences", rows["splits"][0]["differences"]}};
  if (!notes.empty()) json["notes"] = std::vector<std::string>(notes.begin(), notes.end());
  return write_json(json, 1) + "\n";
}

void write_comparison(const std::filesystem::path& folder, const Evaluation& a, const Evaluation& b,
                      std::span<const Difference> differences, const ReportOptions& options) {
  NewFolder made(folder, options.force);
  const Evaluation both = side_by_side(a, b, differences);
  std::vector<Figure> figures;
  if (!both.splits.empty()) {
    const Scene scene = make_scene(both, both.splits.front(), nullptr);
    for (const auto draw : {draw_measures, draw_differences, draw_confusion, draw_reliability, draw_coverage})
      figures.push_back(draw(scene));
    std::erase_if(figures, [](const Figure& figure) { return figure.charts.empty(); });
    for (Figure& figure : figures) choose_printed(figure);
  }
  made.write("index.html", comparison_page(a, b, differences, figures, {.plotly = plotly_is_there()}));
  made.write("report.md", comparison_markdown(a, b, differences, figures));
  made.write("metrics.json", comparison_json(a, b, differences));
  made.write("data.js", report_data(both, {}, false));
  write_assets(made);
  write_drawings(made, figures);
  made.commit();
}

void write_run_comparison(const std::filesystem::path& folder, std::span<const RunCurves> runs, const ReportOptions& options) {
  NewFolder made(folder, options.force);
  std::vector<Figure> figures = draw_runs(runs);
  for (Figure& figure : figures) choose_printed(figure);
  made.write("index.html", run_comparison_page(runs, figures));
  made.write("report.md", run_comparison_markdown(runs, figures));
  made.write("metrics.json", run_comparison_json(runs));
  for (const char* name : {"report.css", "report.js"}) made.write(name, report_asset(name));
  write_drawings(made, figures);
  made.commit();
}

void write_audit(const std::filesystem::path& folder, const Audit& audit, const AuditReportOptions& options) {
  NewFolder made(folder, options.force);
  const std::vector<Figure> figures = draw_audit(audit);
  made.write("index.html", audit_page(audit, figures, options));
  made.write("report.md", audit_markdown(audit, figures, options));
  made.write("metrics.json", audit_json(audit, options));
  for (const char* name : {"report.css", "report.js"}) made.write(name, report_asset(name));
  write_drawings(made, figures);
  made.commit();
}

}  // namespace deskhand
