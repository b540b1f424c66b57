// How likely each label is, exactly: the sum over all token strings that spell it, from the model's own logits. The most likely beginnings
// are looked at first, until what was not looked at is too little to matter; how little is returned.
//   P(label) = sum of P(tokens) over tokens spelling label + end, end = its closing quote, or the comma or brace behind an integer
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "deskhand/generate/json_grammar.h"
#include "deskhand/generate/paged_model.h"

namespace deskhand {

struct LabelSearch {
  double tolerance = .01;            // stop when unexplored / (explored + unexplored) is below, weighted over the places
  double least_branch = .05;         // earlier choices less likely than this are left out of the sum over them
  std::int32_t sequences = 32;       // asked at a time: each holds up to two pages of its own
  std::int32_t most_sequences = 64;  // of one field and one branch; then the bound is what it is
};

struct LabelDistribution {
  std::vector<double> p;  // of each label of the field; sums to 1
  double raw = 0;         // 0..1: what the model gives all labels together; the rest it would rather have written something else
  double unexplored = 0;  // 0..1: no p is off by more
};

// A place to ask at: `sequence` has been fed up to stem_before(field), `row` of the logits is the one behind its last token.
struct LabelPlace {
  const KvCache::Sequence* sequence;
  JsonGrammar::State state;
  std::int64_t row = 0;
  double weight = 1;  // its part in the sum that is wanted
};

// One distribution a place. Places are searched together, a pass for all, and no further than the weighted sum of what is unexplored asks
// for.
std::vector<LabelDistribution> label_distributions(PagedModel& model, const JsonGrammar& grammar, std::int32_t field,
                                                   std::span<const LabelPlace> places, const LogitRows& logits,
                                                   const LabelSearch& settings = {});

// All choices at the answer's beginning, each summed over the choices before it: P(c) = sum over u of P(u) P(c | u).
struct ChoiceBranch {
  std::vector<std::int32_t> labels;  // of the choices before the last field
  double p = 1;
  KvCache::Sequence sequence;  // fed up to the stem of the next choice
};
struct JointLabels {
  std::vector<std::int32_t> labels;  // one of each choice
  double p = 0;
};
struct ChoiceDistributions {
  std::vector<LabelDistribution> fields;
  std::vector<JointLabels> joint;  // likeliest first; those above least_branch alone if there is more than one choice
};
struct ChoiceSearchResult {
  ChoiceDistributions distributions;
  std::vector<ChoiceBranch> branches;  // of the last field: an answer goes on from the one that has its labels
};

// How many fields at the beginning are choices.
std::int32_t leading_choices(const AnswerSchema& schema);

// One to ask about: `sequence` has been fed up to stem_before(0), `row` of the logits is the one behind it.
struct ChoicesOf {
  const JsonGrammar* grammar;
  const KvCache::Sequence* sequence;
  LabelSearch search = {};
  std::int64_t row = 0;
};

// What each would give alone; those of a round are asked in common passes.
std::vector<ChoiceSearchResult> choice_distributions(PagedModel& model, std::span<const ChoicesOf> all, const LogitRows& logits);

}  // namespace deskhand
