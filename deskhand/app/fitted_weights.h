// What fitted label weights depend on, as one hash: `index` fits them on the desk's cases, `evaluate` on its split's, and where both would
// ask the same model about the same tickets with the same cases, they are asked about once.
#pragma once
#include <span>
#include <string>

#include "deskhand/app/answering.h"

namespace deskhand {

// Settings of retrieval that change what is found; the encoder among them.
std::string retrieval_state(const RetrieverSettings& retrieval);

struct FittingConditions {
  const DeskSettings& desk;
  const RetrieverSettings& retrieval;
  std::string model_hash;  // empty: no language model
  std::int64_t shown_cases = 0;
  std::span<const Ticket> tickets;  // fitted on, in this order; those without a problem text teach nothing
};

// SHA-256. `cases` holds the cases that are looked up.
std::string fitting_hash(Database& cases, const FittingConditions& conditions);

// Weights from `tickets`, heard a batch at a time and kept in `database` meanwhile: what was interrupted goes on where it stopped. `hash`
// is fitting_hash of these conditions. Ctrl-C throws and loses at most a batch.
Confidence fit_in_parts(Database& database, const std::string& hash, const Triager& triager, std::span<const Ticket> tickets, bool quiet);

// The weights that `index` fitted under these conditions; empty where it fitted others, or none.
std::string weights_of_index(Database& desk, const std::string& fitting_hash);
void keep_weights_of_index(Database& desk, const std::string& fitting_hash, const Confidence& confidence);

}  // namespace deskhand
