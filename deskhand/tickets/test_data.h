// For tests: the public data sets beside the checkout (or beside the folder that holds it), where there are any.
#pragma once
#include <doctest/doctest.h>

#include <filesystem>
#include <string>

namespace deskhand {

// Empty, with a message, if it is not there.
inline std::filesystem::path shared_data(const std::string& name) {
  for (const char* place : {"../shared/data", "../../shared/data"}) {
    const auto folder = std::filesystem::path(DESKHAND_SOURCE_DIR) / place / name;
    if (std::filesystem::exists(folder)) return folder;
  }
  MESSAGE("skipped: the data set shared/data/" << name << " is not beside this checkout");
  return {};
}

}  // namespace deskhand
