#include "deskhand/app/fitted_weights.h"

#include "deskhand/base/json.h"
#include "deskhand/base/sha256.h"

namespace deskhand {
namespace {

std::string cases_hash(Database& database) {
  Sha256 hash;
  Statement cases = database.prepare("SELECT ticket_id, content_hash FROM cases ORDER BY ticket_id");
  while (cases.step()) hash.update(fmt::format("{} {}\n", cases.text(0), cases.text(1)));
  return hash.finish();
}

std::string tickets_hash(std::span<const Ticket> tickets) {
  Sha256 hash;
  for (const Ticket& ticket : tickets)
    if (const std::string problem = problem_text(ticket); !problem.empty())
      for (const std::string& text : {ticket.id, problem, ticket.category, std::to_string(ticket.urgency)}) hash.update(text + '\0');
  return hash.finish();
}

}  // namespace

std::string retrieval_state(const RetrieverSettings& r) {
  const Json state = {std::string(name_of(r.method)),
                      r.encoder.hash,
                      r.dense_weight,
                      r.bm25_weight,
                      r.exact_weight,
                      r.keyword_weight,
                      r.floor,
                      sha256(r.keywords),
                      r.identifier_patterns};
  return write_json(state);
}

std::string fitting_hash(Database& cases, const FittingConditions& conditions) {
  const AnswerSettings& answer = conditions.desk.answer;
  const Json state = {"fitting 1",
                      DESKHAND_VERSION,
                      cases_hash(cases),
                      tickets_hash(conditions.tickets),
                      retrieval_state(conditions.retrieval),
                      conditions.model_hash,
                      conditions.shown_cases,
                      answer.max_prompt_tokens,
                      answer.max_new_tokens,
                      answer.urgency_meanings,
                      identity_of(conditions.desk.import.clean),
                      static_cast<int>(conditions.desk.compute)};
  return sha256(write_json(state));
}

std::string weights_of_index(Database& desk, const std::string& fitting_hash) {
  return kept_text(desk, "confidence_hash") == fitting_hash ? kept_text(desk, "confidence") : "";
}

void keep_weights_of_index(Database& desk, const std::string& fitting_hash, const Confidence& confidence) {
  keep_text(desk, "confidence_hash", "");  // whoever reads between these lines fits anew
  keep_text(desk, "confidence", write_confidence(confidence));
  keep_text(desk, "confidence_hash", fitting_hash);
}

}  // namespace deskhand
