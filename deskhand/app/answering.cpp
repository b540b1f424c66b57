#include "deskhand/app/answering.h"

#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/base/sha256.h"
#include "deskhand/fetch/catalogue.h"
#include "deskhand/retrieve/case_store.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;

fs::path tokenizer_file(const fs::path& folder) {
  const fs::path json = folder / "tokenizer.json";
  return fs::exists(json) ? json : folder / "vocab.txt";
}

Encoder load_encoder(const fs::path& folder, const Backend& on) {
  Encoder encoder = Encoder::load(folder);
  if (on.compute == Compute::kInt8) encoder.quantise(on_host(on));
  if (device_of(on) == Device::kCuda) encoder.place({Device::kCuda, on.compute == Compute::kF32 ? DType::kF32 : DType::kBF16});
  return encoder;
}

// Everything that an answer depends on besides its query: when any of it changes, an interrupted run is not gone on with.
std::string state_of(Database& database, const DeskSettings& settings, const fs::path& decoder, const std::string& adapter_hash) {
  Statement cases =
      database.prepare("SELECT coalesce(group_concat(content_hash), '') FROM (SELECT content_hash FROM cases ORDER BY ticket_id)");
  cases.step();
  const AnswerSettings& answer = settings.answer;
  const RetrieverSettings& retrieval = settings.retrieval;
  const auto stamp = decoder.empty() ? Json() : Json(fs::last_write_time(decoder).time_since_epoch().count());
  const Json state = {sha256(cases.text(0)),
                      kept_text(database, "confidence"),
                      settings.models.encoder,
                      decoder.string(),
                      stamp,
                      adapter_hash,
                      std::string(name_of(retrieval.method)),
                      retrieval.encoder.hash,
                      retrieval.floor,
                      retrieval.dense_weight,
                      retrieval.bm25_weight,
                      retrieval.exact_weight,
                      retrieval.keyword_weight,
                      retrieval.keywords,
                      retrieval.identifier_patterns,
                      static_cast<int>(answer.decide),
                      answer.cases,
                      answer.max_prompt_tokens,
                      answer.max_new_tokens,
                      answer.temperature,
                      answer.top_p,
                      answer.seed,
                      answer.held_out,
                      answer.urgency_meanings,
                      identity_of(settings.import.clean),
                      static_cast<int>(settings.compute)};
  return write_json(state);
}

}  // namespace

DeskEncoder::DeskEncoder(const fs::path& folder, const std::string& name, const Backend& on)
    : encoder_(load_encoder(folder, on)),
      tokenizer_(load_wordpiece(tokenizer_file(folder))),
      embedder_(encoder_, *tokenizer_, on),
      id_(identify_encoder(folder, name, {}, on.compute == Compute::kInt8)) {}

std::unique_ptr<DeskEncoder> DeskEncoder::load(const Desk& desk, const Globals& globals, const Backend& on) {
  const std::string& name = desk.settings.models.encoder;
  if (name.empty()) return nullptr;
  return std::unique_ptr<DeskEncoder>(new DeskEncoder(installed_model(globals.models, name), name, on));
}

Answering::Answering(Desk& desk, const Globals& globals, const AnsweringOptions& options) : engine_(globals, desk.settings.compute) {
  CaseStore cases(desk.database);
  if (cases.count() == 0)
    throw Error(ExitCode::kNotFound, "the desk has no cases yet; run: deskhand --desk {} index", globals.desk.string());
  encoder_ = DeskEncoder::load(desk, globals, engine_.models);
  RetrieverSettings retrieval = desk.settings.retrieval;
  if (encoder_) retrieval.encoder = encoder_->id();
  retriever_ = std::make_unique<Retriever>(desk.database, retrieval, engine_.pool);
  if (encoder_ && retriever_->size_with_vector() < retriever_->size())
    throw Error(ExitCode::kNotFound, "{} of {} cases have no vector of {}; run: deskhand --desk {} index",
                retriever_->size() - retriever_->size_with_vector(), retriever_->size(), desk.settings.models.encoder,
                globals.desk.string());

  const ModelSettings& models = desk.settings.models;
  const auto files = options.decoder ? DeskDecoder::find(desk, globals, models) : DeskDecoder::Files{};
  if (!files.warning.empty()) fmt::print(stderr, "{}\n", files.warning);
  adapter_hash_ = files.adapter_id;
  model_id_ = models.decoder + (adapter_hash_.empty() ? "" : " + adapter " + adapter_hash_);

  const std::string kept = kept_text(desk.database, "confidence");
  const Confidence fresh = confidence_of_cases(cases);
  Confidence confidence = fresh;
  // Weights hold for the labels and the model they were fitted with; the labels' shares are always today's.
  if (!kept.empty() && desk.settings.answer.held_out > 0 && kept_text(desk.database, "confidence_model") == model_id_) {
    Confidence fitted = read_confidence(kept);
    if (fitted.category.labels == fresh.category.labels) {
      fitted.urgency.prior = fresh.urgency.prior;
      fitted.category.prior = fresh.category.prior;
      confidence = std::move(fitted);
    }
  }
  if (!files.model.empty()) model_ = std::make_unique<DeskDecoder>(files, desk.settings, engine_.models, confidence.category.labels);
  triager_ = std::make_unique<Triager>(TriageParts{.retriever = *retriever_,
                                                   .embedder = encoder_ ? &encoder_->embedder() : nullptr,
                                                   .model = model_ ? &model_->model() : nullptr,
                                                   .confidence = std::move(confidence)},
                                       TriageSettings{.shown_cases = desk.settings.answer.cases,
                                                      .witness = desk.settings.answer.decide,
                                                      .clean = desk.settings.import.clean,
                                                      .batch = tickets_at_a_time(engine_.models)});
  DeskSettings used = desk.settings;
  used.retrieval = retrieval;
  fingerprint_ = state_of(desk.database, used, files.model, files.adapter_id);
}

Answering::~Answering() = default;

std::string kept_text(Database& database, std::string_view name) {
  database.execute("CREATE TABLE IF NOT EXISTS kept_texts(name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID");
  Statement found = database.prepare("SELECT text FROM kept_texts WHERE name = ?1");
  return found.bind(1, name).step() ? std::string(found.text(0)) : std::string();
}

void keep_text(Database& database, std::string_view name, std::string_view text) {
  database.execute("CREATE TABLE IF NOT EXISTS kept_texts(name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID");
  database.prepare("INSERT OR REPLACE INTO kept_texts(name, text) VALUES(?1, ?2)").bind(1, name).bind(2, text).run();
}

}  // namespace deskhand
