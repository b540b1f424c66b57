// Multinomial logistic regression with an L2 penalty: minimises C sum_i w_i loss_i + |coefficients|^2 / 2, intercepts not penalised,
// exactly scikit-learn's LogisticRegression (two classes included: there the penalty is that of the difference of the two classes'
// coefficients). L-BFGS (Nocedal and Wright, algorithm 7.4). The result does not depend on the number of threads, to the bit. Where rows
// are fewer than columns the coefficients are kept as sums of rows (representer theorem): memory and time go with the texts, not with the
// vocabulary. Left out: other penalties, sample weights, stochastic solvers.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "deskhand/base/parallel.h"
#include "deskhand/classify/rows.h"

namespace deskhand {

struct LogisticSettings {
  double C = 1;           // large: little penalty
  bool balanced = false;  // class_weight="balanced": w_i = rows / (classes * rows of the class)
  // Length of the gradient at which the search ends. The objective curves by at least 1 along every coefficient, so with the intercepts at
  // their best the coefficients are at most this far from the minimum.
  double tolerance = 1e-2;
  int max_iterations = 1000;
};

class LogisticRegression {
 public:
  // Throws Error(kBadInput) without rows, for a value that is not finite or as many labels as rows are not there; Error(kUsage) unless C >
  // 0; Error(kInterrupted) on Ctrl-C.
  static LogisticRegression fit(const RowsView& rows, std::span<const std::string> labels, const LogisticSettings& settings,
                                ThreadPool& pool);

  // (rows, classes), row-major; each row sums to 1. One class only: 1. Width other than the fitted one: assertion.
  std::vector<double> predict_proba(const RowsView& rows) const;

  const std::vector<std::string>& classes() const { return classes_; }   // sorted by bytes
  std::span<const float> coefficients() const { return coefficients_; }  // (width, classes), sums to 0 over the classes
  std::span<const double> intercepts() const { return intercepts_; }     // (classes)
  int iterations() const { return iterations_; }
  bool converged() const { return converged_; }

 private:
  std::vector<std::string> classes_;
  std::int64_t width_ = 0;
  std::vector<float> coefficients_;
  std::vector<double> intercepts_;
  int iterations_ = 0;
  bool converged_ = true;
};

}  // namespace deskhand
