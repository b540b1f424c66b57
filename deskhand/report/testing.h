// A made-up evaluation for tests: plausible figures of any size from a seed, with texts that try to break out of the page. No statistics
// are computed here: intervals are the normal approximation.
#pragma once
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "deskhand/evaluate/evaluation.h"
#include "deskhand/evaluate/prediction.h"

namespace deskhand::testing {

struct MadeUp {
  Evaluation evaluation;
  std::vector<SplitRecords> records;
};

struct MadeUpOptions {
  int tickets = 160, systems = 8;  // of systems, the last three are baselines (all, if there are fewer than four)
  bool probabilities = true, training = true, hostile = true;
  int splits = 3;
  std::uint32_t seed = 1;
};

inline constexpr const char* kHostile[] = {
    "</script><script>document.title='broken out'</script><img src=x onerror=\"throw new Error('broken out')\"> printer",
    "Scanner \xE2\x80\xAE"
    "desrever\xE2\x80\xAC and \x1b[31mred\x1b[0m, null \x01 byte, bad \xFF\xC0 bytes, line\xE2\x80\xA8separator",
    "<!-- ]]> --> & &amp; %{x} ${y} <b>bold</b> | pipe | `code` [link](javascript:alert(1))",
};

inline Estimate share(double value, int count) {
  const double half = 1.96 * std::sqrt(std::max(value * (1 - value), 0.01) / std::max(count, 1));
  return {value, std::max(0.0, value - half), std::min(1.0, value + half), ""};
}

inline Estimate around(double value, double half) {
  return {value, value - half, value + half, ""};
}

inline std::vector<MeasureInfo> made_up_measures() {
  return {
      {"category_accuracy", "Category accuracy", "Labels", "Share of tickets whose category is the one that people gave.", "%",
       Better::kHigher, true},
      {"urgency_accuracy", "Urgency accuracy", "Labels", "Share of tickets whose urgency is the one that people gave.", "%",
       Better::kHigher, true},
      {"both_accuracy", "Both right", "Labels", "Share of tickets whose urgency and category are both right.", "%", Better::kHigher, true},
      {"category_macro_f1", "Category macro-F1", "Labels", "Mean of the categories' F1, each counted the same.", "", Better::kHigher,
       false},
      {"urgency_mae", "Urgency error", "Labels", "Mean distance of answered and true urgency.", "levels", Better::kLower, true},
      {"category_ece", "Calibration error", "Confidence", "How far confidence is from accuracy, on average.", "%", Better::kLower, false},
      {"token_set_ratio", "Fuzzy ratio", "Resolution", "token_set_ratio of answered and true resolution.", "0..100", Better::kHigher, true},
      {"resolution_cosine", "Resolution similarity", "Resolution", "Cosine of the two resolutions' vectors.", "", Better::kHigher, true},
      {"rouge_l", "ROUGE-L", "Resolution", "F1 of the longest common subsequence of words.", "", Better::kHigher, true},
      {"words", "Length", "Resolution", "Words of the resolution.", "words", Better::kNeither, true},
      {"seconds", "Time a ticket", "Cost", "Seconds from ticket to answer.", "s", Better::kLower, true},
      {"peak_bytes", "Peak memory", "Cost", "Most memory the process held.", "bytes", Better::kLower, false},
  };
}

inline MadeUp made_up(const MadeUpOptions& options = {}) {
  const std::vector<std::string> categories = {"Invoices & tax", "Printing", "Stock", "User accounts", "Web shop"};
  const std::vector<std::string> names = {"Qwen 0.5B, with cases",
                                          "Qwen 1.5B, with cases",
                                          "Qwen 1.5B, LoRA",
                                          "Qwen 1.5B, hybrid",
                                          "Qwen 0.5B <script>alert(1)</script>",
                                          "TF-IDF + logistic regression",
                                          "kNN vote over cases",
                                          "majority"};
  const std::vector<std::string> kinds = {"raw", "raw", "lora", "hybrid", "raw", "baseline", "baseline", "baseline"};
  const double skill[] = {0.62, 0.7, 0.8, 0.83, 0.55, 0.78, 0.72, 0.3};
  std::mt19937 random(options.seed);
  std::uniform_real_distribution<double> uniform(0, 1);
  std::normal_distribution<double> normal(0, 1);
  MadeUp made;
  Evaluation& e = made.evaluation;
  e.name = "First measurement", e.desk = "Nordwind ERP desk", e.made = "2026-11-20T09:30:00Z", e.version = "0.1.0",
  e.measures = made_up_measures();
  e.resamples = 2000, e.seed = 42, e.urgency_costs = {5, 3, 2, 1, 1}, e.relevant_similarity = 0.6;
  const std::vector<std::pair<std::string, std::string>> splits = {
      {"desk", "random, 5 %, seed 42"}, {"grouped", "near copies kept together, 5 %, seed 42"}, {"time", "the latest 5 % held out"}};
  for (int number = 0; number < options.splits; ++number) {
    SplitRecords records;
    records.name = splits[number % 3].first, records.description = splits[number % 3].second, records.train = 4 * options.tickets,
    records.categories = categories;
    for (int t = 0; t < options.tickets; ++t) {
      HeldOutTicket ticket{.id = fmt::format("T-{}", 1000 + t),
                           .urgency = 1 + static_cast<int>(5 * uniform(random) * uniform(random)),
                           .category = categories[random() % categories.size()],
                           .received = fmt::format("2026-{:02}-{:02}", 1 + t % 12, 1 + t % 28)};
      ticket.problem = fmt::format(
          "{} does not respond since the update of module {}. The user sees error E-{} whenever the form is saved, and colleagues report "
          "the same.",
          ticket.category, t % 17, 100 + t % 90);
      ticket.resolution = fmt::format("Restarted the service of {}, cleared the queue and installed patch {}.", ticket.category, t % 23);
      if (options.hostile && t % 40 < 3) ticket.problem += " " + std::string(kHostile[t % 40]);
      records.tickets.push_back(std::move(ticket));
    }
    SplitResult split{.name = records.name,
                      .description = records.description,
                      .train = records.train,
                      .test = options.tickets,
                      .relevant_queries = options.tickets / 2,
                      .category_labels = categories};
    split.urgency_labels = {"1", "2", "3", "4", "5"};
    split.leakage = {options.tickets, number == 0 ? options.tickets / 20 : 0, 0.5, {}};
    if (number == 0 && options.tickets >= 20) split.leakage.examples = {{"T-1003", "T-17", 0.97}, {"T-1011", "T-402", 0.81}};
    for (int s = 0; s < std::min(options.systems, 8); ++s) {
      const int which = options.systems < 4 ? s * 5 % 8 : s;
      const bool baseline = kinds[which] == "baseline", answers_text = !baseline || which == 6;
      const double ability = skill[which] - 0.06 * number;
      SystemAnswers answers{.identity = {.name = names[which], .kind = kinds[which], .description = "Made up for a test."}};
      if (!baseline)
        answers.identity.model = "qwen2.5-coder-instruct", answers.identity.model_hash = std::string(64, 'a' + which),
        answers.identity.data_hash = std::string(64, '0');
      SystemResult result;
      result.identity = answers.identity;
      double right_c = 0, right_u = 0, right_both = 0, distance = 0, fuzzy_sum = 0, cosine_sum = 0, words_sum = 0, seconds_sum = 0, sx = 0,
             sy = 0, sxx = 0, sxy = 0, syy = 0;
      for (LabelDetail* detail : {&result.urgency, &result.category}) {
        detail->confusion.labels = detail == &result.urgency ? split.urgency_labels : categories;
        detail->confusion.counts.assign(detail->confusion.labels.size() * (detail->confusion.labels.size() + 1), 0);
      }
      for (int t = 0; t < options.tickets; ++t) {
        const HeldOutTicket& ticket = records.tickets[t];
        Prediction p{.ticket_id = ticket.id, .source = "model"};
        p.category = uniform(random) < ability ? ticket.category : categories[random() % 5];
        p.urgency = uniform(random) < ability + 0.1 ? ticket.urgency : 1 + static_cast<int>(random() % 5);
        if (which == 4 && t % 30 == 0) p.category = "", p.urgency = 0;
        double similarity = 0;
        for (int c = 0; c < 3; ++c) {
          FoundCase found{.ticket_id = fmt::format("C-{}", random() % 300),
                          .similarity = std::clamp(0.72 + 0.12 * normal(random), 0.0, 0.999),
                          .category = p.category,
                          .urgency = p.urgency};
          found.problem = "A past problem of case " + found.ticket_id + (options.hostile && c == 0 && t % 50 == 0 ? kHostile[0] : ".");
          found.resolution = "What solved case " + found.ticket_id + ".";
          similarity += found.similarity / 3;
          p.cases.push_back(std::move(found));
        }
        if (options.probabilities && which != 7) {
          const double sure = std::clamp(ability + 0.12 + 0.15 * normal(random), 0.25, 0.99);
          p.category_probabilities.assign(5, (1 - sure) / 4), p.category_probabilities[0] = sure;
          p.urgency_probabilities = p.category_probabilities;
        }
        const auto label = static_cast<std::size_t>(std::find(categories.begin(), categories.end(), ticket.category) - categories.begin());
        const auto answer = static_cast<std::size_t>(std::find(categories.begin(), categories.end(), p.category) - categories.begin());
        ++result.category.confusion.counts[label * 6 + answer];
        ++result.urgency.confusion
              .counts[static_cast<std::size_t>(ticket.urgency - 1) * 6 + static_cast<std::size_t>(p.urgency == 0 ? 5 : p.urgency - 1)];
        const bool c = p.category == ticket.category, u = p.urgency == ticket.urgency;
        const double ratio = std::clamp(20 + 60 * similarity * ability + 12 * normal(random), 0.0, 100.0),
                     cosine = std::clamp(ratio / 110 + 0.05 * normal(random), -1.0, 1.0);
        const double length = 25 + static_cast<double>(random() % 30), seconds = 0.4 + 2 * uniform(random) * (which + 1) / 4;
        if (answers_text)
          p.resolution = "Restart the service, clear the queue, install patch " + fmt::format("{}", t % 23) +
                         (options.hostile && t % 60 == 1 ? kHostile[2] : ".");
        std::vector<std::optional<double>> values(e.measures.size());
        values[0] = c, values[1] = u, values[2] = c && u,
        values[4] = p.urgency == 0 ? std::optional<double>() : std::abs(p.urgency - ticket.urgency), values[10] = seconds;
        if (answers_text) values[6] = ratio, values[7] = cosine, values[8] = std::clamp(ratio / 140, 0.0, 1.0), values[9] = length;
        result.tickets.push_back({ticket.id, values});
        right_c += c, right_u += u, right_both += c && u, distance += std::abs(p.urgency - ticket.urgency), fuzzy_sum += ratio,
            cosine_sum += cosine, words_sum += length, seconds_sum += seconds;
        sx += similarity, sy += ratio, sxx += similarity * similarity, sxy += similarity * ratio, syy += ratio * ratio;
        answers.predictions.push_back(std::move(p));
      }
      const double n = std::max(options.tickets, 1);
      const Estimate none{.undefined = "the system gives no resolution"};
      result.measures = {
          share(right_c / n, options.tickets),
          share(right_u / n, options.tickets),
          share(right_both / n, options.tickets),
          share(right_c / n - 0.03, options.tickets),
          around(distance / n, 0.15),
          options.probabilities && which != 7 ? share(0.12, options.tickets) : Estimate{.undefined = "the system gives no probabilities"}};
      if (answers_text)
        for (const Estimate& estimate :
             {around(fuzzy_sum / n, 2.1), around(cosine_sum / n, 0.02), around(fuzzy_sum / n / 140, 0.02), around(words_sum / n, 3)})
          result.measures.push_back(estimate);
      else
        result.measures.insert(result.measures.end(), 4, none);
      result.measures.push_back(around(seconds_sum / n, 0.08));
      result.measures.push_back(baseline ? Estimate{.undefined = "not recorded for baselines"} : around(1.4e9, 0));
      for (LabelDetail* detail : {&result.urgency, &result.category}) {
        const std::size_t labels = detail->confusion.labels.size();
        for (std::size_t l = 0; l < labels; ++l) {
          ClassRow row{.label = detail->confusion.labels[l]};
          for (std::size_t a = 0; a <= labels; ++a) row.support += detail->confusion.counts[l * (labels + 1) + a];
          for (std::size_t t = 0; t < labels; ++t) row.predicted += detail->confusion.counts[t * (labels + 1) + l];
          const double hits = static_cast<double>(detail->confusion.counts[l * (labels + 1) + l]);
          if (row.predicted) row.precision = hits / static_cast<double>(row.predicted);
          if (row.support) row.recall = hits / static_cast<double>(row.support);
          if (row.precision + row.recall > 0) row.f1 = 2 * row.precision * row.recall / (row.precision + row.recall);
          detail->classes.push_back(row);
        }
        if (!options.probabilities || which == 7) continue;
        for (int bin = 3; bin < 10; ++bin) {
          const double confidence = (bin + 0.5) / 10, accuracy = std::clamp(confidence - 0.16 + 0.05 * normal(random), 0.05, 1.0);
          detail->reliability.push_back({confidence, accuracy, 3 + bin * bin});
          detail->reliability_scaled.push_back(
              {confidence - 0.1, std::clamp(confidence - 0.1 + 0.03 * normal(random), 0.0, 1.0), 3 + bin * bin});
        }
        detail->temperature = 1.7;
        for (int i = 1; i <= 40; ++i)
          detail->coverage.push_back({1 - i / 45.0, i / 40.0, std::clamp(0.98 - (0.98 - ability) * i * i / 1600.0, 0.0, 1.0)});
      }
      Correlation& correlation = result.similarity_fuzzy;
      correlation.pairs = options.tickets;
      const double vx = sxx - sx * sx / n, vy = syy - sy * sy / n, cov = sxy - sx * sy / n;
      if (answers_text && vx > 0 && vy > 0 && options.tickets > 2) {
        correlation.pearson = around(cov / std::sqrt(vx * vy), 0.1), correlation.spearman = around(0.9 * cov / std::sqrt(vx * vy), 0.1);
        correlation.slope = cov / vx, correlation.intercept = (sy - correlation.slope * sx) / n;
      } else {
        correlation.pearson.undefined = correlation.spearman.undefined =
            answers_text ? "fewer than three tickets" : "the system gives no resolution";
      }
      if (which == 4) result.warnings.push_back("some tickets have no prediction: they count as wrong (first: T-1000)");
      split.systems.push_back(std::move(result));
      records.systems.push_back(std::move(answers));
    }
    for (std::size_t a = 0; a < split.systems.size(); ++a)
      for (std::size_t b = a + 1; b < split.systems.size(); ++b)
        for (const std::size_t m : {0u, 1u, 2u, 6u}) {
          Difference d{.a = split.systems[a].identity.name, .b = split.systems[b].identity.name, .measure = e.measures[m].id};
          const Estimate &left = split.systems[a].measures[m], &right = split.systems[b].measures[m];
          if (left.value && right.value) {
            const double half = m == 6 ? 3.0 : 0.08;
            d.difference = around(*right.value - *left.value, half), d.p = 0.04;
            if (m < 3) d.mcnemar_p = 0.03, d.only_a = 9, d.only_b = 21;
            d.matters = d.difference.low > 0 || d.difference.high < 0;
            d.verdict = !d.matters ? "cannot tell" : *d.difference.value > 0 ? "better" : "worse";
          } else {
            d.difference.undefined = "a system gives no resolution", d.verdict = "cannot tell";
          }
          split.differences.push_back(std::move(d));
        }
    int place = 0;
    for (const char* method : {"dense", "bm25", "keywords", "fusion"}) {
      for (const int k : {1, 3, 5, 10}) {
        const double base = 0.25 + 0.05 * place + 0.15 * std::log2(k + 1.0) / 2;
        RetrievalRow row{.method = method,
                         .k = k,
                         .recall = share(base, options.tickets),
                         .precision = share(0.6 - 0.03 * k + 0.03 * place, options.tickets),
                         .f1 = share(0.4, options.tickets),
                         .mrr = share(base + 0.1, options.tickets),
                         .ndcg = share(base + 0.05, options.tickets),
                         .map = share(base, options.tickets)};
        split.retrieval.push_back(row);
      }
      ++place;
    }
    if (options.tickets < 200)
      split.warnings = {
          fmt::format("the test part has {} tickets: differences under 9 points cannot be told from chance", options.tickets)};
    e.splits.push_back(std::move(split));
    made.records.push_back(std::move(records));
  }
  e.findings = {
      "The cheap baseline TF-IDF + logistic regression is as good as the best model at the category: of 100 tickets it gets 78 right, "
      "likely 71 to 84.",
      "The hybrid model gives resolutions closest to the true ones.", "No system is reliably better than another at urgency."};
  if (options.training)
    for (const char* method : {"lora", "hybrid"}) {
      LossCurve curve{.run = fmt::format("run-{}", method), .method = method};
      for (int step = 1; step <= 300; ++step) {
        curve.epoch.push_back(step / 150.0);
        curve.loss.push_back(1.1 + 1.4 * std::exp(-step / (method[0] == 'l' ? 90.0 : 50.0)) + 0.08 * normal(random));
        if (step % 30 == 0)
          curve.eval_epoch.push_back(step / 150.0),
              curve.eval_loss.push_back(1.25 + 1.3 * std::exp(-step / (method[0] == 'l' ? 90.0 : 50.0)));
      }
      e.training.push_back(std::move(curve));
    }
  return made;
}

}  // namespace deskhand::testing
