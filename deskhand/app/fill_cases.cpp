#include "deskhand/app/fill_cases.h"

#include "deskhand/triage/index_cases.h"

namespace deskhand {

void fill_cases(Database& database, std::span<const Ticket> tickets, DeskEncoder* encoder, VectorCache* cache) {
  CaseStore store(database);
  std::vector<Case> cases;
  std::vector<std::string> ids;
  for (const Ticket& ticket : tickets) {
    cases.push_back(case_of(ticket));
    ids.push_back(ticket.id);
  }
  store.upsert(cases);
  store.keep_only(ids);
  if (!encoder) return;
  constexpr std::int64_t kChunk = 1024;
  for (auto part = store.without_vector(encoder->id(), kChunk); !part.empty(); part = store.without_vector(encoder->id(), kChunk)) {
    std::vector<std::string> problems;
    for (const Case& one : part) problems.push_back(one.problem);
    store.put_vectors(encoder->id(), part, cache->embed(problems));
  }
}

}  // namespace deskhand
