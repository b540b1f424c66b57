// data.js: one object for report.js. Texts that repeat (cases are found for many tickets and systems) stand once and are named by number;
// per-ticket values are columns, rounded to five significant digits, null where they are not defined.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "deskhand/base/json.h"
#include "deskhand/report/headline.h"
#include "deskhand/report/page.h"
#include "deskhand/report/words.h"

namespace deskhand {
namespace {

constexpr std::size_t kLossPoints = 2000;  // of a training run

class Texts {
 public:
  // Null for an empty text.
  Json number(std::string_view text) {
    if (text.empty()) return nullptr;
    const auto [at, added] = numbers_.try_emplace(visible(text), all_.size());
    if (added) all_.push_back(at->first);
    return at->second;
  }
  Json take() { return std::move(all_); }

 private:
  std::unordered_map<std::string, std::size_t> numbers_;
  Json all_ = Json::array();
};

Json rounded(double value) {
  if (!std::isfinite(value)) return nullptr;
  if (value == 0 || value == std::round(value)) return std::abs(value) < 1e15 ? Json(static_cast<std::int64_t>(value)) : Json(value);
  const double power = std::pow(10, 4 - static_cast<int>(std::floor(std::log10(std::abs(value)))));
  return std::isfinite(power) && power != 0 ? std::round(value * power) / power : value;
}
Json rounded(const std::optional<double>& value) {
  return value ? rounded(*value) : Json(nullptr);
}

// [value, low, high], or the reason why there is none.
Json estimate_json(const Estimate& estimate) {
  if (!is_defined(estimate)) return visible(why_undefined(estimate));
  const auto exact = [](double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); };  // the page shows the same digits
  return Json::array({exact(*estimate.value), exact(estimate.low), exact(estimate.high)});
}

Json strings(std::span<const std::string> texts) {
  Json all = Json::array();
  for (const std::string& text : texts) all.push_back(visible(text));
  return all;
}

Json numbers(std::span<const double> values) {
  Json all = Json::array();
  for (const double value : values) all.push_back(rounded(value));
  return all;
}

Json label_json(const LabelDetail& detail) {
  Json json = {
      {"labels", strings(detail.confusion.labels)}, {"counts", detail.confusion.counts}, {"temperature", rounded(detail.temperature)}};
  const auto bins = [](std::span<const ReliabilityBin> all) {
    Json rows = Json::array();
    for (const ReliabilityBin& bin : all) rows.push_back({rounded(bin.confidence), rounded(bin.accuracy), bin.count});
    return rows;
  };
  json["reliability"] = bins(detail.reliability), json["scaled"] = bins(detail.reliability_scaled);
  Json coverage = Json::array();
  const std::size_t stride = detail.coverage.size() / 1000 + 1;
  for (std::size_t i = 0; i < detail.coverage.size(); ++i)
    if (i % stride == 0 || i + 1 == detail.coverage.size())
      coverage.push_back(
          {rounded(detail.coverage[i].threshold), rounded(detail.coverage[i].coverage), rounded(detail.coverage[i].precision)});
  json["coverage"] = std::move(coverage);
  return json;
}

Json surest(std::span<const double> probabilities) {
  if (probabilities.empty()) return nullptr;
  return rounded(*std::max_element(probabilities.begin(), probabilities.end()));
}

// Columns in the order of the held-out tickets; rows that a system left out are null.
Json answers_json(const SystemAnswers& answers, std::span<const HeldOutTicket> tickets, bool texts, Texts& pool,
                  std::unordered_map<std::string, std::size_t>& known, Json& cases) {
  std::unordered_map<std::string_view, const Prediction*> by_ticket;
  for (const Prediction& prediction : answers.predictions) by_ticket.emplace(prediction.ticket_id, &prediction);
  Json urgency = Json::array(), category = Json::array(), resolution = Json::array(), found = Json::array(), source = Json::array(),
       urgency_sure = Json::array(), category_sure = Json::array();
  for (const HeldOutTicket& ticket : tickets) {
    const auto at = by_ticket.find(ticket.id);
    const Prediction* p = at == by_ticket.end() ? nullptr : at->second;
    urgency.push_back(p && p->urgency != 0 ? Json(p->urgency) : Json(nullptr));
    category.push_back(p ? pool.number(p->category) : Json(nullptr));
    resolution.push_back(p && texts ? pool.number(p->resolution) : Json(nullptr));
    source.push_back(p ? pool.number(p->source) : Json(nullptr));
    urgency_sure.push_back(p ? surest(p->urgency_probabilities) : Json(nullptr));
    category_sure.push_back(p ? surest(p->category_probabilities) : Json(nullptr));
    Json row = Json::array();
    if (p)
      for (const FoundCase& c : p->cases) {
        std::string key = c.ticket_id + '\0' + c.problem + '\0' + c.resolution;
        const auto [place, added] = known.try_emplace(std::move(key), cases.size());
        if (added)
          cases.push_back({visible(c.ticket_id), texts ? pool.number(c.problem) : Json(nullptr),
                           texts ? pool.number(c.resolution) : Json(nullptr), pool.number(c.category),
                           c.urgency != 0 ? Json(c.urgency) : Json(nullptr)});
        row.push_back({place->second, rounded(c.similarity)});
      }
    found.push_back(std::move(row));
  }
  return {{"urgency", std::move(urgency)}, {"category", std::move(category)},        {"resolution", std::move(resolution)},
          {"source", std::move(source)},   {"urgencySure", std::move(urgency_sure)}, {"categorySure", std::move(category_sure)},
          {"cases", std::move(found)}};
}

Json retrieval_json(std::span<const RetrievalRow> rows) {
  Json all = Json::array();
  for (const RetrievalRow& row : rows)
    all.push_back({{"method", visible(row.method)},
                   {"k", row.k},
                   {"recall", estimate_json(row.recall)},
                   {"precision", estimate_json(row.precision)},
                   {"f1", estimate_json(row.f1)},
                   {"mrr", estimate_json(row.mrr)},
                   {"ndcg", estimate_json(row.ndcg)},
                   {"map", estimate_json(row.map)}});
  return all;
}

Json split_json(const Evaluation& evaluation, const SplitResult& split, const SplitRecords* records, bool texts, Texts& pool,
                std::unordered_map<std::string, std::size_t>& known, Json& cases) {
  const Scene scene = make_scene(evaluation, split, records);
  Json json = {{"name", visible(split.name)}, {"test", split.test}};
  // The tickets of the list: the records', or the ids that systems were measured on.
  std::vector<HeldOutTicket> ids;
  if (!records && !split.systems.empty())
    for (const TicketMeasures& ticket : split.systems.front().tickets) ids.push_back({.id = ticket.ticket_id});
  const std::span<const HeldOutTicket> tickets = records ? std::span<const HeldOutTicket>(records->tickets) : ids;
  Json id = Json::array(), problem = Json::array(), urgency = Json::array(), category = Json::array(), resolution = Json::array(),
       received = Json::array();
  std::unordered_map<std::string_view, std::size_t> row_of;
  for (const HeldOutTicket& ticket : tickets) {
    row_of.emplace(ticket.id, id.size());
    id.push_back(visible(ticket.id));
    problem.push_back(texts ? pool.number(ticket.problem) : Json(nullptr));
    urgency.push_back(ticket.urgency != 0 ? Json(ticket.urgency) : Json(nullptr));
    category.push_back(pool.number(ticket.category));
    resolution.push_back(texts ? pool.number(ticket.resolution) : Json(nullptr));
    received.push_back(visible(ticket.received));
  }
  Json systems = Json::array();
  for (std::size_t s = 0; s < split.systems.size(); ++s) {
    const SystemResult& result = split.systems[s];
    const SystemStyle& style = scene.styles[s];
    Json system = {{"name", visible(result.identity.name)},
                   {"baseline", style.baseline},
                   {"style",
                    {{"symbol", style.symbol},
                     {"mark", symbol_mark(style.symbol, style.baseline)},
                     {"colour", style.colour},
                     {"colourDark", style.colour_dark},
                     {"dash", style.dash_name}}}};
    Json estimates = Json::array();
    for (std::size_t m = 0; m < evaluation.measures.size(); ++m) estimates.push_back(estimate_json(estimate_of(result, m)));
    system["estimates"] = std::move(estimates);
    system["urgency"] = label_json(result.urgency), system["category"] = label_json(result.category);
    const Correlation& correlation = result.similarity_fuzzy;
    system["similarity"] = {
        {"r", estimate_json(correlation.pearson)}, {"slope", rounded(correlation.slope)}, {"intercept", rounded(correlation.intercept)}};
    Json xs = Json::array(), ys = Json::array(), rows = Json::array();
    for (const SimilarityPoint& p : similarity_points(scene, s)) {
      const auto row = row_of.find(p.ticket_id);
      xs.push_back(rounded(p.similarity)), ys.push_back(rounded(p.ratio)),
          rows.push_back(row == row_of.end() ? Json(nullptr) : Json(row->second));
    }
    system["points"] = {{"similarity", std::move(xs)}, {"ratio", std::move(ys)}, {"ticket", std::move(rows)}};
    // A column for each measure that has values for tickets, null for the others.
    std::vector<const TicketMeasures*> by_row(tickets.size(), nullptr);
    for (const TicketMeasures& ticket : result.tickets)
      if (const auto row = row_of.find(ticket.ticket_id); row != row_of.end()) by_row[row->second] = &ticket;
    Json values = Json::array();
    for (std::size_t m = 0; m < evaluation.measures.size(); ++m) {
      if (!evaluation.measures[m].per_ticket) {
        values.push_back(nullptr);
        continue;
      }
      Json column = Json::array();
      for (const TicketMeasures* ticket : by_row)
        column.push_back(ticket && m < ticket->values.size() ? rounded(ticket->values[m]) : Json(nullptr));
      values.push_back(std::move(column));
    }
    system["values"] = std::move(values);
    if (const SystemAnswers* answers = answers_of(records, result))
      system["answers"] = answers_json(*answers, tickets, texts, pool, known, cases);
    else
      system["answers"] = nullptr;
    systems.push_back(std::move(system));
  }
  json["tickets"] = {{"id", std::move(id)},
                     {"problem", std::move(problem)},
                     {"urgency", std::move(urgency)},
                     {"category", std::move(category)},
                     {"resolution", std::move(resolution)},
                     {"received", std::move(received)}};
  json["systems"] = std::move(systems);
  json["retrieval"] = retrieval_json(split.retrieval);
  Json differences = Json::array();
  for (const Difference& d : split.differences)
    differences.push_back({{"a", visible(d.a)},
                           {"b", visible(d.b)},
                           {"measure", visible(d.measure)},
                           {"difference", estimate_json(d.difference)},
                           {"matters", d.matters},
                           {"verdict", visible(d.verdict)}});
  json["differences"] = std::move(differences);
  json["main"] = main_system(evaluation, split).value_or(0);
  if (!scene.split.systems.empty()) json["radarSystems"] = radar_systems(scene);
  return json;
}

Json training_json(std::span<const LossCurve> curves) {
  Json all = Json::array();
  for (const LossCurve& curve : curves) {
    const std::size_t steps = std::min(curve.epoch.size(), curve.loss.size()), stride = steps / kLossPoints + 1;
    const std::vector<double> smoothed = smooth(std::span(curve.loss).first(steps));
    std::vector<double> epoch, loss, smooth_loss;
    for (std::size_t i = 0; i < steps; i += stride)
      epoch.push_back(curve.epoch[i]), loss.push_back(curve.loss[i]), smooth_loss.push_back(smoothed[i]);
    all.push_back({{"name", visible(curve.run + " (" + curve.method + ")")},
                   {"epoch", numbers(epoch)},
                   {"loss", numbers(loss)},
                   {"smooth", numbers(smooth_loss)},
                   {"evalEpoch", numbers(curve.eval_epoch)},
                   {"evalLoss", numbers(curve.eval_loss)}});
  }
  return all;
}

}  // namespace

std::string report_data(const Evaluation& evaluation, std::span<const SplitRecords> records, bool texts) {
  Texts pool;
  Json cases = Json::array(), splits = Json::array(), measures = Json::array();
  std::unordered_map<std::string, std::size_t> known;
  for (const MeasureInfo& m : evaluation.measures)
    measures.push_back({{"id", visible(m.id)},
                        {"title", visible(m.title)},
                        {"section", visible(m.section)},
                        {"unit", visible(m.unit)},
                        {"perTicket", m.per_ticket},
                        {"better", m.better == Better::kHigher  ? "higher"
                                   : m.better == Better::kLower ? "lower"
                                                                : "neither"}});
  for (const SplitResult& split : evaluation.splits)
    splits.push_back(split_json(evaluation, split, records_of(records, split), texts, pool, known, cases));
  Json json = {{"measures", std::move(measures)},
               {"texts_left_out", !texts},
               {"splits", std::move(splits)},
               {"training", training_json(evaluation.training)},
               {"cases", std::move(cases)}};
  json["keys"] = key_measures(evaluation);
  json["texts"] = pool.take();
  return "globalThis.deskhandReport = " + for_script(write_json(json)) + ";\n";
}

}  // namespace deskhand
