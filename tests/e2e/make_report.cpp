// Writes reports of made-up evaluations for tests/e2e/test_report.py: `make_report FOLDER` makes FOLDER/full, small, empty, large,
// comparison, audit and audit-small.
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "deskhand/report/audit_report.h"
#include "deskhand/report/report.h"
#include "deskhand/report/testing.h"

namespace {

// A desk with one thing wrong of each kind, and hostile labels and texts.
deskhand::Audit made_up_audit(int count) {
  using namespace deskhand;
  constexpr const char* kCategories[] = {"Printing", "Stock", "</script><script>alert(1)</script>", "PRINTING"};
  std::vector<Ticket> tickets;
  for (int i = 0; i < count; ++i)
    tickets.push_back(
        {.id = "T" + std::to_string(i),
         .problem = i % 9 == 0 ? "the \"nightly\" job <img src=\"x\"> \u202e stopped again with a spool error on every host, number " +
                                     std::to_string(i % 2)
                               : "word" + std::to_string(i * 7919 % 997) + " and word" + std::to_string(i * 31 % 613) + " of " +
                                     kCategories[i % 4],
         .urgency = i / 40 % 5 == 2 ? 1 : i % 4 + 2,
         .category = kCategories[i % 4],
         .received = "2024-0" + std::to_string(i / 40 % 9 + 1) + "-10"});
  ThreadPool pool(2);
  PrepareSettings import;
  import.ticket_files = {"not-there.csv"};
  Audit audit = audit_desk(tickets, import, {.bootstrap = {.resamples = 200}, .quiet = true}, pool);
  audit.desk = "A <b>desk</b>", audit.made = "2024-06-01T10:00:00", audit.version = "0";
  return audit;
}

}  // namespace

int main(int count, char** words) {
  using namespace deskhand;
  if (count != 2) return std::fputs("usage: make_report FOLDER\n", stderr), 2;
  const std::filesystem::path folder = words[1];
  try {
    const auto full = testing::made_up();
    write_report(folder / "full", full.evaluation, full.records, {.commands = {"deskhand evaluate --split desk --system 'a <b>'"}});
    const auto small = testing::made_up({.tickets = 2, .systems = 1, .probabilities = false, .training = false, .splits = 1});
    write_report(folder / "small", small.evaluation, small.records, {.texts = false});
    write_report(folder / "empty", Evaluation{.name = "Nothing"}, {});
    const auto large = testing::made_up({.tickets = 10000, .systems = 4, .splits = 1});
    write_report(folder / "large", large.evaluation, large.records);
    const auto later = testing::made_up({.seed = 2});
    write_comparison(folder / "comparison", full.evaluation, later.evaluation, full.evaluation.splits[0].differences);
    write_audit(folder / "audit", made_up_audit(400), {.present = {"split"}, .commands = {"deskhand audit"}});
    write_audit(folder / "audit-small", made_up_audit(2), {.texts = false});
    std::fputs(summary_text(full.evaluation).c_str(), stdout);
    std::fputs("----\n", stdout);
    std::fputs(comparison_text(full.evaluation, later.evaluation, full.evaluation.splits[0].differences).c_str(), stdout);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "make_report: %s\n", error.what());
    return 1;
  }
}
