// For tests: a ZIP file of these parts.
#pragma once
#include <doctest/doctest.h>
#include <zip.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace deskhand {

inline void write_zip(const std::filesystem::path& path, const std::vector<std::pair<std::string, std::string>>& parts) {
  std::filesystem::remove(path);
  int code = 0;
  zip_t* archive = zip_open(path.c_str(), ZIP_CREATE, &code);
  REQUIRE(archive);
  for (const auto& [name, content] : parts)
    REQUIRE(zip_file_add(archive, name.c_str(), zip_source_buffer(archive, content.data(), content.size(), 0), ZIP_FL_OVERWRITE) >= 0);
  REQUIRE(zip_close(archive) == 0);
}

}  // namespace deskhand
