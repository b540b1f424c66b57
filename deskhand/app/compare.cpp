// deskhand compare A B: two evaluations side by side, and which changes matter; or training runs, any number of them.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "deskhand/app/engine.h"
#include "deskhand/app/evaluation_record.h"
#include "deskhand/app/prediction_store.h"
#include "deskhand/app/training_runs.h"
#include "deskhand/base/error.h"
#include "deskhand/evaluate/measure.h"
#include "deskhand/report/report.h"

namespace deskhand {
namespace {

struct Options {
  std::vector<std::string> names;
  std::filesystem::path folder;
  std::vector<std::string> systems;  // "A's name=B's name"
  bool runs = false, force = false;
};

const SystemResult* find_system(const SplitResult& split, const std::string& name) {
  const auto found =
      std::find_if(split.systems.begin(), split.systems.end(), [&](const auto& system) { return system.identity.name == name; });
  return found == split.systems.end() ? nullptr : &*found;
}

// Systems of one name on both sides, and those that --systems puts together.
std::vector<std::pair<const SystemResult*, const SystemResult*>> pairs_of(const SplitResult& a, const SplitResult& b,
                                                                          const Options& options) {
  const std::string &name_a = options.names[0], &name_b = options.names[1];
  std::vector<std::pair<const SystemResult*, const SystemResult*>> pairs;
  for (const std::string& both : options.systems) {
    const auto equals = both.find('=');
    const std::string of_a = both.substr(0, equals), of_b = equals == std::string::npos ? of_a : both.substr(equals + 1);
    pairs.emplace_back(find_system(a, of_a), find_system(b, of_b));
    if (!pairs.back().first || !pairs.back().second)
      throw Error(ExitCode::kUsage, "--systems {}: '{}' has no system of that name", both, pairs.back().first ? name_b : name_a);
  }
  if (pairs.empty())
    for (const SystemResult& system : a.systems)
      if (const auto* other = find_system(b, system.identity.name)) pairs.emplace_back(&system, other);
  if (pairs.empty())
    throw Error(ExitCode::kUsage, "the evaluations {} and {} have no system of the same name; put two together with --systems \"A=B\"",
                name_a, name_b);
  return pairs;
}

// What makes figures of the two hard to compare, in sentences.
std::vector<std::string> notes_of(const SplitResult& a, const SplitResult& b) {
  bool other_data = false, other_encoder = false;
  for (const SystemResult& system : a.systems)
    if (const auto* other = find_system(b, system.identity.name)) {
      other_data = other_data || system.identity.data_hash != other->identity.data_hash;
      // A baseline's model is the encoder that found its cases and compared its resolutions.
      other_encoder = other_encoder || (system.identity.kind == "baseline" && other->identity.kind == "baseline" &&
                                        system.identity.model_hash != other->identity.model_hash);
    }
  std::vector<std::string> notes;
  if (other_data)
    notes.push_back(
        "The two were not measured on the same data: tickets learnt from or held out differ, so a change may be the tickets' and not the "
        "system's.");
  if (other_encoder) notes.push_back("The two had different encoders: cosines and BERTScores of one do not compare with the other's.");
  return notes;
}

void compare_evaluations(Desk& desk, const Globals& globals, const Options& options) {
  if (options.names.size() != 2)
    throw Error(ExitCode::kUsage, "two evaluations are compared, {} {} named; training runs can be any number", options.names.size(),
                options.names.size() == 1 ? "is" : "are");
  const Evaluation a = find_evaluation(desk, options.names[0]), b = find_evaluation(desk, options.names[1]);
  if (a.splits.empty() || b.splits.empty()) throw Error(ExitCode::kBadInput, "an evaluation without a split cannot be compared");
  Engine engine(globals.threads);
  const MeasureSettings settings{.resamples = a.resamples, .seed = a.seed};
  std::vector<Difference> differences;
  for (const auto& [first, second] : pairs_of(a.splits.front(), b.splits.front(), options))
    for (Difference& difference : compare_systems(a, *first, b, *second, settings, engine.pool))
      differences.push_back(std::move(difference));
  if (!options.folder.empty()) write_comparison(options.folder, a, b, differences, {.force = options.force});
  const auto notes = notes_of(a.splits.front(), b.splits.front());
  if (globals.json) {
    fmt::print("{}", comparison_json(a, b, differences, notes));
    return;
  }
  fmt::print("{}", comparison_text(a, b, differences));
  for (const std::string& note : notes) fmt::print("\nnote: {}\n", note);
  if (!options.folder.empty()) fmt::print("\nThe page: {}\n", (options.folder / "index.html").string());
}

void compare_runs(const std::vector<std::filesystem::path>& folders, const Globals& globals, const Options& options) {
  if (!options.systems.empty())
    throw Error(ExitCode::kUsage, "--systems puts together what evaluations measured; training runs have no systems");
  std::vector<RunCurves> runs;
  for (const auto& folder : folders) runs.push_back(curves_of(read_training_run(folder)));
  if (!options.folder.empty()) write_run_comparison(options.folder, runs, {.force = options.force});
  if (globals.json) {
    fmt::print("{}", run_comparison_json(runs));
    return;
  }
  fmt::print("{}", run_comparison_text(runs));
  if (!options.folder.empty()) fmt::print("\nThe page: {}\n", (options.folder / "index.html").string());
}

// Names that are runs, all of them, are runs; one that is a run and an evaluation is taken for an evaluation without --runs.
void compare(const Globals& globals, const Options& options) {
  Desk desk = Desk::open(globals);
  PredictionStore store(desk.database);
  std::vector<std::filesystem::path> folders;
  bool all_are_evaluations = options.names.size() == 2;
  std::string not_a_run;
  for (const std::string& name : options.names) {
    all_are_evaluations = all_are_evaluations && !store.evaluation(name).empty();
    if (const auto folder = find_run(desk.folder, name))
      folders.push_back(*folder);
    else if (not_a_run.empty())
      not_a_run = name;
  }
  if (!options.runs && (all_are_evaluations || folders.empty())) return compare_evaluations(desk, globals, options);
  if (!not_a_run.empty())
    throw Error(ExitCode::kNotFound, "'{}' is no training run of this desk; deskhand --desk {} train --list shows those there are",
                not_a_run, globals.desk.string());
  compare_runs(folders, globals, options);
}

}  // namespace

std::function<void()> declare_compare(CLI::App& sub, const Globals& globals) {
  const auto options = std::make_shared<Options>();
  sub.add_option("NAME", options->names, "two evaluations by name or by a report's folder, or training runs by name or folder")->required();
  sub.add_option("--systems", options->systems, "which to put together: NAME, or NAME_IN_A=NAME_IN_B; those of one name if not given");
  sub.add_option("--out", options->folder, "also write a page into this folder");
  sub.add_flag("--runs", options->runs, "the names are training runs, also where evaluations are called the same");
  sub.add_flag("--force", options->force, "write over a page that is there");
  sub.footer(
      "Examples:\n  deskhand --desk mydesk compare 2024-03-01 2024-04-01 --out march-against-april\n  deskhand --desk mydesk compare lora "
      "hybrid --out lora-against-hybrid");
  return [options, &globals] { compare(globals, *options); };
}

}  // namespace deskhand
