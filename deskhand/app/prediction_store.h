// Predictions of evaluated systems in the desk's database: kept as they are made, so that an interrupted evaluation goes on where it
// stopped and a second one reuses what did not change, on however many of the tickets either is measured. A system is found by its key, the
// SHA-256 of everything its answers depend on but the ticket that is asked about; that one's hash stands with the prediction.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "deskhand/base/sqlite.h"
#include "deskhand/evaluate/prediction.h"

namespace deskhand {

enum class PredictionPart { kTest, kValidation };

class PredictionStore {
 public:
  explicit PredictionStore(Database& database);  // borrows; makes the tables evaluation_systems, evaluation_predictions, evaluations

  void put_system(const std::string& key, const SystemIdentity& identity);
  void put_peak(const std::string& key, double bytes);
  std::optional<double> peak(const std::string& key);
  void put(const std::string& key, PredictionPart part, std::span<const Prediction> predictions);  // replaces those of the same tickets
  std::vector<Prediction> load(const std::string& key, PredictionPart part);                       // in the order of ticket ids

  // What an evaluation was made of, for `report` to draw it again: a JSON text of the caller's. Names are unique; an earlier one is
  // replaced.
  void put_evaluation(const std::string& name, const std::string& json);
  std::string evaluation(const std::string& name);  // empty: there is none
  std::vector<std::string> evaluations();           // names, the latest last

 private:
  Database& database_;
};

// One JSON object; reading throws Error(kBadInput) naming `where` and the field.
std::string write_prediction(const Prediction& prediction);
Prediction read_prediction(std::string_view json, std::string_view where);

}  // namespace deskhand
