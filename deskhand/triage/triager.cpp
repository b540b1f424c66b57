#include "deskhand/triage/triager.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <numeric>

#include "deskhand/base/interrupt.h"

namespace deskhand {
namespace {

using Clock = std::chrono::steady_clock;
double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

constexpr std::int64_t kSpareCases = 12;  // found beyond the votes when near copies are to be left out

int index_of(std::span<const std::string> labels, std::string_view label) {
  const auto found = std::find(labels.begin(), labels.end(), label);
  return found == labels.end() ? -1 : static_cast<int>(found - labels.begin());
}

std::vector<Vote> votes_for(const LabelCalibration& calibration, std::span<const Hit> hits, std::span<const double> similarities,
                            const std::function<std::string(const Case&)>& label) {
  std::vector<Vote> votes;
  for (std::size_t i = 0; i < std::min(hits.size(), kMaxVotes); ++i)
    if (const int found = index_of(calibration.labels, label(hits[i].found)); found >= 0) votes.push_back({found, similarities[i]});
  return votes;
}

// Cosines; without an encoder the fused scores stand in, scaled so that the best is as close as a cousin, not a copy.
std::vector<double> similarities_of(std::span<const Hit> hits, bool has_vectors) {
  constexpr double kBestWithoutVector = 0.7;
  std::vector<double> similarities;
  for (const Hit& hit : hits)
    similarities.push_back(has_vectors ? hit.cosine : hits[0].fused > 0 ? kBestWithoutVector * hit.fused / hits[0].fused : 0);
  return similarities;
}

std::size_t most_probable(std::span<const double> p) {
  return static_cast<std::size_t>(std::max_element(p.begin(), p.end()) - p.begin());
}

std::vector<LabelProbability> named(std::span<const std::string> labels, std::span<const double> p) {
  std::vector<LabelProbability> list;
  for (std::size_t l = 0; l < labels.size(); ++l) list.push_back({labels[l], p[l]});
  return list;
}

LabelCalibration counted(const std::map<std::string, std::int64_t>& counts) {
  LabelCalibration calibration;
  std::vector<std::int64_t> numbers;
  for (const auto& [label, count] : counts) {
    calibration.labels.push_back(label);
    numbers.push_back(count);
  }
  calibration.prior = smoothed_prior(numbers);
  return calibration;
}

// False if no case has a resolution; the decision is then as before.
bool use_best_case(Decision& decision) {
  const auto best =
      std::find_if(decision.cases.begin(), decision.cases.end(), [](const auto& past) { return !past.found.resolution.empty(); });
  if (best == decision.cases.end()) return false;
  decision.resolution = best->found.resolution;
  decision.resolution_source = ResolutionSource::kCase;
  decision.support = find_support(decision.resolution, decision.cases);
  return true;
}

void fit(LabelCalibration& calibration, std::span<const LabelExample> examples, bool has_model) {
  for (std::size_t w = 0; w < kWitnesses.size(); ++w) {
    if (kWitnesses[w] != Witness::kVotes && !has_model) continue;
    const WeightFit found = fit_weights(examples, calibration.prior, kWitnesses[w]);
    calibration.weights[w] = found.weights;
    calibration.before[w] = found.before;
    calibration.after[w] = found.after;
  }
  calibration.examples = static_cast<std::int64_t>(examples.size());
}

}  // namespace

// One ticket on its way: what was found for it, and what was decided while the model was asked.
struct Triager::Ask {
  std::string problem;
  Precedents precedents;
  std::vector<double> similarities;            // (hits)
  std::array<LabelEvidence, 2> evidence;       // by LabelKind
  std::array<std::vector<double>, 2> decided;  // by LabelKind: fused distributions
  DecisionStatistics statistics;
  bool labels_only = false;
};

Confidence confidence_of_cases(CaseStore& cases) {
  std::map<std::string, std::int64_t> urgencies, categories;
  for (int urgency = kMinUrgency; urgency <= kMaxUrgency; ++urgency) urgencies[std::to_string(urgency)] = 0;
  cases.each([&](const Case& one) {
    if (one.urgency >= kMinUrgency) ++urgencies[std::to_string(one.urgency)];
    if (!one.category.empty()) ++categories[one.category];
  });
  if (categories.empty()) throw Error(ExitCode::kNotFound, "no case with a category to learn labels from; run 'deskhand index' first");
  return {counted(urgencies), counted(categories)};
}

Triager::Triager(TriageParts parts, TriageSettings settings) : parts_(std::move(parts)), settings_(settings) {
  DESKHAND_ASSERT(parts_.confidence.urgency.labels.size() == kMaxUrgency && !parts_.confidence.category.labels.empty(),
                  "the desk's labels");
  DESKHAND_ASSERT(settings_.shown_cases >= 0 && settings_.batch >= 1, "cases to show, tickets of a batch");
}

Decision Triager::triage(std::string_view query) const {
  const std::vector<std::string> problems = {Cleaner(settings_.clean).clean(query)};
  if (problems[0].empty()) throw Error(ExitCode::kBadInput, "the ticket has no text; nothing can be decided");
  auto asks = prepare(problems, {}, false);
  const auto answers = ask(asks);
  Decision decision = weigh(asks[0], answers[0]);
  decision.query = query;
  return decision;
}

void Triager::triage(std::span<const std::string> queries, const std::function<void(std::size_t, const Decision&)>& done) const {
  Cleaner cleaner(settings_.clean);
  const auto batch = static_cast<std::size_t>(settings_.batch);
  for (std::size_t first = 0; first < queries.size(); first += batch) {
    check_interrupt();
    const auto part = queries.subspan(first, std::min(batch, queries.size() - first));
    std::vector<std::string> problems;
    for (const std::string& query : part)
      if (std::string problem = cleaner.clean(query); !problem.empty()) problems.push_back(std::move(problem));
    auto asks = prepare(problems, {}, false);
    const auto answers = ask(asks);
    std::size_t next = 0;
    for (std::size_t i = 0; i < part.size(); ++i) {
      Decision decision;
      if (cleaner.clean(part[i]).empty())
        decision.warnings = {"The ticket has no text; nothing can be decided."};
      else
        decision = weigh(asks[next], answers[next]), ++next;
      decision.query = part[i];
      done(first + i, decision);
    }
  }
}

std::vector<Triager::Ask> Triager::prepare(std::span<const std::string> problems, std::span<const std::string> own_ids,
                                           bool labels_only) const {
  const auto start = Clock::now();
  const std::vector<float> vectors = parts_.embedder && !problems.empty() ? parts_.embedder->embed(problems) : std::vector<float>{};
  const double embed_ms = problems.empty() ? 0 : ms_since(start) / static_cast<double>(problems.size());
  const std::size_t width = problems.empty() ? 0 : vectors.size() / problems.size();
  const bool has_vectors = width > 0 && parts_.retriever.size_with_vector() > 0;

  std::vector<Ask> asks(problems.size());
  for (std::size_t i = 0; i < problems.size(); ++i) {
    Ask& ask = asks[i];
    const auto begin = Clock::now();
    const bool is_held_out = !own_ids.empty();
    SimilarOptions options{.count = static_cast<std::int64_t>(kMaxVotes) + (is_held_out ? kSpareCases : 0)};
    if (is_held_out) options.leave_out = own_ids.subspan(i, 1);
    ask.problem = problems[i];
    ask.labels_only = labels_only;
    ask.precedents = parts_.retriever.similar(problems[i], std::span(vectors).subspan(i * width, width), options);
    if (is_held_out)
      std::erase_if(ask.precedents.hits,
                    [&](const Hit& hit) { return hit.cosine >= settings_.near_copy || hit.found.problem == problems[i]; });
    ask.similarities = similarities_of(ask.precedents.hits, has_vectors);
    ask.evidence[0].votes = votes_for(parts_.confidence.urgency, ask.precedents.hits, ask.similarities,
                                      [](const Case& one) { return std::to_string(one.urgency); });
    ask.evidence[1].votes =
        votes_for(parts_.confidence.category, ask.precedents.hits, ask.similarities, [](const Case& one) { return one.category; });
    ask.statistics.embed_ms = embed_ms;
    ask.statistics.retrieve_ms = ms_since(begin);
  }
  return asks;
}

const LabelWeights& Triager::weights(const LabelCalibration& calibration, bool has_model) const {
  const Witness witness = has_model ? settings_.witness : Witness::kVotes;
  return calibration.weights[static_cast<std::size_t>(std::find(kWitnesses.begin(), kWitnesses.end(), witness) - kWitnesses.begin())];
}

std::vector<Expected<ModelAnswer, std::string>> Triager::ask(std::vector<Ask>& asks) const {
  using Answer = Expected<ModelAnswer, std::string>;
  if (!parts_.model) return std::vector<Answer>(asks.size(), Answer(Unexpected{std::string()}));
  std::vector<Question> questions;
  for (Ask& ask : asks) {
    Question question{.query = ask.problem, .labels_only = ask.labels_only};
    for (std::size_t i = 0; i < std::min(ask.precedents.size(), static_cast<std::size_t>(settings_.shown_cases)); ++i)
      question.cases.push_back(ask.precedents.hits[i].found);
    question.decide = [this, &ask](LabelKind kind, std::span<const double> model) {
      const auto k = static_cast<std::size_t>(kind);
      const LabelCalibration& calibration = kind == LabelKind::kUrgency ? parts_.confidence.urgency : parts_.confidence.category;
      ask.evidence[k].model.assign(model.begin(), model.end());
      ask.decided[k] = fuse(ask.evidence[k], calibration.prior, weights(calibration, true));
      return most_probable(ask.decided[k]);
    };
    questions.push_back(std::move(question));
  }
  const auto start = Clock::now();
  std::vector<Answer> answers;
  try {
    answers = parts_.model->answer(questions);
  } catch (const Error& error) {
    if (error.code() == ExitCode::kInterrupted) throw;
    answers.assign(asks.size(), Answer(Unexpected{std::string(error.what())}));
  }
  DESKHAND_ASSERT(answers.size() == asks.size(), "an answer a question");
  for (Ask& ask : asks) ask.statistics.generate_ms = ms_since(start) / static_cast<double>(asks.size());
  return answers;
}

Decision Triager::weigh(Ask& ask, const Expected<ModelAnswer, std::string>& answer) const {
  Decision decision;
  decision.no_precedent = ask.precedents.empty();
  decision.statistics = ask.statistics;
  for (std::size_t i = 0; i < std::min(ask.precedents.size(), static_cast<std::size_t>(settings_.shown_cases)); ++i) {
    decision.cases.push_back({ask.precedents.hits[i].found, ask.similarities[i], answer.has_value()});
    decision.avg_similarity += ask.similarities[i];
  }
  if (!decision.cases.empty()) decision.avg_similarity /= static_cast<double>(decision.cases.size());
  if (decision.no_precedent) decision.warnings.push_back("No past case is like this ticket; no case was used.");
  decision.model_failed = !answer && !answer.error().empty();
  if (decision.model_failed) decision.warnings.push_back(fmt::format("The model gave no answer, past cases decided: {}", answer.error()));

  const std::array<const LabelCalibration*, 2> calibrations = {&parts_.confidence.urgency, &parts_.confidence.category};
  for (std::size_t k = 0; k < 2; ++k) {
    if (answer) continue;  // decided while the model wrote
    ask.evidence[k].model.clear();
    ask.decided[k] = fuse(ask.evidence[k], calibrations[k]->prior, weights(*calibrations[k], false));
  }
  DESKHAND_ASSERT(!ask.decided[0].empty() && !ask.decided[1].empty(), "a model that answers asks for both labels");
  const std::size_t urgency = most_probable(ask.decided[0]), category = most_probable(ask.decided[1]);
  decision.urgency = static_cast<int>(urgency) + kMinUrgency;
  decision.urgency_confidence = ask.decided[0][urgency];
  decision.urgencies = named(calibrations[0]->labels, ask.decided[0]);
  decision.category = calibrations[1]->labels[category];
  decision.category_confidence = ask.decided[1][category];
  decision.categories = named(calibrations[1]->labels, ask.decided[1]);
  std::stable_sort(decision.categories.begin(), decision.categories.end(),
                   [](const auto& a, const auto& b) { return a.probability > b.probability; });

  if (answer && !answer->resolution.empty()) {
    decision.resolution = answer->resolution;
    decision.resolution_source = ResolutionSource::kModel;
    decision.support = find_support(decision.resolution, decision.cases);
    if (answer->is_cut) decision.warnings.push_back("The resolution was cut at its longest allowed length.");
    // A resolution that no case supports is a guess; where there is a precedent, what was done then is worth more.
    const bool is_echo = repeats_query(decision.resolution, ask.problem, decision.support);
    const bool is_guess =
        std::none_of(decision.support.begin(), decision.support.end(), [](const Support& s) { return s.case_number > 0; });
    if (settings_.mend && (is_echo || is_guess) && use_best_case(decision))
      decision.warnings.push_back(is_echo ? "The model only repeated the ticket; the resolution is the best case's own."
                                          : "No past case supports what the model wrote; the resolution is the best case's own.");
    else if (is_guess)
      decision.warnings.push_back("No past case supports this resolution: it is the model's own suggestion.");
  } else if (!ask.labels_only) {
    use_best_case(decision);
  }
  if (answer) {
    decision.statistics.prompt_tokens = answer->prompt_tokens;
    decision.statistics.cached_tokens = answer->cached_tokens;
    decision.statistics.new_tokens = answer->new_tokens;
  }
  const DecisionStatistics& s = decision.statistics;
  decision.statistics.total_ms = s.embed_ms + s.retrieve_ms + s.generate_ms;
  return decision;
}

std::vector<Decision> Triager::judge(std::span<const Ticket> closed) const {
  check_interrupt();
  std::vector<std::string> problems, ids;
  for (const Ticket& ticket : closed) {
    problems.push_back(problem_text(ticket));
    ids.push_back(ticket.id);
  }
  auto asks = prepare(problems, ids, true);
  const auto answers = ask(asks);
  std::vector<Decision> decisions;
  for (std::size_t i = 0; i < asks.size(); ++i) {
    decisions.push_back(weigh(asks[i], answers[i]));
    decisions.back().query = problems[i];
  }
  return decisions;
}

std::vector<HeardTicket> Triager::hear(std::span<const Ticket> closed) const {
  check_interrupt();
  std::vector<std::string> problems, ids;
  std::vector<HeardTicket> heard;
  for (const Ticket& ticket : closed) {
    if (problem_text(ticket).empty()) continue;
    problems.push_back(problem_text(ticket));
    ids.push_back(ticket.id);
    heard.push_back({.ticket_id = ticket.id, .urgency = ticket.urgency, .category = ticket.category, .evidence = {}});
  }
  auto asks = prepare(problems, ids, true);
  const auto answers = ask(asks);
  std::vector<HeardTicket> told;
  for (std::size_t i = 0; i < asks.size(); ++i) {
    if (parts_.model && !answers[i]) continue;
    heard[i].evidence = std::move(asks[i].evidence);
    told.push_back(std::move(heard[i]));
  }
  return told;
}

Confidence Triager::fit_confidence(std::span<const HeardTicket> heard) const {
  Confidence confidence = parts_.confidence;
  std::vector<LabelExample> urgencies, categories;
  bool has_model = false;
  for (const HeardTicket& ticket : heard) {
    has_model = has_model || !ticket.evidence[0].model.empty();
    if (ticket.urgency >= kMinUrgency) urgencies.push_back({ticket.evidence[0], ticket.urgency - kMinUrgency});
    if (const int truth = index_of(confidence.category.labels, ticket.category); truth >= 0)
      categories.push_back({ticket.evidence[1], truth});
  }
  fit(confidence.urgency, urgencies, has_model);
  fit(confidence.category, categories, has_model);
  return confidence;
}

}  // namespace deskhand
