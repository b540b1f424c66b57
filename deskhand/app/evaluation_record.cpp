#include "deskhand/app/evaluation_record.h"

#include <fmt/ranges.h>

#include <unordered_set>

#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/tickets/ticket_store.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;

}  // namespace

fs::path evaluation_folder(const Desk& desk, const std::string& name) {
  return desk.folder / "evaluations" / name;
}

void keep_evaluation(PredictionStore& store, const EvaluationRecord& record, const std::vector<std::vector<std::string>>& keys) {
  Json json = {{"figures", write_evaluation(record.evaluation)}, {"texts", record.texts}, {"splits", Json::array()}};
  for (std::size_t i = 0; i < record.splits.size(); ++i) {
    Json tickets = Json::array();
    for (const HeldOutTicket& ticket : record.splits[i].tickets) tickets.push_back(ticket.id);
    json["splits"].push_back({{"tickets", tickets}, {"categories", record.splits[i].categories}, {"systems", keys[i]}});
  }
  store.put_evaluation(record.evaluation.name, write_json(json));
}

EvaluationRecord load_evaluation(Desk& desk, const std::string& wanted) {
  PredictionStore store(desk.database);
  const auto names = store.evaluations();
  const std::string name = wanted.empty() && !names.empty() ? names.back() : wanted;
  const std::string text = store.evaluation(name);
  if (text.empty() && names.empty())
    throw Error(ExitCode::kNotFound, "the desk has no evaluation yet; run: deskhand --desk {} evaluate", desk.folder.string());
  if (text.empty()) throw Error(ExitCode::kNotFound, "there is no evaluation '{}'; there are: {}", name, fmt::join(names, ", "));
  const std::string where = fmt::format("{}, evaluation {}", desk.database.path().string(), name);
  const Json json = parse_json(text, where);
  EvaluationRecord record{.evaluation = read_evaluation(json.at("figures").get<std::string>(), where), .texts = json.value("texts", true)};
  TicketStore tickets(desk.database);
  for (std::size_t i = 0; i < record.evaluation.splits.size(); ++i) {
    const SplitResult& result = record.evaluation.splits[i];
    const Json& kept = json.at("splits").at(i);
    SplitRecords split{.name = result.name, .description = result.description, .train = result.train};
    kept.at("categories").get_to(split.categories);
    for (const auto& id : kept.at("tickets"))
      if (const auto ticket = tickets.find(id.get<std::string>())) split.tickets.push_back(held_out(*ticket));
    std::unordered_set<std::string_view> ids;
    for (const HeldOutTicket& ticket : split.tickets) ids.insert(ticket.id);
    for (std::size_t s = 0; s < result.systems.size(); ++s) {
      auto predictions = store.load(kept.at("systems").at(s).get<std::string>(), PredictionPart::kTest);
      std::erase_if(predictions, [&](const Prediction& one) { return !ids.contains(one.ticket_id); });  // asked about by other evaluations
      split.systems.push_back({.identity = result.systems[s].identity, .predictions = std::move(predictions)});
    }
    record.splits.push_back(std::move(split));
  }
  return record;
}

Evaluation find_evaluation(Desk& desk, const std::string& name_or_path) {
  for (const fs::path& file : {fs::path(name_or_path) / "metrics.json", fs::path(name_or_path) / "report" / "metrics.json"})
    if (fs::is_regular_file(file)) return read_evaluation(read_text_file(file), file.string());
  if (fs::is_regular_file(name_or_path)) return read_evaluation(read_text_file(name_or_path), name_or_path);
  return load_evaluation(desk, name_or_path).evaluation;
}

}  // namespace deskhand
