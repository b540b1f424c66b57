// What of an evaluation a reader is told first: which measures, which system, which baseline it is held against.
#pragma once
#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "deskhand/evaluate/evaluation.h"
#include "deskhand/evaluate/prediction.h"

namespace deskhand {

enum class Among { kAll, kSystems, kBaselines };

bool is_baseline(const SystemIdentity& identity);

std::optional<std::size_t> measure_index(const Evaluation& evaluation, std::string_view id);

// Up to `at_most` measures by which a desk is run, the most telling first; an evaluation that has none of the known ones gives its first.
std::vector<std::size_t> key_measures(const Evaluation& evaluation, std::size_t at_most = 6);

// true: a is better than b. Measures that are neither have no better.
bool is_better(Better better, double a, double b);

// The best defined value of a measure; the first of equals.
std::optional<std::size_t> best_system(const Evaluation& evaluation, const SplitResult& split, std::size_t measure, Among among);

// Whether marking the best of a measure says anything: two systems have it and do not all have the same value.
bool tells_apart(const Evaluation& evaluation, const SplitResult& split, std::size_t measure);

// The system the page speaks of: the best on the first key measure that is no baseline; the best baseline where there is nothing else.
std::optional<std::size_t> main_system(const Evaluation& evaluation, const SplitResult& split);

// A system's estimate; one that an evaluation leaves out is not defined.
Estimate estimate_of(const SystemResult& system, std::size_t measure);

const SplitRecords* records_of(std::span<const SplitRecords> records, const SplitResult& split);  // by name; null: none
const SystemAnswers* answers_of(const SplitRecords* records, const SystemResult& system);         // by identity.name; null: none

}  // namespace deskhand
