// Whether the text says the label at all: TF-IDF and logistic regression, cross-validated, against the commonest label and against the
// labels' shares.
#include <algorithm>
#include <cmath>
#include <map>

#include "deskhand/audit/audit.h"
#include "deskhand/base/error.h"
#include "deskhand/base/interrupt.h"
#include "deskhand/base/progress.h"
#include "deskhand/classify/text_classifier.h"
#include "deskhand/tickets/near_copies.h"
#include "deskhand/tickets/split.h"

namespace deskhand {
namespace {

constexpr std::size_t kLeast = 30;  // labelled tickets

struct Guess {
  std::string label, predicted;
  bool right = false, majority_right = false;
  double gain = 0;  // log2 of the model's probability of the label over its share
};

std::vector<const Ticket*> drawn(std::span<const Ticket> tickets, LabelField field, const AuditSettings& settings, std::int64_t& of) {
  std::vector<const Ticket*> labelled, some;
  for (const Ticket& ticket : tickets)
    if (!label_of(ticket, field).empty() && !problem_text(ticket).empty()) labelled.push_back(&ticket);
  of = std::ssize(labelled);
  for (const auto row : numpy_permutation(of, settings.seed))
    if (std::ssize(some) < settings.sample) some.push_back(labelled[static_cast<std::size_t>(row)]);
  return some;
}

void predict_fold(const Split& split, std::span<const std::string_view> texts, std::span<const std::string> labels, ThreadPool& pool,
                  std::vector<Guess>& out) {
  std::vector<std::string_view> learnt, asked;
  std::vector<std::string> learnt_labels;
  std::map<std::string, double> counts;
  for (const auto row : split.train) {
    learnt.push_back(texts[static_cast<std::size_t>(row)]);
    learnt_labels.push_back(labels[static_cast<std::size_t>(row)]);
    ++counts[learnt_labels.back()];
  }
  for (const auto row : split.test) asked.push_back(texts[static_cast<std::size_t>(row)]);
  const auto model = TextClassifier::fit(learnt, learnt_labels, {}, pool);
  const std::vector<double> probabilities = model.predict_proba(asked);
  const auto& classes = model.classes();
  const auto majority = std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  for (std::size_t t = 0; t < asked.size(); ++t) {
    const auto own = std::span(probabilities).subspan(t * classes.size(), classes.size());
    const auto best = static_cast<std::size_t>(std::max_element(own.begin(), own.end()) - own.begin());
    const auto row = static_cast<std::size_t>(split.test[t]);
    Guess& prediction = out[row];
    prediction.label = labels[row];
    prediction.predicted = classes[best];
    prediction.right = classes[best] == labels[row];
    prediction.majority_right = majority->first == labels[row];
    const auto at = std::lower_bound(classes.begin(), classes.end(), labels[row]);
    if (at == classes.end() || *at != labels[row]) continue;  // unknown to both: says nothing of either
    const double share = counts[labels[row]] / static_cast<double>(learnt.size());
    prediction.gain = std::log2(std::max(1e-9, own[static_cast<std::size_t>(at - classes.begin())]) / share);
  }
}

std::vector<ClassPrediction> by_class(std::span<const Guess> predictions) {
  std::map<std::string, ClassPrediction> classes;
  std::map<std::string, std::map<std::string, std::int64_t>> taken;
  for (const Guess& one : predictions) {
    classes[one.label].right += one.right;
    ++classes[one.label].tickets;
    ++classes[one.predicted].predicted;
    if (!one.right) ++taken[one.label][one.predicted];
  }
  std::vector<ClassPrediction> list;
  for (auto& [label, one] : classes) {
    one.label = label;
    if (one.tickets + one.predicted > 0) one.f1 = 2.0 * static_cast<double>(one.right) / static_cast<double>(one.tickets + one.predicted);
    for (const auto& [other, count] : taken[label])
      if (count > one.taken) one.taken = count, one.taken_for = other;
    list.push_back(std::move(one));
  }
  std::stable_sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.tickets > b.tickets; });
  return list;
}

}  // namespace

PredictionAudit audit_prediction(std::span<const Ticket> tickets, LabelField field, const AuditSettings& settings, ThreadPool& pool) {
  PredictionAudit audit{.field = field};
  const auto some = drawn(tickets, field, settings, audit.of);
  audit.tickets = std::ssize(some);
  std::vector<std::string_view> texts;
  std::vector<std::string> labels;
  std::set<std::string> different;
  for (const Ticket* ticket : some) {
    texts.push_back(problem_text(*ticket));
    labels.push_back(label_of(*ticket, field));
    different.insert(labels.back());
  }
  if (some.size() < kLeast || different.size() < 2) {
    audit.missing = different.empty()
                        ? fmt::format("no ticket has a text and {}", field == LabelField::kCategory ? "a category" : "an urgency")
                    : different.size() == 1 ? fmt::format("all tickets have the same {}", name_of(field))
                                            : fmt::format("{} labelled tickets are too few; {} are wanted", some.size(), kLeast);
    return audit;
  }
  const auto groups = near_copy_groups(texts, pool);
  const auto group_count = *std::max_element(groups.begin(), groups.end()) + 1;
  const int folds = static_cast<int>(std::min<std::int64_t>(settings.folds, group_count));
  if (folds < 2) {
    audit.missing = "all problems are near copies of one another";
    return audit;
  }
  audit.folds = folds;
  std::vector<Guess> predictions(some.size());
  Progress progress({.what = fmt::format("asking whether the text says the {}", name_of(field)),
                     .unit = "folds",
                     .total = folds,
                     .quiet = settings.quiet});
  for (const Split& split : grouped_folds(groups, folds, settings.seed)) {
    check_interrupt();
    predict_fold(split, texts, labels, pool, predictions);
    progress.advance();
  }
  progress.finish();

  const auto share = [&](auto value) {
    return Statistic([&predictions, value](Rows rows, Scratch&) -> std::optional<double> {
      double sum = 0;
      for (const auto row : rows) sum += value(predictions[static_cast<std::size_t>(row)]);
      return sum / static_cast<double>(rows.size());
    });
  };
  const std::vector<Statistic> statistics = {share([](const Guess& p) { return p.right ? 1.0 : 0.0; }),
                                             share([](const Guess& p) { return p.majority_right ? 1.0 : 0.0; }),
                                             share([](const Guess& p) { return p.gain; })};
  const auto resampled = bootstrap(audit.tickets, statistics, settings.bootstrap, pool);
  audit.accuracy = estimate(resampled[0], {.share_of = audit.tickets});
  audit.majority = estimate(resampled[1], {.share_of = audit.tickets});
  audit.difference = paired_difference(resampled[1], resampled[0], {.share_of = audit.tickets}).difference;
  audit.gain = estimate(resampled[2]);
  audit.classes = by_class(predictions);
  std::int64_t with_tickets = 0;
  for (const ClassPrediction& one : audit.classes) {
    if (one.tickets == 0) continue;
    audit.macro_f1 += one.f1;
    ++with_tickets;
  }
  audit.macro_f1 /= static_cast<double>(with_tickets);
  audit.verdict = audit.difference.value && audit.difference.low > 0 ? Verdict::kPredicts
                  : audit.gain.value && audit.gain.low > 0           ? Verdict::kSaysSomething
                                                                     : Verdict::kCannot;
  return audit;
}

}  // namespace deskhand
