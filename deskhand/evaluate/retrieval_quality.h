// How well similar cases are found: a ranked list against the set of cases that are relevant to the query. Gains are 0 or 1.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "deskhand/evaluate/sample.h"

namespace deskhand {

// What the measures need of one query.
struct RankedRelevance {
  std::vector<std::uint8_t> is_relevant;  // of the cases found, best first; a case found twice is relevant once, where it stands first
  std::int64_t relevant = 0;              // cases that are relevant, found or not
};
RankedRelevance ranked_relevance(std::span<const std::string> found, const std::unordered_set<std::string>& relevant);

// All 0..1, at a depth k. A list shorter than k is read as if cases of no relevance followed.
struct RetrievalScores {
  double recall = 0;     // relevant found / relevant
  double precision = 0;  // relevant found / k
  double f1 = 0;         // of these two
  double mrr = 0;        // 1 / rank of the first relevant case, 0 beyond k
  double ndcg = 0;       // sum of 1 / log2(rank + 1) over the relevant found, over the same with the min(k, relevant) first ranks
  double map = 0;        // average precision: sum over the relevant found of precision at their rank, over min(k, relevant)
};

// Empty: no case is relevant to the query; it is left out of the means. k >= 1, else Error(kUsage).
std::optional<RetrievalScores> retrieval_scores(const RankedRelevance& query, int k);

// Means over the queries that have a relevant case. For intervals take each query's scores as rows.
struct RetrievalMeans {
  std::optional<RetrievalScores> mean;     // empty: no query has a relevant case
  std::int64_t queries = 0, left_out = 0;  // with a relevant case; without
};
RetrievalMeans retrieval_means(std::span<const RankedRelevance> queries, int k);

}  // namespace deskhand
