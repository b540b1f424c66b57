// The program: reads the command line, runs one command, turns an Error into one line and an exit code (docs/exit-codes.md).
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <new>
#include <vector>

#include "deskhand/app/command.h"
#include "deskhand/base/error.h"
#include "deskhand/base/interrupt.h"

using namespace deskhand;

namespace {

std::filesystem::path default_models_folder() {
  if (const char* folder = std::getenv("DESKHAND_MODELS"); folder && *folder) return folder;
  if (const char* cache = std::getenv("DESKHAND_CACHE"); cache && *cache) return std::filesystem::path(cache) / "models";
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache) return std::filesystem::path(cache) / "deskhand" / "models";
  const char* home = std::getenv("HOME");
  return std::filesystem::path(home && *home ? home : ".") / ".cache" / "deskhand" / "models";
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
  program.add_option("--desk", globals.desk, "The desk's folder")->capture_default_str();
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

  try {
    std::vector<std::pair<CLI::App*, std::function<void()>>> runs;
    for (const Command& command : commands()) {
      CLI::App* sub = program.add_subcommand(command.name, command.about);
      runs.emplace_back(sub, command.declare(*sub, globals));
    }
    try {
      program.parse(count, arguments);
    } catch (const CLI::ParseError& error) {
      return program.exit(error) == 0 ? static_cast<int>(ExitCode::kOk) : static_cast<int>(ExitCode::kUsage);
    }
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
