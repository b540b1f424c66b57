// What the tests of whole runs share: small models, examples that can be learnt, a run in a folder of its own, what is told of it.
#pragma once
#include <doctest/doctest.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/base/error.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/ops/testing.h"
#include "deskhand/train/random.h"
#include "deskhand/train/records.h"
#include "deskhand/train/testing.h"
#include "deskhand/train/trainer.h"
#include "tests/temporary_folder.h"

namespace deskhand::testing {

inline const Decoder& model(const std::string& name) {
  static std::map<std::string, Decoder> loaded;
  auto at = loaded.find(name);
  if (at == loaded.end()) at = loaded.emplace(name, Decoder::load(kGolden / "models" / name)).first;
  return at->second;
}

// Tokens that follow one another by a rule, so that there is something to learn.
inline std::vector<Example> examples_of(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<Example> examples(count);
  for (Example& example : examples) {
    const auto length = 5 + random.below(12);
    auto token = static_cast<std::int32_t>(3 + random.below(20));
    for (std::uint64_t i = 0; i < length; ++i) {
      example.ids.push_back(token);
      token = 3 + (token * 5 + static_cast<std::int32_t>(random.below(2))) % 20;
    }
    example.answer_begin = static_cast<std::int32_t>(1 + random.below(length - 2));
  }
  return examples;
}

inline Recipe small_recipe() {
  Recipe recipe;
  recipe.lora = {.targets = {"q_proj", "v_proj", "down_proj"}, .r = 2, .alpha = 4, .dropout = 0.1};
  recipe.data = {.max_tokens = 40, .batch = 4, .pass_tokens = 40};
  recipe.optimizer = {.learning_rate = 0.01, .weight_decay = 0.01};
  recipe.run = {.epochs = 2, .evaluate_every = 3, .keep_checkpoints = 2, .seed = 7};
  return recipe;
}

inline RunInfo info() {
  return {.name = "one", .method = "lora", .base_model = "acme/tiny", .base_hash = "b0", .recipe_hash = "c0", .data_hash = "d0"};
}

// A run in a folder of its own.
struct Run {
  Recipe recipe = small_recipe();
  std::string base = "qwen2";
  std::vector<Example> training = examples_of(18, 1), validation = examples_of(6, 2);  // 5 steps an epoch
  int threads = 1;
  TrainingWatch watch;
  RunInfo about = info();
  TemporaryFolder folder{true};

  std::filesystem::path root() const { return folder.path() / "run"; }
  TrainingOutcome start() { return go(make_run_folder(root(), false), false); }
  TrainingOutcome resume() { return go({root()}, true); }
  TrainingOutcome go(const RunFolder& in, bool is_resumed) {
    Machine machine(threads);
    return run_training(machine.on, model(base), {training, validation}, recipe, in, about, is_resumed, watch);
  }
  std::string adapter() const { return read_text_file(root() / "adapter/adapter_model.safetensors"); }
};

// The log without what a clock says.
inline std::vector<std::string> log_of(const std::filesystem::path& root) {
  const RunLog log = read_run_log(root / "log.jsonl");
  std::vector<std::string> lines;
  for (const StepRecord& r : log.steps)
    lines.push_back(fmt::format("step {} {} {} {} {} {} {} {}", r.step, r.epoch, r.loss, r.grad_norm, r.learning_rate, r.entropy,
                                r.num_tokens, r.mean_token_accuracy));
  for (const EvalRecord& r : log.evaluations)
    lines.push_back(fmt::format("evaluation {} {} {} {} {} {}", r.step, r.epoch, r.loss, r.entropy, r.mean_token_accuracy, r.num_tokens));
  return lines;
}

inline std::vector<double> losses_of(const std::filesystem::path& root) {
  std::vector<double> losses;
  for (const StepRecord& record : read_run_log(root / "log.jsonl").steps) losses.push_back(record.loss);
  return losses;
}

inline std::string fault_of(const std::function<void()>& work, ExitCode code) {
  try {
    work();
  } catch (const Error& error) {
    CHECK(error.code() == code);
    return error.what();
  }
  return "";
}

inline bool contains(const std::string& text, std::string_view part) {
  const bool is_there = text.find(part) != std::string::npos;
  if (!is_there) MESSAGE("'", part, "' is not in: ", text);
  return is_there;
}

inline std::function<bool()> stop_after(int steps, int& taken) {
  return [=, &taken] { return taken >= steps; };
}

}  // namespace deskhand::testing
