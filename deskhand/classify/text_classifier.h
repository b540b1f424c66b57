// The baseline that every evaluation shows: TF-IDF and logistic regression from a text to a label. What is hard to beat with little data:
// words and pairs of words, 1 + ln(count), and the penalty chosen by cross-validation on the texts learnt from, by likelihood.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/base/parallel.h"
#include "deskhand/classify/logistic_regression.h"
#include "deskhand/classify/tf_idf.h"

namespace deskhand {

struct TextClassifierSettings {
  TfidfSettings tf_idf{.max_ngram = 2, .sublinear_tf = true};
  bool balanced = false;                 // true: better macro-F1, worse accuracy and probabilities
  std::vector<double> C = {1, 10, 100};  // tried; a single one is taken as it is
  int folds = 3;                         // row i belongs to fold i mod folds of its class
};

class TextClassifier {
 public:
  // Throws Error(kBadInput) without texts or for a count of labels other than that of the texts.
  static TextClassifier fit(std::span<const std::string_view> texts, std::span<const std::string> labels,
                            const TextClassifierSettings& settings, ThreadPool& pool);

  std::vector<double> predict_proba(std::span<const std::string_view> texts) const;  // (texts, classes)
  const std::vector<std::string>& classes() const { return model_.classes(); }
  double C() const { return C_; }  // that was chosen
  const TfidfVectorizer& vectorizer() const { return vectorizer_; }
  const LogisticRegression& model() const { return model_; }

 private:
  TfidfVectorizer vectorizer_;
  LogisticRegression model_;
  double C_ = 1;
};

}  // namespace deskhand
