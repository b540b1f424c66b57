#include "deskhand/report/headline.h"

#include <algorithm>
#include <array>

#include "deskhand/report/words.h"

namespace deskhand {
namespace {

constexpr std::array<std::string_view, 6> kKeyMeasures = {"category_accuracy", "urgency_accuracy",  "both_accuracy",
                                                          "token_set_ratio",   "resolution_cosine", "category_macro_f1"};

}  // namespace

bool is_baseline(const SystemIdentity& identity) {
  return identity.kind == "baseline";
}

std::optional<std::size_t> measure_index(const Evaluation& evaluation, std::string_view id) {
  const auto found = std::find_if(evaluation.measures.begin(), evaluation.measures.end(), [&](const MeasureInfo& m) { return m.id == id; });
  if (found == evaluation.measures.end()) return std::nullopt;
  return static_cast<std::size_t>(found - evaluation.measures.begin());
}

std::vector<std::size_t> key_measures(const Evaluation& evaluation, std::size_t at_most) {
  std::vector<std::size_t> keys;
  for (const std::string_view id : kKeyMeasures)
    if (const auto index = measure_index(evaluation, id)) keys.push_back(*index);
  for (std::size_t m = 0; m < evaluation.measures.size() && keys.size() < 3; ++m)
    if (std::find(keys.begin(), keys.end(), m) == keys.end()) keys.push_back(m);
  if (keys.size() > at_most) keys.resize(at_most);
  return keys;
}

bool is_better(Better better, double a, double b) {
  return better == Better::kHigher ? a > b : better == Better::kLower && a < b;
}

std::optional<std::size_t> best_system(const Evaluation& evaluation, const SplitResult& split, std::size_t measure, Among among) {
  std::optional<std::size_t> best;
  for (std::size_t s = 0; s < split.systems.size(); ++s) {
    const SystemResult& system = split.systems[s];
    if (among != Among::kAll && is_baseline(system.identity) != (among == Among::kBaselines)) continue;
    const Estimate estimate = estimate_of(system, measure);
    if (!is_defined(estimate)) continue;
    if (!best || is_better(evaluation.measures[measure].better, *estimate.value, *split.systems[*best].measures[measure].value)) best = s;
  }
  return best;
}

bool tells_apart(const Evaluation& evaluation, const SplitResult& split, std::size_t measure) {
  const auto best = best_system(evaluation, split, measure, Among::kAll);
  return best && evaluation.measures[measure].better != Better::kNeither &&
         std::any_of(split.systems.begin(), split.systems.end(), [&](const SystemResult& system) {
           const Estimate estimate = estimate_of(system, measure);
           return is_defined(estimate) && *estimate.value != *split.systems[*best].measures[measure].value;
         });
}

std::optional<std::size_t> main_system(const Evaluation& evaluation, const SplitResult& split) {
  for (const Among among : {Among::kSystems, Among::kBaselines}) {
    for (const std::size_t key : key_measures(evaluation))
      if (const auto best = best_system(evaluation, split, key, among)) return best;
    for (std::size_t s = 0; s < split.systems.size(); ++s)
      if (is_baseline(split.systems[s].identity) == (among == Among::kBaselines)) return s;
  }
  return std::nullopt;
}

Estimate estimate_of(const SystemResult& system, std::size_t measure) {
  if (measure < system.measures.size()) return system.measures[measure];
  return {.undefined = "not measured"};
}

const SplitRecords* records_of(std::span<const SplitRecords> records, const SplitResult& split) {
  const auto found = std::find_if(records.begin(), records.end(), [&](const SplitRecords& r) { return r.name == split.name; });
  return found == records.end() ? nullptr : &*found;
}

const SystemAnswers* answers_of(const SplitRecords* records, const SystemResult& system) {
  if (!records) return nullptr;
  const auto found = std::find_if(records->systems.begin(), records->systems.end(),
                                  [&](const SystemAnswers& answers) { return answers.identity.name == system.identity.name; });
  return found == records->systems.end() ? nullptr : &*found;
}

}  // namespace deskhand
