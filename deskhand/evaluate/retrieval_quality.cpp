#include "deskhand/evaluate/retrieval_quality.h"

#include <algorithm>
#include <cmath>

#include "deskhand/base/error.h"

namespace deskhand {

RankedRelevance ranked_relevance(std::span<const std::string> found, const std::unordered_set<std::string>& relevant) {
  RankedRelevance query{.is_relevant = {}, .relevant = static_cast<std::int64_t>(relevant.size())};
  query.is_relevant.reserve(found.size());
  std::unordered_set<std::string_view> counted;
  for (const std::string& id : found) query.is_relevant.push_back(relevant.contains(id) && counted.insert(id).second);
  return query;
}

std::optional<RetrievalScores> retrieval_scores(const RankedRelevance& query, int k) {
  if (k < 1) throw Error(ExitCode::kUsage, "retrieval at depth {}: wanted 1 or more", k);
  if (query.relevant <= 0) return std::nullopt;
  RetrievalScores scores;
  double found = 0, gain = 0, best_gain = 0, precisions = 0;
  const auto most = std::min<std::int64_t>(k, query.relevant);
  for (std::int64_t rank = 1; rank <= k; ++rank) {
    const double gain_here = 1 / std::log2(static_cast<double>(rank) + 1);
    if (rank <= most) best_gain += gain_here;
    if (rank > std::ssize(query.is_relevant)) {
      if (rank > most) break;
      continue;
    }
    if (!query.is_relevant[static_cast<std::size_t>(rank - 1)]) continue;
    if (found == 0) scores.mrr = 1 / static_cast<double>(rank);
    ++found;
    gain += gain_here;
    precisions += found / static_cast<double>(rank);
  }
  scores.recall = found / static_cast<double>(query.relevant);
  scores.precision = found / static_cast<double>(k);
  scores.f1 = found > 0 ? 2 * scores.precision * scores.recall / (scores.precision + scores.recall) : 0;
  scores.ndcg = gain / best_gain;
  scores.map = precisions / static_cast<double>(most);
  return scores;
}

RetrievalMeans retrieval_means(std::span<const RankedRelevance> queries, int k) {
  RetrievalMeans means;
  RetrievalScores sum;
  for (const RankedRelevance& query : queries) {
    const auto scores = retrieval_scores(query, k);
    if (!scores) {
      ++means.left_out;
      continue;
    }
    ++means.queries;
    for (const auto value : {&RetrievalScores::recall, &RetrievalScores::precision, &RetrievalScores::f1, &RetrievalScores::mrr,
                             &RetrievalScores::ndcg, &RetrievalScores::map})
      sum.*value += (*scores).*value;
  }
  if (means.queries == 0) return means;
  const auto n = static_cast<double>(means.queries);
  means.mean = RetrievalScores{sum.recall / n, sum.precision / n, sum.f1 / n, sum.mrr / n, sum.ndcg / n, sum.map / n};
  return means;
}

}  // namespace deskhand
