// Tickets erased from all that a desk keeps: tables, cases, word index, vectors, stored answers and predictions, exports, caches, sealed
// marks. What was trained on them cannot be taken out of a model: the runs are named.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "deskhand/app/desk.h"

namespace deskhand {

struct ErasedFrom {
  std::vector<std::string> unknown;     // ids that nothing here knew
  std::int64_t tickets = 0, cases = 0;  // of the desk
  std::int64_t answers = 0;             // of triage, that showed them as cases
  std::int64_t predictions = 0;         // of evaluations, for them or showing them
  std::int64_t vectors = 0, rewritings = 0, marks = 0;
  std::int64_t rejected = 0;                               // rows of files of those that could not be read
  std::vector<std::string> files;                          // written again without them, or taken away
  std::vector<std::string> evaluations;                    // taken away, since they held or showed them
  std::vector<std::pair<std::string, std::int64_t>> runs;  // trained on how many of them
  std::vector<std::string> settings;                       // lines of desk.toml that name them: "desk.toml:41"
  bool dry = false;                                        // nothing was changed

  std::string json() const;
  std::string text() const;
};

// dry: only says what would go. `stay_away`: they do not come back with a later export. Throws Error(kCannotWrite) where another program
// holds the database.
ErasedFrom erase_tickets(Desk& desk, std::span<const std::string> ids, bool stay_away, bool dry = false);

// Where an export went to, so that tickets can be taken out of it later. `kind`: of folders "training", "fold", "retriever" or "audit", of
// files "fixes" (an audit's lines for desk.toml) or "rejected" (RejectedRows).
void note_export(Desk& desk, const std::filesystem::path& folder, std::string_view kind);

// Ids of tickets that the retention rule no longer lets stay; none without a rule. today: "2026-11-28".
std::vector<std::string> expired_tickets(Desk& desk, const std::string& today);

}  // namespace deskhand
