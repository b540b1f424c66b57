// An open desk: its folder, settings and database.
#pragma once
#include <filesystem>

#include "deskhand/app/command.h"
#include "deskhand/app/settings.h"
#include "deskhand/base/sqlite.h"

namespace deskhand {

struct Desk {
  std::filesystem::path folder;
  DeskSettings settings;
  Database database;

  // Throws Error(kNotFound) where there is no desk.toml, with the command that makes one.
  static Desk open(const Globals& globals, Database::Mode mode = Database::Mode::kReadWrite);
};

// What marks stand for, where redact.key asks for it.
inline std::filesystem::path vault_file(const Desk& desk) {
  return desk.folder / "redactions.db";
}

}  // namespace deskhand
