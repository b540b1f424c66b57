// A whole evaluation: systems measured on the same held-out tickets, with intervals, comparisons and what is to be said of them. What
// `deskhand report` draws and metrics.json holds. No value is ever NaN: what is not defined is empty and says why.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/evaluate/prediction.h"

namespace deskhand {

// A measured value with its 95 % bootstrap interval.
struct Estimate {
  std::optional<double> value;
  double low = 0, high = 0;  // valid where value is
  std::string undefined;     // why there is no value: "one class only", "the system gives no resolution"
};

enum class Better { kHigher, kLower, kNeither };

// What stands in a row of every table; measures.cpp has them all.
struct MeasureInfo {
  std::string id;       // "urgency_accuracy"
  std::string title;    // "Urgency accuracy"
  std::string section;  // "Labels", "Confidence", "Resolution", "Cost"
  std::string about;    // one sentence for readers
  std::string unit;     // "%" (value 0..1 shown as per cent), "", "levels", "s", "tokens", "words", "0..100"
  Better better = Better::kHigher;
  bool per_ticket = false;  // has a value for each ticket
};

struct ClassRow {
  std::string label;
  std::int64_t support = 0, predicted = 0;
  double precision = 0, recall = 0, f1 = 0;  // 0 where nothing was predicted or nothing is there, as scikit-learn's zero_division=0
};

// Rows are the truth, columns the answer; the last column counts answers that are missing or outside the labels.
struct ConfusionMatrix {
  std::vector<std::string> labels;
  std::vector<std::int64_t> counts;  // (labels, labels + 1), row-major
};

struct ReliabilityBin {
  double confidence = 0, accuracy = 0;  // means
  std::int64_t count = 0;               // empty bins are left out
};

struct CoveragePoint {
  double threshold = 0;  // answers at least this sure are taken
  double coverage = 0;   // share of tickets that are
  double precision = 0;  // share of those that is right
};

struct LabelDetail {  // of urgency or category
  ConfusionMatrix confusion;
  std::vector<ClassRow> classes;
  std::vector<ReliabilityBin> reliability, reliability_scaled;  // as given; after temperature scaling. Empty: no probabilities
  std::vector<CoveragePoint> coverage;
  std::optional<double> temperature;  // fitted on validation tickets; above 1: it was too sure
  std::optional<double> calibration_error_scaled, brier_scaled;
};

struct Correlation {
  Estimate pearson, spearman;
  std::optional<double> pearson_p, spearman_p;  // two-sided, of no correlation
  double slope = 0, intercept = 0;              // least squares
  std::int64_t pairs = 0;
};

struct TicketMeasures {
  std::string ticket_id;
  std::vector<std::optional<double>> values;  // in the order of Evaluation::measures; empty for measures of whole sets
};

struct SystemResult {
  SystemIdentity identity;
  std::vector<Estimate> measures;  // in the order of Evaluation::measures
  LabelDetail urgency, category;
  Correlation similarity_fuzzy;         // the cases' mean similarity against token_set_ratio of the resolution
  std::vector<TicketMeasures> tickets;  // in the order of the held-out tickets
  std::vector<std::string> warnings;    // "3 tickets have no prediction: they count as wrong (first: T-17)"
};

// A against B on the tickets that both answered: difference = value of b - value of a.
struct Difference {
  std::string a, b;  // systems
  std::string measure;
  Estimate difference;                  // paired bootstrap
  std::optional<double> p;              // two-sided, paired bootstrap
  std::optional<double> mcnemar_p;      // exact, for right/wrong measures
  std::int64_t only_a = 0, only_b = 0;  // tickets that only one has right, where mcnemar_p is there
  bool matters = false;                 // the interval leaves zero out, and for right/wrong measures McNemar agrees at .05
  std::string verdict;                  // "better", "worse", "cannot tell"
};

struct RetrievalRow {
  std::string method;  // "dense", "bm25", "keywords", "fusion"
  int k = 0;           // 1, 3, 5, 10
  Estimate recall, precision, f1, mrr, ndcg, map;
};

struct NearCopy {
  std::string test_id, train_id;
  double similarity = 0;  // 0..1, share of word shingles in common (Jaccard)
};

struct Leakage {
  std::int64_t test = 0, leaked = 0;  // held-out tickets; those with a near copy among the tickets learnt from
  double threshold = 0;
  std::vector<NearCopy> examples;  // the closest, up to 20
};

struct LossCurve {                            // of a training run
  std::string run, method;                    // "lora", "hybrid"
  std::vector<double> epoch, loss;            // one a step
  std::vector<double> eval_epoch, eval_loss;  // one an evaluation
};

// One way of dividing the desk's tickets, and everything measured on it.
struct SplitResult {
  std::string name;         // "desk", "random", "grouped", "time"
  std::string description;  // "random, 5 %, seed 42"
  std::int64_t train = 0, test = 0;
  std::int64_t relevant_queries = 0;  // held-out tickets that have at least one relevant case
  Leakage leakage;
  std::vector<std::string> urgency_labels, category_labels;
  std::vector<SystemResult> systems;
  std::vector<Difference> differences;
  std::vector<RetrievalRow> retrieval;
  std::vector<std::string> warnings;  // "the test part has 23 tickets: differences under 20 points cannot be told from chance"
};

struct Evaluation {
  std::string name, desk, made, version;  // made: ISO, UTC
  std::vector<MeasureInfo> measures;
  std::vector<SplitResult> splits;    // the desk's own first
  std::vector<std::string> findings;  // sentences, the most important first; plain text
  std::vector<LossCurve> training;
  std::int64_t resamples = 0;
  std::uint32_t seed = 0;
  std::vector<double> urgency_costs;  // settings that a reader must know
  double above = 75;                  // of token_set_ratio
  double relevant_similarity = 0;     // of resolutions, for retrieval
};

// metrics.json: everything but texts. Reading throws Error(kBadInput) naming the field. read(write(e)) == e.
std::string write_evaluation(const Evaluation& evaluation);
Evaluation read_evaluation(std::string_view json, std::string_view where);

}  // namespace deskhand
