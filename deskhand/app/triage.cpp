// deskhand triage QUERIES.txt | TEXT: answers new tickets.
#include <CLI/CLI.hpp>
#include <memory>

#include "deskhand/app/desk_adapter.h"
#include "deskhand/app/triage_run.h"
#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "deskhand/base/progress.h"
#include "deskhand/triage/decision.h"

namespace deskhand {
namespace {

struct Options {
  std::string queries;  // a file, or the text of one ticket
  std::filesystem::path jsonl, csv;
  bool force = false;
  ModelChoice models;
};

void refuse_to_overwrite(const std::filesystem::path& file, bool force) {
  if (!file.empty() && !force && std::filesystem::exists(file))
    throw Error(ExitCode::kCannotWrite, "{} is there already; --force writes over it", file.string());
}

// A mistyped file name must not be answered as if a customer had written it.
std::vector<std::string> queries_of(const std::string& argument) {
  std::error_code not_a_path;
  const std::filesystem::path path(argument);
  if (std::filesystem::is_directory(path, not_a_path))
    throw Error(ExitCode::kUsage, "{} is a folder; wanted is a file with one problem a line", argument);
  if (std::filesystem::exists(path, not_a_path)) return read_queries(path);
  const bool has_space = argument.find_first_of(" \t\n") != std::string::npos;
  if (!has_space && (path.has_parent_path() || path.has_extension())) throw Error(ExitCode::kNotFound, "there is no file {}", argument);
  return {argument};
}

void triage(const Globals& globals, const Options& options) {
  for (const auto& file : {options.jsonl, options.csv}) {
    refuse_to_overwrite(file, options.force);
    if (!file.empty()) AtomicFile probe(file);  // a folder that cannot be written to is said now, not after hours of answers
  }
  const auto queries = queries_of(options.queries);
  Desk desk = Desk::open(globals);
  options.models.apply(desk.settings.models);
  Answering answering(desk, globals);
  std::string jsonl, csv = csv_header();
  Progress progress({.what = "answering",
                     .unit = "tickets",
                     .total = static_cast<std::int64_t>(queries.size()),
                     .quiet = globals.quiet || queries.size() == 1});
  const TriageRunSummary summary = run_triage(desk, answering, queries, [&](std::size_t i, const AnsweredTicket& answered) {
    if (globals.json)
      fmt::print("{}\n", answered.jsonl);
    else
      fmt::print("{}{}\n", i > 0 ? "\n" : "", answered.text);
    std::fflush(stdout);
    jsonl += answered.jsonl + "\n";
    csv += answered.csv;
    progress.advance(answered.is_kept ? 0 : 1);
  });
  progress.finish(summary.kept > 0 ? fmt::format("{} of them from the interrupted run", summary.kept) : "");
  if (!options.jsonl.empty()) write_file_atomically(options.jsonl, jsonl);
  if (!options.csv.empty()) write_file_atomically(options.csv, csv);
  finish_run(desk, summary);
}

}  // namespace

std::function<void()> declare_triage(CLI::App& sub, const Globals& globals) {
  const auto options = std::make_shared<Options>();
  sub.add_option("QUERIES", options->queries, "a file with one problem a line, or the text of one problem")->required();
  sub.add_option("--jsonl", options->jsonl, "also write the answers as JSON lines");
  sub.add_option("--csv", options->csv, "also write the answers as CSV: query, cases, similarities, avg_similarity, answer and more");
  sub.add_flag("--force", options->force, "write over files that are there");
  options->models.declare(sub, "another model than desk.toml's; none: the cases alone answer");
  sub.footer(
      "Examples:\n  deskhand --desk mydesk triage queries.txt --csv results.csv\n  deskhand --desk mydesk triage \"SOP310 hangs at 60 %, "
      "post goes at noon\"");
  return [options, &globals] { triage(globals, *options); };
}

}  // namespace deskhand
