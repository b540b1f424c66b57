#include "deskhand/evaluate/bert_score.h"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <numeric>
#include <vector>

#include "deskhand/base/json.h"

using namespace deskhand;

namespace {

double dot(const std::vector<float>& a, const std::vector<float>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

}  // namespace

TEST_CASE("every token is matched with its nearest, and special tokens are found but not counted") {
  // Candidate: special, a, b; reference: special, c. Token b is nearest to the reference's special token.
  const std::vector<float> cosines = {0.9f, 0.2f,   //
                                      0.1f, 0.5f,   //
                                      0.8f, 0.7f};  //
  const std::vector<float> candidate = {0, 1, 1}, reference = {0, 1};
  const BertScore score = bert_score(cosines, candidate, reference);
  CHECK(score.precision == doctest::Approx((0.5 + 0.8) / 2));
  CHECK(score.recall == doctest::Approx(0.7));
  CHECK(score.f1 == doctest::Approx(2 * 0.65 * 0.7 / 1.35));
}

TEST_CASE("a BERTScore with nothing to count in either text is zero") {
  const std::vector<float> cosines = {1, 1, 1, 1, 1, 1}, nothing = {0, 0}, three = {0, 1, 0};
  for (const BertScore& score : {bert_score(cosines, nothing, three), bert_score(cosines, three, nothing), bert_score({}, {}, {})}) {
    CHECK(score.precision == 0);
    CHECK(score.recall == 0);
    CHECK(score.f1 == 0);
  }
}

TEST_CASE("a BERTScore is defined where all cosines are negative or cancel out") {
  const std::vector<float> negative = {-0.5f}, one = {1};
  CHECK(bert_score(negative, one, one).f1 == doctest::Approx(-0.5));
  const std::vector<float> zero = {0};
  CHECK(bert_score(zero, one, one).f1 == 0);
}

// tools/save_golden_bert_score.py
TEST_CASE("BERTScore of saved token vectors is what the package bert-score gives, to 1e-6") {
  std::ifstream file(DESKHAND_SOURCE_DIR "/tests/golden/evaluate/bert_score.json");
  const Json golden = Json::parse(file);
  for (const Json& pair : golden.at("vectors")) {
    const auto candidate = pair.at("candidate").get<std::vector<std::vector<float>>>(),
               reference = pair.at("reference").get<std::vector<std::vector<float>>>();
    std::vector<float> cosines;
    for (const auto& a : candidate)
      for (const auto& b : reference) cosines.push_back(static_cast<float>(dot(a, b) / std::sqrt(dot(a, a) * dot(b, b))));
    const BertScore score =
        bert_score(cosines, pair.at("candidate_weights").get<std::vector<float>>(), pair.at("reference_weights").get<std::vector<float>>());
    const auto wanted = pair.at("scores").get<std::vector<double>>();
    CHECK(std::abs(score.precision - wanted[0]) < 1e-6);
    CHECK(std::abs(score.recall - wanted[1]) < 1e-6);
    CHECK(std::abs(score.f1 - wanted[2]) < 1e-6);
  }
}
