// A desk's settings: desk.toml read once into plain structs, which are handed down. docs/desk-toml.md describes every key.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/ops/backend.h"
#include "deskhand/retrieve/retriever.h"
#include "deskhand/tickets/prepare.h"

namespace deskhand {

enum class SplitMethod { kRandom, kTime };

struct SplitSettings {
  SplitMethod method = SplitMethod::kRandom;
  double test_share = 0.05;
  int seed = 42;
};

struct ModelSettings {
  std::string encoder = "all-minilm-l6-v2";
  std::string decoder = "qwen2.5-coder-0.5b-instruct";  // empty: the cases alone answer
};

enum class LabelDecision { kFused, kModel, kVotes };

struct AnswerSettings {
  LabelDecision decide = LabelDecision::kFused;
  int cases = 3;
  int max_prompt_tokens = 2048;
  int max_new_tokens = 200;
  double temperature = 0;  // 0: greedy
  double top_p = 0.9;
  int seed = 42;
  int held_out = 30;                          // tickets that the label weights are fitted on; 0: default weights
  std::vector<std::string> urgency_meanings;  // five, or none
};

struct DeskSettings {
  std::string name;
  PrepareSettings import;  // paths are absolute
  SplitSettings split;
  ModelSettings models;
  RetrieverSettings retrieval;  // encoder is left to whoever loads it; keywords holds the file's text
  AnswerSettings answer;
  Compute compute = Compute::kAuto;
};

// Throws Error(kUsage) with file and line. Relative paths count from the desk's folder.
DeskSettings read_settings(std::string_view toml, const std::filesystem::path& folder, const std::string& where);

struct NewDesk {
  std::string name, preset;
  std::vector<std::string> tickets, history;  // as they shall stand in the file
  std::string keywords;                       // a file name, or empty
};
// The commented desk.toml of a new desk.
std::string write_settings(const NewDesk& desk);

}  // namespace deskhand
