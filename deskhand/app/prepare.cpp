// deskhand prepare: exports in, cleaned tickets in the desk's database.
#include "deskhand/tickets/prepare.h"

#include <CLI/CLI.hpp>

#include "deskhand/app/desk.h"
#include "deskhand/base/error.h"

namespace deskhand {

std::function<void()> declare_prepare(CLI::App& sub, const Globals& globals) {
  sub.footer("Example:\n  deskhand --desk mydesk prepare\nThe files and what their columns mean stand in desk.toml, section [import].");
  return [&globals] {
    Desk desk = Desk::open(globals);
    if (desk.settings.import.ticket_files.empty())
      throw Error(ExitCode::kUsage, "{}: import.tickets names no file", (desk.folder / "desk.toml").string());
    desk.settings.import.quiet = globals.quiet;
    const PrepareReport report = prepare(desk.settings.import, desk.database);
    fmt::print("{}\n", globals.json ? report.json() : report.text());
  };
}

}  // namespace deskhand
