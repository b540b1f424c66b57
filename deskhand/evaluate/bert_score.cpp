#include "deskhand/evaluate/bert_score.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

// Zero where nothing counts.
double weighted_mean(std::span<const float> values, std::span<const float> weights) {
  double sum = 0, total = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    sum += double{values[i]} * weights[i];
    total += weights[i];
  }
  return total > 0 ? sum / total : 0;
}

bool counts(std::span<const float> weights) {
  return std::any_of(weights.begin(), weights.end(), [](float weight) { return weight > 0; });
}

}  // namespace

BertScore bert_score(std::span<const float> cosines, std::span<const float> candidate_weights, std::span<const float> reference_weights) {
  const std::size_t rows = candidate_weights.size(), columns = reference_weights.size();
  DESKHAND_ASSERT(cosines.size() == rows * columns, "(n, m) cosines");
  if (!counts(candidate_weights) || !counts(reference_weights)) return {};
  std::vector<float> of_candidate(rows), of_reference(columns, -std::numeric_limits<float>::infinity());
  for (std::size_t i = 0; i < rows; ++i) {
    const std::span<const float> row = cosines.subspan(i * columns, columns);
    of_candidate[i] = *std::max_element(row.begin(), row.end());
    for (std::size_t j = 0; j < columns; ++j) of_reference[j] = std::max(of_reference[j], row[j]);
  }
  BertScore score{.precision = weighted_mean(of_candidate, candidate_weights), .recall = weighted_mean(of_reference, reference_weights)};
  const double sum = score.precision + score.recall;
  if (sum != 0) score.f1 = 2 * score.precision * score.recall / sum;
  return score;
}

}  // namespace deskhand
