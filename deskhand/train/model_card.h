// README.md of what was learnt: for people, with the front matter that Hugging Face's tools read.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "deskhand/train/packing.h"
#include "deskhand/train/recipe.h"
#include "deskhand/train/records.h"
#include "deskhand/train/run_folder.h"

namespace deskhand {

struct ModelCard {
  RunInfo info;
  Recipe recipe;
  std::string base_licence;  // empty: not known
  std::int64_t steps = 0, num_tokens = 0, skipped = 0;
  double seconds = 0;
  CutCounts cut;
  std::optional<StepRecord> last_step;
  std::optional<EvalRecord> first_evaluation, best_evaluation;
  double mean_train_loss = 0, mean_train_accuracy = 0;       // over all steps
  std::vector<std::pair<std::string, std::string>> figures;  // more, as they should stand: {"urgency accuracy", ".91 (.88 to .94)"}
  std::vector<std::string> warnings;
};

std::string write_model_card(const ModelCard& card);

}  // namespace deskhand
