// A file mapped read-only into memory: weights are read from where they lie on disk, and pages that were read can be given back.
#pragma once
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace deskhand {

class MappedFile {
 public:
  // Throws Error(kNotFound) if it is not there, Error(kBadInput) if it is a folder or cannot be mapped. An empty file maps to no bytes.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  const std::filesystem::path& path() const noexcept { return path_; }

  // Hint: these bytes will not be read again soon; their pages stop counting as this process's memory.
  void release(std::span<const std::byte> part) const noexcept;

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// The whole of a small text file. Throws Error(kNotFound), or Error(kTooLarge) beyond `limit_bytes`.
std::string read_text_file(const std::filesystem::path& path, std::size_t limit_bytes = std::size_t{1} << 30);

}  // namespace deskhand
