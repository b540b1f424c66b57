#include "deskhand/app/desk_adapter.h"

#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <vector>

#include "deskhand/app/model_hash.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/base/sha256.h"
#include "deskhand/train/adapt.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> runs_of(const fs::path& desk_folder) {
  std::vector<std::string> names;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(desk_folder / "runs", none))
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

void ModelChoice::declare(CLI::App& sub, const char* decoder_about) {
  sub.add_option("--decoder", decoder, decoder_about);
  sub.add_option("--adapter", adapter, "a run of this desk or an adapter's folder, instead of desk.toml's; none: the model as it is");
}

void ModelChoice::apply(ModelSettings& models) const {
  if (!decoder.empty()) {
    models.decoder = decoder == "none" ? "" : decoder;
    models.adapter.clear();
  }
  if (!adapter.empty()) models.adapter = adapter == "none" ? "" : adapter;
}

fs::path installed_adapter(const fs::path& desk_folder, std::string_view name) {
  const fs::path path(name);
  for (const fs::path& candidate : {desk_folder / "runs" / path, desk_folder / path, path}) {
    if (!fs::is_directory(candidate)) continue;
    if (fs::is_directory(candidate / "adapter")) return candidate / "adapter";
    if (holds_adapter(candidate)) return candidate;
    if (fs::exists(candidate / "model" / "config.json"))
      throw Error(ExitCode::kUsage, "the run '{}' trained every weight, so it is a model and no adapter; write decoder = \"{}\"", name,
                  (candidate / "model").lexically_proximate(desk_folder).string());
    if (fs::exists(candidate / "run.json"))
      throw Error(ExitCode::kNotFound, "the run '{}' has no adapter yet; it goes on with: deskhand train --resume", name);
  }
  const auto runs = runs_of(desk_folder);
  throw Error(ExitCode::kNotFound, "'{}' is neither a run of this desk nor the folder of an adapter; there are: {}", name,
              runs.empty() ? "no runs yet" : fmt::format("{}", fmt::join(runs, ", ")));
}

bool holds_adapter(const fs::path& folder) {
  return fs::exists(folder / "adapter_config.json") || fs::exists(folder / "adapter_model.bin") ||
         fs::exists(folder / "adapter_model.safetensors");
}

std::optional<RunInfo> run_of_adapter(const fs::path& folder) {
  const RunFolder run{folder.parent_path()};
  if (folder.filename() != "adapter" || !fs::exists(run.info())) return std::nullopt;
  return read_run_info(run.info());
}

std::string adapter_kind(const fs::path& folder) {
  const fs::path file = folder / "adapter_config.json";
  if (!fs::exists(file)) return "lora";  // reading it says what is wrong
  const Json config = parse_json(read_text_file(file, 1 << 24), file.string());
  const auto modules = config.is_object() ? config.find("modules_to_save") : config.end();
  return modules != config.end() && modules->is_array() && !modules->empty() ? "hybrid" : "lora";
}

std::string adapter_hash(Database& database, const fs::path& folder) {
  std::string all;
  for (const char* name : {"adapter_config.json", "adapter_model.safetensors"})
    if (fs::exists(folder / name)) all += model_hash(database, folder / name) + "\n";
  return sha256(all);
}

std::string other_base(Database& database, const fs::path& model, const fs::path& adapter) {
  const auto run = run_of_adapter(adapter);
  if (!run || run->base_hash.empty() || run->base_hash == model_hash(database, model)) return "";
  return fmt::format("the adapter in {} was trained on other weights ({}) than {}: what it learnt may not fit", adapter.string(),
                     run->base_model, model.string());
}

Decoder load_decoder(const fs::path& model, const fs::path& adapter) {
  Decoder decoder = Decoder::load(model);
  if (!adapter.empty()) use_adapter(decoder, read_adapter(adapter), adapter.string());
  return decoder;
}

}  // namespace deskhand
