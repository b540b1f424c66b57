// A file that is there whole or not at all: written beside its place, synced, renamed into it.
#pragma once
#include <cstdio>
#include <filesystem>
#include <string_view>

namespace deskhand {

class AtomicFile {
 public:
  // Opens `path`.part-PID for writing; throws Error(kCannotWrite) with the reason.
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();   // without commit(): the part is removed and what was there before stays
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::string_view bytes);   // throws Error(kCannotWrite), for example on a full disk
  void commit();                        // flush, fsync, rename, fsync of the folder

 private:
  std::filesystem::path path_, part_;
  std::FILE* file_ = nullptr;
};

// What was written to the file so far is on the disk when this returns. Throws Error(kCannotWrite).
void sync_file(const std::filesystem::path& path);

void write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

}  // namespace deskhand
