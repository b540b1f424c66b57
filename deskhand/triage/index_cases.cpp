#include "deskhand/triage/index_cases.h"

#include <chrono>

#include "deskhand/base/interrupt.h"
#include "deskhand/base/progress.h"

namespace deskhand {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void embed_missing(CaseStore& store, TextEmbedder& embedder, const EncoderId& encoder, const IndexSettings& settings, IndexReport& report) {
  const std::int64_t missing = store.count_without_vector(encoder);
  if (missing == 0) return;
  const auto start = std::chrono::steady_clock::now();
  Progress progress(
      {.what = "embedding cases", .unit = "cases", .total = report.cases, .already = report.cases - missing, .quiet = settings.quiet});
  while (true) {
    check_interrupt();
    const std::vector<Case> cases = store.without_vector(encoder, settings.chunk);
    if (cases.empty()) break;
    std::vector<std::string> problems;
    for (const Case& one : cases) problems.push_back(one.problem);
    const std::int64_t stored = store.put_vectors(encoder, cases, embedder.embed(problems));
    report.embedded += stored;
    progress.advance(stored);
  }
  report.embed_s = seconds_since(start);
}

}  // namespace

Case case_of(const Ticket& ticket) {
  return {.ticket_id = ticket.id,
          .problem = problem_text(ticket),
          .resolution = resolution_text(ticket),
          .urgency = ticket.urgency,
          .category = ticket.category};
}

IndexReport index_cases(Database& database, TextEmbedder* embedder, const EncoderId& encoder, const IndexSettings& settings) {
  TicketStore tickets(database);
  CaseStore store(database);
  IndexReport report;
  std::vector<Case> cases;
  std::vector<std::string> ids;
  tickets.each(Part::kNotTest, false, [&](const Ticket& ticket) {
    Case one = case_of(ticket);
    if (one.problem.empty()) {
      ++report.without_problem;
      return;
    }
    ids.push_back(one.ticket_id);
    cases.push_back(std::move(one));
  });
  if (cases.empty())
    throw Error(ExitCode::kBadInput, "{}: no ticket with a problem text to learn from; run 'deskhand prepare' first",
                database.path().string());
  report.changed = store.upsert(cases);
  report.removed = store.keep_only(ids);
  report.cases = store.count();
  cases = {};
  if (embedder) embed_missing(store, *embedder, encoder, settings, report);
  return report;
}

}  // namespace deskhand
