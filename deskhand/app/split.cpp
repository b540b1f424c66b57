// deskhand split: which tickets are learnt from, which are kept for testing; and the files that other trainers read.
#include <CLI/CLI.hpp>
#include <memory>

#include "deskhand/app/desk.h"
#include "deskhand/app/draw_split.h"
#include "deskhand/app/erase_tickets.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/tickets/export.h"
#include "deskhand/tickets/ticket_store.h"

namespace deskhand {
namespace {

struct Options {
  std::filesystem::path folder;
  bool force = false;
};

// A few may be chance; from one in fifty on, what was learnt by heart shows in the measures.
std::string about_leaks(std::int64_t leaked, std::size_t test, SplitMethod method) {
  std::string line =
      fmt::format("\n{} of the tickets kept for testing {} a near copy among those to learn from", leaked, leaked == 1 ? "has" : "have");
  if (leaked > 2 && leaked * 50 > static_cast<std::int64_t>(test) && method != SplitMethod::kGrouped)
    line += ": measures would flatter; with method = \"grouped\" in [split] of desk.toml they stay on one side";
  return line;
}

void split(const Globals& globals, const Options& options) {
  Desk desk = Desk::open(globals);
  TicketStore store(desk.database);
  const std::vector<Ticket> tickets = store.all();
  if (tickets.empty())
    throw Error(ExitCode::kNotFound, "the desk has no tickets yet; run: deskhand --desk {} prepare", desk.folder.string());
  const SplitSettings& settings = desk.settings.split;
  ThreadPool pool(globals.threads);
  const Split parts = draw_split(settings, tickets, pool);
  const auto leaked = static_cast<std::int64_t>(leaks_of(parts, tickets, pool).size());
  const auto pick = [&](const std::vector<std::int64_t>& rows) {
    std::vector<Ticket> picked;
    for (const auto row : rows) picked.push_back(tickets[static_cast<std::size_t>(row)]);
    return picked;
  };
  const auto ids = [](const std::vector<Ticket>& picked) {
    std::vector<std::string> names;
    for (const auto& ticket : picked) names.push_back(ticket.id);
    return names;
  };
  const auto train = pick(parts.train), test = pick(parts.test);
  const std::string how = describe_split(settings);
  const auto folder = options.folder.empty() ? desk.folder / "data" : options.folder;
  const TrainingExport written = write_training_files(folder, train, test, options.force);
  store.set_split(ids(train), ids(test), how);
  note_export(desk, folder, "training");
  if (globals.json)
    fmt::print("{}\n", write_json({{"how", how},
                                   {"train", train.size()},
                                   {"test", test.size()},
                                   {"leaked", leaked},
                                   {"left_out_of_files", written.left_out},
                                   {"folder", folder.string()}}));
  else
    fmt::print(
        "{} tickets to learn from, {} kept for testing ({}){}\ntrain.csv, test.csv, train.jsonl and test.jsonl are in {}; {} tickets lack "
        "a "
        "label or a text and are in none\n",
        train.size(), test.size(), how, about_leaks(leaked, test.size(), settings.method), folder.string(), written.left_out);
}

}  // namespace

std::function<void()> declare_split(CLI::App& sub, const Globals& globals) {
  const auto options = std::make_shared<Options>();
  sub.add_option("--out", options->folder, "where the files go; the desk's folder data if not given");
  sub.add_flag("--force", options->force, "write over files that are there");
  sub.footer("Example:\n  deskhand --desk mydesk split\nMethod, share and seed stand in desk.toml, section [split].");
  return [options, &globals] { split(globals, *options); };
}

}  // namespace deskhand
