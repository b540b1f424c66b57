// deskhand model list | get NAME... | check [NAME...] | path NAME
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "deskhand/app/command.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/fetch/get_model.h"

namespace deskhand {
namespace {

struct Options {
  std::vector<std::string> names;
};

const char* state_name(FileState state) {
  switch (state) {
    case FileState::kWhole:
      return "whole";
    case FileState::kMissing:
      return "missing";
    default:
      return "damaged";
  }
}

std::string summary(const std::vector<CheckedFile>& files) {
  const auto count = [&](FileState state) {
    return std::count_if(files.begin(), files.end(), [&](const auto& file) { return file.state == state; });
  };
  if (count(FileState::kDamaged) > 0) return "damaged";
  if (files.empty() || count(FileState::kWhole) == 0) return "not here";
  return count(FileState::kMissing) > 0 ? "incomplete" : "here";
}

ModelEntry entry_of(const Catalogue& catalogue, const std::string& name) {
  if (const ModelEntry* entry = catalogue.find(name)) return *entry;
  if (std::count(name.begin(), name.end(), '/') == 1) return Catalogue::hugging_face_entry(name);
  throw Error(ExitCode::kNotFound,
              "no model is called '{}'; 'deskhand model list' shows the names, owner/repository takes one from Hugging Face", name);
}

void list(const Globals& globals) {
  const Catalogue catalogue = Catalogue::load(globals.models);
  Json rows = Json::array();
  for (const auto& entry : catalogue.entries()) {
    const std::string state = summary(check_model(entry, globals.models, false));
    if (globals.json)
      rows.push_back({{"name", entry.name},
                      {"kind", entry.kind},
                      {"licence", entry.licence},
                      {"state", state},
                      {"about", entry.about},
                      {"note", entry.note}});
    else
      fmt::print("{:<28} {:<8} {:<9} {} ({})\n", entry.name, entry.kind, state, entry.about, entry.licence);
  }
  if (globals.json) fmt::print("{}\n", write_json(rows, 2));
}

void get(const Globals& globals, const Options& options) {
  const Catalogue catalogue = Catalogue::load(globals.models);
  const auto from_environment = [](const char* name, std::string otherwise) {
    const char* value = std::getenv(name);
    return value && *value ? std::string(value) : otherwise;
  };
  GetModelSettings settings{.models_folder = globals.models, .quiet = globals.quiet};
  settings.hugging_face = from_environment("HF_ENDPOINT", settings.hugging_face);
  settings.hugging_face_token = from_environment("HF_TOKEN", "");
  settings.packages = from_environment("DESKHAND_PACKAGES", settings.packages);
  for (const auto& name : options.names) {
    const ModelEntry entry = entry_of(catalogue, name);
    if (!entry.note.empty() && !globals.quiet) fmt::print(stderr, "{}: {} ({})\n", entry.name, entry.note, entry.licence);
    get_model(entry, settings);
    fmt::print("{}\n", installed_model(globals.models, name).string());
  }
}

void check(const Globals& globals, const Options& options) {
  const Catalogue catalogue = Catalogue::load(globals.models);
  std::vector<ModelEntry> entries;
  for (const auto& name : options.names) entries.push_back(entry_of(catalogue, name));
  if (options.names.empty())
    for (const auto& entry : catalogue.entries())
      if (std::filesystem::is_directory(globals.models / entry.name)) entries.push_back(entry);
  bool all_whole = true;
  Json report = Json::object();
  for (const auto& entry : entries) {
    for (const auto& file : check_model(entry, globals.models, true)) {
      all_whole = all_whole && file.state == FileState::kWhole;
      if (globals.json)
        report[entry.name][file.name] = state_name(file.state);
      else
        fmt::print("{}/{}: {}\n", entry.name, file.name, state_name(file.state));
    }
  }
  if (globals.json) fmt::print("{}\n", write_json(report, 2));
  if (!all_whole) throw Error(ExitCode::kBadInput, "files are missing or damaged; 'deskhand model get NAME' mends them");
}

}  // namespace

std::function<void()> declare_model(CLI::App& sub, const Globals& globals) {
  const auto options = std::make_shared<Options>();
  sub.require_subcommand(1);
  sub.footer(
      "Examples:\n  deskhand model list\n  deskhand model get all-minilm-l6-v2 qwen2.5-coder-0.5b-instruct\n  HF_TOKEN=... deskhand model "
      "get meta-llama/Llama-3.2-1B-Instruct");
  CLI::App* list_models = sub.add_subcommand("list", "the models that are known by name, and which are here");
  CLI::App* get_models = sub.add_subcommand("get", "bring models, verified; an interrupted download goes on");
  get_models->add_option("NAME", options->names, "a name of the list, or owner/repository on Hugging Face")->required();
  CLI::App* check_models = sub.add_subcommand("check", "compare files with their sha256");
  check_models->add_option("NAME", options->names, "models to check; all that are here if none is named");
  CLI::App* show_path = sub.add_subcommand("path", "where a model lies");
  show_path->add_option("NAME", options->names, "a name of the list")->required()->expected(1);
  return [=, &globals] {
    if (list_models->parsed()) list(globals);
    if (get_models->parsed()) get(globals, *options);
    if (check_models->parsed()) check(globals, *options);
    if (show_path->parsed()) fmt::print("{}\n", installed_model(globals.models, options->names.front()).string());
  };
}

}  // namespace deskhand
