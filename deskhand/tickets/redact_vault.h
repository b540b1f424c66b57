// What marks stand for, for those who may know: a file of its own beside the desk's database, every ticket sealed with AES-256-GCM under a
// key that is kept elsewhere. Whoever has the desk but not the key reads marks. Both files are their owner's alone (0600).
#pragma once
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/base/sqlite.h"

namespace deskhand {

// "NAME_1": the texts it replaced.
using RedactMarks = std::map<std::string, std::vector<std::string>>;

class RedactVault {
 public:
  // A new key, 32 random bytes in hexadecimal. Throws Error(kCannotWrite) where the file is there already.
  static void make_key(const std::filesystem::path& key_file);

  // Opens `file` or makes it. Throws Error(kNotFound) without a key file, Error(kBadInput) for one that is no key, that others may read, or
  // that is another than the file was made with.
  RedactVault(const std::filesystem::path& file, const std::filesystem::path& key_file);

  void begin();  // until commit() or the end of the object, all puts are one transaction
  void commit();
  void put(std::string_view ticket_id, const RedactMarks& marks);  // replaces the ticket's; no marks: it has none
  std::optional<RedactMarks> find(std::string_view ticket_id);     // throws Error(kBadInput) for a record that was tampered with

  // Needs no key. Returns how many tickets had marks. Nothing where there is no file.
  static std::int64_t forget(const std::filesystem::path& file, std::span<const std::string> ticket_ids);

 private:
  Database database_;
  std::string key_;  // 32 bytes
  std::optional<Transaction> transaction_;
};

}  // namespace deskhand
