#include "deskhand/evaluate/labels.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

bool is_label(std::int32_t value, std::int32_t labels) {
  return value >= 0 && value < labels;
}

// Calls visit(truth, answer) for every row of known truth; answer -1: missing.
template <class Visit>
void visit_known(const Labelled& labelled, Rows rows, const Visit& visit) {
  for (const auto row : rows) {
    const auto truth = labelled.truth[static_cast<std::size_t>(row)], answer = labelled.answer[static_cast<std::size_t>(row)];
    if (is_label(truth, labelled.labels)) visit(truth, is_label(answer, labelled.labels) ? answer : -1);
  }
}

std::int32_t farthest_from(std::int32_t truth, std::int32_t labels) {
  return 2 * truth >= labels - 1 ? 0 : labels - 1;
}

double ratio(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

// Per label, interleaved so that one row touches few cache lines: right, truths, answers.
constexpr std::size_t kRight = 0, kTruths = 1, kAnswers = 2;

void count_labels(const Labelled& labelled, Rows rows, std::vector<std::int64_t>& counts) {
  counts.assign(static_cast<std::size_t>(labelled.labels) * 3, 0);
  visit_known(labelled, rows, [&](std::int32_t truth, std::int32_t answer) {
    ++counts[static_cast<std::size_t>(truth) * 3 + kTruths];
    if (answer < 0) return;
    ++counts[static_cast<std::size_t>(answer) * 3 + kAnswers];
    if (truth == answer) ++counts[static_cast<std::size_t>(truth) * 3 + kRight];
  });
}

}  // namespace

std::optional<double> accuracy(const Labelled& labelled, Rows rows) {
  std::int64_t right = 0, known = 0;
  visit_known(labelled, rows, [&](std::int32_t truth, std::int32_t answer) { right += truth == answer, ++known; });
  if (known == 0) return std::nullopt;
  return ratio(right, known);
}

std::optional<double> macro_f1(const Labelled& labelled, Rows rows, Scratch& scratch) {
  auto& counts = scratch.counts;
  count_labels(labelled, rows, counts);
  double sum = 0;
  std::int64_t present = 0;
  for (std::size_t at = 0; at < counts.size(); at += 3) {
    const auto both = counts[at + kTruths] + counts[at + kAnswers];
    if (both == 0) continue;
    sum += ratio(2 * counts[at + kRight], both);
    ++present;
  }
  if (present == 0) return std::nullopt;
  return sum / static_cast<double>(present);
}

std::optional<double> quadratic_kappa(const Labelled& labelled, Rows rows) {
  // sum over i, j of (i - j)^2 truths_i answers_j = n sum t^2 + n sum a^2 - 2 sum t sum a; all sums are whole numbers
  std::int64_t n = 0, sum_t = 0, sum_a = 0, squares = 0, apart = 0;
  visit_known(labelled, rows, [&](std::int64_t t, std::int64_t a) {
    if (a < 0) a = farthest_from(static_cast<std::int32_t>(t), labelled.labels);
    ++n, sum_t += t, sum_a += a;
    squares += t * t + a * a;
    apart += (t - a) * (t - a);
  });
  const long double expected = static_cast<long double>(n) * static_cast<long double>(squares) -
                               2.0L * static_cast<long double>(sum_t) * static_cast<long double>(sum_a);
  if (n == 0 || expected <= 0) return std::nullopt;
  return static_cast<double>(1 - static_cast<long double>(n) * static_cast<long double>(apart) / expected);
}

std::optional<double> mean_absolute_error(const Labelled& labelled, Rows rows) {
  std::int64_t levels = 0, known = 0;
  visit_known(labelled, rows, [&](std::int32_t truth, std::int32_t answer) {
    levels += std::abs(truth - (answer < 0 ? farthest_from(truth, labelled.labels) : answer));
    ++known;
  });
  if (known == 0) return std::nullopt;
  return ratio(levels, known);
}

std::optional<double> cost_weighted_error(const Labelled& labelled, const UrgencyCosts& costs, Rows rows) {
  if (costs.under.size() != static_cast<std::size_t>(labelled.labels))
    throw Error(ExitCode::kUsage, "urgency costs: {} given, wanted one for each of the {} urgencies", costs.under.size(), labelled.labels);
  for (const double cost : costs.under)
    if (!std::isfinite(cost) || cost < 0) throw Error(ExitCode::kUsage, "urgency costs: {} is not a cost, wanted 0 or more", cost);
  if (!std::isfinite(costs.over) || costs.over < 0)
    throw Error(ExitCode::kUsage, "cost of answering too urgent: {} is not a cost, wanted 0 or more", costs.over);
  double sum = 0;
  std::int64_t known = 0;
  visit_known(labelled, rows, [&](std::int32_t truth, std::int32_t answer) {
    const double under = costs.under[static_cast<std::size_t>(truth)];
    if (answer < 0)
      sum += std::max(under * (labelled.labels - 1 - truth), costs.over * truth);
    else
      sum += answer > truth ? under * (answer - truth) : costs.over * (truth - answer);
    ++known;
  });
  if (known == 0) return std::nullopt;
  return sum / static_cast<double>(known);
}

std::vector<ClassRow> class_rows(const Labelled& labelled, Rows rows, std::span<const std::string> names) {
  DESKHAND_ASSERT(names.size() == static_cast<std::size_t>(labelled.labels), "one name a label");
  std::vector<std::int64_t> counts;
  count_labels(labelled, rows, counts);
  std::vector<ClassRow> classes;
  classes.reserve(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto right = counts[i * 3 + kRight], truths = counts[i * 3 + kTruths], answers = counts[i * 3 + kAnswers];
    classes.push_back({.label = names[i],
                       .support = truths,
                       .predicted = answers,
                       .precision = ratio(right, answers),
                       .recall = ratio(right, truths),
                       .f1 = ratio(2 * right, truths + answers)});
  }
  return classes;
}

ConfusionMatrix confusion_matrix(const Labelled& labelled, Rows rows, std::span<const std::string> names) {
  DESKHAND_ASSERT(names.size() == static_cast<std::size_t>(labelled.labels), "one name a label");
  const std::size_t width = names.size() + 1;
  ConfusionMatrix matrix{.labels = {names.begin(), names.end()}, .counts = std::vector<std::int64_t>(names.size() * width)};
  visit_known(labelled, rows, [&](std::int32_t truth, std::int32_t answer) {
    ++matrix.counts[static_cast<std::size_t>(truth) * width + (answer < 0 ? names.size() : static_cast<std::size_t>(answer))];
  });
  return matrix;
}

}  // namespace deskhand
