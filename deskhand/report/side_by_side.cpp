// Two evaluations as one: systems of the first split of each, renamed "A: ..." and "B: ...", and what is to be said of their differences.
#include <fmt/format.h>

#include <algorithm>

#include "deskhand/report/headline.h"
#include "deskhand/report/page.h"
#include "deskhand/report/words.h"

namespace deskhand {
namespace {

constexpr std::size_t kTold = 6;  // differences said in sentences; the table has all

std::vector<std::string> findings_of(const Evaluation& both, std::span<const Difference> differences, bool same_split) {
  std::vector<std::string> findings;
  std::size_t better = 0, worse = 0, undecided = 0;
  std::vector<std::string> told;
  const std::vector<std::size_t> keys = key_measures(both);
  for (const Difference& d : differences) {
    if (!is_defined(d.difference)) continue;
    const auto m = measure_index(both, d.measure);
    if (!d.matters || !m) {
      ++undecided;
      continue;
    }
    const bool up = is_better(both.measures[*m].better, *d.difference.value, 0),
               down = is_better(both.measures[*m].better, 0, *d.difference.value);
    better += up ? 1 : 0, worse += down ? 1 : 0;
    if (std::find(keys.begin(), keys.end(), *m) != keys.end())
      told.push_back(fmt::format("{}: {} is {} than {} by {} ({}).", both.measures[*m].title, d.b,
                                 up     ? "better"
                                 : down ? "worse"
                                        : "other",
                                 d.a, difference_text(both.measures[*m], *d.difference.value),
                                 difference_interval(both.measures[*m], d.difference)));
  }
  if (differences.empty())
    findings.push_back("The two evaluations have no system and ticket in common: nothing can be compared ticket by ticket.");
  else if (better + worse == 0)
    findings.push_back(fmt::format("No change can be told from chance ({} differences looked at).", undecided));
  else
    findings.push_back(fmt::format("{} {} better and {} worse by more than chance; {} cannot be told.", better,
                                   better == 1 ? "difference is" : "differences are", worse, undecided));
  findings.insert(findings.end(), told.begin(), told.begin() + static_cast<std::ptrdiff_t>(std::min(told.size(), kTold)));
  if (!same_split)
    findings.push_back(
        "The two evaluations did not hold out the same number of tickets: only figures of tickets that both have are compared.");
  return findings;
}

}  // namespace

Evaluation side_by_side(const Evaluation& a, const Evaluation& b, std::span<const Difference> differences) {
  Evaluation both{.name = b.name + " against " + a.name, .desk = b.desk, .made = b.made, .version = b.version, .measures = a.measures};
  both.resamples = b.resamples, both.seed = b.seed, both.above = b.above, both.relevant_similarity = b.relevant_similarity;
  for (const MeasureInfo& measure : b.measures)
    if (!measure_index(both, measure.id)) both.measures.push_back(measure);
  SplitResult split;
  for (const auto* evaluation : {&a, &b}) {
    if (evaluation->splits.empty()) continue;
    const SplitResult& source = evaluation->splits.front();
    if (split.name.empty())
      split.name = source.name, split.test = source.test, split.train = source.train, split.category_labels = source.category_labels;
    for (const SystemResult& system : source.systems) {
      SystemResult copy = system;
      copy.identity.name = (evaluation == &a ? "A: " : "B: ") + system.identity.name;
      copy.tickets.clear();
      copy.measures.clear();
      for (const MeasureInfo& measure : both.measures) {
        const auto m = measure_index(*evaluation, measure.id);
        copy.measures.push_back(m ? estimate_of(system, *m) : Estimate{.undefined = "this evaluation does not have the measure"});
      }
      split.systems.push_back(std::move(copy));
    }
  }
  for (Difference d : differences) {
    d.a = "A: " + d.a, d.b = "B: " + d.b;
    split.differences.push_back(std::move(d));
  }
  const auto tickets = [](const Evaluation& e) { return e.splits.empty() ? std::int64_t{0} : e.splits.front().test; };
  both.findings = findings_of(both, split.differences, tickets(a) == tickets(b));
  if (!split.systems.empty()) both.splits.push_back(std::move(split));
  return both;
}

}  // namespace deskhand
