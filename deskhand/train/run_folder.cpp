#include "deskhand/train/run_folder.h"

#include <array>
#include <type_traits>

#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"

namespace deskhand {
namespace {

// One list of fields serves writing and reading.
template <class Info, class Visit>
void fields_of(Info& info, const Visit& visit) {
  visit("name", info.name);
  visit("method", info.method);
  visit("base_model", info.base_model);
  visit("base_hash", info.base_hash);
  visit("recipe_name", info.recipe_name);
  visit("recipe_hash", info.recipe_hash);
  visit("data", info.data);
  visit("data_hash", info.data_hash);
  visit("version", info.version);
  visit("started", info.started);
  visit("finished", info.finished);
  visit("train_examples", info.train_examples);
  visit("validation_examples", info.validation_examples);
  visit("trained_parameters", info.trained_parameters);
  visit("all_parameters", info.all_parameters);
}

}  // namespace

std::map<std::string, std::string> RunInfo::identity() const {
  return {{"base", base_hash}, {"recipe", recipe_hash}, {"data", data_hash}};
}

RunFolder make_run_folder(const std::filesystem::path& root, bool overwrite) {
  const RunFolder folder{root};
  if (std::filesystem::exists(folder.info()) && !overwrite)
    throw Error(ExitCode::kCannotWrite, "{} holds a run already; --resume goes on with it, --force begins it anew", root.string());
  std::error_code fault;
  std::filesystem::create_directories(root, fault);
  if (fault) throw Error(ExitCode::kCannotWrite, "cannot make the folder {}: {}", root.string(), fault.message());
  for (const auto& part : {folder.info(), folder.recipe(), folder.tickets(), folder.log(), folder.card(), folder.tensorboard(), folder.checkpoints(),
                           folder.adapter(), folder.model()}) {
    std::filesystem::remove_all(part, fault);
    if (fault) throw Error(ExitCode::kCannotWrite, "cannot remove {} of the run before: {}", part.string(), fault.message());
  }
  return folder;
}

RunFolder open_run_folder(const std::filesystem::path& root) {
  const RunFolder folder{root};
  if (!std::filesystem::exists(folder.info()))
    throw Error(ExitCode::kNotFound, "{} holds no training run (there is no run.json); deskhand train makes one", root.string());
  return folder;
}

void write_run_info(const std::filesystem::path& path, const RunInfo& info) {
  Json json = Json::object();
  fields_of(info, [&](const char* name, const auto& value) { json[name] = value; });
  write_file_atomically(path, write_json(json, 2) + "\n");
}

RunInfo read_run_info(const std::filesystem::path& path) {
  const Json json = parse_json(read_text_file(path, 1 << 24), path.string());
  if (!json.is_object()) throw Error(ExitCode::kBadInput, "{} does not hold a JSON object", path.string());
  RunInfo info;
  fields_of(info, [&]<class Value>(const char* name, Value& value) {
    constexpr bool is_text = std::is_same_v<Value, std::string>;
    const auto at = json.find(name);
    if (at == json.end() || !(is_text ? at->is_string() : at->is_number_integer()))
      throw Error(ExitCode::kBadInput, "{}: \"{}\" is missing or not {}; was the file changed by hand?", path.string(), name,
                  is_text ? "a text" : "a whole number");
    value = at->template get<Value>();
  });
  return info;
}

}  // namespace deskhand
