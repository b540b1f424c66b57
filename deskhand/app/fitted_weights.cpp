#include "deskhand/app/fitted_weights.h"

#include <unordered_set>

#include "deskhand/base/json.h"
#include "deskhand/base/progress.h"
#include "deskhand/base/sha256.h"

namespace deskhand {
namespace {

constexpr const char* kUnfinished = "fitting";  // the name it is kept under until the weights are fitted

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

Json evidence_json(const LabelEvidence& evidence) {
  Json votes = Json::array();
  for (const Vote& vote : evidence.votes) votes.push_back({vote.label, vote.similarity});
  return {{"model", evidence.model}, {"votes", votes}};
}

LabelEvidence read_evidence(const Json& json) {
  LabelEvidence evidence{.model = json.at("model").get<std::vector<double>>(), .votes = {}};
  for (const Json& vote : json.at("votes")) evidence.votes.push_back({vote.at(0).get<int>(), vote.at(1).get<double>()});
  return evidence;
}

std::string write_heard(const std::string& hash, std::span<const HeardTicket> heard) {
  Json tickets = Json::array();
  for (const HeardTicket& ticket : heard)
    tickets.push_back({{"ticket_id", ticket.ticket_id},
                       {"urgency", ticket.urgency},
                       {"category", ticket.category},
                       {"evidence", {evidence_json(ticket.evidence[0]), evidence_json(ticket.evidence[1])}}});
  return write_json({{"hash", hash}, {"tickets", tickets}});
}

// Nothing where another fitting was begun since, or the text is not what was written.
std::vector<HeardTicket> read_heard(const std::string& text, const std::string& hash) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || json.value("hash", "") != hash) return {};
  try {
    std::vector<HeardTicket> heard;
    for (const Json& ticket : json.at("tickets"))
      heard.push_back({.ticket_id = ticket.at("ticket_id"),
                       .urgency = ticket.at("urgency"),
                       .category = ticket.at("category"),
                       .evidence = {read_evidence(ticket.at("evidence").at(0)), read_evidence(ticket.at("evidence").at(1))}});
    return heard;
  } catch (const nlohmann::json::exception&) {
    return {};
  }
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

Confidence fit_in_parts(Database& database, const std::string& hash, const Triager& triager, std::span<const Ticket> tickets, bool quiet) {
  std::vector<HeardTicket> heard = read_heard(kept_text(database, kUnfinished), hash);
  std::unordered_set<std::string> ids;
  for (const HeardTicket& ticket : heard) ids.insert(ticket.ticket_id);
  std::vector<Ticket> left;
  for (const Ticket& ticket : tickets)
    if (!ids.contains(ticket.id)) left.push_back(ticket);
  Progress progress({.what = "fitting label weights",
                     .unit = "tickets",
                     .total = static_cast<std::int64_t>(tickets.size()),
                     .already = static_cast<std::int64_t>(tickets.size() - left.size()),
                     .quiet = quiet});
  const auto at_a_time = static_cast<std::size_t>(triager.batch());  // heard and kept
  for (std::size_t first = 0; first < left.size(); first += at_a_time) {
    const auto batch = std::span(left).subspan(first, std::min(at_a_time, left.size() - first));
    for (HeardTicket& ticket : triager.hear(batch)) heard.push_back(std::move(ticket));
    keep_text(database, kUnfinished, write_heard(hash, heard));
    progress.advance(static_cast<std::int64_t>(batch.size()));
  }
  progress.finish();
  const Confidence confidence = triager.fit_confidence(heard);
  keep_text(database, kUnfinished, "");
  return confidence;
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
