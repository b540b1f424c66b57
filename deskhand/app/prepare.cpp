// deskhand prepare: exports in, cleaned tickets in the desk's database.
#include "deskhand/tickets/prepare.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

#include "deskhand/app/desk.h"
#include "deskhand/app/erase_tickets.h"
#include "deskhand/base/error.h"

namespace deskhand {

std::function<void()> declare_prepare(CLI::App& sub, const Globals& globals) {
  const auto missing = std::make_shared<std::string>();
  sub.add_option("--missing", *missing,
                 "keep or remove tickets of earlier imports that these files no longer hold; import.missing if not given")
      ->check(CLI::IsMember({"keep", "remove"}));
  sub.footer(
      "Examples:\n  deskhand --desk mydesk prepare\n  deskhand --desk mydesk prepare --missing remove   # the export is the whole desk\n"
      "The files and what their columns mean stand in desk.toml, section [import]. A later export adds and updates tickets by their id; "
      "deskhand index then embeds what changed.");
  return [missing, &globals] {
    Desk desk = Desk::open(globals);
    if (desk.settings.import.ticket_files.empty())
      throw Error(ExitCode::kUsage, "{}: import.tickets names no file", (desk.folder / "desk.toml").string());
    desk.settings.import.quiet = globals.quiet;
    if (!missing->empty()) desk.settings.import.missing = *missing == "remove" ? Missing::kRemove : Missing::kKeep;
    std::optional<RedactVault> vault;
    if (!desk.settings.redact_key.empty()) vault.emplace(vault_file(desk), desk.settings.redact_key);
    desk.settings.import.vault = vault ? &*vault : nullptr;
    const PrepareReport report = prepare(desk.settings.import, desk.database);
    fmt::print("{}\n", globals.json ? report.json() : report.text());
    if (const auto expired = expired_tickets(desk, today_utc()); !expired.empty()) {
      const ErasedFrom erased = erase_tickets(desk, expired, false);
      fmt::print(stderr, "{} tickets of earlier imports are older than the retention rule lets stay:\n{}", expired.size(), erased.text());
    }
  };
}

}  // namespace deskhand
