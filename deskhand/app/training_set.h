// A desk's closed tickets as examples to train on: those of the split that are not kept for testing, each with the cases that triage would
// have found for it, and a part of them kept apart for evaluation during training.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "deskhand/app/answering.h"
#include "deskhand/app/desk.h"
#include "deskhand/app/vector_cache.h"
#include "deskhand/train/example.h"
#include "deskhand/train/packing.h"
#include "deskhand/train/recipe.h"

namespace deskhand {

struct TrainingSet {
  std::vector<Example> training, validation;
  std::int64_t tickets = 0;                                        // to learn from
  std::vector<std::pair<std::string, std::int64_t>> cannot_teach;  // why, and how many tickets; the commonest first
  std::int64_t kept_apart = 0;  // could teach, but label weights and temperature are fitted on them; some are in `validation`
  CutCounts cut;                // of both parts
  std::int64_t cases_shown = 0, cases_shortened = 0, without_cases = 0;  // prompts without any case
  std::vector<std::string> training_tickets, validation_tickets;         // ids, as `training` and `validation`
  std::vector<std::string> warnings;
  std::string hash;  // SHA-256 over all examples

  std::int64_t examples() const { return static_cast<std::int64_t>(training.size() + validation.size()); }
};

struct TrainingScope {
  std::int64_t limit = 0;  // tickets, drawn by the recipe's seed; 0: all that can teach
  bool quiet = false;
};

// Tickets of the test part are neither learnt from nor shown. What `index` and `evaluate` fit label weights and temperature
// on is not learnt from either, unless the recipe says so; validation tickets are drawn from these first. Near copies of tickets kept apart
// are kept apart too, and none of them is shown; no ticket is shown itself or a near copy of itself. encoder and cache may be null where
// the desk has none or no case is shown. The cases' database is runs/cases.db in the desk's folder. Throws Error(kNotFound) where the desk
// is not split yet, Error(kBadInput) where fewer than two tickets can teach, Error(kInterrupted) on Ctrl-C.
TrainingSet make_training_set(Desk& desk, const Recipe& recipe, const TrainingScope& scope, DeskEncoder* encoder, VectorCache* cache,
                              const Tokenizer& tokenizer, const ChatTemplate* chat, ThreadPool& pool);

}  // namespace deskhand
