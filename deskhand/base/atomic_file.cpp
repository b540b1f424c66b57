#include "deskhand/base/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

[[noreturn]] void throw_cannot_write(const std::filesystem::path& path) {
  throw Error(ExitCode::kCannotWrite, "cannot write {}: {}", path.string(), std::strerror(errno));
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)), part_(path_) {
  part_ += fmt::format(".part-{}", ::getpid());
  file_ = std::fopen(part_.c_str(), "wbe");
  if (!file_) throw_cannot_write(path_);
}

AtomicFile::~AtomicFile() {
  if (!file_) return;
  std::fclose(file_);
  std::error_code ignored;
  std::filesystem::remove(part_, ignored);
}

void AtomicFile::write(std::string_view bytes) {
  DESKHAND_ASSERT(file_, "an AtomicFile is written before it is committed");
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) throw_cannot_write(path_);
}

void AtomicFile::commit() {
  DESKHAND_ASSERT(file_, "an AtomicFile is committed once");
  if (std::fflush(file_) != 0 || ::fsync(::fileno(file_)) != 0) throw_cannot_write(path_);
  std::FILE* file = std::exchange(file_, nullptr);
  if (std::fclose(file) != 0 || std::rename(part_.c_str(), path_.c_str()) != 0) throw_cannot_write(path_);
  const auto folder = path_.has_parent_path() ? path_.parent_path() : std::filesystem::path(".");
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;   // the rename stands; only its durability over a power cut is not known
  ::fsync(descriptor);
  ::close(descriptor);
}

void sync_file(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw_cannot_write(path);
  const int failed = ::fsync(descriptor), reason = errno;
  ::close(descriptor);
  errno = reason;
  if (failed != 0) throw_cannot_write(path);
}

void write_file_atomically(const std::filesystem::path& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

}  // namespace deskhand
