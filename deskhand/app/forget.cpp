// deskhand forget: tickets out of all that the desk keeps.
#include <CLI/CLI.hpp>
#include <memory>

#include "deskhand/app/erase_tickets.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"

namespace deskhand {
namespace {

struct Options {
  std::vector<std::string> tickets;
  bool expired = false, dry = false, may_return = false;
};

void forget(const Globals& globals, const Options& options) {
  Desk desk = Desk::open(globals);
  std::vector<std::string> ids = options.tickets;
  if (options.expired) {
    if (desk.settings.import.retention.days == 0)
      throw Error(ExitCode::kUsage, "{}: retention.days names no limit, so no ticket expires", (desk.folder / "desk.toml").string());
    const auto expired = expired_tickets(desk, today_utc());
    ids.insert(ids.end(), expired.begin(), expired.end());
  } else if (ids.empty()) {
    throw Error(ExitCode::kUsage, "name the tickets to forget, or --expired for those that the retention rule no longer lets stay");
  }
  const ErasedFrom erased = erase_tickets(desk, ids, !options.may_return, options.dry);
  fmt::print("{}", globals.json ? erased.json() + "\n" : erased.text());
  if (!options.tickets.empty() && erased.unknown.size() == ids.size())
    throw Error(ExitCode::kNotFound, "no ticket of these is known here: {}", erased.unknown.front());
}

}  // namespace

std::function<void()> declare_forget(CLI::App& sub, const Globals& globals) {
  const auto options = std::make_shared<Options>();
  sub.add_option("TICKET", options->tickets, "ids");
  sub.add_flag("--expired", options->expired, "those older than retention.days in desk.toml");
  sub.add_flag("--dry-run", options->dry, "say what would go, change nothing");
  sub.add_flag("--may-return", options->may_return, "let a later export bring them back; otherwise prepare leaves them out");
  sub.footer(
      "Examples:\n  deskhand --desk mydesk forget 184535 184536 --dry-run\n  deskhand --desk mydesk forget 184535\n  deskhand --desk "
      "mydesk forget --expired\n"
      "Erases from tables, cases, word index, vectors, answers, predictions, exports, rejected rows and sealed marks, names the runs that "
      "were trained on "
      "them, and "
      "leaves no bytes in desk.db (docs/privacy.md).");
  return [options, &globals] { forget(globals, *options); };
}

}  // namespace deskhand
