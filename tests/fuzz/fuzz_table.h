// What the fuzz targets of table readers share: bytes as a file in memory, all of whose rows are read. An Error is an answer; anything else
// (another exception, a sanitizer's report, memory or time without bound) is a finding.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "deskhand/base/error.h"
#include "deskhand/tickets/mapping.h"

namespace deskhand {

class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes) : descriptor_(memfd_create("fuzz", 0)) {
    if (descriptor_ < 0 || write(descriptor_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) std::abort();
  }
  ~MemoryFile() { close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

// What is read once more is the same.
inline void check_cell(const std::string& cell) {
  const auto id = bare_id(cell);
  if (id.size() > cell.size() || bare_id(id) != id) std::abort();
  if (const auto date = read_date(cell, DateOrder::kDayFirst); date && read_date(local_date(*date), DateOrder::kDayFirst) != date)
    std::abort();
}

inline void read_every_row(std::string_view bytes) {
  const MemoryFile file(bytes);
  TableOptions options;
  options.limits = {.part_bytes = 4 << 20, .shared_strings = 10000, .shared_string_bytes = 1 << 20, .cell_bytes = 1 << 16, .columns = 2000};
  try {
    const auto table = open_table(file.path(), options);
    for (Row row;;) {
      try {
        if (!table->next(row)) break;
      } catch (const RowError&) {
        continue;
      }
      if (row.cells.size() != table->header().size()) std::abort();
      for (const auto& cell : row.cells) check_cell(cell);
    }
    if (table->description().empty()) std::abort();
  } catch (const Error&) {}
}

}  // namespace deskhand

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
