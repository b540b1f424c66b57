// SHA-256 of a model's files, kept with their sizes and times: hashing half a gigabyte takes a second.
#pragma once
#include <filesystem>
#include <string>

#include "deskhand/base/sqlite.h"

namespace deskhand {

// Of a model file, or of the hashes of a model folder's files.
std::string model_hash(Database& database, const std::filesystem::path& path);

}  // namespace deskhand
