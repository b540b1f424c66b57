// The program: reads the command line, runs one command, turns an Error into one line and an exit code (docs/exit-codes.md).
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "deskhand/app/command.h"
#include "deskhand/base/error.h"
#include "deskhand/base/interrupt.h"
#include "deskhand/tickets/mapping.h"

using namespace deskhand;

namespace {

std::filesystem::path default_models_folder() {
  if (const char* folder = std::getenv("DESKHAND_MODELS"); folder && *folder) return folder;
  if (const char* cache = std::getenv("DESKHAND_CACHE"); cache && *cache) return std::filesystem::path(cache) / "models";
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache) return std::filesystem::path(cache) / "deskhand" / "models";
  const char* home = std::getenv("HOME");
  return std::filesystem::path(home && *home ? home : ".") / ".cache" / "deskhand" / "models";
}

// Flags that switch something off are shown without CLI11's mark "{false}".
class Formatter : public CLI::Formatter {
 public:
  std::string make_option_name(const CLI::Option* option, bool is_positional) const override {
    std::string name = CLI::Formatter::make_option_name(option, is_positional);
    for (constexpr std::string_view kMark = "{false}"; name.find(kMark) != name.npos;) name.erase(name.find(kMark), kMark.size());
    return name;
  }
};

// What was typed where a command or an option was wanted, and the nearest there is.
std::string unknown_word(const CLI::App& app, const std::string& word) {
  const bool is_option = word.starts_with("-");
  std::vector<std::string> known;
  if (is_option) {
    for (const CLI::App* at = &app; at; at = at->get_parent())
      for (const CLI::Option* option : at->get_options())
        for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  } else {
    for (const CLI::App* command : app.get_subcommands({})) known.push_back(command->get_name());
  }
  const auto nearest = std::min_element(known.begin(), known.end(),
                                        [&](const auto& a, const auto& b) { return edit_distance(a, word) < edit_distance(b, word); });
  const bool is_near = nearest != known.end() && edit_distance(*nearest, word) <= 1 + word.size() / 4;
  return fmt::format("there is no {} '{}'{}", is_option ? "option" : "command", word,
                     is_near ? fmt::format("; did you mean '{}'?", *nearest) : "");
}

// A command line that cannot be read: what is wrong with it, and where help is.
int refuse(const CLI::App& program, const CLI::ParseError& error) {
  const CLI::App* app = &program;
  while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
  std::string command = app->get_name();
  for (const CLI::App* at = app->get_parent(); at; at = at->get_parent()) command = at->get_name() + " " + command;
  const auto extra = program.remaining(true);
  std::string what = error.what();
  if (!extra.empty() && (extra.front().starts_with("-") || !app->get_subcommands({}).empty()))
    what = unknown_word(*app, extra.front());
  else if (!extra.empty())
    what = fmt::format("'{}' is one word too many", extra.front());
  else if (app == &program)
    what = "a command is wanted, for example 'deskhand demo' or 'deskhand init DIR'";
  else if (!app->get_subcommands({}).empty())
    what = fmt::format("'{}' wants a command of its own", command);
  std::fprintf(stderr, "deskhand: %s; see: %s --help\n", what.c_str(), command.c_str());
  return static_cast<int>(ExitCode::kUsage);
}

int fail(const char* text, ExitCode code) {
  std::fprintf(stderr, "deskhand: %s\n", text);
  return static_cast<int>(code);
}

}  // namespace

int main(int count, char** arguments) {
  install_interrupt_handler();
  Globals globals{.desk = ".", .models = default_models_folder()};
  CLI::App program(
      "deskhand learns from a support desk's closed tickets and answers new ones: how urgent, which category, how it was\n"
      "resolved before, with the past cases that say so. No ticket leaves this machine.",
      "deskhand");
  program.set_version_flag("--version", "deskhand " DESKHAND_VERSION);
  program.require_subcommand(1);
  program.fallthrough();  // global options may stand behind the command
  const CLI::Option* desk = program.add_option("--desk", globals.desk, "The desk's folder")->capture_default_str();
  program.add_option("--models", globals.models, "The folder that models lie in (DESKHAND_MODELS)")->capture_default_str();
  program.add_option("--threads", globals.threads, "Threads to use; 0: all that this process may")
      ->capture_default_str()
      ->check(CLI::Range(0, 1024));
  const std::map<std::string, DeviceChoice> devices{
      {"auto", DeviceChoice::kAuto}, {"cpu", DeviceChoice::kCpu}, {"cuda", DeviceChoice::kCuda}};
  program.add_option("--device", globals.device, "Where language models are computed: auto (the GPU if one can be used), cpu or cuda")
      ->transform(CLI::CheckedTransformer(devices))
      ->option_text("NAME");
  program.add_flag("--json", globals.json, "Results as JSON");
  program.add_flag("--quiet,-q", globals.quiet, "No progress on stderr");
  program.formatter(std::make_shared<Formatter>());
  program.footer(
      "Examples:\n  deskhand demo                                                          # the whole way on an invented desk\n"
      "  deskhand init mydesk --tickets tickets.xlsx --history history.xlsx     # your own: then prepare, audit, split, index, triage\n"
      "  deskhand --desk mydesk triage \"SOP310 hangs at 60 %\"\n"
      "Every command has --help with examples. Options above may stand before or behind the command.");

  try {
    std::vector<std::pair<CLI::App*, std::function<void()>>> runs;
    for (const Command& command : commands()) {
      CLI::App* sub = program.add_subcommand(command.name, command.about);
      runs.emplace_back(sub, command.declare(*sub, globals));
      sub->footer(
          sub->get_footer() +
          "\n\nAlso, as with every command: --desk DIR, --models DIR, --threads N, --device NAME, --json, --quiet (deskhand --help).");
    }
    try {
      program.parse(count, arguments);
    } catch (const CLI::ParseError& error) {
      if (error.get_exit_code() == 0) return program.exit(error);  // --help, --version
      return refuse(program, error);
    }
    globals.desk_is_named = desk->count() > 0;
    for (const auto& [sub, run] : runs)
      if (sub->parsed()) run();
    if (std::fflush(stdout) != 0 || std::ferror(stdout)) throw Error(ExitCode::kCannotWrite, "cannot write to standard output");
    return static_cast<int>(ExitCode::kOk);
  } catch (const Error& error) {
    return fail(error.what(), error.code());
  } catch (const std::bad_alloc&) {
    return fail("out of memory; use a smaller model or batch, or close other programs", ExitCode::kTooLarge);
  } catch (const std::filesystem::filesystem_error& error) {
    return fail(error.what(), ExitCode::kCannotWrite);
  } catch (const std::exception& error) {
    return fail(fmt::format("a mistake of the program's own, please report it: {}", error.what()).c_str(), ExitCode::kInternal);
  }
}
