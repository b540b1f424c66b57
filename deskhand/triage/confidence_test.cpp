#include "deskhand/triage/confidence.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>
#include <random>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

using Random = std::mt19937_64;

std::vector<double> random_distribution(Random& random, std::size_t labels, double sharpness) {
  std::normal_distribution<double> normal;
  std::vector<double> p(labels);
  double sum = 0;
  for (double& value : p) sum += value = std::exp(sharpness * normal(random));
  for (double& value : p) value /= sum;
  return p;
}

int draw(Random& random, const std::vector<double>& p) {
  return std::discrete_distribution<int>(p.begin(), p.end())(random);
}

std::vector<double> powered(std::vector<double> p, double exponent) {
  double sum = 0;
  for (double& value : p) sum += value = std::pow(value, exponent);
  for (double& value : p) value /= sum;
  return p;
}

const std::vector<double> kFlat(4, 0.25);

}  // namespace

TEST_CASE("a fused distribution sums to one and follows the formula") {
  const LabelWeights weights{.model = 0.5, .votes = 2, .prior = 0.25, .vote_temperature = 0.1, .vote_prior = 0.02};
  const std::vector<double> prior = {0.5, 0.3, 0.2};
  const LabelEvidence evidence{.model = {0.1, 0.6, 0.3}, .votes = {{1, 0.9}, {2, 0.8}}};
  const double v1 = std::exp(-1.0), v2 = std::exp(-2.0), all = v1 + v2 + 0.02;
  const std::vector<double> votes = {0.02 * 0.5 / all, (v1 + 0.02 * 0.3) / all, (v2 + 0.02 * 0.2) / all};
  std::vector<double> expected(3);
  double sum = 0;
  for (int l = 0; l < 3; ++l) sum += expected[l] = std::sqrt(evidence.model[l]) * votes[l] * votes[l] * std::pow(prior[l], 0.25);
  const auto p = fuse(evidence, prior, weights);
  for (int l = 0; l < 3; ++l) CHECK(p[l] == doctest::Approx(expected[l] / sum).epsilon(1e-12));
}

TEST_CASE("without cases the votes are the prior, and a vote for an unknown label is not counted") {
  const std::vector<double> prior = {0.7, 0.3};
  CHECK(vote_distribution({}, prior, {})[0] == doctest::Approx(0.7));
  const std::vector<Vote> foreign = {{-1, 0.99}, {2, 0.99}, {0, std::nan("")}};
  CHECK(vote_distribution(foreign, prior, {})[0] == doctest::Approx(0.7));
}

TEST_CASE("a near copy outweighs many distant cases") {
  std::vector<Vote> votes = {{0, 0.97}};
  for (int i = 0; i < 19; ++i) votes.push_back({1, 0.4});
  CHECK(vote_distribution(votes, kFlat, {})[0] > 0.9);
}

TEST_CASE("a model that knows nothing gets next to no weight, and the votes that know are kept") {
  Random random(1);
  std::vector<LabelExample> examples;
  for (int i = 0; i < 800; ++i) {
    LabelExample example;
    example.truth = static_cast<int>(random() % 4);
    example.evidence.model = random_distribution(random, 4, 2);  // sure of itself, and of nothing to do with the truth
    for (int v = 0; v < 5; ++v) example.evidence.votes.push_back({random() % 10 < 8 ? example.truth : static_cast<int>(random() % 4), 0.7});
    examples.push_back(example);
  }
  const WeightFit fit = fit_weights(examples, kFlat, Witness::kFused);
  CHECK(fit.weights.model < 0.05);
  CHECK(fit.weights.votes > 0.5);
  CHECK(fit.after.log_loss < fit.before.log_loss);
  CHECK(fit.after.accuracy > 0.95);
}

TEST_CASE("the temperature that a model was made too sure with is found again, and its probabilities become true") {
  Random random(2);
  std::vector<LabelExample> examples;
  for (int i = 0; i < 4000; ++i) {
    const auto honest = random_distribution(random, 4, 1);
    examples.push_back({{.model = powered(honest, 3), .votes = {}}, draw(random, honest)});  // three times too sharp
  }
  const WeightFit fit = fit_weights(examples, kFlat, Witness::kModel);
  CHECK(fit.weights.model == doctest::Approx(1.0 / 3).epsilon(0.1));
  CHECK(fit.before.calibration_error > 0.1);
  CHECK(fit.after.calibration_error < 0.03);
  CHECK(fit.weights.votes == 0);
  CHECK(fit.weights.prior == 0);
}

TEST_CASE("two witnesses that each hold half of the truth are both heard") {
  Random random(3);
  std::vector<LabelExample> examples;
  for (int i = 0; i < 3000; ++i) {
    const auto a = random_distribution(random, 4, 1.5);
    std::vector<Vote> votes;
    for (int v = 0; v < 6; ++v) votes.push_back({static_cast<int>(random() % 4), 0.7});
    auto truth = fuse({.model = a, .votes = votes}, kFlat, {.model = 1, .votes = 1});
    examples.push_back({{.model = a, .votes = votes}, draw(random, truth)});
  }
  const WeightFit fused = fit_weights(examples, kFlat, Witness::kFused), model = fit_weights(examples, kFlat, Witness::kModel),
                  votes = fit_weights(examples, kFlat, Witness::kVotes);
  CHECK(fused.weights.model == doctest::Approx(1).epsilon(0.15));
  CHECK(fused.after.log_loss < model.after.log_loss);
  CHECK(fused.after.log_loss < votes.after.log_loss);
  CHECK(votes.weights.model == 0);
}

TEST_CASE("the fit is a minimum: no small step of any exponent lowers the penalised loss") {
  Random random(4);
  std::vector<LabelExample> examples;
  for (int i = 0; i < 300; ++i) {
    const auto a = random_distribution(random, 4, 1);
    examples.push_back({{.model = a, .votes = {{static_cast<int>(random() % 4), 0.6}}}, draw(random, a)});
  }
  const WeightFit fit = fit_weights(examples, kFlat, Witness::kFused);
  const LabelWeights home = default_weights(Witness::kFused);
  const auto loss = [&](LabelWeights w) {
    const double da = w.model - home.model, db = w.votes - home.votes, dc = w.prior - home.prior;
    return score(examples, kFlat, w).log_loss * 300 + (da * da + db * db + dc * dc) / 2;
  };
  for (double LabelWeights::*exponent : {&LabelWeights::model, &LabelWeights::votes, &LabelWeights::prior})
    for (const double step : {-0.01, 0.01}) {
      LabelWeights moved = fit.weights;
      moved.*exponent = std::max(0.0, moved.*exponent + step);
      CHECK(loss(moved) >= loss(fit.weights) - 1e-9);
    }
}

TEST_CASE("few tickets move the weights little, none not at all") {
  CHECK(fit_weights({}, kFlat, Witness::kFused).weights == default_weights(Witness::kFused));
  const std::vector<LabelExample> one = {{{.model = {1, 0, 0, 0}, .votes = {}}, 1}};
  CHECK(fit_weights(one, kFlat, Witness::kFused).weights == default_weights(Witness::kFused));
  const std::vector<LabelExample> two = {{{.model = {0.7, 0.1, 0.1, 0.1}, .votes = {{0, 0.8}}}, 0},
                                         {{.model = {0.1, 0.7, 0.1, 0.1}, .votes = {}}, 1}};
  const WeightFit fit = fit_weights(two, kFlat, Witness::kFused);
  CHECK(std::abs(fit.weights.model - 0.5) < 1);
  CHECK(std::isfinite(fit.after.log_loss));
  CHECK(fit.examples == 2);
}

TEST_CASE("a desk with a single category is sure of it, whatever is fitted") {
  const std::vector<double> only = {1.0};
  const std::vector<LabelExample> examples(5, LabelExample{{.model = {1.0}, .votes = {{0, 0.5}}}, 0});
  const WeightFit fit = fit_weights(examples, only, Witness::kFused);
  CHECK(fuse(examples[0].evidence, only, fit.weights)[0] == 1);
  CHECK(fit.after.log_loss == doctest::Approx(0));
  CHECK(fit.after.accuracy == 1);
}

TEST_CASE("a model that rules the true label out with probability zero leaves a finite loss") {
  const std::vector<LabelExample> examples(20, LabelExample{{.model = {0, 1, 0, 0}, .votes = {}}, 0});
  const WeightFit fit = fit_weights(examples, kFlat, Witness::kFused);
  CHECK(std::isfinite(fit.before.log_loss));
  CHECK(std::isfinite(fit.after.log_loss));
  CHECK(fit.weights.model < 0.1);
}

TEST_CASE("labels never seen keep some probability") {
  const std::vector<std::int64_t> counts = {9, 0};
  const auto prior = smoothed_prior(counts);
  CHECK(prior[1] == doctest::Approx(1.0 / 11));
  CHECK(std::accumulate(prior.begin(), prior.end(), 0.0) == doctest::Approx(1));
}

TEST_CASE("a stored confidence comes back as it was written, and a broken one names its field") {
  Confidence confidence;
  confidence.urgency.labels = {"1", "2"};
  confidence.urgency.prior = {0.25, 0.75};
  confidence.urgency.examples = 12;
  confidence.urgency.weights[0] = {0.1, 2, 0.3, 0.07, 0.005};
  confidence.urgency.after[0] = {0.5, 0.8, 0.02};
  const Confidence back = read_confidence(write_confidence(confidence));
  CHECK(back.urgency.labels == confidence.urgency.labels);
  CHECK(back.urgency.weights == confidence.urgency.weights);
  CHECK(back.urgency.after[0].accuracy == 0.8);
  CHECK(back.category.labels.empty());
  CHECK_THROWS_WITH_AS(read_confidence("{}"), doctest::Contains("urgency"), Error);
  CHECK_THROWS_WITH_AS(read_confidence(R"({"urgency":{"labels":["1"],"prior":[1],"examples":0,"fused":{"model":-1}}})"),
                       doctest::Contains("model"), Error);
  CHECK_THROWS_AS(read_confidence("[]"), Error);
}

TEST_CASE("witnesses are known by name") {
  for (const Witness witness : kWitnesses) CHECK(witness_named(name_of(witness)) == witness);
  CHECK_THROWS_WITH_AS(witness_named("oracle"), doctest::Contains("fused, model or votes"), Error);
}

}  // namespace deskhand
