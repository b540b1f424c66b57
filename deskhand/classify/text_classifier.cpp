#include "deskhand/classify/text_classifier.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

constexpr double kRoughly = .1;  // tolerance over C while C is chosen: the loss grows with C, and only its order among a few C is wanted

// The fold of each row: a class's rows are dealt out one by one, each class beginning at another fold.
std::vector<int> deal(std::span<const std::string> labels, int folds) {
  std::map<std::string_view, int> next;
  for (const auto& label : labels) next[label] = 0;
  int first = 0;
  for (auto& [label, fold] : next) fold = first++;
  std::vector<int> fold_of;
  for (const auto& label : labels) fold_of.push_back(next[label]++ % folds);
  return fold_of;
}

// Log-likelihood of the rows that a fold held out; labels that the fold's training part lacks say nothing of C and are passed over.
double held_out_likelihood(const SparseRows& rows, std::span<const std::string> labels, const std::vector<int>& fold_of, int folds,
                           const LogisticSettings& settings, ThreadPool& pool) {
  double sum = 0;
  for (int fold = 0; fold < folds; ++fold) {
    std::vector<std::int64_t> learnt, held;
    std::vector<std::string> learnt_labels;
    for (std::size_t i = 0; i < labels.size(); ++i) {
      (fold_of[i] == fold ? held : learnt).push_back(static_cast<std::int64_t>(i));
      if (fold_of[i] != fold) learnt_labels.push_back(labels[i]);
    }
    if (learnt.empty() || held.empty()) continue;
    const auto model = LogisticRegression::fit(pick_rows(rows, learnt), learnt_labels, settings, pool);
    const auto probabilities = model.predict_proba(pick_rows(rows, held));
    const auto& classes = model.classes();
    for (std::size_t h = 0; h < held.size(); ++h) {
      const auto& label = labels[static_cast<std::size_t>(held[h])];
      const auto at = std::lower_bound(classes.begin(), classes.end(), label);
      if (at == classes.end() || *at != label) continue;
      sum += std::log(std::max(1e-15, probabilities[h * classes.size() + static_cast<std::size_t>(at - classes.begin())]));
    }
  }
  return sum;
}

}  // namespace

TextClassifier TextClassifier::fit(std::span<const std::string_view> texts, std::span<const std::string> labels,
                                   const TextClassifierSettings& settings, ThreadPool& pool) {
  if (texts.size() != labels.size())
    throw Error(ExitCode::kBadInput, "there are {} labels for {} texts: one for each is wanted", labels.size(), texts.size());
  if (settings.C.empty() || settings.folds < 2)
    throw Error(ExitCode::kUsage, "a classifier wants a C at least and two folds; found {} and {}", settings.C.size(), settings.folds);
  TextClassifier classifier;
  classifier.vectorizer_ = TfidfVectorizer(settings.tf_idf);
  const SparseRows rows = classifier.vectorizer_.fit(texts);
  classifier.C_ = settings.C.front();
  if (settings.C.size() > 1) {
    const auto fold_of = deal(labels, settings.folds);
    double best = -HUGE_VAL;
    for (const double C : settings.C) {
      const double likelihood = held_out_likelihood(rows, labels, fold_of, settings.folds,
                                                    {.C = C, .balanced = settings.balanced, .tolerance = kRoughly * C}, pool);
      if (likelihood <= best) continue;
      best = likelihood;
      classifier.C_ = C;
    }
  }
  classifier.model_ = LogisticRegression::fit(rows, labels, {.C = classifier.C_, .balanced = settings.balanced}, pool);
  return classifier;
}

std::vector<double> TextClassifier::predict_proba(std::span<const std::string_view> texts) const {
  return model_.predict_proba(vectorizer_.transform(texts));
}

}  // namespace deskhand
