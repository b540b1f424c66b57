// What triage asks of a language model: for a ticket and its cases the two labels' probabilities, then a resolution written under the
// labels that were decided. An interface, so that a desk without a model, tests and foreign models look the same from above.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "deskhand/base/expected.h"
#include "deskhand/retrieve/case_store.h"

namespace deskhand {

enum class LabelKind { kUrgency, kCategory };

// Is told the model's distribution over a kind's labels, returns the index of the label to go on with.
using DecideLabel = std::function<std::size_t(LabelKind kind, std::span<const double> model)>;

struct Question {
  std::string query;         // cleaned
  std::vector<Case> cases;   // to show, best first
  DecideLabel decide;        // called once for urgency, then once for category, on the caller's thread
  bool labels_only = false;  // no resolution is wanted
};

struct ModelAnswer {
  std::vector<double> urgency;   // over 1..5
  std::vector<double> category;  // over the desk's categories, given the decided urgency
  std::string resolution;        // empty with labels_only
  bool is_cut = false;           // the resolution ran into its limit
  std::int32_t prompt_tokens = 0, cached_tokens = 0, new_tokens = 0;
};

class AnswerModel {
 public:
  virtual ~AnswerModel() = default;
  // Answers in the order of the questions; a text says why one could not be answered. Throws Error(kInterrupted) on Ctrl-C.
  virtual std::vector<Expected<ModelAnswer, std::string>> answer(std::span<const Question> questions) = 0;
};

}  // namespace deskhand
