// Rows of an import that could not be read, for a person to mend in the export: a CSV file with file, row, the ticket's id as far as it is
// known, why, and the cells as far as they were read, redacted as the desk's texts are.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "deskhand/base/atomic_file.h"
#include "deskhand/tickets/redact.h"
#include "deskhand/tickets/table.h"

namespace deskhand {

class RejectedRows {
 public:
  RejectedRows(const std::filesystem::path& path, const RedactSettings& redact);  // path empty: they are counted, no file is written
  void put(const std::filesystem::path& file, const std::string& ticket_id, const RowError& error);  // ticket_id may be empty
  std::int64_t count() const { return count_; }
  void commit();  // the file is there as a whole from now on; none where nothing was put

 private:
  std::filesystem::path path_;
  std::optional<Redactor> redactor_;
  std::unique_ptr<AtomicFile> out_;
  std::int64_t count_ = 0;
};

// Takes out of such a file the rows of these tickets, and those whose ticket is not known but whose cells name one of them. Returns how
// many of each there were; `dry` leaves the file alone. A file that is not there, or is none of these, holds none.
std::map<std::string, std::int64_t> drop_rejected(const std::filesystem::path& path, std::span<const std::string> ticket_ids, bool dry);

}  // namespace deskhand
