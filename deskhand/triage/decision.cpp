#include "deskhand/triage/decision.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/retrieve/words.h"
#include "deskhand/text/normalize.h"
#include "deskhand/tickets/table.h"
#include "deskhand/tickets/ticket.h"
#include "deskhand/triage/prompt.h"
#include "deskhand/triage/sentences.h"

namespace deskhand {
namespace {

// Identifiers count most, then long words; short ones ("the", "und", "in") not at all.
double weight_of(std::string_view word) {
  if (std::any_of(word.begin(), word.end(), [](char c) { return c >= '0' && c <= '9'; })) return word.size() < 3 ? 0.5 : 3;
  return word.size() < 4 ? 0 : word.size() < 7 ? 1 : 1.5;
}

std::set<std::string> folded_words(std::string_view text) {
  std::set<std::string> words;
  for (const std::string_view word : words_of(text)) words.insert(fold_case(word));
  return words;
}

// ---- reading replies

// The end of the balanced object that begins at text[begin], or npos.
std::size_t end_of_object(std::string_view text, std::size_t begin) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = begin; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{') {
      ++depth;
    } else if (c == '}' && --depth == 0) {
      return i + 1;
    }
  }
  return std::string_view::npos;
}

std::string plain_key(std::string_view key) {
  std::string plain;
  for (const char c : key)
    if (c != ' ' && c != '_' && c != '-') plain += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return plain;
}

const Json* field(const Json& object, std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names)
    for (const auto& [key, value] : object.items())
      if (plain_key(key) == name) return &value;
  return nullptr;
}

std::optional<int> urgency_of(const Json& value) {
  if (value.is_number()) {
    const double number = value.get<double>();
    if (number >= kMinUrgency && number <= kMaxUrgency && number == std::floor(number)) return static_cast<int>(number);
  } else if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    const auto first = text.find_first_not_of(" \t");
    const bool ends = first != std::string::npos && (first + 1 == text.size() || !(text[first + 1] >= '0' && text[first + 1] <= '9'));
    if (ends && text[first] >= '0' + kMinUrgency && text[first] <= '0' + kMaxUrgency) return text[first] - '0';
  }
  return std::nullopt;
}

ReplyFault field_fault(std::string_view name, const Json* value, std::string_view wanted) {
  if (!value) return {ReplyFault::Kind::kField, fmt::format("\"{}\" is missing", name)};
  return {ReplyFault::Kind::kField, fmt::format("\"{}\" is {}, {} wanted", name, shorten(write_json(*value), 60), wanted)};
}

// ---- writing

std::string without_controls(std::string_view text) {  // an escape sequence in a ticket must not reach the terminal
  std::string clean;
  const std::string valid = repair_utf8(text);
  for (std::size_t i = 0; i < valid.size(); ++i) {
    const auto c = static_cast<unsigned char>(valid[i]);
    const bool is_c1 = c == 0xC2 && i + 1 < valid.size() && static_cast<unsigned char>(valid[i + 1]) < 0xA0;
    if (is_c1) ++i;
    clean += is_c1 || c < 0x20 || c == 0x7F ? ' ' : static_cast<char>(c);
  }
  return clean;
}

std::size_t columns(std::string_view text) {  // of UTF-8 without combining or wide characters
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string wrapped(std::string_view text, int width, std::string_view indent) {
  std::string out, line(indent);
  const std::string clean = without_controls(text);
  bool has_word = false;
  for (std::size_t at = 0; at < clean.size();) {
    const auto begin = clean.find_first_not_of(' ', at);
    if (begin == std::string::npos) break;
    at = std::min(clean.find(' ', begin), clean.size());
    const std::string_view word = std::string_view(clean).substr(begin, at - begin);
    if (has_word && columns(line) + 1 + columns(word) > static_cast<std::size_t>(width)) {
      out += line + "\n";
      line = indent;
      has_word = false;
    }
    if (has_word) line += ' ';
    line += word;
    has_word = true;
  }
  return has_word ? out + line + "\n" : out;
}

std::string percent(double p) {
  return fmt::format("{:.0f} %", 100 * p);
}

std::string distribution_text(std::span<const LabelProbability> labels, std::string_view chosen) {
  std::vector<LabelProbability> others;
  std::copy_if(labels.begin(), labels.end(), std::back_inserter(others),
               [&](const auto& l) { return l.label != chosen && l.probability >= 0.05; });
  std::stable_sort(others.begin(), others.end(), [](const auto& a, const auto& b) { return a.probability > b.probability; });
  std::string text;
  for (std::size_t i = 0; i < std::min<std::size_t>(others.size(), 3); ++i)
    text += fmt::format("{}{} {}", i == 0 ? "" : ", ", without_controls(others[i].label), percent(others[i].probability));
  return text.empty() ? "" : "   (" + text + ")";
}

// "Ended the session in SYS040. [1] Ran it again."
std::string cited(const Decision& decision) {
  if (decision.support.empty()) return decision.resolution;
  std::string text;
  for (const Support& support : decision.support) {
    text += (text.empty() ? "" : " ") + support.sentence;
    if (support.case_number > 0) text += fmt::format(" [{}]", support.case_number);
  }
  return text;
}

Json labels_json(std::span<const LabelProbability> labels) {
  Json json = Json::object();
  for (const LabelProbability& label : labels) json[label.label] = std::round(label.probability * 1e6) / 1e6;
  return json;
}

Json case_json(const DecisionCase& past) {
  return {{"ticket", past.found.ticket_id}, {"similarity", past.similarity},
          {"problem", past.found.problem},  {"resolution", past.found.resolution},
          {"urgency", past.found.urgency},  {"category", past.found.category},
          {"shown", past.is_shown}};
}

// With exactly the seed's three keys.
Json answer_json(const Decision& decision) {
  return {{kUrgencyKey, decision.urgency}, {kCategoryKey, decision.category}, {kResolutionKey, decision.resolution}};
}

}  // namespace

std::string_view name_of(ResolutionSource source) {
  switch (source) {
    case ResolutionSource::kModel:
      return "model";
    case ResolutionSource::kCase:
      return "case";
    default:
      return "none";
  }
}

std::vector<Support> find_support(std::string_view resolution, std::span<const DecisionCase> cases, double least) {
  std::vector<std::set<std::string>> known;
  for (const DecisionCase& past : cases) known.push_back(folded_words(past.found.resolution));
  std::vector<Support> support;
  for (const std::string_view sentence : sentences_of(resolution)) {
    Support best{.sentence = std::string(sentence)};
    const auto words = folded_words(sentence);
    double all = 0;
    for (const std::string& word : words) all += weight_of(word);
    for (std::size_t i = 0; i < known.size() && all > 0; ++i) {
      double shared = 0;
      for (const std::string& word : words) shared += known[i].contains(word) ? weight_of(word) : 0;
      if (shared / all > best.overlap) {
        best.overlap = shared / all;
        best.case_number = static_cast<int>(i) + 1;
      }
    }
    if (best.overlap < least) best.case_number = 0;
    support.push_back(std::move(best));
  }
  return support;
}

bool repeats_query(std::string_view resolution, std::string_view query, std::span<const Support> support) {
  constexpr double kNearlyAll = 0.85;
  if (std::any_of(support.begin(), support.end(), [](const Support& s) { return s.case_number > 0; })) return false;
  const auto asked = folded_words(query);
  double all = 0, shared = 0;
  for (const std::string& word : folded_words(resolution)) {
    all += weight_of(word);
    shared += asked.contains(word) ? weight_of(word) : 0;
  }
  return all > 0 && shared >= kNearlyAll * all;
}

Expected<Reply, ReplyFault> read_decision(std::string_view text) {
  constexpr int kMostStarts = 32;  // each may be read to the end: a reply of braces alone stays cheap
  const std::string_view kNoJson = "No JSON found";
  std::optional<Json> object;
  std::string broken;
  int starts = 0;
  for (auto begin = text.find('{'); begin != std::string_view::npos && !object && starts < kMostStarts;
       begin = text.find('{', begin + 1), ++starts) {
    const std::size_t end = end_of_object(text, begin);
    if (end == std::string_view::npos) continue;
    try {
      object = parse_json(text.substr(begin, end - begin), "reply");
    } catch (const Error& error) {
      if (broken.empty()) broken = error.what();
    }
  }
  if (!object)
    return Unexpected{broken.empty() ? ReplyFault{ReplyFault::Kind::kNoJson, std::string(kNoJson)}
                                     : ReplyFault{ReplyFault::Kind::kBroken, broken}};

  const Json* urgency = field(*object, {"urgencycode", "urgency"});
  const Json* category = field(*object, {"category"});
  const Json* resolution = field(*object, {"resolution", "solution"});
  const auto number = urgency ? urgency_of(*urgency) : std::nullopt;
  if (!number) return Unexpected{field_fault("Urgency Code", urgency, "1 to 5 was")};
  if (!category || !category->is_string()) return Unexpected{field_fault("Category", category, "a text was")};
  if (!resolution || !resolution->is_string()) return Unexpected{field_fault("Resolution", resolution, "a text was")};
  return Reply{*number, category->get<std::string>(), resolution->get<std::string>()};
}

std::string text_of(const Decision& decision, const TextStyle& style) {
  const int width = std::max(style.width, 40);
  const auto bold = [&](std::string_view text) { return style.colour ? fmt::format("\x1b[1m{}\x1b[0m", text) : std::string(text); };
  const auto dim = [&](std::string_view text) { return style.colour ? fmt::format("\x1b[2m{}\x1b[0m", text) : std::string(text); };
  const auto alarm = [&](std::string_view text) { return style.colour ? fmt::format("\x1b[33m{}\x1b[0m", text) : std::string(text); };
  const std::string urgency = std::to_string(decision.urgency), category = without_controls(decision.category);
  const std::size_t pad = std::max(urgency.size(), columns(category));
  const auto row = [&](std::string_view name, const std::string& label, double confidence, const std::string& others) {
    return fmt::format("{:<12}{}{}  {:>5}{}\n", name, bold(label), std::string(pad - columns(label), ' '), percent(confidence),
                       dim(others));
  };
  std::string out = row("Urgency", urgency, decision.urgency_confidence, distribution_text(decision.urgencies, urgency)) +
                    row("Category", category, decision.category_confidence, distribution_text(decision.categories, decision.category));
  out += "Resolution";
  if (decision.resolution_source == ResolutionSource::kCase) out += "  (the best case's own)";
  out += "\n" +
         (decision.resolution.empty() ? wrapped("none: nothing like it was found", width, "  ") : wrapped(cited(decision), width, "  "));
  if (!decision.cases.empty()) {
    out += "Cases\n";
    for (std::size_t i = 0; i < decision.cases.size(); ++i) {
      const DecisionCase& past = decision.cases[i];
      out += fmt::format("  [{}] {}  {:.2f}  {}, urgency {}\n", i + 1, bold(without_controls(past.found.ticket_id)), past.similarity,
                         without_controls(past.found.category), past.found.urgency);
      out += dim(wrapped(shorten(past.found.problem, 240), width, "      ")) +
             wrapped("-> " + shorten(past.found.resolution, 400), width, "      ");
    }
  }
  for (const std::string& warning : decision.warnings) out += alarm(wrapped("! " + warning, width, ""));
  return out;
}

std::string jsonl_of(const Decision& decision) {
  Json json = {{"query", decision.query},
               {"answer", answer_json(decision)},
               {"urgency", decision.urgency},
               {"urgency_confidence", decision.urgency_confidence},
               {"category", decision.category},
               {"category_confidence", decision.category_confidence},
               {"resolution", decision.resolution},
               {"resolution_source", name_of(decision.resolution_source)},
               {"no_precedent", decision.no_precedent},
               {"avg_similarity", decision.avg_similarity},
               {"urgencies", labels_json(decision.urgencies)},
               {"categories", labels_json(decision.categories)}};
  json["cases"] = Json::array();
  for (const DecisionCase& past : decision.cases) json["cases"].push_back(case_json(past));
  json["support"] = Json::array();
  for (const Support& support : decision.support)
    json["support"].push_back({{"sentence", support.sentence}, {"case", support.case_number}, {"overlap", support.overlap}});
  const DecisionStatistics& s = decision.statistics;
  json["statistics"] = {
      {"prompt_tokens", s.prompt_tokens}, {"cached_tokens", s.cached_tokens}, {"new_tokens", s.new_tokens}, {"embed_ms", s.embed_ms},
      {"retrieve_ms", s.retrieve_ms},     {"generate_ms", s.generate_ms},     {"total_ms", s.total_ms}};
  json["warnings"] = decision.warnings;
  return write_json(json);
}

std::string csv_header() {
  return "query,retrieved_cases,similarities,avg_similarity,answer,urgency,urgency_confidence,category,category_confidence,resolution,"
         "resolution_source,no_precedent,case_ids,warnings\r\n";
}

std::string csv_of(const Decision& decision) {
  Json cases = Json::array(), similarities = Json::array(), ids = Json::array();
  for (const DecisionCase& past : decision.cases) {
    cases.push_back({{"problem", past.found.problem},
                     {"resolution", past.found.resolution},
                     {"urgency", past.found.urgency},
                     {"category", past.found.category}});
    similarities.push_back(std::round(past.similarity * 1e4) / 1e4);
    ids.push_back(past.found.ticket_id);
  }
  std::string warnings;
  for (const std::string& warning : decision.warnings) warnings += (warnings.empty() ? "" : "; ") + warning;
  std::array<std::string, 14> cells = {repair_utf8(decision.query),
                                       write_json(cases),
                                       write_json(similarities),
                                       fmt::format("{:.4f}", decision.avg_similarity),
                                       write_json(answer_json(decision)),
                                       std::to_string(decision.urgency),
                                       fmt::format("{:.4f}", decision.urgency_confidence),
                                       repair_utf8(decision.category),
                                       fmt::format("{:.4f}", decision.category_confidence),
                                       repair_utf8(decision.resolution),
                                       std::string(name_of(decision.resolution_source)),
                                       decision.no_precedent ? "true" : "false",
                                       write_json(ids),
                                       repair_utf8(warnings)};
  for (auto& cell : cells) cell = without_formula(cell);  // for a spreadsheet program: customers' words are in it
  std::string out;
  append_csv_row(out, cells);
  return out;
}

}  // namespace deskhand
