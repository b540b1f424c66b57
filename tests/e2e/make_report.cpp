// Writes reports of made-up evaluations for tests/e2e/test_report.py: `make_report FOLDER` makes FOLDER/full, small, empty, large,
// comparison.
#include <cstdio>
#include <exception>

#include "deskhand/report/report.h"
#include "deskhand/report/testing.h"

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
    std::fputs(summary_text(full.evaluation).c_str(), stdout);
    std::fputs("----\n", stdout);
    std::fputs(comparison_text(full.evaluation, later.evaluation, full.evaluation.splits[0].differences).c_str(), stdout);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "make_report: %s\n", error.what());
    return 1;
  }
}
