// An exported model against the one that was trained: the same texts through both, in f32, and what moved on the way. Each stage is read
// back from its file as any reader would.
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "deskhand/app/command.h"
#include "deskhand/app/engine.h"
#include "deskhand/app/settings.h"
#include "deskhand/generate/load_tokenizer.h"
#include "deskhand/model/decoder.h"

namespace deskhand {

struct Probe {
  std::string query, answer;  // answer: as a model would have to write it
};

struct ProbeTexts {
  std::string about;  // "6 held-out tickets of the desk"
  std::vector<Probe> probes;
  std::vector<std::string> categories;
  DeskSettings settings;
};
// Held-out tickets of the desk at globals.desk; texts of the program's own where there is no desk, or none is held out in it.
ProbeTexts probe_texts(const Globals& globals, int count);

struct VerifiedStage {
  std::string name;            // "merged, f16"
  DType stored = DType::kF32;  // the limits that count
  std::function<Decoder()> load;
  std::filesystem::path tokenizer;
};

struct Drift {
  double largest = 0, mean = 0;  // |difference| of logits
  double relative = 0;           // mean over the standard deviation of the trained model's logits
  double top1 = 1;               // share of positions with the same likeliest token
  double labels = 0;             // largest difference of a label's probability
  double same_labels = 1;        // share of tickets whose urgency and category stay
  bool same_tokens = true;       // its own tokenizer gives the same ids
};

// What is allowed of a type; docs/export.md says why.
struct DriftLimits {
  double relative, top1, labels;
};
DriftLimits limits_of(DType stored);

// Empty, or which limit was passed and by how much.
std::string fault_of(const Drift& drift, DType stored);

// Each stage against `trained`; one model is held at a time. Throws as Decoder::load and load_tokenizer do.
std::vector<Drift> measure_drift(const Engine& engine, const VerifiedStage& trained, const std::vector<VerifiedStage>& stages,
                                 const ProbeTexts& texts);

}  // namespace deskhand
