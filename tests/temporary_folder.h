// A folder that is gone when the test is.
#pragma once
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace deskhand {

class TemporaryFolder {
 public:
  // in_memory, where the system has such a place: for tests that sync many files and would wait for the disk.
  explicit TemporaryFolder(bool in_memory = false) {
    const std::filesystem::path memory = "/dev/shm";
    const bool has_memory = in_memory && ::access(memory.c_str(), W_OK) == 0;
    std::string name = ((has_memory ? memory : std::filesystem::temp_directory_path()) / "deskhand-test-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace deskhand
