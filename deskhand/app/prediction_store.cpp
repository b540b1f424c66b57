#include "deskhand/app/prediction_store.h"

#include "deskhand/base/error.h"
#include "deskhand/base/json.h"

namespace deskhand {
namespace {

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}
template <class T>
std::optional<T> optional_of(const Json& json) {
  return json.is_null() ? std::nullopt : std::optional<T>(json.get<T>());
}

}  // namespace

std::string write_prediction(const Prediction& p) {
  Json json = {{"ticket_id", p.ticket_id},
               {"ticket_hash", p.ticket_hash},
               {"urgency", p.urgency},
               {"category", p.category},
               {"resolution", p.resolution},
               {"urgency_probabilities", p.urgency_probabilities},
               {"category_probabilities", p.category_probabilities}};
  json["cases"] = Json::array();
  for (const FoundCase& found : p.cases)
    json["cases"].push_back({{"ticket_id", found.ticket_id},
                             {"similarity", found.similarity},
                             {"problem", found.problem},
                             {"resolution", found.resolution},
                             {"category", found.category},
                             {"urgency", found.urgency}});
  json["supported"] = or_null(p.supported);
  json["similarity"] = Json();
  if (p.similarity)
    json["similarity"] = {p.similarity->cosine, p.similarity->bert_precision, p.similarity->bert_recall, p.similarity->bert_f1};
  json["seconds"] = or_null(p.seconds);
  json["prompt_tokens"] = or_null(p.prompt_tokens);
  json["new_tokens"] = or_null(p.new_tokens);
  json["source"] = p.source;
  return write_json(json);
}

Prediction read_prediction(std::string_view text, std::string_view where) {
  const Json json = parse_json(text, where);
  try {
    Prediction p;
    json.at("ticket_id").get_to(p.ticket_id);
    p.ticket_hash = json.value("ticket_hash", "");  // versions before this one kept none
    json.at("urgency").get_to(p.urgency);
    json.at("category").get_to(p.category);
    json.at("resolution").get_to(p.resolution);
    json.at("urgency_probabilities").get_to(p.urgency_probabilities);
    json.at("category_probabilities").get_to(p.category_probabilities);
    for (const Json& found : json.at("cases"))
      p.cases.push_back({found.at("ticket_id"), found.at("similarity"), found.at("problem"), found.at("resolution"), found.at("category"),
                         found.at("urgency")});
    p.supported = optional_of<double>(json.at("supported"));
    if (const Json& s = json.at("similarity"); !s.is_null()) p.similarity = EncoderSimilarity{s.at(0), s.at(1), s.at(2), s.at(3)};
    p.seconds = optional_of<double>(json.at("seconds"));
    p.prompt_tokens = optional_of<std::int64_t>(json.at("prompt_tokens"));
    p.new_tokens = optional_of<std::int64_t>(json.at("new_tokens"));
    json.at("source").get_to(p.source);
    return p;
  } catch (const nlohmann::json::exception& error) {
    throw Error(ExitCode::kBadInput, "{}: not a prediction: {}", where, error.what());
  }
}

PredictionStore::PredictionStore(Database& database) : database_(database) {
  database.execute(
      "CREATE TABLE IF NOT EXISTS evaluation_systems(key TEXT PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL, model TEXT NOT NULL, "
      "model_hash TEXT NOT NULL, adapter TEXT NOT NULL, adapter_hash TEXT NOT NULL, prompt_hash TEXT NOT NULL, data_hash TEXT NOT NULL, "
      "peak_bytes REAL) WITHOUT ROWID;"
      "CREATE TABLE IF NOT EXISTS evaluation_predictions(system TEXT NOT NULL REFERENCES evaluation_systems(key) ON DELETE CASCADE, "
      "part INTEGER NOT NULL, ticket_id TEXT NOT NULL, json TEXT NOT NULL, PRIMARY KEY(system, part, ticket_id)) WITHOUT ROWID;"
      "CREATE TABLE IF NOT EXISTS evaluations(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, made TEXT NOT NULL DEFAULT "
      "(strftime('%Y-%m-%dT%H:%M:%SZ', 'now')), json TEXT NOT NULL)");
}

void PredictionStore::put_system(const std::string& key, const SystemIdentity& identity) {
  Statement put = database_.prepare(
      "INSERT INTO evaluation_systems(key, name, kind, model, model_hash, adapter, adapter_hash, prompt_hash, data_hash) VALUES(?1, ?2, "
      "?3, "
      "?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT(key) DO UPDATE SET name = excluded.name, kind = excluded.kind");
  int index = 0;
  for (const auto& text : {key, identity.name, identity.kind, identity.model, identity.model_hash, identity.adapter, identity.adapter_hash,
                           identity.prompt_hash, identity.data_hash})
    put.bind(++index, text);
  put.run();
}

void PredictionStore::put_peak(const std::string& key, double bytes) {
  database_.prepare("UPDATE evaluation_systems SET peak_bytes = max(coalesce(peak_bytes, 0), ?2) WHERE key = ?1")
      .bind(1, key)
      .bind(2, bytes)
      .run();
}

std::optional<double> PredictionStore::peak(const std::string& key) {
  Statement find = database_.prepare("SELECT peak_bytes FROM evaluation_systems WHERE key = ?1");
  return find.bind(1, key).step() && !find.is_null(0) ? std::optional(find.real(0)) : std::nullopt;
}

void PredictionStore::put(const std::string& key, PredictionPart part, std::span<const Prediction> predictions) {
  Transaction all(database_);
  Statement put = database_.prepare("INSERT OR REPLACE INTO evaluation_predictions(system, part, ticket_id, json) VALUES(?1, ?2, ?3, ?4)");
  for (const Prediction& prediction : predictions)
    put.bind(1, key).bind(2, static_cast<int>(part)).bind(3, prediction.ticket_id).bind(4, write_prediction(prediction)).run();
  all.commit();
}

std::vector<Prediction> PredictionStore::load(const std::string& key, PredictionPart part) {
  std::vector<Prediction> predictions;
  Statement rows =
      database_.prepare("SELECT json, ticket_id FROM evaluation_predictions WHERE system = ?1 AND part = ?2 ORDER BY ticket_id");
  rows.bind(1, key).bind(2, static_cast<int>(part));
  while (rows.step())
    predictions.push_back(read_prediction(rows.text(0), fmt::format("{}, prediction for {}", database_.path().string(), rows.text(1))));
  return predictions;
}

void PredictionStore::put_evaluation(const std::string& name, const std::string& json) {
  Transaction both(database_);
  database_.prepare("DELETE FROM evaluations WHERE name = ?1").bind(1, name).run();
  database_.prepare("INSERT INTO evaluations(name, json) VALUES(?1, ?2)").bind(1, name).bind(2, json).run();
  both.commit();
}

std::string PredictionStore::evaluation(const std::string& name) {
  Statement find = database_.prepare("SELECT json FROM evaluations WHERE name = ?1");
  return find.bind(1, name).step() ? std::string(find.text(0)) : std::string();
}

std::vector<std::string> PredictionStore::evaluations() {
  std::vector<std::string> names;
  Statement rows = database_.prepare("SELECT name FROM evaluations ORDER BY id");
  while (rows.step()) names.emplace_back(rows.text(0));
  return names;
}

}  // namespace deskhand
