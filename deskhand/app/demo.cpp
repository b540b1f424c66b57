// deskhand demo: the whole way on the sample desk, which is built into the program.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "deskhand/app/answering.h"
#include "deskhand/app/shell_word.h"
#include "deskhand/app/triage_run.h"
#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/base/progress.h"
#include "deskhand/base/stopwatch.h"
#include "deskhand/tickets/ticket_store.h"

namespace deskhand {

std::string_view sample_file(std::string_view name);  // embedded by CMake

namespace {

namespace fs = std::filesystem;

struct Options {
  fs::path folder = "deskhand-demo";
  int tickets = 6;
  std::string decoder;
};

// One step of the demo is one command of the program, run as a user would run it.
void run_command(const char* name, const Globals& globals, const std::vector<std::string>& arguments) {
  for (const Command& command : commands()) {
    if (std::string_view(command.name) != name) continue;
    std::string shown;
    for (const auto& argument : arguments) shown += " " + shell_word(argument);
    fmt::print("\n$ deskhand --desk {} {}{}\n", shell_word(globals.desk.string()), name, shown);
    std::fflush(stdout);
    CLI::App sub;
    const auto run = command.declare(sub, globals);
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // CLI11 reads vectors from the back
    sub.parse(reversed);
    run();
    std::fflush(stdout);
  }
}

// Only an empty place or an earlier demo's desk is written to.
void refuse_other_desk(const fs::path& folder) {
  const fs::path settings = folder / "desk.toml";
  const bool is_demo = fs::exists(settings) && read_text_file(settings).find("name = \"Sample desk\"") != std::string::npos;
  if (!is_demo && fs::exists(folder) && !fs::is_empty(folder))
    throw Error(ExitCode::kCannotWrite, "{} is not empty and not a demo's desk; name another folder: deskhand demo DIR", folder.string());
}

// What the demo trains, and what it is measured beside: the same model, raw.
std::string evaluated_systems(const std::string& decoder) {
  const auto model = decoder.empty() || decoder == "none" ? "" : fmt::format("decoder = \"{}\"\n", decoder);
  std::string text = fmt::format(
      "\n[[evaluate.systems]]\nname = \"deskhand triage\"   # the raw model and the cases' votes\ndecide = \"fused\"\n{}", model);
  for (const auto& [name, adapter] : {std::pair{"raw", ""}, {"LoRA", "lora"}, {"hybrid", "hybrid"}})
    text += fmt::format("\n[[evaluate.systems]]\nname = \"{}, no cases\"\n{}adapter = \"{}\"   # of runs/\ncases = 0\ndecide = \"model\"\n",
                        name, model, adapter);
  return text;
}

void write_sample(const fs::path& folder, const std::string& decoder) {
  refuse_other_desk(folder);
  std::error_code failure;
  fs::create_directories(folder, failure);
  if (failure) throw Error(ExitCode::kCannotWrite, "cannot make the folder {}: {}", folder.string(), failure.message());
  for (const char* name : {"tickets.xlsx", "history.xlsx", "queries.txt", "domain_keywords.txt"}) {
    DESKHAND_ASSERT(!sample_file(name).empty(), "the sample is built in");
    write_file_atomically(folder / name, sample_file(name));
  }
  if (fs::exists(folder / "desk.toml")) return;  // a demo that was interrupted goes on; settings that were tried out stay
  write_file_atomically(folder / "desk.toml", write_settings({.name = "Sample desk",
                                                              .preset = "seed",
                                                              .tickets = {"tickets.xlsx"},
                                                              .history = {"history.xlsx"},
                                                              .keywords = "domain_keywords.txt",
                                                              .test_share = 0.2}) +
                                                  evaluated_systems(decoder));
  open_desk_database(folder / "desk.db", Database::Mode::kCreate);
}

// A short run of each kind, and their curves side by side: eight steps, enough to see the whole way and too few to answer well;
// docs/training.md tells what a whole run takes.
void train(const Globals& globals, const Options& options) {
  for (const char* recipe : {"lora", "hybrid"}) {
    std::vector<std::string> arguments = {recipe, "--limit", "64", "--overwrite"};
    for (const char* setting : {"data.cases=0", "data.batch=8", "run.epochs=1"}) arguments.insert(arguments.end(), {"--set", setting});
    if (!options.decoder.empty()) arguments.insert(arguments.end(), {"--model", options.decoder});
    run_command("train", globals, arguments);
  }
  run_command("compare", globals, {"lora", "hybrid", "--runs", "--out", (options.folder / "runs-compared").string(), "--force"});
}

void demo(Globals globals, const Options& options) {
  const Stopwatch watch;
  globals.desk = options.folder;
  write_sample(options.folder, options.decoder);
  fmt::print("The sample desk: an invented reseller of business software, two Excel files as an ERP exports them.\n");
  run_command("prepare", globals, {});
  run_command("split", globals, {"--force"});
  const std::vector<std::string> decoder =
      options.decoder.empty() ? std::vector<std::string>{} : std::vector<std::string>{"--decoder", options.decoder};
  run_command("index", globals, decoder);

  const auto queries = read_queries(options.folder / "queries.txt");
  const std::size_t count = std::min(queries.size(), static_cast<std::size_t>(options.tickets));
  std::string first;
  for (std::size_t i = 0; i < count; ++i) first += queries[i * queries.size() / count] + "\n";  // spread over the kinds of problems
  write_file_atomically(options.folder / "new_tickets.txt", first);
  std::vector<std::string> arguments = {(options.folder / "new_tickets.txt").string(), "--jsonl",
                                        (options.folder / "answers.jsonl").string(),   "--csv",
                                        (options.folder / "answers.csv").string(),     "--force"};
  arguments.insert(arguments.end(), decoder.begin(), decoder.end());
  const Stopwatch answering;
  run_command("triage", globals, arguments);
  const double seconds = answering.seconds();

  if (options.decoder != "none") train(globals, options);
  std::vector<std::string> evaluation = {"--name", "demo", "--limit", "12", "--splits", "none", "--force"};
  if (options.decoder == "none") evaluation.emplace_back("--no-models");
  run_command("evaluate", globals, evaluation);
  fmt::print("\n{} new tickets answered in {}, {:.1f} s each with loading; everything in {}. No ticket left this machine.\n", count,
             human_duration(seconds), seconds / static_cast<double>(count), human_duration(watch.seconds()));
  fmt::print("The answers are in {} and {}. Next, your own desk: deskhand init mydesk --tickets tickets.xlsx --history history.xlsx\n",
             (options.folder / "answers.csv").string(), (options.folder / "answers.jsonl").string());
}

}  // namespace

std::function<void()> declare_demo(CLI::App& sub, const Globals& globals) {
  const auto options = std::make_shared<Options>();
  sub.add_option("DIR", options->folder, "where the demo's desk goes")->capture_default_str();
  sub.add_option("--tickets", options->tickets, "how many of the 24 sample problems to answer")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  sub.add_option("--decoder", options->decoder, "another model than the 0.5 B starter; none: the cases alone answer");
  sub.footer("Example:\n  deskhand demo --tickets 24");
  return [options, &globals] { demo(globals, *options); };
}

}  // namespace deskhand
