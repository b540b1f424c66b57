// Which decoder answers, and with which adapter: names of desk.toml and of the command line to files.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "deskhand/app/settings.h"
#include "deskhand/base/sqlite.h"
#include "deskhand/model/decoder.h"
#include "deskhand/train/run_folder.h"

namespace CLI {
class App;
}

namespace deskhand {

// --decoder and --adapter of commands that ask a language model.
struct ModelChoice {
  std::string decoder, adapter;  // empty: as desk.toml has it; "none": none

  void declare(CLI::App& sub, const char* decoder_about);
  // Another decoder than desk.toml's answers without desk.toml's adapter, which was trained for that one.
  void apply(ModelSettings& models) const;
};

// The folder of an adapter: of a run of this desk by its name (runs/NAME/adapter), of a run's folder, or the adapter's own; relative paths
// count from the desk, then from here. Throws Error(kNotFound) with the runs there are, Error(kUsage) for a run that trained every weight.
std::filesystem::path installed_adapter(const std::filesystem::path& desk_folder, std::string_view name);

// The folder itself holds an adapter's files, readable or not.
bool holds_adapter(const std::filesystem::path& folder);
// The run that made the adapter in this folder; none: it came from elsewhere.
std::optional<RunInfo> run_of_adapter(const std::filesystem::path& folder);

// For traces: "lora", or "hybrid" where head or norms were trained beside the pairs; SHA-256 of its two files.
std::string adapter_kind(const std::filesystem::path& folder);
std::string adapter_hash(Database& database, const std::filesystem::path& folder);

// Empty, or one sentence: the adapter's run says that it was trained on other weights than `model`'s, though they have the same shapes.
std::string other_base(Database& database, const std::filesystem::path& model, const std::filesystem::path& adapter);

// `adapter` empty: none. Throws as Decoder::load, read_adapter and check_adapter do.
Decoder load_decoder(const std::filesystem::path& model, const std::filesystem::path& adapter);

}  // namespace deskhand
