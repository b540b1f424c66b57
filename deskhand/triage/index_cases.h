// From prepared tickets to searchable cases: problem, resolution and labels into the case store, then a vector for each. Goes on where it
// stopped: what has a vector of this encoder is not embedded again.
#pragma once
#include <cstdint>

#include "deskhand/retrieve/case_store.h"
#include "deskhand/tickets/ticket_store.h"
#include "deskhand/triage/embedder.h"

namespace deskhand {

struct IndexSettings {
  std::int64_t chunk = 1024;  // cases embedded and stored at a time; Ctrl-C loses at most these
  bool quiet = false;         // no progress on stderr
};

struct IndexReport {
  std::int64_t cases = 0;            // in the store afterwards
  std::int64_t changed = 0;          // new or changed since the last time
  std::int64_t removed = 0;          // no longer among the tickets to learn from
  std::int64_t without_problem = 0;  // tickets that have no text to be found by, left out
  std::int64_t embedded = 0;         // now
  double embed_s = 0;
};

// All tickets that are not kept for testing, those imported after the split included. embedder may be null: cases without vectors (BM25 and identifiers find
// them). Throws Error(kBadInput) if there is no ticket to learn from, Error(kInterrupted) on Ctrl-C.
IndexReport index_cases(Database& database, TextEmbedder* embedder, const EncoderId& encoder, const IndexSettings& settings = {});

// The case that a closed ticket is: its best texts and its labels.
Case case_of(const Ticket& ticket);

}  // namespace deskhand
