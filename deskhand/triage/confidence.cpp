#include "deskhand/triage/confidence.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <tuple>

#include "deskhand/base/error.h"
#include "deskhand/base/json.h"

namespace deskhand {
namespace {

constexpr int kExponents = 3;  // model, votes, prior
using Exponents = std::array<double, kExponents>;
constexpr double kFloor = 1e-9;  // of a probability before its logarithm: no witness rules a label out for good

// One example ready for Newton: log probabilities of the three witnesses for every label.
struct Features {
  std::vector<Exponents> logs;  // (labels)
  int truth = 0;
};

Exponents exponents_of(const LabelWeights& weights) {
  return {weights.model, weights.votes, weights.prior};
}

std::array<bool, kExponents> free_exponents(Witness witness) {
  switch (witness) {
    case Witness::kModel:
      return {true, false, false};
    case Witness::kVotes:
      return {false, true, true};
    default:
      return {true, true, true};
  }
}

std::vector<Exponents> log_features(const LabelEvidence& evidence, std::span<const double> prior, const LabelWeights& weights) {
  const auto votes = vote_distribution(evidence.votes, prior, weights);
  const bool has_model = evidence.model.size() == prior.size();
  std::vector<Exponents> logs(prior.size());
  for (std::size_t l = 0; l < prior.size(); ++l) {
    const double model = has_model && std::isfinite(evidence.model[l]) ? std::log(std::max(evidence.model[l], kFloor)) : 0;
    logs[l] = {model, std::log(std::max(votes[l], kFloor)), std::log(std::max(prior[l], kFloor))};
  }
  return logs;
}

std::vector<double> pooled(std::span<const Exponents> logs, const Exponents& at) {
  std::vector<double> p(logs.size());
  double top = -std::numeric_limits<double>::infinity(), sum = 0;
  for (std::size_t l = 0; l < logs.size(); ++l) {
    p[l] = at[0] * logs[l][0] + at[1] * logs[l][1] + at[2] * logs[l][2];
    top = std::max(top, p[l]);
  }
  for (double& value : p) sum += value = std::exp(value - top);
  for (double& value : p) value /= sum;
  return p;
}

// Summed loss plus the penalty, with slope and curvature where asked for.
double penalised_loss(std::span<const Features> examples, const Exponents& at, const Exponents& home, Exponents* slope,
                      std::array<Exponents, kExponents>* curvature) {
  double loss = 0;
  if (slope) *slope = {};
  if (curvature) *curvature = {};
  for (int i = 0; i < kExponents; ++i) {
    loss += (at[i] - home[i]) * (at[i] - home[i]) / 2;
    if (slope) (*slope)[i] = at[i] - home[i];
    if (curvature) (*curvature)[i][i] = 1;
  }
  for (const Features& example : examples) {
    const auto p = pooled(example.logs, at);
    const auto truth = static_cast<std::size_t>(example.truth);
    loss -= std::log(std::max(p[truth], std::numeric_limits<double>::min()));
    if (!slope && !curvature) continue;
    Exponents mean{};  // of the log features under p; the loss's slope is mean - truth's, its curvature their covariance
    for (std::size_t l = 0; l < p.size(); ++l)
      for (int i = 0; i < kExponents; ++i) mean[i] += p[l] * example.logs[l][i];
    for (int i = 0; i < kExponents; ++i)
      if (slope) (*slope)[i] += mean[i] - example.logs[truth][i];
    if (!curvature) continue;
    for (std::size_t l = 0; l < p.size(); ++l)
      for (int i = 0; i < kExponents; ++i)
        for (int j = 0; j < kExponents; ++j) (*curvature)[i][j] += p[l] * (example.logs[l][i] - mean[i]) * (example.logs[l][j] - mean[j]);
  }
  return loss;
}

// Solves curvature x = slope over the axes in `moving` by Cholesky; the penalty keeps the matrix positive definite.
Exponents newton_direction(const std::array<Exponents, kExponents>& curvature, const Exponents& slope,
                           const std::array<bool, kExponents>& moving) {
  std::array<Exponents, kExponents> lower{};
  Exponents x{};
  for (int i = 0; i < kExponents; ++i) {
    for (int j = 0; j <= i; ++j) {
      double sum = moving[i] && moving[j] ? curvature[i][j] : (i == j ? 1 : 0);
      for (int k = 0; k < j; ++k) sum -= lower[i][k] * lower[j][k];
      lower[i][j] = i == j ? std::sqrt(std::max(sum, 1e-12)) : sum / lower[j][j];
    }
  }
  for (int i = 0; i < kExponents; ++i) {
    x[i] = moving[i] ? slope[i] : 0;
    for (int k = 0; k < i; ++k) x[i] -= lower[i][k] * x[k];
    x[i] /= lower[i][i];
  }
  for (int i = kExponents; i-- > 0;) {
    for (int k = i + 1; k < kExponents; ++k) x[i] -= lower[k][i] * x[k];
    x[i] /= lower[i][i];
  }
  return x;
}

// Projected Newton (Bertsekas 1982) with step halving. Returns the loss reached; `at` is start and result.
double minimise(std::span<const Features> examples, const Exponents& home, const std::array<bool, kExponents>& free, Exponents& at) {
  Exponents slope;
  std::array<Exponents, kExponents> curvature;
  double loss = penalised_loss(examples, at, home, &slope, &curvature);
  for (int iteration = 0; iteration < 50; ++iteration) {
    std::array<bool, kExponents> moving{};
    double gradient = 0;
    for (int i = 0; i < kExponents; ++i) {
      moving[i] = free[i] && !(at[i] <= 0 && slope[i] > 0);
      if (moving[i]) gradient = std::max(gradient, std::abs(slope[i]));
    }
    if (gradient < 1e-7 * static_cast<double>(examples.size() + 1)) break;
    const Exponents direction = newton_direction(curvature, slope, moving);
    bool improved = false;
    for (double step = 1; step > 1e-6 && !improved; step /= 2) {
      Exponents next = at;
      for (int i = 0; i < kExponents; ++i)
        if (moving[i]) next[i] = std::max(0.0, at[i] - step * direction[i]);
      if (penalised_loss(examples, next, home, nullptr, nullptr) < loss) {
        at = next;
        improved = true;
      }
    }
    if (!improved) break;
    loss = penalised_loss(examples, at, home, &slope, &curvature);
  }
  return loss;
}

LabelWeights best_weights(std::span<const LabelExample> examples, std::span<const double> prior, Witness witness) {
  const LabelWeights home = default_weights(witness);
  if (examples.size() < 2) return home;
  const bool has_votes = witness != Witness::kModel;
  const std::vector<double> temperatures = has_votes ? std::vector{0.04, 0.07, 0.1, 0.15, 0.25} : std::vector{home.vote_temperature};
  const std::vector<double> priors = has_votes ? std::vector{0.001, 0.005, 0.02, 0.1, 0.5} : std::vector{home.vote_prior};
  LabelWeights best = home;
  double best_loss = std::numeric_limits<double>::infinity();
  std::vector<Features> features(examples.size());
  Exponents at = exponents_of(home);
  for (const double temperature : temperatures) {
    for (const double vote_prior : priors) {
      LabelWeights weights = home;
      weights.vote_temperature = temperature;
      weights.vote_prior = vote_prior;
      for (std::size_t i = 0; i < examples.size(); ++i)
        features[i] = {log_features(examples[i].evidence, prior, weights), examples[i].truth};
      double loss = minimise(features, exponents_of(home), free_exponents(witness), at);  // starts where the neighbour on the grid ended
      for (const double ratio : {temperature / home.vote_temperature, vote_prior / home.vote_prior})
        loss += std::log(ratio) * std::log(ratio) / 2;
      if (loss < best_loss) {
        best_loss = loss;
        std::tie(weights.model, weights.votes, weights.prior) = std::tuple(at[0], at[1], at[2]);
        best = weights;
      }
    }
  }
  return best;
}

struct ScoreSums {
  double loss = 0, right = 0;
  std::array<double, 10> count{}, confidence{}, correct{};

  void add(std::span<const double> p, int truth) {
    const auto top = static_cast<std::size_t>(std::max_element(p.begin(), p.end()) - p.begin());
    const bool is_right = static_cast<int>(top) == truth;
    loss -= std::log(std::max(p[static_cast<std::size_t>(truth)], std::numeric_limits<double>::min()));
    right += is_right;
    const auto bin = std::min<std::size_t>(9, static_cast<std::size_t>(p[top] * 10));
    count[bin] += 1;
    confidence[bin] += p[top];
    correct[bin] += is_right;
  }
  LabelScores scores() const {
    const double total = std::accumulate(count.begin(), count.end(), 0.0);
    if (total == 0) return {};
    double error = 0;
    for (std::size_t bin = 0; bin < count.size(); ++bin) error += std::abs(correct[bin] - confidence[bin]);
    return {loss / total, right / total, error / total};
  }
};

void check_examples(std::span<const LabelExample> examples, std::span<const double> prior) {
  for (const LabelExample& example : examples)
    DESKHAND_ASSERT(example.truth >= 0 && example.truth < static_cast<int>(prior.size()), "a true label that the prior has");
}

Json scores_json(const LabelScores& scores) {
  return {{"log_loss", scores.log_loss}, {"accuracy", scores.accuracy}, {"calibration_error", scores.calibration_error}};
}

Json calibration_json(const LabelCalibration& calibration) {
  Json json = {{"labels", calibration.labels}, {"prior", calibration.prior}, {"examples", calibration.examples}};
  for (std::size_t w = 0; w < kWitnesses.size(); ++w) {
    const LabelWeights& weights = calibration.weights[w];
    json[std::string(name_of(kWitnesses[w]))] = {{"model", weights.model},
                                                 {"votes", weights.votes},
                                                 {"prior", weights.prior},
                                                 {"vote_temperature", weights.vote_temperature},
                                                 {"vote_prior", weights.vote_prior},
                                                 {"before", scores_json(calibration.before[w])},
                                                 {"after", scores_json(calibration.after[w])}};
  }
  return json;
}

double number_at(const Json& json, const char* key, double least, const char* where) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number() || !std::isfinite(found->get<double>()) || found->get<double>() < least)
    throw Error(ExitCode::kBadInput, "stored confidence: {}.{} must be a number of at least {}; fit the confidence again", where, key,
                least);
  return found->get<double>();
}

LabelScores read_scores(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end()) return {};
  return {number_at(*found, "log_loss", 0, key), number_at(*found, "accuracy", 0, key), number_at(*found, "calibration_error", 0, key)};
}

LabelCalibration read_calibration(const Json& json, const char* where) {
  const auto refuse = [&](std::string_view field) {
    return Error(ExitCode::kBadInput, "stored confidence: {}.{} is missing or wrong; fit the confidence again", where, field);
  };
  if (!json.is_object()) throw refuse("(object)");
  LabelCalibration calibration;
  const Json labels = json.value("labels", Json()), prior = json.value("prior", Json());
  if (!labels.is_array()) throw refuse("labels");
  for (const Json& label : labels) {
    if (!label.is_string()) throw refuse("labels");
    calibration.labels.push_back(label.get<std::string>());
  }
  if (!prior.is_array() || prior.size() != labels.size()) throw refuse("prior");
  for (const Json& share : prior) {
    if (!share.is_number() || !(share.get<double>() >= 0)) throw refuse("prior");
    calibration.prior.push_back(share.get<double>());
  }
  calibration.examples = static_cast<std::int64_t>(number_at(json, "examples", 0, where));
  for (std::size_t w = 0; w < kWitnesses.size(); ++w) {
    const std::string name(name_of(kWitnesses[w]));
    const auto found = json.find(name);
    if (found == json.end() || !found->is_object()) throw refuse(name);
    constexpr double kLeast = 1e-6;  // of what is divided by
    calibration.weights[w] = {number_at(*found, "model", 0, where), number_at(*found, "votes", 0, where),
                              number_at(*found, "prior", 0, where), number_at(*found, "vote_temperature", kLeast, where),
                              number_at(*found, "vote_prior", kLeast, where)};
    calibration.before[w] = read_scores(*found, "before");
    calibration.after[w] = read_scores(*found, "after");
  }
  return calibration;
}

}  // namespace

std::string_view name_of(Witness witness) {
  switch (witness) {
    case Witness::kModel:
      return "model";
    case Witness::kVotes:
      return "votes";
    default:
      return "fused";
  }
}

Witness witness_named(std::string_view name) {
  for (const Witness witness : kWitnesses)
    if (name_of(witness) == name) return witness;
  throw Error(ExitCode::kUsage, "'{}' cannot decide a label; choose fused, model or votes", name);
}

LabelWeights default_weights(Witness witness) {
  switch (witness) {
    case Witness::kModel:
      return {.model = 1, .votes = 0, .prior = 0};
    case Witness::kVotes:
      return {.model = 0, .votes = 1, .prior = 0};
    default:
      return {};
  }
}

std::vector<double> smoothed_prior(std::span<const std::int64_t> counts) {
  const double total =
      static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0})) + static_cast<double>(counts.size());
  std::vector<double> prior;
  for (const std::int64_t count : counts) prior.push_back((static_cast<double>(count) + 1) / total);
  return prior;
}

std::vector<double> vote_distribution(std::span<const Vote> votes, std::span<const double> prior, const LabelWeights& weights) {
  std::vector<double> p(prior.size());
  double sum = weights.vote_prior;
  for (std::size_t l = 0; l < p.size(); ++l) p[l] = weights.vote_prior * prior[l];
  for (const Vote& vote : votes.first(std::min(votes.size(), kMaxVotes))) {
    if (vote.label < 0 || vote.label >= static_cast<int>(p.size()) || !std::isfinite(vote.similarity)) continue;
    const double weight = std::exp((std::clamp(vote.similarity, -1.0, 1.0) - 1) / weights.vote_temperature);
    p[static_cast<std::size_t>(vote.label)] += weight;
    sum += weight;
  }
  for (double& value : p) value /= sum;
  return p;
}

std::vector<double> fuse(const LabelEvidence& evidence, std::span<const double> prior, const LabelWeights& weights) {
  DESKHAND_ASSERT(evidence.model.empty() || evidence.model.size() == prior.size(), "the model's word on every label");
  if (prior.empty()) return {};
  return pooled(log_features(evidence, prior, weights), exponents_of(weights));
}

LabelScores score(std::span<const LabelExample> examples, std::span<const double> prior, const LabelWeights& weights) {
  check_examples(examples, prior);
  ScoreSums sums;
  for (const LabelExample& example : examples) sums.add(fuse(example.evidence, prior, weights), example.truth);
  return sums.scores();
}

WeightFit fit_weights(std::span<const LabelExample> examples, std::span<const double> prior, Witness witness, int folds) {
  check_examples(examples, prior);
  DESKHAND_ASSERT(folds >= 2, "two folds at least");
  WeightFit fit{.weights = best_weights(examples, prior, witness), .before = score(examples, prior, default_weights(witness))};
  fit.examples = static_cast<std::int64_t>(examples.size());
  ScoreSums after;
  const auto count = std::min(static_cast<std::size_t>(folds), examples.size());
  for (std::size_t fold = 0; fold < count; ++fold) {
    std::vector<LabelExample> others;
    for (std::size_t i = 0; i < examples.size(); ++i)
      if (i % count != fold) others.push_back(examples[i]);
    const LabelWeights weights = best_weights(others, prior, witness);
    for (std::size_t i = fold; i < examples.size(); i += count) after.add(fuse(examples[i].evidence, prior, weights), examples[i].truth);
  }
  fit.after = after.scores();
  return fit;
}

std::string write_confidence(const Confidence& confidence) {
  return write_json({{"urgency", calibration_json(confidence.urgency)}, {"category", calibration_json(confidence.category)}});
}

Confidence read_confidence(std::string_view json) {
  const Json root = parse_json(json, "stored confidence");
  if (!root.is_object()) throw Error(ExitCode::kBadInput, "stored confidence: not an object; fit the confidence again");
  return {read_calibration(root.value("urgency", Json()), "urgency"), read_calibration(root.value("category", Json()), "category")};
}

}  // namespace deskhand
