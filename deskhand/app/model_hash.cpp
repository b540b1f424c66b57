#include "deskhand/app/model_hash.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "deskhand/app/answering.h"
#include "deskhand/base/sha256.h"

namespace deskhand {

namespace fs = std::filesystem;

std::string model_hash(Database& database, const fs::path& path) {
  std::vector<fs::path> files;
  if (fs::is_directory(path)) {
    for (const auto& entry : fs::directory_iterator(path))
      if (entry.is_regular_file()) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
  } else {
    files.push_back(path);
  }
  std::string all;
  for (const fs::path& file : files) {
    const std::string name = fmt::format("sha256 {} {} {}", fs::absolute(file).string(), fs::file_size(file),
                                         fs::last_write_time(file).time_since_epoch().count());
    std::string hash = kept_text(database, name);
    if (hash.empty()) keep_text(database, name, hash = sha256_of_file(file));
    if (files.size() == 1) return hash;
    all += file.filename().string() + " " + hash + "\n";
  }
  return sha256(all);
}

}  // namespace deskhand
