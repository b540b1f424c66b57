#include "deskhand/evaluate/measures.h"

#include <fmt/format.h>

namespace deskhand {
namespace {

constexpr const char* kNoTruth = "no held-out ticket has a known label";
constexpr const char* kNoProbabilities = "the system gives no probabilities";
constexpr const char* kNoResolution = "the system gives no resolution, or no true one is known";
constexpr const char* kNoEncoder = "the system gives no resolution, or the desk has no encoder";
constexpr const char* kOneClass = "one label only among truths and answers";
constexpr const char* kNotTold = "the system does not tell";

const MatchedLabels& urgency(const Matched& m) {
  return m.urgency;
}
const MatchedLabels& category(const Matched& m) {
  return m.category;
}
using Labels = const MatchedLabels& (*)(const Matched&);

template <Labels labels>
Statistic macro_f1_of(const Matched& m, const MeasureSettings&) {
  return [view = labels(m).view()](Rows rows, Scratch& scratch) { return macro_f1(view, rows, scratch); };
}
template <Labels labels>
Statistic calibration_error_of(const Matched& m, const MeasureSettings&) {
  return [&judged = labels(m).judged](Rows rows, Scratch&) { return calibration_error(judged, rows); };
}
template <Labels labels>
Statistic brier_of(const Matched& m, const MeasureSettings&) {
  return [&judged = labels(m).judged](Rows rows, Scratch&) { return brier_score(judged, rows); };
}
template <Labels labels>
Statistic log_loss_of(const Matched& m, const MeasureSettings&) {
  return [&judged = labels(m).judged](Rows rows, Scratch&) { return log_loss(judged, rows); };
}
template <Labels labels>
Statistic coverage_area_of(const Matched& m, const MeasureSettings&) {
  return [area = CoverageArea(labels(m).judged)](Rows rows, Scratch& scratch) { return area(rows, scratch); };
}
Statistic kappa_of(const Matched& m, const MeasureSettings&) {
  return [view = m.urgency.view()](Rows rows, Scratch&) { return quadratic_kappa(view, rows); };
}
Statistic cost_of(const Matched& m, const MeasureSettings& settings) {
  return [view = m.urgency.view(), costs = settings.costs](Rows rows, Scratch&) { return cost_weighted_error(view, costs, rows); };
}

// A corpus value from the sum of the pairs' statistics, over tickets whose column has a value.
template <class Statistics>
Statistic corpus_value(const std::vector<Statistics>& pairs, const Column& known, double (*value)(const Statistics&)) {
  return [&pairs, &known, value](Rows rows, Scratch&) -> std::optional<double> {
    Statistics sum;
    bool any = false;
    for (const auto row : rows)
      if (known[static_cast<std::size_t>(row)]) {
        sum += pairs[static_cast<std::size_t>(row)];
        any = true;
      }
    return any ? std::optional(value(sum)) : std::nullopt;
  };
}

}  // namespace

std::vector<Measure> measure_table(const MeasureSettings& settings) {
  constexpr auto kUp = Better::kHigher, kDown = Better::kLower;
  using M = const Matched&;
  std::vector<Measure> table = {
      {{"urgency_accuracy", "Urgency right", "Labels", "Share of tickets whose urgency is exactly right.", "%", kUp},
       [](M m) { return &m.urgency.right; },
       nullptr,
       true,
       kNoTruth},
      {{"category_accuracy", "Category right", "Labels", "Share of tickets whose category is right.", "%", kUp},
       [](M m) { return &m.category.right; },
       nullptr,
       true,
       kNoTruth},
      {{"both_accuracy", "Both right", "Labels", "Share of tickets with urgency and category right.", "%", kUp},
       [](M m) { return &m.both_right; },
       nullptr,
       true,
       kNoTruth},
      {{"urgency_macro_f1", "Urgency macro-F1", "Labels", "Mean F1 of the urgencies, rare ones counting as much as common ones.", "", kUp},
       nullptr,
       macro_f1_of<urgency>,
       false,
       kNoTruth},
      {{"category_macro_f1", "Category macro-F1", "Labels", "Mean F1 of the categories, rare ones counting as much as common ones.", "",
        kUp},
       nullptr,
       macro_f1_of<category>,
       false,
       kNoTruth},
      {{"urgency_kappa", "Urgency kappa", "Labels",
        "Quadratic weighted kappa: agreement beyond chance, 1 is perfect, 0 is chance; a level off costs little, four levels much.", "",
        kUp},
       nullptr,
       kappa_of,
       false,
       kOneClass},
      {{"urgency_mae", "Urgency error", "Labels", "Mean distance between answered and true urgency.", "levels", kDown},
       [](M m) { return &m.urgency_error; },
       nullptr,
       false,
       kNoTruth},
      {{"urgency_cost", "Urgency cost", "Labels",
        "Mean cost of wrong urgencies by the desk's settings: an urgent ticket placed too low costs most.", "", kDown},
       nullptr,
       cost_of,
       false,
       kNoTruth},

      {{"urgency_calibration_error", "Urgency calibration error", "Confidence",
        "Expected calibration error: how far stated probability and share of right answers lie apart.", "%", kDown},
       nullptr,
       calibration_error_of<urgency>,
       false,
       kNoProbabilities},
      {{"category_calibration_error", "Category calibration error", "Confidence",
        "Expected calibration error: how far stated probability and share of right answers lie apart.", "%", kDown},
       nullptr,
       calibration_error_of<category>,
       false,
       kNoProbabilities},
      {{"urgency_brier", "Urgency Brier score", "Confidence", "Squared distance of the probabilities from the truth, 0 to 2.", "", kDown},
       nullptr,
       brier_of<urgency>,
       false,
       kNoProbabilities},
      {{"category_brier", "Category Brier score", "Confidence", "Squared distance of the probabilities from the truth, 0 to 2.", "", kDown},
       nullptr,
       brier_of<category>,
       false,
       kNoProbabilities},
      {{"urgency_log_loss", "Urgency log loss", "Confidence", "Mean -ln of the true urgency's probability.", "nats", kDown},
       nullptr,
       log_loss_of<urgency>,
       false,
       kNoProbabilities},
      {{"category_log_loss", "Category log loss", "Confidence", "Mean -ln of the true category's probability.", "nats", kDown},
       nullptr,
       log_loss_of<category>,
       false,
       kNoProbabilities},
      {{"urgency_coverage_area", "Urgency precision by coverage", "Confidence",
        "Area under the precision-coverage curve: high if the surest answers are the right ones.", "", kUp},
       nullptr,
       coverage_area_of<urgency>,
       false,
       kNoProbabilities},
      {{"category_coverage_area", "Category precision by coverage", "Confidence",
        "Area under the precision-coverage curve: high if the surest answers are the right ones.", "", kUp},
       nullptr,
       coverage_area_of<category>,
       false,
       kNoProbabilities},

      {{"resolution_cosine", "Same meaning (MiniLM cosine)", "Resolution",
        "Cosine of the encoder's vectors of answered and true resolution.", "", kUp},
       [](M m) { return &m.texts.cosine; },
       nullptr,
       false,
       kNoEncoder},
      {{"token_set_ratio", "Same words (token_set_ratio)", "Resolution", "rapidfuzz's token_set_ratio of the resolutions.", "0..100", kUp},
       [](M m) { return &m.texts.token_set_ratio; },
       nullptr,
       false,
       kNoResolution},
      {{"token_set_above", fmt::format("token_set_ratio above {:g}", settings.above), "Resolution",
        "Share of resolutions that say the same in other words.", "%", kUp},
       [](M m) { return &m.texts.above; },
       nullptr,
       true,
       kNoResolution},
      {{"partial_ratio", "Partial ratio", "Resolution", "rapidfuzz's partial_ratio: the best match of the shorter text in the longer.",
        "0..100", kUp},
       [](M m) { return &m.texts.partial_ratio; },
       nullptr,
       false,
       kNoResolution},
      {{"rouge_l", "ROUGE-L", "Resolution", "F1 of the longest common subsequence of words.", "", kUp},
       [](M m) { return &m.texts.rouge_f1; },
       nullptr,
       false,
       kNoResolution},
      {{"bleu", "BLEU", "Resolution", "Corpus BLEU, as sacrebleu gives it.", "0..100", kUp},
       [](M m) { return &m.texts.bleu; },
       [](M m, const MeasureSettings&) { return corpus_value(m.texts.bleu_statistics, m.texts.bleu, corpus_bleu); },
       false,
       kNoResolution},
      {{"chrf", "chrF", "Resolution", "Corpus chrF (characters), as sacrebleu gives it.", "0..100", kUp},
       [](M m) { return &m.texts.chrf; },
       [](M m, const MeasureSettings&) { return corpus_value(m.texts.chrf_statistics, m.texts.chrf, chrf); },
       false,
       kNoResolution},
      {{"bert_precision", "BERTScore precision", "Resolution", "How well the answer's tokens are matched in the true resolution.", "", kUp},
       [](M m) { return &m.texts.bert_precision; },
       nullptr,
       false,
       kNoEncoder},
      {{"bert_recall", "BERTScore recall", "Resolution", "How well the true resolution's tokens are matched in the answer.", "", kUp},
       [](M m) { return &m.texts.bert_recall; },
       nullptr,
       false,
       kNoEncoder},
      {{"bert_f1", "BERTScore F1", "Resolution", "Harmonic mean of BERTScore precision and recall.", "", kUp},
       [](M m) { return &m.texts.bert_f1; },
       nullptr,
       false,
       kNoEncoder},
      {{"supported", "Supported sentences", "Resolution", "Share of the answer's sentences that a cited case supports.", "%", kUp},
       [](M m) { return &m.texts.supported; },
       nullptr,
       false,
       kNoResolution},
      {{"resolution_words", "Length", "Resolution", "Words of the answered resolution.", "words", Better::kNeither},
       [](M m) { return &m.texts.words; },
       nullptr,
       false,
       kNoResolution},

      {{"case_similarity", "Similarity of cases", "Cost", "Mean similarity of the cases found, as the system measures it.", "",
        Better::kNeither},
       [](M m) { return &m.case_similarity; },
       nullptr,
       false,
       "the system looks at no cases"},
      {{"seconds", "Seconds a ticket", "Cost", "Time to answer, without loading and learning.", "s", kDown},
       [](M m) { return &m.seconds; },
       nullptr,
       false,
       kNotTold},
      {{"prompt_tokens", "Tokens read", "Cost", "Of the prompt, a ticket.", "tokens", Better::kNeither},
       [](M m) { return &m.prompt_tokens; },
       nullptr,
       false,
       "no language model"},
      {{"new_tokens", "Tokens written", "Cost", "Of the answer, a ticket.", "tokens", Better::kNeither},
       [](M m) { return &m.new_tokens; },
       nullptr,
       false,
       "no language model"},
  };
  table.push_back(
      {{"peak_memory", "Peak memory", "Cost", "Of the whole process while it answered, without what lies on a GPU.", "MiB", kDown},
       nullptr,
       [](M m, const MeasureSettings&) -> Statistic {
         return [peak = m.system->peak_bytes](Rows, Scratch&) { return peak ? std::optional(*peak / (1 << 20)) : std::nullopt; };
       },
       false,
       kNotTold});
  for (Measure& measure : table) measure.info.per_ticket = measure.column != nullptr;
  return table;
}

std::vector<MeasureInfo> measure_list(const MeasureSettings& settings) {
  std::vector<MeasureInfo> list;
  for (Measure& measure : measure_table(settings)) list.push_back(std::move(measure.info));
  return list;
}

}  // namespace deskhand
