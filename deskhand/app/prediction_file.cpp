#include "deskhand/app/prediction_file.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>
#include <unordered_map>

#include "deskhand/app/prediction_store.h"
#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/tickets/table.h"
#include "deskhand/triage/decision.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;

std::string lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

std::optional<std::size_t> column_of(const TableReader& table, std::initializer_list<const char*> names) {
  for (const char* name : names)
    for (std::size_t i = 0; i < table.header().size(); ++i)
      if (lower(table.header()[i]) == name) return i;
  return std::nullopt;
}

std::string number_text(const std::optional<double>& value) {
  return value ? fmt::format("{:.6g}", *value) : "";
}

int urgency_of(const std::string& cell, const fs::path& file, std::int64_t row) {
  if (cell.empty()) return 0;
  int urgency = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), urgency);
  const std::string_view rest(end, cell.data() + cell.size());
  if (error != std::errc() || !(rest.empty() || rest == ".0"))
    throw Error(ExitCode::kBadInput, "{}: row {}: urgency is '{}', wanted a number from 1 to 5 or nothing", file.string(), row, cell);
  return urgency;
}

// A spreadsheet must not run what a customer wrote.
std::string harmless(const std::string& text) {
  return !text.empty() && std::string_view("=+-@\t\r").find(text.front()) != std::string_view::npos ? "'" + text : text;
}

void write_system(const fs::path& base, const SplitRecords& records, const SystemAnswers& answers, const SystemResult& result,
                  std::span<const MeasureInfo> measures) {
  std::vector<std::string> header = {"ticket_id",       "query",        "true_urgency",   "true_category",       "true_resolution",
                                     "urgency",         "category",     "resolution",     "urgency_probability", "category_probability",
                                     "retrieved_cases", "similarities", "avg_similarity", "resolution_source"};
  for (const auto& measure : measures)
    if (measure.per_ticket && std::find(header.begin(), header.end(), measure.id) == header.end()) header.push_back(measure.id);
  std::string csv, jsonl;
  append_csv_row(csv, header);
  std::unordered_map<std::string_view, const Prediction*> by_ticket;
  for (const Prediction& prediction : answers.predictions) by_ticket.emplace(prediction.ticket_id, &prediction);
  const auto largest = [](const std::vector<double>& p) {
    return p.empty() ? std::nullopt : std::optional(*std::max_element(p.begin(), p.end()));
  };
  for (std::size_t t = 0; t < records.tickets.size(); ++t) {
    const HeldOutTicket& truth = records.tickets[t];
    const auto found = by_ticket.find(truth.id);
    const Prediction answer = found == by_ticket.end() ? Prediction{} : *found->second;
    Json cases = Json::array(), similarities = Json::array();
    double sum = 0;
    for (const FoundCase& one : answer.cases) {
      cases.push_back({{"ticket_id", one.ticket_id},
                       {"problem", one.problem},
                       {"resolution", one.resolution},
                       {"urgency", one.urgency},
                       {"category", one.category}});
      similarities.push_back(std::round(one.similarity * 1e4) / 1e4);
      sum += one.similarity;
    }
    const std::string average = answer.cases.empty() ? "" : number_text(sum / static_cast<double>(answer.cases.size()));
    std::vector<std::string> cells = {harmless(truth.id),
                                      harmless(truth.problem),
                                      truth.urgency ? std::to_string(truth.urgency) : "",
                                      harmless(truth.category),
                                      harmless(truth.resolution),
                                      answer.urgency ? std::to_string(answer.urgency) : "",
                                      harmless(answer.category),
                                      harmless(answer.resolution),
                                      number_text(largest(answer.urgency_probabilities)),
                                      number_text(largest(answer.category_probabilities)),
                                      write_json(cases),
                                      write_json(similarities),
                                      average,
                                      answer.source};
    Json measured = Json::object();
    for (std::size_t m = 0; m < measures.size(); ++m) {
      if (!measures[m].per_ticket) continue;
      const auto& value = result.tickets[t].values[m];
      cells.push_back(number_text(value));
      measured[measures[m].id] = value ? Json(*value) : Json();
    }
    append_csv_row(csv, cells);
    Json json = parse_json(write_prediction(answer), "prediction");
    json["ticket_id"] = truth.id;
    json["query"] = truth.problem;
    json["truth"] = {{"urgency", truth.urgency}, {"category", truth.category}, {"resolution", truth.resolution}};
    json["measures"] = measured;
    jsonl += write_json(json) + "\n";
  }
  write_file_atomically(base.string() + ".csv", csv);
  write_file_atomically(base.string() + ".jsonl", jsonl);
}

}  // namespace

std::string file_name_of(const std::string& system) {
  std::string name;
  for (const char c : lower(system)) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (is_plain)
      name += c;
    else if (!name.empty() && name.back() != '_')
      name += '_';
  }
  while (!name.empty() && name.back() == '_') name.pop_back();
  return name.empty() ? "system" : name;
}

void write_predictions(const fs::path& folder, const SplitRecords& records, const SplitResult& result,
                       std::span<const MeasureInfo> measures) {
  std::error_code failure;
  fs::create_directories(folder, failure);
  if (failure) throw Error(ExitCode::kCannotWrite, "cannot make the folder {}: {}", folder.string(), failure.message());
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().stem().string().ends_with("_results")) fs::remove(entry.path(), failure);
  std::set<std::string> names;
  for (std::size_t s = 0; s < records.systems.size(); ++s) {
    const std::string plain = file_name_of(records.systems[s].identity.name);
    std::string name = plain;
    for (int number = 2; !names.insert(name).second; ++number) name = fmt::format("{}_{}", plain, number);
    write_system(folder / (name + "_results"), records, records.systems[s], result.systems[s], measures);
  }
}

std::vector<Prediction> read_predictions(const fs::path& file) {
  const auto table = open_table(file);
  const auto id = column_of(*table, {"ticket_id", "ticketid", "ticket", "id"});
  const auto answer = column_of(*table, {"answer", "reply", "response", "output"});
  const auto urgency = column_of(*table, {"urgency", "urgency code", "urgencycode"}), category = column_of(*table, {"category"}),
             resolution = column_of(*table, {"resolution", "solution"});
  if (!id || (!answer && !urgency && !category && !resolution))
    throw Error(ExitCode::kBadInput,
                "{}: row 1: wanted are the columns ticket_id and urgency, category or resolution (or answer, with a JSON object in it)",
                file.string());
  std::vector<Prediction> predictions;
  Row row;
  while (table->next(row)) {
    Prediction prediction{.ticket_id = row.cells[*id], .source = "file"};
    if (prediction.ticket_id.empty())
      throw Error(ExitCode::kBadInput, "{}: row {}: ticket_id is empty; every answer names its ticket", file.string(), row.number);
    if (urgency || category || resolution) {
      if (urgency) prediction.urgency = urgency_of(row.cells[*urgency], file, row.number);
      if (category) prediction.category = row.cells[*category];
      if (resolution) prediction.resolution = row.cells[*resolution];
    } else if (const auto reply = read_decision(row.cells[*answer])) {
      prediction.urgency = reply->urgency;
      prediction.category = reply->category;
      prediction.resolution = reply->resolution;
    }
    predictions.push_back(std::move(prediction));
  }
  return predictions;
}

std::vector<std::pair<std::string, std::string>> read_relevant_pairs(const fs::path& file) {
  const auto table = open_table(file);
  const auto ticket = column_of(*table, {"ticket_id", "ticketid", "ticket"}), found = column_of(*table, {"case_id", "caseid", "case"});
  if (!ticket || !found) throw Error(ExitCode::kBadInput, "{}: row 1: wanted are the columns ticket_id and case_id", file.string());
  std::vector<std::pair<std::string, std::string>> pairs;
  Row row;
  while (table->next(row)) pairs.emplace_back(row.cells[*ticket], row.cells[*found]);
  return pairs;
}

}  // namespace deskhand
