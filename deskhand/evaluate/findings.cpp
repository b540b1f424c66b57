// What a reader must know first, in sentences.
#include <fmt/format.h>

#include <algorithm>

#include "deskhand/evaluate/measure.h"

namespace deskhand {
namespace {

struct Quality {
  const char* measure;
  const char* does;  // "gets the category right"
};
constexpr Quality kQualities[] = {{"category_accuracy", "gets the category right"},
                                  {"urgency_accuracy", "gets the urgency right"},
                                  {"resolution_cosine", "comes closest to the true resolution in meaning"}};

bool is_cheap(const SystemResult& system) {
  return system.identity.kind == "baseline";
}

std::size_t index_of(const Evaluation& evaluation, const std::string& id) {
  return static_cast<std::size_t>(
      std::find_if(evaluation.measures.begin(), evaluation.measures.end(), [&](const auto& m) { return m.id == id; }) -
      evaluation.measures.begin());
}

// The best system of those that `take` lets through; null if none has a value.
template <class Take>
const SystemResult* best(const SplitResult& split, std::size_t measure, const Take& take) {
  const SystemResult* found = nullptr;
  for (const auto& system : split.systems)
    if (take(system) && system.measures[measure].value && (!found || *system.measures[measure].value > *found->measures[measure].value))
      found = &system;
  return found;
}

std::string amount(const Estimate& estimate, bool is_share) {
  return is_share ? fmt::format("{:.0f} % ({:.0f} to {:.0f})", 100 * *estimate.value, 100 * estimate.low, 100 * estimate.high)
                  : fmt::format("{:.2f} ({:.2f} to {:.2f})", *estimate.value, estimate.low, estimate.high);
}

const Difference* difference_of(const SplitResult& split, const std::string& a, const std::string& b, const std::string& measure) {
  for (const auto& d : split.differences)
    if (d.measure == measure && ((d.a == a && d.b == b) || (d.a == b && d.b == a))) return &d;
  return nullptr;
}

}  // namespace

std::vector<std::string> findings(const Evaluation& evaluation) {
  std::vector<std::string> losses, wins, rest;
  if (evaluation.splits.empty()) return {};
  const SplitResult& split = evaluation.splits.front();
  for (const auto& [measure, does] : kQualities) {
    const std::size_t i = index_of(evaluation, measure);
    if (i == evaluation.measures.size()) continue;
    const bool is_share = evaluation.measures[i].unit == "%";
    const auto* cheap = best(split, i, is_cheap);
    const auto* model = best(split, i, [](const auto& system) { return !is_cheap(system); });
    if (!cheap && !model) continue;
    if (!cheap || !model) {
      const auto* only = cheap ? cheap : model;
      rest.push_back(fmt::format("{} {}: {}.", only->identity.name, does, amount(only->measures[i], is_share)));
      continue;
    }
    const auto* difference = difference_of(split, cheap->identity.name, model->identity.name, measure);
    const bool is_clear = difference && difference->matters;
    const bool cheap_wins = *cheap->measures[i].value >= *model->measures[i].value;
    const auto* first = cheap_wins ? cheap : model;
    const auto* second = cheap_wins ? model : cheap;
    const std::string sentence = fmt::format(
        "{} {}: {}; {} {}: {}; {}.", first->identity.name, does, amount(first->measures[i], is_share),
        cheap_wins ? "the best system that is no baseline," : "the best cheap baseline,", second->identity.name,
        amount(second->measures[i], is_share), is_clear ? "the difference is more than chance" : "chance alone may explain the difference");
    (cheap_wins ? losses : wins).push_back((cheap_wins ? "A cheap baseline wins: " : "") + sentence);
  }
  std::vector<std::string> sentences = std::move(losses);
  sentences.insert(sentences.end(), wins.begin(), wins.end());
  sentences.insert(sentences.end(), rest.begin(), rest.end());
  if (split.leakage.test > 0 && split.leakage.leaked > 0)
    sentences.push_back(
        fmt::format("{} of {} held-out tickets have a near copy among the tickets learnt from: figures on this split flatter "
                    "systems that remember; a grouped split keeps copies on one side.",
                    split.leakage.leaked, split.leakage.test));
  return sentences;
}

}  // namespace deskhand
