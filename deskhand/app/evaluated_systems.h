// The systems that an evaluation runs: cheap baselines that are always there, language models as the settings name them, answers from
// files. Each turns a split into predictions; those of language models are kept as they are made.
#pragma once
#include <span>
#include <vector>

#include "deskhand/app/evaluation_split.h"
#include "deskhand/app/prediction_store.h"

namespace deskhand {

// What systems are run with, made once for an evaluation.
struct EvaluationRun {
  Desk& desk;
  const Globals& globals;
  Engine& engine;
  DeskEncoder* encoder;  // null: the desk has none
  VectorCache* vectors;  // as encoder
  PredictionStore& store;
  bool redo = false;  // predictions that are kept are made again
};

struct EvaluatedSystem {
  std::string key;  // in the prediction store
  SystemAnswers answers;
};

// Majority, votes of the nearest cases, TF-IDF + logistic regression, MiniLM + logistic regression (with an encoder).
std::vector<EvaluatedSystem> run_baselines(const EvaluationRun& run, EvaluationSplit& split);

// Goes on with what is kept of this very system: same model, prompt, settings, cases and held-out tickets. Ctrl-C throws and loses at most
// one batch.
EvaluatedSystem run_decoder(const EvaluationRun& run, EvaluationSplit& split, const SystemSettings& settings);

EvaluatedSystem read_system(const EvaluationRun& run, const EvaluationSplit& split, const SystemSettings& settings);

// The systems that the settings name, or the usual three for the desk's decoder; none where the desk has no decoder.
std::vector<SystemSettings> systems_of(const DeskSettings& settings);

// Fills in what only the encoder can say of each answer, for all systems of a split at once; answers that have it are passed over.
void compare_resolutions(const EvaluationRun& run, const EvaluationSplit& split, std::span<EvaluatedSystem> systems);

// How well cases are found for the held-out tickets by cosine, BM25, keywords, and all fused as the desk has it.
std::vector<RetrievalRow> measure_channels(const EvaluationRun& run, EvaluationSplit& split, std::int64_t& relevant_queries,
                                           std::vector<std::string>& warnings);

}  // namespace deskhand
