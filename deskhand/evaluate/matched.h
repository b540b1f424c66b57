// One system's answers in the order of the held-out tickets, with everything that measures read worked out once.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "deskhand/base/parallel.h"
#include "deskhand/evaluate/calibration.h"
#include "deskhand/evaluate/labels.h"
#include "deskhand/evaluate/prediction.h"
#include "deskhand/evaluate/text_similarity.h"
#include "deskhand/text/fuzzy.h"

namespace deskhand {

using Column = std::vector<std::optional<double>>;  // (tickets); empty: the measure says nothing of the ticket

struct MatchedLabels {
  std::vector<std::int32_t> truth, answer;         // (tickets) -1: not known; missing
  std::vector<std::vector<double>> probabilities;  // (tickets) empty: not told
  std::vector<Judged> judged;                      // (tickets)
  Column right;                                    // 1 or 0; empty where the truth is not known
  std::int32_t labels = 0;

  Labelled view() const { return {truth, answer, labels}; }
};

struct MatchedTexts {
  Column cosine, bert_precision, bert_recall, bert_f1;                                                // empty columns: no encoder
  Column token_set_ratio, above, partial_ratio, rouge_precision, rouge_recall, rouge_f1, bleu, chrf;  // 0..1 or 0..100
  std::vector<BleuStatistics> bleu_statistics;  // (tickets) zero where there is no true resolution
  std::vector<ChrfStatistics> chrf_statistics;
  Column words, supported;
  bool any_resolution = false;  // false: the system gives none
};

struct Matched {
  const SystemAnswers* system = nullptr;
  MatchedLabels urgency, category;
  Column both_right, urgency_error;
  MatchedTexts texts;
  Column case_similarity;  // mean over the cases found
  Column seconds, prompt_tokens, new_tokens;
  std::vector<std::string> warnings;
};

// The true side, prepared once for all systems.
class HeldOutTruth {
 public:
  // Labels are those that systems choose from and, behind them, what the truth has beside.
  explicit HeldOutTruth(const SplitRecords& records);

  Matched match(const SystemAnswers& answers, double above, ThreadPool& pool) const;
  std::int64_t size() const { return static_cast<std::int64_t>(records_.tickets.size()); }
  const std::vector<std::string>& categories() const { return categories_; }

 private:
  const SplitRecords& records_;
  std::vector<std::string> categories_;
  std::vector<FuzzyText> resolutions_;
};

}  // namespace deskhand
