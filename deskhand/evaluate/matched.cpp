#include "deskhand/evaluate/matched.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "deskhand/tickets/ticket.h"

namespace deskhand {
namespace {

std::vector<const Prediction*> in_ticket_order(const SplitRecords& records, const SystemAnswers& answers,
                                               std::vector<std::string>& warnings) {
  std::unordered_map<std::string_view, std::size_t> row_of;
  for (std::size_t i = 0; i < records.tickets.size(); ++i) row_of.emplace(records.tickets[i].id, i);
  std::vector<const Prediction*> rows(records.tickets.size(), nullptr);
  std::vector<std::string_view> twice, unknown, missing;
  for (const Prediction& prediction : answers.predictions) {
    const auto found = row_of.find(prediction.ticket_id);
    if (found == row_of.end())
      unknown.push_back(prediction.ticket_id);
    else if (rows[found->second])
      twice.push_back(prediction.ticket_id);
    else
      rows[found->second] = &prediction;
  }
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (!rows[i]) missing.push_back(records.tickets[i].id);
  const auto warn = [&](const std::vector<std::string_view>& ids, const char* what) {
    if (!ids.empty()) warnings.push_back(fmt::format("{} {} (the first: {})", ids.size(), what, ids.front()));
  };
  warn(missing, "held-out tickets have no prediction and count as wrong");
  warn(twice, "predictions stand beside an earlier one for the same ticket and were passed over");
  warn(unknown, "predictions are for tickets that are not held out and were passed over");
  return rows;
}

std::int32_t index_of(const std::vector<std::string>& labels, const std::string& label) {
  const auto found = std::find(labels.begin(), labels.end(), label);
  return found == labels.end() ? -1 : static_cast<std::int32_t>(found - labels.begin());
}

bool is_distribution(const std::vector<double>& p, std::size_t labels) {
  double sum = 0;
  for (const double value : p) {
    if (!(value >= 0) || !std::isfinite(value)) return false;
    sum += value;
  }
  return p.size() == labels && sum > 0;
}

void finish(MatchedLabels& labels) {
  labels.judged = judge(labels.probabilities, labels.truth);
  for (std::size_t i = 0; i < labels.truth.size(); ++i)
    labels.right.push_back(labels.truth[i] < 0 ? std::nullopt : std::optional<double>(labels.truth[i] == labels.answer[i]));
}

std::int64_t count_words(std::string_view text) {
  std::int64_t words = 0;
  bool inside = false;
  for (const char c : text) {
    const bool is_space = c == ' ' || (c >= '\t' && c <= '\r');
    words += !is_space && !inside;
    inside = !is_space;
  }
  return words;
}

}  // namespace

HeldOutTruth::HeldOutTruth(const SplitRecords& records) : records_(records), categories_(records.categories) {
  for (const HeldOutTicket& ticket : records.tickets) {
    if (!ticket.category.empty() && index_of(categories_, ticket.category) < 0) categories_.push_back(ticket.category);
    resolutions_.emplace_back(ticket.resolution);
  }
}

Matched HeldOutTruth::match(const SystemAnswers& answers, double above, ThreadPool& pool) const {
  Matched matched;
  matched.system = &answers;
  matched.warnings = answers.warnings;
  const auto rows = in_ticket_order(records_, answers, matched.warnings);
  const std::size_t count = rows.size();
  matched.urgency.labels = kMaxUrgency;
  matched.category.labels = static_cast<std::int32_t>(categories_.size());
  std::int64_t outside = 0, no_distribution = 0;
  for (std::size_t i = 0; i < count; ++i) {
    static const Prediction kNone;
    const HeldOutTicket& truth = records_.tickets[i];
    const Prediction& answer = rows[i] ? *rows[i] : kNone;
    const bool has_urgency = truth.urgency >= kMinUrgency && truth.urgency <= kMaxUrgency;
    matched.urgency.truth.push_back(has_urgency ? truth.urgency - kMinUrgency : -1);
    matched.category.truth.push_back(truth.category.empty() ? -1 : index_of(categories_, truth.category));
    const bool urgency_fits = answer.urgency >= kMinUrgency && answer.urgency <= kMaxUrgency;
    matched.urgency.answer.push_back(urgency_fits ? answer.urgency - kMinUrgency : -1);
    matched.category.answer.push_back(answer.category.empty() ? -1 : index_of(records_.categories, answer.category));
    outside += (answer.urgency != 0 && !urgency_fits) || (!answer.category.empty() && matched.category.answer.back() < 0);
    const auto told = [&](const std::vector<double>& p, std::size_t labels) {
      if (p.empty() || is_distribution(p, labels)) return p;
      ++no_distribution;
      return std::vector<double>();
    };
    matched.urgency.probabilities.push_back(told(answer.urgency_probabilities, kMaxUrgency));
    matched.category.probabilities.push_back(told(answer.category_probabilities, records_.categories.size()));
    const auto number = [](auto value) { return value ? std::optional<double>(static_cast<double>(*value)) : std::nullopt; };
    matched.seconds.push_back(answer.seconds);
    matched.prompt_tokens.push_back(number(answer.prompt_tokens));
    matched.new_tokens.push_back(number(answer.new_tokens));
    double similarity = 0;
    for (const FoundCase& found : answer.cases) similarity += found.similarity / static_cast<double>(answer.cases.size());
    matched.case_similarity.push_back(answer.cases.empty() ? std::nullopt : std::optional(similarity));
    matched.texts.any_resolution = matched.texts.any_resolution || !answer.resolution.empty();
  }
  finish(matched.urgency);
  finish(matched.category);
  for (std::size_t i = 0; i < count; ++i) {
    const auto& u = matched.urgency.right[i];
    const auto& c = matched.category.right[i];
    matched.both_right.push_back(u && c ? std::optional<double>(*u * *c) : std::nullopt);
    const auto truth = matched.urgency.truth[i], given = matched.urgency.answer[i];
    const int farthest = std::max(truth, kMaxUrgency - 1 - truth);
    matched.urgency_error.push_back(truth < 0 ? std::nullopt : std::optional<double>(given < 0 ? farthest : std::abs(truth - given)));
  }
  if (outside > 0)
    matched.warnings.push_back(fmt::format("{} predictions have a label outside the desk's labels: they count as wrong", outside));
  if (no_distribution > 0)
    matched.warnings.push_back(
        fmt::format("{} distributions over labels have the wrong length or values and were not used", no_distribution));

  MatchedTexts& texts = matched.texts;
  for (Column* column : {&texts.cosine, &texts.bert_precision, &texts.bert_recall, &texts.bert_f1, &texts.token_set_ratio, &texts.above,
                         &texts.partial_ratio, &texts.rouge_precision, &texts.rouge_recall, &texts.rouge_f1, &texts.bleu, &texts.chrf,
                         &texts.words, &texts.supported})
    column->resize(count);
  texts.bleu_statistics.resize(count);
  texts.chrf_statistics.resize(count);
  pool.parallel_for(static_cast<std::int64_t>(count), 4, [&](std::int64_t begin, std::int64_t end, int) {
    for (auto row = static_cast<std::size_t>(begin); row < static_cast<std::size_t>(end); ++row) {
      const std::string& truth = records_.tickets[row].resolution;
      const std::string answer = rows[row] ? rows[row]->resolution : std::string();
      if (rows[row] && !answer.empty()) {
        texts.words[row] = static_cast<double>(count_words(answer));
        texts.supported[row] = rows[row]->supported;
      }
      if (truth.empty()) continue;
      const FuzzyText fuzzy(answer);
      texts.token_set_ratio[row] = token_set_ratio(fuzzy, resolutions_[row]);
      texts.above[row] = *texts.token_set_ratio[row] > above;
      texts.partial_ratio[row] = answer.empty() ? 0 : partial_ratio(fuzzy, resolutions_[row]);
      const RougeL rouge = rouge_l(answer, truth);
      texts.rouge_precision[row] = rouge.precision;
      texts.rouge_recall[row] = rouge.recall;
      texts.rouge_f1[row] = rouge.f1;
      texts.bleu_statistics[row] = bleu_statistics(answer, truth);
      texts.bleu[row] = sentence_bleu(texts.bleu_statistics[row]);
      texts.chrf_statistics[row] = chrf_statistics(answer, truth);
      texts.chrf[row] = chrf(texts.chrf_statistics[row]);
      if (answer.empty()) {
        texts.cosine[row] = texts.bert_precision[row] = texts.bert_recall[row] = texts.bert_f1[row] = 0;
      } else if (const auto& similarity = rows[row]->similarity) {
        texts.cosine[row] = similarity->cosine;
        texts.bert_precision[row] = similarity->bert_precision;
        texts.bert_recall[row] = similarity->bert_recall;
        texts.bert_f1[row] = similarity->bert_f1;
      }
    }
  });
  const bool has_encoder = std::any_of(rows.begin(), rows.end(), [](const Prediction* row) { return row && row->similarity; });
  if (!has_encoder)
    for (Column* column : {&texts.cosine, &texts.bert_precision, &texts.bert_recall, &texts.bert_f1}) column->assign(count, std::nullopt);
  return matched;
}

}  // namespace deskhand
