// A run is a folder: settings, logs, checkpoints, what was learnt and its card.
//
//   run.json        what was trained on what, with hashes (RunInfo)
//   recipe.toml     the settings as they were, overrides applied
//   tickets.json    ids of the tickets learnt from, and of those kept for evaluation during training
//   log.jsonl       one line a step and an evaluation (records.h)
//   tensorboard/    the same for TensorBoard
//   checkpoints/    step-00000120.safetensors (checkpoint.h)
//   adapter/        adapter_config.json, adapter_model.safetensors; or model/ after full fine-tuning
//   README.md       the model card
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace deskhand {

struct RunFolder {
  std::filesystem::path root;

  std::filesystem::path info() const { return root / "run.json"; }
  std::filesystem::path recipe() const { return root / "recipe.toml"; }
  std::filesystem::path tickets() const { return root / "tickets.json"; }
  std::filesystem::path log() const { return root / "log.jsonl"; }
  std::filesystem::path tensorboard() const { return root / "tensorboard"; }
  std::filesystem::path checkpoints() const { return root / "checkpoints"; }
  std::filesystem::path adapter() const { return root / "adapter"; }
  std::filesystem::path model() const { return root / "model"; }
  std::filesystem::path card() const { return root / "README.md"; }
};

struct RunInfo {
  std::string name, method;              // "lora"
  std::string base_model, base_hash;     // as the user named it; SHA-256 of its weights
  std::string recipe_name, recipe_hash;  // SHA-256 of recipe.toml
  std::string data, data_hash;           // "desk 'acme', 4 900 tickets"; SHA-256 over the examples' tokens
  std::string version;                   // of deskhand
  std::string started, finished;         // ISO, UTC; finished empty: not yet
  std::int64_t train_examples = 0, validation_examples = 0;
  std::int64_t trained_parameters = 0, all_parameters = 0;

  std::map<std::string, std::string> identity() const;  // what a resumed run must share: base, recipe, data
  bool operator==(const RunInfo&) const = default;
};

// A folder for a new run. Throws Error(kCannotWrite) if there is a run in it already and `overwrite` is false; overwriting removes what a
// run writes and nothing else.
RunFolder make_run_folder(const std::filesystem::path& root, bool overwrite);
// Throws Error(kNotFound) with the command that makes one.
RunFolder open_run_folder(const std::filesystem::path& root);

void write_run_info(const std::filesystem::path& path, const RunInfo& info);
RunInfo read_run_info(const std::filesystem::path& path);  // throws Error(kNotFound) or Error(kBadInput) naming the field

}  // namespace deskhand
