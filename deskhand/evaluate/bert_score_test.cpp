#include "deskhand/evaluate/bert_score.h"

#include <doctest/doctest.h>

#include <vector>

using namespace deskhand;

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
