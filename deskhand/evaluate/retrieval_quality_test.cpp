#include "deskhand/evaluate/retrieval_quality.h"

#include <doctest/doctest.h>

#include "deskhand/base/error.h"
#include "deskhand/evaluate/test_golden.h"

using namespace deskhand;

namespace {

using Ids = std::vector<std::string>;

RankedRelevance query(const Ids& found, const std::unordered_set<std::string>& relevant) {
  return ranked_relevance(found, relevant);
}

}  // namespace

TEST_CASE("retrieval measures equal scikit-learn's ndcg_score and numpy's formulas") {
  for (const Json& saved : golden_statistics()["retrieval"]["cases"]) {
    const auto relevant = saved["relevant"].get<Ids>();
    const auto ranked = query(saved["found"].get<Ids>(), {relevant.begin(), relevant.end()});
    for (const auto& [k, at] : saved["at"].items()) {
      CAPTURE(k);
      const auto scores = retrieval_scores(ranked, std::stoi(k)).value();
      CHECK(scores.recall == golden(at["recall"]));
      CHECK(scores.precision == golden(at["precision"]));
      CHECK(scores.f1 == golden(at["f1"]));
      CHECK(scores.mrr == golden(at["mrr"]));
      CHECK(scores.ndcg == golden(at["ndcg"]));
      CHECK(scores.map == golden(at["map"]));
    }
  }
  const Json& whole = golden_statistics()["retrieval"]["whole"];
  const RankedRelevance all{.is_relevant = whole["is_relevant"].get<std::vector<std::uint8_t>>(), .relevant = 3};
  CHECK(retrieval_scores(all, 7)->map == golden(whole["average_precision"]));
}

TEST_CASE("a query without relevant cases is left out and counted") {
  const std::vector<RankedRelevance> queries = {query({"a", "b"}, {"b"}), query({"a", "b"}, {}), query({}, {"x"})};
  CHECK(!retrieval_scores(queries[1], 3));
  const auto means = retrieval_means(queries, 2);
  CHECK(means.queries == 2);
  CHECK(means.left_out == 1);
  CHECK(means.mean->recall == 0.5);
  CHECK(means.mean->mrr == 0.25);
  CHECK(!retrieval_means({}, 1).mean);
  CHECK(!retrieval_means(std::vector{queries[1]}, 1).mean);
}

TEST_CASE("nothing found scores zero everywhere, and everything in the best order one, at any depth up to the relevant") {
  const auto none = retrieval_scores(query({}, {"a", "b"}), 5).value();
  CHECK((none.recall == 0 && none.precision == 0 && none.f1 == 0 && none.mrr == 0 && none.ndcg == 0 && none.map == 0));
  for (const int k : {1, 2, 3}) {
    const auto best = retrieval_scores(query({"a", "b", "c", "d"}, {"a", "b", "c"}), k).value();
    CHECK((best.precision == 1 && best.mrr == 1 && best.ndcg == doctest::Approx(1) && best.map == 1));
    CHECK(best.recall == doctest::Approx(k / 3.0));
  }
  CHECK(retrieval_scores(query({"a"}, {"a"}), 1000000)->ndcg == 1);
}

TEST_CASE("a case that is found twice counts once") {
  const auto scores = retrieval_scores(query({"a", "a", "a"}, {"a", "b"}), 3).value();
  CHECK(scores.recall == 0.5);
  CHECK(scores.precision == doctest::Approx(1.0 / 3));
}

TEST_CASE("a depth below one is refused") {
  CHECK_THROWS_AS(retrieval_scores(query({"a"}, {"a"}), 0), Error);
  CHECK_THROWS_AS(retrieval_scores(query({"a"}, {"a"}), -3), Error);
}
