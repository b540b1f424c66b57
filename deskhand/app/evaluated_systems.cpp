#include "deskhand/app/evaluated_systems.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "deskhand/app/desk_adapter.h"
#include "deskhand/app/encoder_similarity.h"
#include "deskhand/app/fitted_weights.h"
#include "deskhand/app/model_hash.h"
#include "deskhand/app/prediction_file.h"
#include "deskhand/app/training_runs.h"
#include "deskhand/base/error.h"
#include "deskhand/base/interrupt.h"
#include "deskhand/base/json.h"
#include "deskhand/base/progress.h"
#include "deskhand/base/sha256.h"
#include "deskhand/evaluate/measure.h"
#include "deskhand/fetch/catalogue.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;

std::int64_t rank_of_category(const std::vector<std::string>& categories, const std::string& category) {
  const auto at = std::lower_bound(categories.begin(), categories.end(), category);
  return at == categories.end() || *at != category ? -1 : at - categories.begin();
}

Prediction prediction_of(const Decision& decision, const Ticket& ticket, const std::vector<std::string>& categories) {
  Prediction prediction{.ticket_id = ticket.id,
                        .ticket_hash = hash_of(ticket),
                        .urgency = decision.urgency,
                        .category = decision.category,
                        .resolution = decision.resolution,
                        .source = std::string(name_of(decision.resolution_source)),
                        .model_failed = decision.model_failed};
  if (decision.urgency == 0) return prediction;  // nothing was decided: a ticket that cleans to nothing
  for (const auto& [label, probability] : decision.urgencies) prediction.urgency_probabilities.push_back(probability);
  prediction.category_probabilities.resize(categories.size());
  for (const auto& [label, probability] : decision.categories)
    if (const auto at = rank_of_category(categories, label); at >= 0)
      prediction.category_probabilities[static_cast<std::size_t>(at)] = probability;
  for (const DecisionCase& past : decision.cases)
    prediction.cases.push_back({.ticket_id = past.found.ticket_id,
                                .similarity = past.similarity,
                                .problem = past.found.problem,
                                .resolution = past.found.resolution,
                                .category = past.found.category,
                                .urgency = past.found.urgency});
  if (!decision.support.empty())
    prediction.supported = static_cast<double>(std::count_if(decision.support.begin(), decision.support.end(),
                                                             [](const Support& s) { return s.case_number > 0; })) /
                           static_cast<double>(decision.support.size());
  prediction.seconds = decision.statistics.total_ms / 1000;
  if (decision.statistics.prompt_tokens > 0) {
    prediction.prompt_tokens = decision.statistics.prompt_tokens;
    prediction.new_tokens = decision.statistics.new_tokens;
  }
  return prediction;
}

// The kernel's record of the most memory that was resident; empty where it cannot be told.
std::optional<double> peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) * 1024;
  return std::nullopt;
}
void forget_peak_memory() {
  std::ofstream("/proc/self/clear_refs") << "5";
}

RetrieverSettings retrieval_settings(const EvaluationRun& run) {
  RetrieverSettings settings = run.desk.settings.retrieval;
  if (run.encoder) settings.encoder = run.encoder->id();
  return settings;
}

// Weights of model, votes and prior, fitted on tickets that are neither held out nor for validation; kept beside the cases. Those that
// `index` fitted are taken where it knew this very split's cases and no others.
Confidence fitted_confidence(const EvaluationRun& run, EvaluationSplit& split, const Triager& triager,
                             const FittingConditions& conditions) {
  const std::string hash = fitting_hash(split.cases, conditions), name = "confidence " + hash;
  if (const std::string kept = kept_text(split.cases, name); !kept.empty()) return read_confidence(kept);
  if (const std::string kept = weights_of_index(run.desk.database, hash); !kept.empty()) return read_confidence(kept);
  const Confidence confidence = fit_in_parts(split.cases, hash, triager, split.fitting, run.globals.quiet);
  keep_text(split.cases, name, write_confidence(confidence));
  return confidence;
}

std::vector<Ticket> not_kept(std::span<const Ticket> tickets, std::span<const Prediction> kept) {
  std::unordered_set<std::string_view> ids;
  for (const Prediction& prediction : kept) ids.insert(prediction.ticket_id);
  std::vector<Ticket> left;
  for (const Ticket& ticket : tickets)
    if (!ids.contains(ticket.id)) left.push_back(ticket);
  return left;
}

// What is kept of these very tickets: an earlier evaluation may have asked about others, or before their texts or labels were changed.
std::vector<Prediction> kept_of(const EvaluationRun& run, const std::string& key, PredictionPart part, std::span<const Ticket> tickets) {
  if (run.redo) return {};
  std::unordered_map<std::string_view, std::string> hashes;
  for (const Ticket& ticket : tickets) hashes.emplace(ticket.id, hash_of(ticket));
  std::vector<Prediction> predictions = run.store.load(key, part);
  std::erase_if(predictions, [&](const Prediction& prediction) {
    const auto at = hashes.find(prediction.ticket_id);
    return at == hashes.end() || at->second != prediction.ticket_hash;
  });
  return predictions;
}

// What its answers depend on is the tickets learnt from; each answer names the ticket it was given to.
void put_system(const EvaluationRun& run, const EvaluationSplit& split, const EvaluatedSystem& system) {
  SystemIdentity identity = system.answers.identity;
  identity.data_hash = split.train_hash;
  run.store.put_system(system.key, identity);
}

}  // namespace

std::vector<SystemSettings> systems_of(const DeskSettings& settings) {
  if (!settings.evaluate.systems.empty()) return settings.evaluate.systems;
  const std::string& decoder = settings.models.decoder;
  if (decoder.empty()) return {};
  const std::string name = fs::path(decoder).stem().string(), adapter = settings.models.adapter;
  const int cases = settings.answer.cases;
  std::vector<SystemSettings> systems = {{.name = name + ", no cases", .decoder = decoder, .cases = 0},
                                         {.name = name + ", with cases", .decoder = decoder, .cases = cases}};
  if (!adapter.empty())  // beside the model as it was
    systems.push_back({.name = fmt::format("{}, {} cases", fs::path(adapter).stem().string(), cases > 0 ? "with" : "no"),
                       .decoder = decoder,
                       .adapter = adapter,
                       .cases = cases});
  systems.push_back(
      {.name = "deskhand triage", .decoder = decoder, .adapter = adapter, .cases = cases, .decide = settings.answer.decide, .mend = true});
  return systems;
}

namespace {

std::size_t count_of(const std::set<std::string>& learnt, std::span<const Ticket> tickets) {
  return static_cast<std::size_t>(
      std::count_if(tickets.begin(), tickets.end(), [&](const Ticket& ticket) { return learnt.contains(ticket.id); }));
}

// What a run has learnt says nothing of how it answers what is new.
void warn_of_learnt(const EvaluationRun& run, const EvaluationSplit& split, const SystemSettings& settings,
                    std::vector<std::string>& warnings) {
  std::set<std::string> learnt;
  for (const std::string& name : {settings.adapter, settings.decoder})
    if (const auto root = find_run(run.desk.folder, name)) learnt.merge(learnt_tickets(open_run_folder(*root)));
  if (const auto count = count_of(learnt, split.test); count > 0)
    warnings.push_back(
        fmt::format("It was trained on {} of the {} tickets that are held out here: its figures on this split say nothing of new tickets. "
                    "Train anew on this split.",
                    count, split.test.size()));
  const bool is_weighed = settings.decide != Witness::kModel;
  const auto fitted_on = split.validation.size() + (is_weighed ? split.fitting.size() : 0);
  if (const auto count = count_of(learnt, split.validation) + (is_weighed ? count_of(learnt, split.fitting) : 0); count > 0)
    warnings.push_back(
        fmt::format("It was trained on {} of the {} tickets that its {}temperature {} fitted on: its probabilities may be too sure.", count,
                    fitted_on, is_weighed ? "label weights and " : "", is_weighed ? "are" : "is"));
}

}  // namespace

EvaluatedSystem run_decoder(const EvaluationRun& run, EvaluationSplit& split, const SystemSettings& settings) {
  EvaluatedSystem system;
  SystemIdentity& identity = system.answers.identity;
  DeskSettings desk = run.desk.settings;
  desk.models.decoder = settings.decoder;
  desk.models.adapter = settings.adapter;
  const auto files = DeskDecoder::find(run.desk, run.globals, desk.models);
  const bool has_model = !files.model.empty(), has_adapter = !files.adapter.empty();
  if (!files.warning.empty()) system.answers.warnings.push_back(files.warning);
  warn_of_learnt(run, split, settings, system.answers.warnings);
  const PromptSettings prompt = prompt_settings(desk, split.categories);
  identity = {
      .name = settings.name,
      .kind = has_adapter ? adapter_kind(files.adapter) : settings.kind,
      .description = fmt::format("{}{}{}; labels decided by {}; {} past cases shown.", has_model ? settings.decoder : "no language model",
                                 has_adapter ? fmt::format(", fine-tuned ({})", settings.adapter) : "",
                                 has_model && settings.mend ? ", unsupported resolutions replaced by the best case's" : "",
                                 name_of(settings.decide), settings.cases),
      .model = has_model ? files.model.filename().string() : "",
      .model_hash = has_model ? model_hash(run.desk.database, files.model) : "",
      .adapter = has_adapter ? settings.adapter : "",
      .adapter_hash = files.adapter_id,
      .data_hash = split.data_hash};
  if (has_model)
    identity.prompt_hash =
        sha256(fmt::format("{}\n{}\n{}\n{}", default_instruction(prompt), name_of(prompt.style), prompt.max_prompt_tokens, settings.cases));
  const RetrieverSettings retrieval = retrieval_settings(run);
  const AnswerSettings& answer = desk.answer;
  Json state = {"decoder 3",
                DESKHAND_VERSION,
                identity.model_hash,
                identity.prompt_hash,
                split.train_hash,
                retrieval_state(retrieval),
                settings.cases,
                std::string(name_of(settings.decide)),
                settings.mend,
                answer.max_new_tokens,
                answer.temperature,
                answer.top_p,
                answer.seed,
                answer.held_out,
                identity_of(desk.import.clean),
                static_cast<int>(desk.compute)};
  if (has_adapter) state.push_back(identity.adapter_hash);
  system.key = sha256(write_json(state));
  put_system(run, split, system);

  std::vector<Prediction> test = kept_of(run, system.key, PredictionPart::kTest, split.test),
                          validation = kept_of(run, system.key, PredictionPart::kValidation, split.validation);
  const auto test_left = not_kept(split.test, test), validation_left = not_kept(split.validation, validation);
  if (!test_left.empty() || !validation_left.empty()) {
    forget_peak_memory();
    const Retriever retriever(split.cases, retrieval, run.engine.pool);
    CaseStore cases(split.cases);
    Confidence confidence = confidence_of_cases(cases);
    const auto decoder = has_model ? std::make_unique<DeskDecoder>(files, desk, run.engine.models, confidence.category.labels) : nullptr;
    const TriageParts parts{.retriever = retriever,
                            .embedder = run.encoder ? &run.encoder->embedder() : nullptr,
                            .model = decoder ? &decoder->model() : nullptr,
                            .confidence = confidence};
    const TriageSettings triage{.shown_cases = settings.cases,
                                .witness = settings.decide,
                                .clean = desk.import.clean,
                                .mend = settings.mend,
                                .batch = tickets_at_a_time(run.engine.models)};
    // A raw model's word is taken as it is. Weights are fitted here, on this split: those of the desk may have seen what is held out.
    TriageParts used = parts;
    if (settings.decide != Witness::kModel && !split.fitting.empty())
      used.confidence = fitted_confidence(run, split, Triager(parts, triage),
                                          {.desk = desk,
                                           .retrieval = retrieval,
                                           .model_hash = identity.model_hash + identity.adapter_hash,
                                           .shown_cases = settings.cases,
                                           .tickets = split.fitting});
    const Triager triager(std::move(used), triage);

    Progress progress({.what = fmt::format("{}, split {}", settings.name, split.name),
                       .unit = "tickets",
                       .total = static_cast<std::int64_t>(split.test.size() + split.validation.size()),
                       .already = static_cast<std::int64_t>(test.size() + validation.size()),
                       .quiet = run.globals.quiet});
    std::vector<std::string> queries;
    for (const Ticket& ticket : test_left) queries.push_back(problem_text(ticket));
    std::int64_t failed = 0;
    triager.triage(queries, [&](std::size_t i, const Decision& decision) {
      progress.advance();
      failed += decision.model_failed;
      // A system that is the model alone has no answer then: the cases' votes must not be taken for its word.
      if (decision.model_failed && settings.decide == Witness::kModel) return;
      test.push_back(prediction_of(decision, test_left[i], split.categories));
      if (!decision.model_failed) run.store.put(system.key, PredictionPart::kTest, {&test.back(), 1});
    });
    if (failed > 0) system.answers.warnings.push_back(fmt::format("{} tickets got no answer from the language model", failed));
    const auto at_a_time = static_cast<std::size_t>(triager.batch());  // asked about and kept; Ctrl-C loses at most these
    for (std::size_t first = 0; first < validation_left.size(); first += at_a_time) {
      const auto part = std::span(validation_left).subspan(first, std::min(at_a_time, validation_left.size() - first));
      const auto judged = triager.judge(part);
      std::vector<Prediction> told;
      for (std::size_t i = 0; i < judged.size(); ++i)
        if (!judged[i].model_failed) told.push_back(prediction_of(judged[i], part[i], split.categories));
      run.store.put(system.key, PredictionPart::kValidation, told);
      validation.insert(validation.end(), told.begin(), told.end());
      progress.advance(static_cast<std::int64_t>(part.size()));
    }
    if (const auto peak = peak_memory()) run.store.put_peak(system.key, *peak);
    progress.finish();
  }
  if (has_model) system.answers.peak_bytes = run.store.peak(system.key);
  system.answers.predictions = std::move(test);
  system.answers.validation = std::move(validation);
  for (const Ticket& ticket : split.validation) system.answers.validation_truth.push_back(held_out(ticket));
  return system;
}

EvaluatedSystem read_system(const EvaluationRun& run, const EvaluationSplit& split, const SystemSettings& settings) {
  EvaluatedSystem system;
  system.answers.identity = {.name = settings.name,
                             .kind = "file",
                             .description = fmt::format("Answers read from {}.", settings.predictions.filename().string()),
                             .model_hash = sha256_of_file(settings.predictions),
                             .data_hash = split.data_hash};
  system.answers.predictions = read_predictions(settings.predictions);
  system.key = sha256(
      fmt::format("file 3\n{}\n{}\n{}", system.answers.identity.model_hash, split.train_hash, run.encoder ? run.encoder->id().hash : ""));
  if (split.name != "desk")
    system.answers.warnings.push_back(
        "Which tickets this system learnt from is not known here: where some of them are held out on this split, its figures flatter it.");
  return system;
}

void compare_resolutions(const EvaluationRun& run, const EvaluationSplit& split, std::span<EvaluatedSystem> systems) {
  struct Compared {
    std::size_t system;
    Prediction* prediction;
    TextPair texts;
  };
  std::unordered_map<std::string_view, const Ticket*> asked;
  for (const Ticket& ticket : split.test) asked.emplace(ticket.id, &ticket);
  std::vector<Compared> left;
  for (std::size_t s = 0; s < systems.size(); ++s) {
    EvaluatedSystem& system = systems[s];
    // What was measured in an earlier evaluation of the same answers stands.
    std::unordered_map<std::string, Prediction> kept;
    for (Prediction& prediction : kept_of(run, system.key, PredictionPart::kTest, split.test))
      kept.emplace(prediction.ticket_id, std::move(prediction));
    std::unordered_set<std::string_view> ids;
    std::vector<Prediction> known;
    for (Prediction& prediction : system.answers.predictions) {
      const auto found = asked.find(prediction.ticket_id);
      if (!ids.insert(prediction.ticket_id).second || found == asked.end()) continue;  // of two answers to a ticket the first counts
      prediction.ticket_hash = hash_of(*found->second);
      const std::string truth = resolution_text(*found->second);
      const auto earlier = kept.find(prediction.ticket_id);
      if (earlier != kept.end() && earlier->second.resolution == prediction.resolution) prediction.similarity = earlier->second.similarity;
      const bool is_compared = run.encoder && !truth.empty() && !prediction.resolution.empty();
      if (is_compared && !prediction.similarity)
        left.push_back({s, &prediction, {prediction.resolution, truth}});
      else if (!prediction.model_failed)
        known.push_back(prediction);
    }
    put_system(run, split, system);
    run.store.put(system.key, PredictionPart::kTest, known);
  }
  constexpr std::size_t kChunk = 256;  // compared and kept at a time
  // What several systems answered to one ticket is compared together: the truth is read once.
  std::stable_sort(left.begin(), left.end(),
                   [](const Compared& a, const Compared& b) { return a.prediction->ticket_id < b.prediction->ticket_id; });
  Progress progress({.what = fmt::format("comparing resolutions, split {}", split.name),
                     .unit = "answers",
                     .total = static_cast<std::int64_t>(left.size()),
                     .quiet = run.globals.quiet || left.size() < kChunk});
  for (std::size_t first = 0; first < left.size(); first += kChunk) {
    const auto part = std::span(left).subspan(first, std::min(kChunk, left.size() - first));
    std::vector<TextPair> pairs;
    for (const Compared& one : part) pairs.push_back(one.texts);
    const auto similarities = encoder_similarity(run.encoder->embedder(), run.engine.backend, pairs);
    std::vector<std::vector<Prediction>> compared(systems.size());
    for (std::size_t i = 0; i < part.size(); ++i) {
      part[i].prediction->similarity = similarities[i];
      if (!part[i].prediction->model_failed) compared[part[i].system].push_back(*part[i].prediction);
    }
    for (std::size_t s = 0; s < systems.size(); ++s)
      if (!compared[s].empty()) run.store.put(systems[s].key, PredictionPart::kTest, compared[s]);
    progress.advance(static_cast<std::int64_t>(part.size()));
  }
}

std::vector<RetrievalRow> measure_channels(const EvaluationRun& run, EvaluationSplit& split, std::int64_t& relevant_queries,
                                           std::vector<std::string>& warnings) {
  const EvaluateSettings& settings = run.desk.settings.evaluate;
  std::vector<std::unordered_set<std::string>> relevant(split.test.size());
  if (!settings.relevant_pairs.empty()) {
    std::unordered_map<std::string, std::size_t> row_of;
    for (std::size_t i = 0; i < split.test.size(); ++i) row_of.emplace(split.test[i].id, i);
    std::unordered_set<std::string_view> learnt;
    for (const Ticket& ticket : split.train) learnt.insert(ticket.id);
    std::int64_t unknown = 0;
    for (const auto& [ticket, found] : read_relevant_pairs(settings.relevant_pairs)) {
      const auto row = row_of.find(ticket);
      if (row == row_of.end()) continue;
      if (learnt.contains(found))
        relevant[row->second].insert(found);
      else
        ++unknown;
    }
    if (unknown > 0) warnings.push_back(fmt::format("{} of the given relevant cases are not among the tickets learnt from", unknown));
  } else if (run.vectors) {
    const auto resolutions = [&](const std::vector<Ticket>& tickets) {
      std::vector<std::string> texts;
      for (const Ticket& ticket : tickets) texts.push_back(resolution_text(ticket));
      return run.vectors->embed(texts);
    };
    const auto learnt = resolutions(split.train), asked = resolutions(split.test);
    const auto width = static_cast<std::size_t>(run.vectors->width());
    for (std::size_t i = 0; i < split.test.size(); ++i)
      for (std::size_t t = 0; t < split.train.size(); ++t) {
        const Ticket &query = split.test[i], &past = split.train[t];
        if (query.category.empty() || query.category != past.category || resolution_text(query).empty() || resolution_text(past).empty())
          continue;
        double cosine = 0;
        for (std::size_t c = 0; c < width; ++c) cosine += double{asked[i * width + c]} * learnt[t * width + c];
        if (cosine >= settings.relevant_similarity) relevant[i].insert(past.id);
      }
  } else {
    warnings.push_back("Retrieval is not measured: the desk has no encoder to tell relevant cases by, and no relevant_pairs are given.");
    return {};
  }
  relevant_queries = std::count_if(relevant.begin(), relevant.end(), [](const auto& ids) { return !ids.empty(); });

  const RetrieverSettings fusion = retrieval_settings(run);
  RetrieverSettings words = fusion, keywords = fusion;
  words.method = RetrievalMethod::kBm25;
  keywords.method = RetrievalMethod::kRrf;
  keywords.dense_weight = keywords.bm25_weight = keywords.exact_weight = 0;
  keywords.keyword_weight = 1;
  std::vector<std::pair<std::string, RetrieverSettings>> channels;
  if (run.encoder) {
    RetrieverSettings dense = fusion;
    dense.method = RetrievalMethod::kDense;
    channels.emplace_back("dense", dense);
  }
  channels.emplace_back("bm25", words);
  if (!fusion.keywords.empty()) channels.emplace_back("keywords", keywords);
  const std::string desks_own = fusion.method == RetrievalMethod::kRrf ? "fusion" : std::string(name_of(fusion.method));
  if (desks_own != "dense" && desks_own != "bm25") channels.emplace_back(desks_own, fusion);

  const auto vectors = split.vectors_of(split.test, run.vectors);
  const std::size_t width = run.vectors ? static_cast<std::size_t>(run.vectors->width()) : 0;
  std::vector<RetrievalRow> table;
  for (auto& [name, channel] : channels) {
    channel.floor = 0;  // what is found is measured, not what is held back
    const Retriever retriever(split.cases, channel, run.engine.pool);
    std::vector<RankedRelevance> queries;
    for (std::size_t i = 0; i < split.test.size(); ++i) {
      check_interrupt();
      const auto found = retriever.similar(problem_text(split.test[i]), std::span(vectors).subspan(i * width, width), {.count = 10});
      std::vector<std::string> ids;
      for (const Hit& hit : found)
        if (hit.fused > 0) ids.push_back(hit.found.ticket_id);
      queries.push_back(ranked_relevance(ids, relevant[i]));
    }
    const MeasureSettings measure{.resamples = settings.resamples, .seed = static_cast<std::uint64_t>(settings.seed)};
    const auto rows = measure_retrieval(name, queries, measure, run.engine.pool);
    table.insert(table.end(), rows.begin(), rows.end());
  }
  return table;
}

}  // namespace deskhand
