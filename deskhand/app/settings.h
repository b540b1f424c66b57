// A desk's settings: desk.toml read once into plain structs, which are handed down. docs/desk-toml.md describes every key.
#pragma once
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/ops/backend.h"
#include "deskhand/retrieve/retriever.h"
#include "deskhand/tickets/prepare.h"
#include "deskhand/triage/confidence.h"

namespace deskhand {

enum class SplitMethod { kRandom, kGrouped, kTime };

struct SplitSettings {
  SplitMethod method = SplitMethod::kGrouped;
  double test_share = 0.05;
  int seed = 42;
  int folds = 0;  // 0: one split by test_share; else k of them, the test parts of which do not overlap
  int fold = 1;   // of folds, the one that the desk holds
};

struct ModelSettings {
  std::string encoder = "all-minilm-l6-v2";
  std::string decoder = "qwen2.5-coder-0.5b-instruct";  // empty: the cases alone answer
  std::string adapter;                                  // a run of this desk or a folder; empty: the decoder as it is
};

struct AnswerSettings {
  Witness decide = Witness::kFused;
  int cases = 3;
  int max_prompt_tokens = 2048;
  int max_new_tokens = 200;
  double temperature = 0;  // 0: greedy
  double top_p = 0.9;
  int seed = 42;
  int held_out = 30;                          // tickets that the label weights are fitted on; 0: default weights
  std::vector<std::string> urgency_meanings;  // five, or none
};

// One system of an evaluation.
struct SystemSettings {
  std::string name;
  std::string kind = "raw";           // raw, file; an adapter's own kind is found when it is read
  std::string decoder;                // empty: no language model, the cases decide
  std::string adapter;                // as ModelSettings::adapter
  int cases = 3;                      // shown to the model
  Witness decide = Witness::kModel;   // who decides the labels
  bool mend = false;                  // a resolution that no case supports is replaced by the best case's
  std::filesystem::path predictions;  // answers made elsewhere, .csv or .jsonl; no model is run
};

struct EvaluateSettings {
  int resamples = 2000;  // of every bootstrap interval
  int seed = 42;
  int validation = 40;                                    // tickets outside the test part that the temperature is fitted on; 0: none
  std::vector<double> urgency_costs = {8, 4, 2, 1, 1};    // of a ticket of urgency 1..5, for each level it is placed less urgent
  double too_urgent_cost = 1;                             // for each level more urgent
  double above = 75;                                      // token_set_ratio that counts as the same resolution
  double relevant_similarity = 0.6;                       // cosine of resolutions from which a case of the same category is relevant
  std::filesystem::path relevant_pairs;                   // instead: a CSV file with ticket_id, case_id
  std::vector<std::string> splits = {"grouped", "time"};  // beside the desk's own, for systems without a language model
  std::vector<SystemSettings> systems;                    // none: the desk's decoder without cases, with cases, and as triage answers
};

struct DeskSettings {
  std::string name;
  PrepareSettings import;            // paths are absolute; what is redacted stands in its `clean`
  std::filesystem::path redact_key;  // empty: what a mark stands for is kept nowhere
  SplitSettings split;
  ModelSettings models;
  RetrieverSettings retrieval;  // encoder is left to whoever loads it; keywords holds the file's text
  AnswerSettings answer;
  EvaluateSettings evaluate;
  Compute compute = Compute::kAuto;
};

// Throws Error(kUsage) with file and line. Relative paths count from the desk's folder.
DeskSettings read_settings(std::string_view toml, const std::filesystem::path& folder, const std::string& where);

// The tables that a desk.toml opens: "import", "import.columns".
std::set<std::string> settings_sections(std::string_view toml);

void check_folds(const SplitSettings& split);  // throws Error(kUsage) for a fold that is not there

struct NewDesk {
  std::string name, preset;
  std::vector<std::string> tickets, history;  // as they shall stand in the file
  std::string keywords;                       // a file name, or empty
  double test_share = 0.05;
};
// The commented desk.toml of a new desk.
std::string write_settings(const NewDesk& desk);

}  // namespace deskhand
