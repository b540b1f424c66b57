// A run over many new tickets, kept in the desk's database as it goes: an interrupted one goes on with the query it had reached.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "deskhand/app/answering.h"

namespace deskhand {

struct AnsweredTicket {
  std::string jsonl, csv;  // one record each, as decision.h writes them
  std::string text;        // for people, without colour
  bool is_kept = false;    // from an earlier, interrupted run
};

struct TriageRunSummary {
  std::int64_t run = 0;
  std::int64_t answered = 0, kept = 0;
  double seconds = 0;  // of those answered now
};

// Calls done for each query in order; answers are kept in tables triage_runs and triage_answers. Until finish_run the same queries under
// the same settings go on with this run.
TriageRunSummary run_triage(Desk& desk, const Answering& answering, std::span<const std::string> queries,
                            const std::function<void(std::size_t, const AnsweredTicket&)>& done);

void finish_run(Desk& desk, const TriageRunSummary& summary);

// One query a line, blank lines and a byte order mark passed over. Throws Error(kBadInput) where the file holds no query.
std::vector<std::string> read_queries(const std::filesystem::path& file);

}  // namespace deskhand
