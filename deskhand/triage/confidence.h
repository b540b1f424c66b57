// How sure to be of a label. Three witnesses speak: the model's own probabilities, the votes of similar cases, and how often the desk uses
// the label. They are pooled log-linearly (Genest and Zidek 1986), p(l) ~ model(l)^a votes(l)^b prior(l)^c, and the weights are fitted on
// held-out tickets by penalised maximum likelihood, so that .8 is right four times in five. a also is the model's inverse temperature.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace deskhand {

// One similar case's word for a label.
struct Vote {
  int label = 0;          // index into the desk's labels
  double similarity = 0;  // cosine, -1..1
};

// What is known of one ticket's label before it is weighed.
struct LabelEvidence {
  std::vector<double> model;  // over the labels; empty: no model spoke
  std::vector<Vote> votes;    // of up to kMaxVotes cases, the most similar first; empty: no cases
};
inline constexpr std::size_t kMaxVotes = 20;

enum class Witness { kFused, kModel, kVotes };  // all; the model alone (as the seed did); cases and prior alone (no model needed)
inline constexpr std::array<Witness, 3> kWitnesses = {Witness::kFused, Witness::kModel, Witness::kVotes};
std::string_view name_of(Witness witness);     // "fused", "model", "votes"
Witness witness_named(std::string_view name);  // throws Error(kUsage) with the names there are

// Exponents are at least 0. A case of similarity s votes with exp((s - 1) / vote_temperature); the prior joins the votes with vote_prior of
// such weight, so distant cases say little and near copies nearly everything.
struct LabelWeights {
  double model = 0.5, votes = 1, prior = 0;
  double vote_temperature = 0.1;
  double vote_prior = 0.02;

  bool operator==(const LabelWeights&) const = default;
};
LabelWeights default_weights(Witness witness);

// The desk's shares of its labels, add-one smoothed. Never empty of mass for a label.
std::vector<double> smoothed_prior(std::span<const std::int64_t> counts);

// Votes as a distribution. Votes beyond kMaxVotes and for labels outside the prior are not counted. Without votes: the prior.
std::vector<double> vote_distribution(std::span<const Vote> votes, std::span<const double> prior, const LabelWeights& weights);

// The pooled distribution over the labels of `prior`, sums to 1. Without the model's word its exponent counts as 0.
std::vector<double> fuse(const LabelEvidence& evidence, std::span<const double> prior, const LabelWeights& weights);

struct LabelExample {
  LabelEvidence evidence;
  int truth = 0;
};

// Means over the examples. Calibration error: 10 bins of equal width over the top probability, |accuracy - confidence| weighed by count.
struct LabelScores {
  double log_loss = 0;           // nats, of the true label
  double accuracy = 0;           // 0..1
  double calibration_error = 0;  // 0..1
};
LabelScores score(std::span<const LabelExample> examples, std::span<const double> prior, const LabelWeights& weights);

struct WeightFit {
  LabelWeights weights;
  LabelScores before, after;  // default weights, and the fitted ones where they were not fitted: each fold scored by the others' weights
  std::int64_t examples = 0;
};

// Minimises the log loss: exponents by projected Newton (the loss is convex in them), vote_temperature and vote_prior over a grid. A
// Gaussian prior of deviation 1 around the defaults counts against the summed loss, so few examples move little. Witness kModel holds votes
// and prior at 0, kVotes the model. Fewer than two examples: the defaults. Same input, same result.
WeightFit fit_weights(std::span<const LabelExample> examples, std::span<const double> prior, Witness witness, int folds = 5);

// All that triage keeps of one label kind (urgency or category).
struct LabelCalibration {
  std::vector<std::string> labels;
  std::vector<double> prior;  // over labels
  std::array<LabelWeights, 3> weights = {default_weights(Witness::kFused), default_weights(Witness::kModel),
                                         default_weights(Witness::kVotes)};
  std::array<LabelScores, 3> before = {}, after = {};  // by Witness; zeros where nothing was fitted
  std::int64_t examples = 0;                           // held-out tickets it was fitted on; 0: defaults
};

struct Confidence {
  LabelCalibration urgency, category;
};

// One JSON object, for the caller to keep in the desk's database. Reading throws Error(kBadInput) naming the field that is wrong.
std::string write_confidence(const Confidence& confidence);
Confidence read_confidence(std::string_view json);

}  // namespace deskhand
