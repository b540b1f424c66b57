// deskhand init DIR
#include <CLI/CLI.hpp>
#include <memory>

#include "deskhand/app/command.h"
#include "deskhand/app/import_lines.h"
#include "deskhand/app/settings.h"
#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/tickets/ticket_store.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;

struct Options {
  fs::path folder;
  NewDesk desk{.name = "", .preset = "", .tickets = {}, .history = {}, .keywords = ""};
  bool force = false;
};

// As they'll be read: from the desk's folder.
std::vector<std::string> seen_from(const fs::path& folder, const std::vector<std::string>& files) {
  std::vector<std::string> names;
  for (const auto& file : files) {
    if (!fs::exists(file)) throw Error(ExitCode::kNotFound, "there is no file {}", file);
    names.push_back(fs::relative(file, folder).string());
  }
  return names;
}

// Sets the preset; the lines are those of columns that no preset knows.
MappingLines guess_columns(NewDesk& desk) {
  desk.preset = "seed";
  if (desk.tickets.empty()) return {};
  try {
    const auto guess = guess_mapping(desk.tickets.front(), desk.history.empty() ? fs::path() : fs::path(desk.history.front()));
    desk.preset = guess.is_preset ? guess.mapping.name : "own";
    for (const auto& note : guess.notes) fmt::print(stderr, "{}\n", note);
    return mapping_lines(guess.mapping, guess.is_preset);
  } catch (const Error& error) {
    if (error.code() == ExitCode::kInterrupted) throw;
    fmt::print(stderr, "warning: the columns could not be guessed, those of the preset \"seed\" are taken: {}\n", error.what());
    return {};
  }
}

void init(const Globals& globals, Options options) {
  const auto file = options.folder / "desk.toml";
  if (fs::exists(file) && !options.force)
    throw Error(ExitCode::kCannotWrite, "{} is there already; --force writes it anew (the database stays)", file.string());
  std::error_code failure;
  fs::create_directories(options.folder, failure);
  if (failure) throw Error(ExitCode::kCannotWrite, "cannot make the folder {}: {}", options.folder.string(), failure.message());
  MappingLines guessed;
  if (options.desk.preset.empty()) guessed = guess_columns(options.desk);
  options.desk.tickets = seen_from(options.folder, options.desk.tickets);
  options.desk.history = seen_from(options.folder, options.desk.history);
  if (!options.desk.keywords.empty()) options.desk.keywords = seen_from(options.folder, {options.desk.keywords}).front();
  if (options.desk.name.empty()) options.desk.name = fs::absolute(options.folder).lexically_normal().filename().string();
  mapping_preset(options.desk.preset);  // a wrong name is refused before anything is written
  auto settings = write_settings(options.desk);
  if (!guessed.tables.empty()) settings = with_import(settings, guessed);
  write_file_atomically(file, settings);
  open_desk_database(options.folder / "desk.db", Database::Mode::kCreate);
  if (globals.json)
    fmt::print("{}\n", write_json({{"desk", options.folder.string()}, {"settings", file.string()}}));
  else
    fmt::print("a new desk in {}\nnext: look through desk.toml, then run: deskhand --desk {} prepare\n", options.folder.string(),
               options.folder.string());
}

}  // namespace

std::function<void()> declare_init(CLI::App& sub, const Globals& globals) {
  const auto options = std::make_shared<Options>();
  sub.add_option("DIR", options->folder, "the folder; made if it is not there")->required();
  sub.add_option("--preset", options->desk.preset,
                 "what the columns are called: seed, mendeley, thunderbird, tobi, mail, own; guessed from the files if not given");
  sub.add_option("--tickets", options->desk.tickets, "exported tickets: .xlsx, .ods, .csv, .jsonl, an mbox or a folder of .eml files");
  sub.add_option("--history", options->desk.history, "their exported activities");
  sub.add_option("--keywords", options->desk.keywords, "words of the trade, one a line");
  sub.add_option("--name", options->desk.name, "the desk's name; the folder's if not given");
  sub.add_flag("--force", options->force, "write desk.toml anew");
  sub.footer("Example:\n  deskhand init mydesk --tickets tickets.xlsx --history history.xlsx");
  return [options, &globals] { init(globals, *options); };
}

}  // namespace deskhand
