// metrics.json. Each record lists its fields once, in `fields`; writing and reading are the same walk.
#include <concepts>

#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/evaluate/evaluation.h"

namespace deskhand {
namespace {

constexpr int kVersion = 1;  // of the file's form

void fields(auto&& at, Estimate& e) {
  at("value", e.value), at("low", e.low), at("high", e.high), at("undefined", e.undefined);
}
void fields(auto&& at, MeasureInfo& m) {
  at("id", m.id), at("title", m.title), at("section", m.section), at("about", m.about), at("unit", m.unit), at("better", m.better);
  at("per_ticket", m.per_ticket);
}
void fields(auto&& at, ClassRow& row) {
  at("label", row.label), at("support", row.support), at("predicted", row.predicted);
  at("precision", row.precision), at("recall", row.recall), at("f1", row.f1);
}
void fields(auto&& at, ConfusionMatrix& matrix) {
  at("labels", matrix.labels), at("counts", matrix.counts);
}
void fields(auto&& at, ReliabilityBin& bin) {
  at("confidence", bin.confidence), at("accuracy", bin.accuracy), at("count", bin.count);
}
void fields(auto&& at, CoveragePoint& p) {
  at("threshold", p.threshold), at("coverage", p.coverage), at("precision", p.precision);
}
void fields(auto&& at, LabelDetail& detail) {
  at("confusion", detail.confusion), at("classes", detail.classes), at("reliability", detail.reliability);
  at("reliability_scaled", detail.reliability_scaled), at("coverage", detail.coverage), at("temperature", detail.temperature);
  at("calibration_error_scaled", detail.calibration_error_scaled), at("brier_scaled", detail.brier_scaled);
}
void fields(auto&& at, Correlation& c) {
  at("pearson", c.pearson), at("spearman", c.spearman), at("pearson_p", c.pearson_p), at("spearman_p", c.spearman_p);
  at("slope", c.slope), at("intercept", c.intercept), at("pairs", c.pairs);
}
void fields(auto&& at, TicketMeasures& ticket) {
  at("ticket_id", ticket.ticket_id), at("values", ticket.values);
}
void fields(auto&& at, SystemIdentity& s) {
  at("name", s.name), at("kind", s.kind), at("description", s.description), at("model", s.model), at("model_hash", s.model_hash);
  at("adapter", s.adapter), at("adapter_hash", s.adapter_hash), at("prompt_hash", s.prompt_hash), at("data_hash", s.data_hash);
}
void fields(auto&& at, SystemResult& system) {
  at("identity", system.identity), at("measures", system.measures), at("urgency", system.urgency), at("category", system.category);
  at("similarity_fuzzy", system.similarity_fuzzy), at("tickets", system.tickets), at("warnings", system.warnings);
}
void fields(auto&& at, Difference& d) {
  at("a", d.a), at("b", d.b), at("measure", d.measure), at("difference", d.difference), at("p", d.p), at("mcnemar_p", d.mcnemar_p);
  at("only_a", d.only_a), at("only_b", d.only_b), at("matters", d.matters), at("verdict", d.verdict);
}
void fields(auto&& at, RetrievalRow& row) {
  at("method", row.method), at("k", row.k), at("recall", row.recall), at("precision", row.precision), at("f1", row.f1);
  at("mrr", row.mrr), at("ndcg", row.ndcg), at("map", row.map);
}
void fields(auto&& at, NearCopy& copy) {
  at("test_id", copy.test_id), at("train_id", copy.train_id), at("similarity", copy.similarity);
}
void fields(auto&& at, Leakage& leakage) {
  at("test", leakage.test), at("leaked", leakage.leaked), at("threshold", leakage.threshold), at("examples", leakage.examples);
}
void fields(auto&& at, LossCurve& curve) {
  at("run", curve.run), at("method", curve.method), at("epoch", curve.epoch), at("loss", curve.loss);
  at("eval_epoch", curve.eval_epoch), at("eval_loss", curve.eval_loss);
}
void fields(auto&& at, SplitResult& split) {
  at("name", split.name), at("description", split.description), at("train", split.train), at("test", split.test);
  at("relevant_queries", split.relevant_queries), at("leakage", split.leakage), at("urgency_labels", split.urgency_labels);
  at("category_labels", split.category_labels), at("systems", split.systems), at("differences", split.differences);
  at("retrieval", split.retrieval), at("warnings", split.warnings);
}
void fields(auto&& at, Evaluation& e) {
  at("name", e.name), at("desk", e.desk), at("made", e.made), at("version", e.version), at("findings", e.findings);
  at("measures", e.measures), at("splits", e.splits), at("training", e.training), at("resamples", e.resamples), at("seed", e.seed);
  at("urgency_costs", e.urgency_costs), at("above", e.above), at("relevant_similarity", e.relevant_similarity);
}

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

constexpr std::pair<Better, const char*> kBetter[] = {
    {Better::kHigher, "higher"}, {Better::kLower, "lower"}, {Better::kNeither, "neither"}};

template <class T>
Json json_of(T& value) {
  if constexpr (IsVector<T>::value) {
    Json list = Json::array();
    for (auto& element : value) list.push_back(json_of(element));
    return list;
  } else if constexpr (IsOptional<T>::value) {
    return value ? json_of(*value) : Json();
  } else if constexpr (std::same_as<T, Better>) {
    return kBetter[static_cast<std::size_t>(value)].second;
  } else if constexpr (std::is_arithmetic_v<T> || std::same_as<T, std::string>) {
    return value;
  } else {
    Json object = Json::object();
    fields([&](const char* name, auto& field) { object[name] = json_of(field); }, value);
    return object;
  }
}

struct Place {  // where in the file: "splits[0].systems[2].measures"
  std::string_view where;
  std::string path;

  [[noreturn]] void refuse(const Json& found, const char* wanted) const {
    throw Error(ExitCode::kBadInput, "{}: {} is {}, wanted {}", where, path, write_json(found).substr(0, 40), wanted);
  }
  Place field(const char* name) const { return {where, path.empty() ? name : path + "." + name}; }
  Place element(std::size_t i) const { return {where, fmt::format("{}[{}]", path, i)}; }
};

template <class T>
void read_into(T& value, const Json& json, const Place& place) {
  if constexpr (IsVector<T>::value) {
    if (!json.is_array()) place.refuse(json, "a list");
    value.resize(json.size());
    for (std::size_t i = 0; i < json.size(); ++i) read_into(value[i], json[i], place.element(i));
  } else if constexpr (IsOptional<T>::value) {
    value.reset();
    if (!json.is_null()) read_into(value.emplace(), json, place);
  } else if constexpr (std::same_as<T, Better>) {
    for (const auto& [better, name] : kBetter)
      if (json == name) return void(value = better);
    place.refuse(json, "higher, lower or neither");
  } else if constexpr (std::same_as<T, bool>) {
    if (!json.is_boolean()) place.refuse(json, "true or false");
    value = json.template get<bool>();
  } else if constexpr (std::integral<T>) {
    if (!json.is_number_integer()) place.refuse(json, "a whole number");
    value = json.template get<T>();
  } else if constexpr (std::floating_point<T>) {
    if (!json.is_number()) place.refuse(json, "a number");
    value = json.template get<T>();
  } else if constexpr (std::same_as<T, std::string>) {
    if (!json.is_string()) place.refuse(json, "a text");
    value = json.template get<std::string>();
  } else {
    if (!json.is_object()) place.refuse(json, "an object");
    fields(
        [&](const char* name, auto& field) {
          const auto found = json.find(name);
          if (found == json.end()) throw Error(ExitCode::kBadInput, "{}: {} is missing", place.where, place.field(name).path);
          read_into(field, *found, place.field(name));
        },
        value);
  }
}

}  // namespace

std::string write_evaluation(const Evaluation& evaluation) {
  Json json = {{"deskhand_evaluation", kVersion}};
  auto& listed = const_cast<Evaluation&>(evaluation);  // `fields` serves reading too; nothing is changed here
  json.update(json_of(listed));
  return write_json(json, 1) + "\n";
}

Evaluation read_evaluation(std::string_view text, std::string_view where) {
  const Json json = parse_json(text, where);
  const auto version = json.is_object() ? json.find("deskhand_evaluation") : json.end();
  if (!json.is_object() || version == json.end())
    throw Error(ExitCode::kBadInput, "{}: not the metrics.json of an evaluation: 'deskhand_evaluation' is missing", where);
  if (*version != kVersion)
    throw Error(ExitCode::kBadInput, "{}: form {} of metrics.json, this program reads form {}; measure again", where, write_json(*version),
                kVersion);
  Evaluation evaluation;
  read_into(evaluation, json, {where, ""});
  return evaluation;
}

}  // namespace deskhand
