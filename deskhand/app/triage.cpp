// deskhand triage QUERIES.txt | TEXT: answers new tickets.
#include <CLI/CLI.hpp>
#include <memory>

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
  std::string decoder;
};

void refuse_to_overwrite(const std::filesystem::path& file, bool force) {
  if (!file.empty() && !force && std::filesystem::exists(file))
    throw Error(ExitCode::kCannotWrite, "{} is there already; --force writes over it", file.string());
}

void triage(const Globals& globals, const Options& options) {
  refuse_to_overwrite(options.jsonl, options.force);
  refuse_to_overwrite(options.csv, options.force);
  Desk desk = Desk::open(globals);
  if (!options.decoder.empty()) desk.settings.models.decoder = options.decoder == "none" ? "" : options.decoder;
  std::error_code not_a_path;
  const bool is_file = std::filesystem::is_regular_file(options.queries, not_a_path);
  const auto queries = is_file ? read_queries(options.queries) : std::vector<std::string>{options.queries};
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
}

}  // namespace

std::function<void()> declare_triage(CLI::App& sub, const Globals& globals) {
  const auto options = std::make_shared<Options>();
  sub.add_option("QUERIES", options->queries, "a file with one problem a line, or the text of one problem")->required();
  sub.add_option("--jsonl", options->jsonl, "also write the answers as JSON lines");
  sub.add_option("--csv", options->csv, "also write the answers as CSV: query, cases, similarities, avg_similarity, answer and more");
  sub.add_flag("--force", options->force, "write over files that are there");
  sub.add_option("--decoder", options->decoder, "another model than desk.toml's; none: the cases alone answer");
  sub.footer(
      "Examples:\n  deskhand --desk mydesk triage queries.txt --csv results.csv\n  deskhand --desk mydesk triage \"SOP310 hangs at 60 %, "
      "post goes at noon\"");
  return [options, &globals] { triage(globals, *options); };
}

}  // namespace deskhand
