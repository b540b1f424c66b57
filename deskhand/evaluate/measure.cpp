#include "deskhand/evaluate/measure.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "deskhand/base/error.h"
#include "deskhand/evaluate/correlation.h"
#include "deskhand/evaluate/measures.h"
#include "deskhand/tickets/ticket.h"

namespace deskhand {
namespace {

constexpr double kSignificant = 0.05;
// What two systems differ by is compared on these; the others tell how, not how well.
constexpr const char* kCompared[] = {"urgency_accuracy",  "category_accuracy", "both_accuracy",  "urgency_macro_f1",
                                     "category_macro_f1", "urgency_cost",      "category_brier", "resolution_cosine",
                                     "token_set_ratio",   "rouge_l",           "bert_f1"};

bool is_compared(const std::string& id) {
  return std::find(std::begin(kCompared), std::end(kCompared), id) != std::end(kCompared);
}

Statistic mean_of(const Column& column) {
  return [&column](Rows rows, Scratch&) { return mean(column, rows); };
}

std::int64_t known(const Column& column) {
  return std::count_if(column.begin(), column.end(), [](const auto& value) { return value.has_value(); });
}

std::vector<std::vector<double>> scaled(const std::vector<std::vector<double>>& probabilities, double temperature) {
  std::vector<std::vector<double>> result;
  for (const auto& p : probabilities) result.push_back(p.empty() ? p : scale_temperature(p, temperature));
  return result;
}

LabelDetail detail_of(const MatchedLabels& labels, const std::vector<std::string>& names, const MatchedLabels* validation, Rows rows) {
  LabelDetail detail;
  detail.confusion = confusion_matrix(labels.view(), rows, names);
  detail.classes = class_rows(labels.view(), rows, names);
  detail.reliability = reliability_bins(labels.judged, rows);
  detail.coverage = coverage_curve(labels.judged, rows);
  if (validation) detail.temperature = fit_temperature(validation->probabilities, validation->truth);
  if (detail.temperature) {
    const auto judged = judge(scaled(labels.probabilities, *detail.temperature), labels.truth);
    detail.reliability_scaled = reliability_bins(judged, rows);
    detail.calibration_error_scaled = calibration_error(judged, rows);
    detail.brier_scaled = brier_score(judged, rows);
  }
  return detail;
}

// Where both columns have a value.
Correlation correlate(const Column& x, const Column& y, const MeasureSettings& settings, ThreadPool& pool) {
  std::vector<double> xs, ys;
  for (std::size_t i = 0; i < x.size(); ++i)
    if (x[i] && y[i]) xs.push_back(*x[i]), ys.push_back(*y[i]);
  Correlation result;
  result.pairs = static_cast<std::int64_t>(xs.size());
  const SampledCorrelation sampled(xs, ys);
  const auto linear = pearson(xs, ys), ranked = spearman(xs, ys);
  const BootstrapSettings bootstrap{settings.resamples, settings.seed};
  result.pearson = bootstrap_estimate(result.pairs, [&](Rows rows, Scratch& scratch) { return sampled.pearson(rows, scratch); }, bootstrap,
                                      pool, {.undefined = linear ? "" : linear.error()});
  result.spearman = bootstrap_estimate(result.pairs, [&](Rows rows, Scratch& scratch) { return sampled.spearman(rows, scratch); },
                                       bootstrap, pool, {.undefined = ranked ? "" : ranked.error()});
  if (linear) result.pearson_p = linear->p;
  if (ranked) result.spearman_p = ranked->p;
  if (const auto line = least_squares(xs, ys)) result.slope = line->slope, result.intercept = line->intercept;
  return result;
}

// Right/wrong of two systems on the tickets where both are known.
struct Discordant {
  std::int64_t only_a = 0, only_b = 0;
};
Discordant discordant(const Column& a, const Column& b) {
  Discordant count;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i] && b[i]) count.only_a += *a[i] > *b[i], count.only_b += *b[i] > *a[i];
  return count;
}

void judge_difference(Difference& difference, Better better, bool is_significant) {
  const Estimate& d = difference.difference;
  difference.matters = is_significant && d.value && (d.low > 0 || d.high < 0);
  difference.verdict = !difference.matters || better == Better::kNeither ? "cannot tell"
                       : (*d.value > 0) == (better == Better::kHigher)   ? "better"
                                                                         : "worse";
}

// Of the differences in one measure, with the chance that any is called real by mistake held at .05: Holm 1979, A simple sequentially
// rejective multiple test procedure. Where McNemar's test applies, the larger of the two p counts.
void judge_differences(std::span<Difference> differences, Better better) {
  const auto p_of = [](const Difference& d) { return std::max(d.p.value_or(1), d.mcnemar_p.value_or(0)); };
  std::vector<Difference*> order;
  for (Difference& difference : differences) order.push_back(&difference);
  std::stable_sort(order.begin(), order.end(), [&](const auto* a, const auto* b) { return p_of(*a) < p_of(*b); });
  bool is_significant = true;
  for (std::size_t i = 0; i < order.size(); ++i) {
    is_significant = is_significant && p_of(*order[i]) < kSignificant / static_cast<double>(order.size() - i);
    judge_difference(*order[i], better, is_significant);
  }
}

std::string smallness(std::int64_t tickets) {
  constexpr double kDiscordant = 0.3;  // systems worth comparing seldom differ on more of the tickets
  const auto least = least_detectable_difference(tickets, kDiscordant);
  if (!least) return fmt::format("The test part has {} tickets: no difference between systems can be told from chance.", tickets);
  if (*least < 0.05) return "";
  return fmt::format("The test part has {} tickets: differences under about {:.0f} points cannot be told from chance.", tickets,
                     100 * *least);
}

SplitRecords validation_of(const SplitRecords& records, const SystemAnswers& system) {
  return {.tickets = system.validation_truth,
          .categories = records.categories,
          .systems = {{.identity = system.identity, .predictions = system.validation}}};
}

}  // namespace

SplitResult measure_split(const SplitRecords& records, const MeasureSettings& settings, ThreadPool& pool) {
  if (records.tickets.empty()) throw Error(ExitCode::kBadInput, "the split '{}' holds no ticket to measure on", records.name);
  std::set<std::string> names;
  for (const SystemAnswers& system : records.systems)
    if (!names.insert(system.identity.name).second)
      throw Error(ExitCode::kUsage, "two systems are called '{}'; give each a name of its own", system.identity.name);

  const HeldOutTruth truth(records);
  SplitResult result;
  result.name = records.name;
  result.description = records.description;
  result.train = records.train;
  result.test = truth.size();
  for (int urgency = kMinUrgency; urgency <= kMaxUrgency; ++urgency) result.urgency_labels.push_back(std::to_string(urgency));
  result.category_labels = truth.categories();
  if (const std::string warning = smallness(result.test); !warning.empty()) result.warnings.push_back(warning);

  const auto table = measure_table(settings);
  const auto rows = all_rows(truth.size());
  std::vector<Matched> matched;
  matched.reserve(records.systems.size());  // statistics point into it
  std::vector<Statistic> statistics;
  for (const SystemAnswers& system : records.systems) {
    const Matched& m = matched.emplace_back(truth.match(system, settings.above, pool));
    for (const Measure& measure : table)
      statistics.push_back(measure.statistic ? measure.statistic(m, settings) : mean_of(*measure.column(m)));
  }
  const auto resampled = bootstrap(truth.size(), statistics, {settings.resamples, settings.seed}, pool);
  const auto of = [&](std::size_t system, std::size_t measure) -> const Resampled& { return resampled[system * table.size() + measure]; };

  for (std::size_t s = 0; s < matched.size(); ++s) {
    const Matched& m = matched[s];
    SystemResult system{.identity = m.system->identity};
    for (std::size_t i = 0; i < table.size(); ++i) {
      const bool is_missing = table[i].info.section == "Resolution" && !m.texts.any_resolution;
      if (is_missing)
        system.measures.push_back({.undefined = table[i].undefined});
      else
        system.measures.push_back(
            estimate(of(s, i), {.undefined = table[i].undefined, .share_of = table[i].is_share ? known(*table[i].column(m)) : 0}));
    }
    const SplitRecords validation = validation_of(records, *m.system);
    std::optional<Matched> validated;
    if (!validation.tickets.empty()) {
      const HeldOutTruth validation_truth(validation);
      validated = validation_truth.match(validation.systems.front(), settings.above, pool);
    }
    system.urgency = detail_of(m.urgency, result.urgency_labels, validated ? &validated->urgency : nullptr, rows);
    system.category = detail_of(m.category, result.category_labels, validated ? &validated->category : nullptr, rows);
    system.similarity_fuzzy =
        correlate(m.case_similarity, m.texts.any_resolution ? m.texts.token_set_ratio : Column(rows.size()), settings, pool);
    for (std::size_t t = 0; t < rows.size(); ++t) {
      TicketMeasures ticket{.ticket_id = records.tickets[t].id};
      for (const Measure& measure : table) ticket.values.push_back(measure.column ? (*measure.column(m))[t] : std::nullopt);
      system.tickets.push_back(std::move(ticket));
    }
    system.warnings = m.warnings;
    result.systems.push_back(std::move(system));
  }

  for (std::size_t i = 0; i < table.size(); ++i) {
    if (!is_compared(table[i].info.id)) continue;
    const std::size_t first = result.differences.size();
    for (std::size_t a = 0; a < matched.size(); ++a)
      for (std::size_t b = a + 1; b < matched.size(); ++b) {
        if (!result.systems[a].measures[i].value || !result.systems[b].measures[i].value) continue;
        Difference difference{.a = result.systems[a].identity.name, .b = result.systems[b].identity.name, .measure = table[i].info.id};
        const PairedEstimate paired =
            paired_difference(of(a, i), of(b, i), {.share_of = table[i].is_share ? known(*table[i].column(matched[a])) : 0});
        difference.difference = paired.difference;
        difference.p = paired.p;
        if (table[i].is_share) {
          const Discordant count = discordant(*table[i].column(matched[a]), *table[i].column(matched[b]));
          difference.only_a = count.only_a;
          difference.only_b = count.only_b;
          difference.mcnemar_p = mcnemar_exact(count.only_a, count.only_b);
        }
        result.differences.push_back(std::move(difference));
      }
    judge_differences(std::span(result.differences).subspan(first), table[i].info.better);
  }
  return result;
}

std::vector<RetrievalRow> measure_retrieval(const std::string& method, std::span<const RankedRelevance> queries,
                                            const MeasureSettings& settings, ThreadPool& pool) {
  std::vector<RetrievalRow> table;
  for (const int k : {1, 3, 5, 10}) {
    std::vector<RetrievalScores> scores;
    for (const auto& query : queries)
      if (const auto found = retrieval_scores(query, k)) scores.push_back(*found);
    const auto field = [&](double RetrievalScores::*value) -> Statistic {
      return [&scores, value](Rows rows, Scratch&) -> std::optional<double> {
        double sum = 0;
        for (const auto row : rows) sum += scores[static_cast<std::size_t>(row)].*value;
        return rows.empty() ? std::nullopt : std::optional(sum / static_cast<double>(rows.size()));
      };
    };
    constexpr double RetrievalScores::*kFields[] = {&RetrievalScores::recall, &RetrievalScores::precision, &RetrievalScores::f1,
                                                    &RetrievalScores::mrr,    &RetrievalScores::ndcg,      &RetrievalScores::map};
    std::vector<Statistic> statistics;
    for (const auto value : kFields) statistics.push_back(field(value));
    const auto resampled = bootstrap(static_cast<std::int64_t>(scores.size()), statistics, {settings.resamples, settings.seed}, pool);
    std::vector<Estimate> estimates;
    for (const auto& one : resampled) estimates.push_back(estimate(one, {.undefined = "no held-out ticket has a relevant case"}));
    table.push_back({method, k, estimates[0], estimates[1], estimates[2], estimates[3], estimates[4], estimates[5]});
  }
  return table;
}

std::vector<Difference> compare_systems(const Evaluation& a, const SystemResult& system_a, const Evaluation& b,
                                        const SystemResult& system_b, const MeasureSettings& settings, ThreadPool& pool) {
  std::unordered_map<std::string_view, const TicketMeasures*> of_b;
  for (const auto& ticket : system_b.tickets) of_b.emplace(ticket.ticket_id, &ticket);
  std::vector<Difference> differences;
  for (std::size_t i = 0; i < a.measures.size(); ++i) {
    const auto& info = a.measures[i];
    const auto j = static_cast<std::size_t>(
        std::find_if(b.measures.begin(), b.measures.end(), [&](const auto& other) { return other.id == info.id; }) - b.measures.begin());
    if (!info.per_ticket || j == b.measures.size()) continue;
    if (info.id == "token_set_above" && a.above != b.above) continue;  // shares above different values say nothing of each other
    Column of_first, of_second;
    for (const auto& ticket : system_a.tickets) {
      const auto found = of_b.find(ticket.ticket_id);
      if (found == of_b.end() || !ticket.values[i] || !found->second->values[j]) continue;
      of_first.push_back(ticket.values[i]);
      of_second.push_back(found->second->values[j]);
    }
    Difference difference{.a = system_a.identity.name, .b = system_b.identity.name, .measure = info.id};
    const auto count = static_cast<std::int64_t>(of_first.size());
    const bool is_share = info.unit == "%" && info.section != "Confidence" && info.id != "supported";
    const PairedEstimate paired = bootstrap_difference(count, mean_of(of_first), mean_of(of_second), {settings.resamples, settings.seed},
                                                       pool, {.undefined = "no ticket has it in both", .share_of = is_share ? count : 0});
    difference.difference = paired.difference;
    difference.p = paired.p;
    if (is_share && count > 0) {
      const Discordant apart = discordant(of_first, of_second);
      difference.only_a = apart.only_a;
      difference.only_b = apart.only_b;
      difference.mcnemar_p = mcnemar_exact(apart.only_a, apart.only_b);
    }
    judge_differences({&difference, 1}, info.better);
    differences.push_back(std::move(difference));
  }
  return differences;
}

}  // namespace deskhand
