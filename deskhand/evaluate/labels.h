// How well labels are told. All measures are O(rows + labels), read a sample of rows and allocate nothing once the scratch has grown.
//
// A missing answer (any number outside the labels) is a miss for its true label and a false positive of none. Where labels are levels
// (urgency), it counts as the answer farthest from the truth, so that keeping silent never pays. A row whose truth is outside the labels is
// not known and is passed over; a true label that no system could have chosen is to be numbered among the labels, then its rows count as
// wrong. Every measure is empty where no row has a truth.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "deskhand/evaluate/evaluation.h"
#include "deskhand/evaluate/sample.h"

namespace deskhand {

// Borrowed. For urgency: label = urgency - 1, so 0 is the most urgent.
struct Labelled {
  std::span<const std::int32_t> truth, answer;  // (n) 0 .. labels - 1, anything else: not known; missing
  std::int32_t labels = 0;
};

// Share of the rows whose answer is the truth.
std::optional<double> accuracy(const Labelled& labelled, Rows rows);

// Mean F1 of the labels that stand among the truths or the answers: scikit-learn's f1_score(average="macro", zero_division=0).
std::optional<double> macro_f1(const Labelled& labelled, Rows rows, Scratch& scratch);

// Cohen's kappa with weights (truth - answer)^2, scikit-learn's cohen_kappa_score(weights="quadratic"): 1 - E (t - a)^2 over the same if
// truths and answers were drawn apart. Empty also where all truths and all answers are one and the same label (0 / 0).
std::optional<double> quadratic_kappa(const Labelled& labelled, Rows rows);

// Mean |truth - answer| in levels.
std::optional<double> mean_absolute_error(const Labelled& labelled, Rows rows);

// What wrong urgencies cost; label 0 is the most urgent.
struct UrgencyCosts {
  std::vector<double> under;  // (labels) a level that an answer is placed less urgent than this truth; finite, not negative
  double over = 1;            // a level that an answer is placed more urgent than the truth
};

// Mean over rows of: under[truth] (answer - truth) where the answer is less urgent, over (truth - answer) where it is more urgent. A
// missing answer costs as the dearest answer to that truth. Throws Error(kUsage) unless there is one cost a label, finite and not negative.
std::optional<double> cost_weighted_error(const Labelled& labelled, const UrgencyCosts& costs, Rows rows);

// One row a label, in order; names.size() == labels.
std::vector<ClassRow> class_rows(const Labelled& labelled, Rows rows, std::span<const std::string> names);
ConfusionMatrix confusion_matrix(const Labelled& labelled, Rows rows, std::span<const std::string> names);

}  // namespace deskhand
