// What triage answers for one ticket, with everything it rests on; how a foreign reply is read; how a decision is written down.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/base/expected.h"
#include "deskhand/retrieve/case_store.h"

namespace deskhand {

struct LabelProbability {
  std::string label;
  double probability = 0;  // 0..1
};

struct DecisionCase {
  Case found;
  double similarity = 0;  // cosine, -1..1; 0 without an encoder
  bool is_shown = false;  // to the model
};

// One sentence of the resolution and the case it leans on most.
struct Support {
  std::string sentence;
  int case_number = 0;  // from 1, as Decision::cases counts; 0: no case holds enough of it
  double overlap = 0;   // 0..1, the share of the sentence's words, weighed, that the case's resolution holds
};

enum class ResolutionSource {
  kModel,
  kCase,  // the best case's own resolution: no model, or none that could answer
  kNone   // neither a model nor a precedent
};
std::string_view name_of(ResolutionSource source);  // "model", "case", "none"

struct DecisionStatistics {
  std::int32_t prompt_tokens = 0, cached_tokens = 0, new_tokens = 0;
  double embed_ms = 0, retrieve_ms = 0, generate_ms = 0, total_ms = 0;
};

struct Decision {
  std::string query;  // as it was given
  int urgency = 0;    // 1..5
  std::string category, resolution;
  ResolutionSource resolution_source = ResolutionSource::kNone;
  std::vector<LabelProbability> urgencies;                 // 1..5 in order, sum 1
  std::vector<LabelProbability> categories;                // most probable first, sum 1
  double urgency_confidence = 0, category_confidence = 0;  // of the labels chosen
  std::vector<DecisionCase> cases;                         // best first
  double avg_similarity = 0;                               // of `cases`
  bool no_precedent = false;
  bool model_failed = false;  // a model was asked and gave no answer: cases alone decided
  std::vector<Support> support;  // (sentences of the resolution)
  DecisionStatistics statistics;
  std::vector<std::string> warnings;  // for the person who reads it
};

// The case each sentence leans on: words shared with its resolution, identifiers ("SOP310", "CVN-1042") and long words weighed most. Below
// `least` no case is named.
std::vector<Support> find_support(std::string_view resolution, std::span<const DecisionCase> cases, double least = 0.5);

// True for a resolution that says the query over again and leans on no case: nearly all its weighed words are the query's. Small models do
// it.
bool repeats_query(std::string_view resolution, std::string_view query, std::span<const Support> support);

struct Reply {
  int urgency = 0;
  std::string category, resolution;
};

struct ReplyFault {
  enum class Kind { kNoJson, kBroken, kField };
  Kind kind = Kind::kNoJson;
  std::string what;  // "No JSON found", "\"Urgency Code\" is 7, 1 to 5 were wanted"
};

// Reads what another system, or a model without a grammar, replied: the first balanced {...} that parses, braces inside strings not
// counted, text around it passed over. Keys are compared without case, spaces, - and _; "urgency" will do for "Urgency Code"; an urgency
// may be a number or a text that starts with one. Unknown keys are passed over.
Expected<Reply, ReplyFault> read_decision(std::string_view text);

struct TextStyle {
  bool colour = false;
  int width = 100;  // columns; at least 40
};
std::string text_of(const Decision& decision, const TextStyle& style = {});  // for people; control characters taken out; ends in a line end
std::string jsonl_of(const Decision& decision);                              // one line without its end
// RFC 4180. The first five columns are the seed's.
std::string csv_header();
std::string csv_of(const Decision& decision);

}  // namespace deskhand
