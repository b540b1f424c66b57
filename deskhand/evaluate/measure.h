// From records to an evaluation: answers are matched to tickets, every measure of the table is taken with its interval, systems are
// compared in pairs, and what a reader must know first is said in sentences. No model is run here.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "deskhand/base/parallel.h"
#include "deskhand/evaluate/evaluation.h"
#include "deskhand/evaluate/labels.h"
#include "deskhand/evaluate/prediction.h"
#include "deskhand/evaluate/retrieval_quality.h"

namespace deskhand {

struct MeasureSettings {
  std::int64_t resamples = 2000;
  std::uint64_t seed = 42;
  UrgencyCosts costs{.under = {8, 4, 2, 1, 1}, .over = 1};
  double above = 75;  // of token_set_ratio: the same resolution in other words
};

// What stands in the rows of every table, in order. measures.cpp holds the one table.
std::vector<MeasureInfo> measure_list(const MeasureSettings& settings);

// Every system of the split on its held-out tickets. What is wrong with the records is counted in the result's warnings and never ends it:
//   a ticket without prediction, or a label outside the set: wrong; its resolution measures are 0
//   two predictions for one ticket: the first counts; a prediction for an unknown ticket: passed over
//   an empty resolution: 0 in every resolution measure; a ticket whose true resolution is empty: passed over there
//   probabilities of the wrong length, negative or not finite: not told
// Throws Error(kUsage) for two systems of one name, Error(kBadInput) without tickets.
SplitResult measure_split(const SplitRecords& records, const MeasureSettings& settings, ThreadPool& pool);

// One method's rows at k = 1, 3, 5, 10; one entry a held-out ticket.
std::vector<RetrievalRow> measure_retrieval(const std::string& method, std::span<const RankedRelevance> queries,
                                            const MeasureSettings& settings, ThreadPool& pool);

// System b of one evaluation against system a of another on the tickets that both have, from per-ticket values alone: means are compared,
// so measures of whole sets (macro-F1, kappa) are left out.
std::vector<Difference> compare_systems(const Evaluation& a, const SystemResult& system_a, const Evaluation& b,
                                        const SystemResult& system_b, const MeasureSettings& settings, ThreadPool& pool);

// Sentences for a reader, the most important first: if a cheap baseline does as well as the language models, the first one says so.
std::vector<std::string> findings(const Evaluation& evaluation);

}  // namespace deskhand
