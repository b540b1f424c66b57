// An evaluation as the desk keeps it: its figures and, through the prediction store and the tickets, the texts they were measured from.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "deskhand/app/desk.h"
#include "deskhand/app/evaluated_systems.h"
#include "deskhand/evaluate/evaluation.h"

namespace deskhand {

struct EvaluationRecord {
  Evaluation evaluation;
  std::vector<SplitRecords> splits;  // as evaluation.splits
  bool texts = true;                 // whether its report shows the tickets' texts
};

// keys: for each split those of its systems, in order.
void keep_evaluation(PredictionStore& store, const EvaluationRecord& record, const std::vector<std::vector<std::string>>& keys);

// Empty name: the latest. Tickets that have gone since are left out of the texts. Throws Error(kNotFound) with the names there are.
EvaluationRecord load_evaluation(Desk& desk, const std::string& name);

// Of a name, or of the metrics.json in a folder that is named: figures alone.
Evaluation find_evaluation(Desk& desk, const std::string& name_or_path);

std::filesystem::path evaluation_folder(const Desk& desk, const std::string& name);

}  // namespace deskhand
