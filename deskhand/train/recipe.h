// How a run trains: every setting. Read from a TOML file by app (app/recipe.h); docs/recipes.md lists the keys.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/train/schedule.h"

namespace deskhand {

enum class Method : std::uint8_t {
  kLora,    // low-rank pairs beside frozen linear layers: Hu et al., 2021
  kHybrid,  // LoRA, and head and norms trained as they are
  kFull     // every weight, for small models
};
std::string_view name_of(Method method);  // "lora", "hybrid", "full"

enum class LossOn : std::uint8_t { kAnswer, kEverything };
enum class TrainingFormat : std::uint8_t {
  kTriage,  // the very prompt that triage writes, answered in JSON
  kSeed     // "### Instruction:\n...\n\n### Response:\n- Urgency: ...": the thesis project's
};
enum class FrozenBase : std::uint8_t {
  kAsStored,  // f32, f16, bf16 or a GGUF's quantised blocks: the latter is QLoRA
  kQ8,        // matrices are quantised to 8 or 4 bits while loading
  kQ4
};

enum class Precision : std::uint8_t {
  kAuto,  // of activations and their gradients: f32 on the CPU, bf16 on the GPU; what is trained is f32 in any case
  kF32,
  kFp8  // bf16, and the layers' frozen matrices and what they are multiplied with in FP8: GPUs of compute capability 8.9 and newer
};

struct LoraSettings {
  std::vector<std::string> targets = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
  std::int32_t r = 16;           // R
  double alpha = 32;             // the pair's product is scaled by alpha / r
  double dropout = 0.05;         // of a pair's input
  bool rank_stabilised = false;  // scaled by alpha / sqrt(r): Kalajdzievski, 2023
  double plus_ratio = 1;         // LoRA+: B learns so many times faster than A: Hayou et al., 2024
  bool operator==(const LoraSettings&) const = default;
};

struct DataSettings {
  TrainingFormat format = TrainingFormat::kTriage;
  std::int32_t cases = 3;  // retrieved cases shown in a training prompt
  LossOn loss_on = LossOn::kAnswer;
  double label_weight = 1;          // how many of the other tokens a token of the answer's labels counts for
  std::int32_t max_tokens = 1024;   // of one example
  double validation_share = 0.05;   // of the tickets to learn from, kept for evaluation during training
  bool keep_apart = true;           // tickets that label weights and temperature are fitted on are not learnt from
  std::int32_t batch = 16;          // examples of one optimizer step; 0: step_passes full passes
  std::int32_t micro_batch = 0;     // the most examples of one pass; 0: as many as fit
  std::int32_t pass_tokens = 2048;  // the most tokens of one pass; 0: pass_tokens_for says before a run begins
  std::int32_t step_passes = 1;     // with batch 0
  bool shuffle = true;
  bool operator==(const DataSettings&) const = default;
};

struct OptimizerSettings {  // AdamW: Loshchilov and Hutter, 2019
  double learning_rate = 2e-4;
  double head_ratio = 1;    // kHybrid: lm_head and norms learn so many times faster than LoRA's pairs
  double weight_decay = 0;  // decoupled; never on norms and biases
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double max_grad_norm = 1;  // gradients are scaled down to it; 0: never
  bool operator==(const OptimizerSettings&) const = default;
};

struct ScheduleSettings {
  ScheduleKind kind = ScheduleKind::kLinear;
  std::int64_t warmup_steps = 0;
  double warmup_ratio = 0;  // of all steps, rounded up; counts where warmup_steps is 0
  bool operator==(const ScheduleSettings&) const = default;
};

struct RunSettings {
  double epochs = 4;
  std::int64_t max_steps = 0;         // ends a run earlier; 0: epochs alone
  std::int64_t evaluate_every = 0;    // steps; 0: at each epoch's end
  std::int64_t checkpoint_every = 0;  // steps; 0: at each evaluation
  std::int32_t keep_checkpoints = 2;  // the last so many, and the best
  std::int32_t patience = 0;          // evaluations without a better loss before the run stops; 0: never
  double least_gain = 0;              // by which a loss must be lower to be better
  bool keep_best = true;              // the adapter is the best evaluation's; false: the last step's
  std::uint64_t seed = 42;
  bool operator==(const RunSettings&) const = default;
};

struct Recipe {
  std::string name = "lora";  // of the file
  Method method = Method::kLora;
  FrozenBase base = FrozenBase::kAsStored;
  Precision precision = Precision::kAuto;
  bool recompute = false;  // a layer's activations are computed again for backward instead of kept
  LoraSettings lora;       // kLora and kHybrid
  DataSettings data;
  OptimizerSettings optimizer;
  ScheduleSettings schedule;
  RunSettings run;
  bool operator==(const Recipe&) const = default;
};

// Throws Error(kUsage) with the key, what it is and what may be there: settings that contradict one another. `where` names the file.
void check(const Recipe& recipe, std::string_view where);

Schedule schedule_of(const Recipe& recipe, std::int64_t total_steps);

}  // namespace deskhand
