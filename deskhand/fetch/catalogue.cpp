#include "deskhand/fetch/catalogue.h"

#include <toml++/toml.h>
#include <algorithm>

#include "deskhand/base/error.h"
#include "deskhand/base/mapped_file.h"

namespace deskhand {
namespace {

std::string text_of(const toml::table& table, std::string_view key, std::string_view where, bool needed) {
  const auto* node = table.get(key);
  if (!node) {
    if (needed) throw Error(ExitCode::kBadInput, "{}: line {}: '{}' is missing", where, table.source().begin.line, key);
    return "";
  }
  if (!node->is_string()) throw Error(ExitCode::kBadInput, "{}: line {}: '{}' must be a text", where, node->source().begin.line, key);
  return node->as_string()->get();
}

void check_relative(const std::string& name, std::string_view where) {
  const std::filesystem::path path(name);
  const bool climbs = std::any_of(path.begin(), path.end(), [](const auto& part) { return part == ".."; });
  if (name.empty() || path.is_absolute() || climbs)
    throw Error(ExitCode::kBadInput, "{}: the file name '{}' must stay inside the model's folder", where, name);
}

ModelFile read_file(const toml::table& table, std::string_view where) {
  ModelFile file{.name = text_of(table, "name", where, true),
                 .bytes = table["bytes"].value_or(std::int64_t{0}),
                 .sha256 = text_of(table, "sha256", where, true),
                 .parts = {}};
  check_relative(file.name, where);
  if (const auto* parts = table["parts"].as_array())
    for (const auto& node : *parts)
      if (const auto* part = node.as_table())
        file.parts.push_back(
            {text_of(*part, "package", where, true), text_of(*part, "version", where, true), text_of(*part, "member", where, true)});
  return file;
}

ModelEntry read_entry(std::string_view name, const toml::table& table, std::string_view where) {
  check_relative(std::string(name), where);
  ModelEntry entry{.name = std::string(name),
                   .kind = text_of(table, "kind", where, true),
                   .about = text_of(table, "about", where, false),
                   .licence = text_of(table, "licence", where, true),
                   .note = text_of(table, "note", where, false),
                   .hugging_face = {},
                   .files = {}};
  if (const auto* source = table["hugging_face"].as_table())
    entry.hugging_face = HuggingFaceSource{text_of(*source, "repository", where, true), text_of(*source, "revision", where, false),
                                           text_of(*source, "only", where, false)};
  if (const auto* files = table["files"].as_array())
    for (const auto& node : *files)
      if (const auto* file = node.as_table()) entry.files.push_back(read_file(*file, where));
  if (!entry.hugging_face && entry.files.empty())
    throw Error(ExitCode::kBadInput, "{}: model '{}' has neither files nor a hugging_face repository", where, name);
  return entry;
}

std::filesystem::path gguf_or_folder(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path) || std::filesystem::exists(path / "config.json")) return path;
  for (const auto& file : std::filesystem::directory_iterator(path))
    if (file.path().extension() == ".gguf") return file.path();
  return path;
}

}  // namespace

void Catalogue::add(std::string_view text, std::string_view where) {
  toml::table document;
  try {
    document = toml::parse(text, where);
  } catch (const toml::parse_error& error) {
    throw Error(ExitCode::kBadInput, "{}: line {}: {}", where, error.source().begin.line, error.description());
  }
  for (const auto& [key, node] : document) {
    if (!node.is_table()) throw Error(ExitCode::kBadInput, "{}: line {}: expected [model-name]", where, node.source().begin.line);
    ModelEntry entry = read_entry(key.str(), *node.as_table(), where);
    std::erase_if(entries_, [&](const ModelEntry& known) { return known.name == entry.name; });
    entries_.push_back(std::move(entry));
  }
}

Catalogue Catalogue::load(const std::filesystem::path& models_folder) {
  Catalogue catalogue;
  catalogue.add(built_in_models(), "models.toml (built in)");
  const auto own = models_folder / "models.toml";
  if (std::filesystem::exists(own)) catalogue.add(read_text_file(own), own.string());
  return catalogue;
}

const ModelEntry* Catalogue::find(std::string_view name) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const ModelEntry& entry) { return entry.name == name; });
  return found == entries_.end() ? nullptr : &*found;
}

ModelEntry Catalogue::hugging_face_entry(std::string_view repository) {
  check_relative(std::string(repository), "model name");
  return {.name = std::string(repository),
          .kind = "decoder",
          .about = "",
          .licence = "as its page says",
          .note = "",
          .hugging_face = HuggingFaceSource{std::string(repository), "main", ""},
          .files = {}};
}

std::filesystem::path installed_model(const std::filesystem::path& models_folder, std::string_view name_or_path) {
  const std::filesystem::path path(name_or_path);
  for (const auto& candidate : {path, models_folder / path})
    if (std::filesystem::exists(candidate)) return gguf_or_folder(candidate);
  throw Error(ExitCode::kNotFound, "model '{0}' is neither a path nor in {1}; get it with: deskhand model get {0}", name_or_path,
              models_folder.string());
}

}  // namespace deskhand
