#include "deskhand/app/desk.h"

#include "deskhand/base/error.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/tickets/ticket_store.h"

namespace deskhand {

Desk Desk::open(const Globals& globals, Database::Mode mode) {
  const auto file = globals.desk / "desk.toml";
  if (!std::filesystem::exists(file))
    throw Error(ExitCode::kNotFound, "there is no desk in {} (no desk.toml); make one with 'deskhand init DIR' or name one with --desk DIR",
                std::filesystem::absolute(globals.desk).lexically_normal().string());
  const auto folder = std::filesystem::absolute(globals.desk).lexically_normal();
  return {folder, read_settings(read_text_file(file), folder, file.string()), open_desk_database(folder / "desk.db", mode)};
}

}  // namespace deskhand
