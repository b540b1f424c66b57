// One way of dividing a desk's tickets, ready to be evaluated: what is learnt from as a case database of its own, what is kept for testing,
// and what is kept apart for validation. The desk's own cases are never touched.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "deskhand/app/answering.h"
#include "deskhand/app/desk.h"
#include "deskhand/app/vector_cache.h"
#include "deskhand/evaluate/evaluation.h"
#include "deskhand/retrieve/case_store.h"

namespace deskhand {

struct EvaluationSplit {
  std::string name;                     // "desk", "random", "grouped", "time"
  std::string description;              // "grouped, 20 %, seed 42"
  std::vector<Ticket> train, test;      // with a problem text; train in the order of ids, as the cases
  std::vector<Ticket> fitting;          // some of train, that label weights are fitted on: those that `deskhand index` draws
  std::vector<Ticket> validation;       // others of train, that the temperature is fitted on
  std::vector<std::string> categories;  // of train, sorted
  Leakage leakage;
  Database cases;                     // of train, with vectors where there is an encoder
  std::string train_hash, data_hash;  // SHA-256 of the tickets learnt from; of these and the held-out ones
  std::vector<std::string> warnings;

  // The vectors of `tickets`' problems; empty without an encoder.
  std::vector<float> vectors_of(std::span<const Ticket> tickets, VectorCache* cache) const;
};

struct EvaluationScope {
  std::int64_t limit = 0;       // held-out tickets, drawn by seed; 0: all
  std::int64_t validation = 0;  // tickets
  bool quiet = false;
};

// `name`: "desk" for the desk's own split, else a method. Case databases stand in the desk's folder evaluations/cases. Throws
// Error(kNotFound) where the desk is not split yet, Error(kBadInput) where no ticket with a text is held out.
EvaluationSplit make_evaluation_split(Desk& desk, const std::string& name, const EvaluationScope& scope, DeskEncoder* encoder,
                                      VectorCache* cache, ThreadPool& pool);

HeldOutTicket held_out(const Ticket& ticket);
std::string hash_of(const Ticket& ticket);  // SHA-256 of its id, what systems see of it, and the truth

}  // namespace deskhand
