// deskhand prepare: exports in, cleaned tickets in the desk's database.
#include "deskhand/tickets/prepare.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

#include "deskhand/app/desk.h"
#include "deskhand/app/erase_tickets.h"
#include "deskhand/app/import_lines.h"
#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/tickets/explain.h"

namespace deskhand {
namespace {

struct PrepareOptions {
  bool explain = false, write = false, skip_bad_rows = false;
  std::filesystem::path rejected;
};

void explain_desk(const Desk& desk, const Globals& globals, bool write) {
  const auto told = explain(desk.settings.import);
  fmt::print("{}\n", globals.json ? told.json() : told.text());
  if (!write) return;
  const auto file = desk.folder / "desk.toml";
  const auto before = read_text_file(file);
  const auto after = with_import(before, mapping_lines(told.guess.mapping, told.guess.is_preset));
  read_settings(after, desk.folder, file.string());  // what is written can be read
  write_file_atomically(file.string() + ".before", before);
  write_file_atomically(file, after);
  fmt::print(stderr, "the guessed columns stand in {}; what it was before in {}.before\n", file.string(), file.string());
}

}  // namespace

std::function<void()> declare_prepare(CLI::App& sub, const Globals& globals) {
  const auto missing = std::make_shared<std::string>();
  const auto options = std::make_shared<PrepareOptions>();
  sub.add_flag("--explain", options->explain,
               "show which column is what, how full, and three tickets before and after; nothing is prepared");
  sub.add_flag("--write", options->write,
               "with --explain: put the guessed columns into desk.toml; what was there is kept as desk.toml.before")
      ->needs("--explain");
  sub.add_flag("--skip-bad-rows", options->skip_bad_rows,
               "leave rows out that cannot be read, and write them, redacted, to a file with the reason");
  sub.add_option("--rejected", options->rejected, "that file; rejected.csv in the desk's folder if not given")->needs("--skip-bad-rows");
  sub.add_option("--missing", *missing,
                 "keep or remove tickets of earlier imports that these files no longer hold; import.missing if not given")
      ->check(CLI::IsMember({"keep", "remove"}));
  sub.footer(
      "Examples:\n  deskhand --desk mydesk prepare\n  deskhand --desk mydesk prepare --missing remove   # the export is the whole desk\n"
      "  deskhand --desk mydesk prepare --explain --write  # guess the columns, look at them, keep them\n"
      "  deskhand --desk mydesk prepare --skip-bad-rows\n"
      "The files and what their columns mean stand in desk.toml, section [import]. A later export adds and updates tickets by their id; "
      "deskhand index then embeds what changed.");
  return [missing, options, &globals] {
    Desk desk = Desk::open(globals);
    if (desk.settings.import.ticket_files.empty())
      throw Error(ExitCode::kUsage, "{}: import.tickets names no file", (desk.folder / "desk.toml").string());
    desk.settings.import.quiet = globals.quiet;
    if (!missing->empty()) desk.settings.import.missing = *missing == "remove" ? Missing::kRemove : Missing::kKeep;
    if (options->explain) return explain_desk(desk, globals, options->write);
    desk.settings.import.skip_bad_rows = options->skip_bad_rows;
    if (options->skip_bad_rows)
      desk.settings.import.rejected_file = options->rejected.empty() ? desk.folder / "rejected.csv" : options->rejected;
    std::optional<RedactVault> vault;
    if (!desk.settings.redact_key.empty()) vault.emplace(vault_file(desk), desk.settings.redact_key);
    desk.settings.import.vault = vault ? &*vault : nullptr;
    if (options->skip_bad_rows) note_export(desk, desk.settings.import.rejected_file, "rejected");
    const PrepareReport report = prepare(desk.settings.import, desk.database);
    fmt::print("{}\n", globals.json ? report.json() : report.text());
    if (report.rejected)
      fmt::print(stderr, "{} rows were left out; they stand in {}\n", report.rejected, desk.settings.import.rejected_file.string());
    if (const auto expired = expired_tickets(desk, today_utc()); !expired.empty()) {
      const ErasedFrom erased = erase_tickets(desk, expired, false);
      fmt::print(stderr, "{} tickets of earlier imports are older than the retention rule lets stay:\n{}", expired.size(), erased.text());
    }
  };
}

}  // namespace deskhand
