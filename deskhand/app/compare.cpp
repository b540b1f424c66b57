// deskhand compare A B: two evaluations side by side, and which changes matter.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "deskhand/app/engine.h"
#include "deskhand/app/evaluation_record.h"
#include "deskhand/base/error.h"
#include "deskhand/evaluate/measure.h"
#include "deskhand/report/report.h"

namespace deskhand {
namespace {

struct Options {
  std::string a, b;
  std::filesystem::path folder;
  std::vector<std::string> systems;  // "A's name=B's name"
  bool force = false;
};

const SystemResult* find_system(const SplitResult& split, const std::string& name) {
  const auto found =
      std::find_if(split.systems.begin(), split.systems.end(), [&](const auto& system) { return system.identity.name == name; });
  return found == split.systems.end() ? nullptr : &*found;
}

// Systems of one name on both sides, and those that --systems puts together.
std::vector<std::pair<const SystemResult*, const SystemResult*>> pairs_of(const SplitResult& a, const SplitResult& b,
                                                                          const Options& options) {
  std::vector<std::pair<const SystemResult*, const SystemResult*>> pairs;
  for (const std::string& both : options.systems) {
    const auto equals = both.find('=');
    const std::string of_a = both.substr(0, equals), of_b = equals == std::string::npos ? of_a : both.substr(equals + 1);
    pairs.emplace_back(find_system(a, of_a), find_system(b, of_b));
    if (!pairs.back().first || !pairs.back().second)
      throw Error(ExitCode::kUsage, "--systems {}: '{}' has no system of that name", both, pairs.back().first ? options.b : options.a);
  }
  if (pairs.empty())
    for (const SystemResult& system : a.systems)
      if (const auto* other = find_system(b, system.identity.name)) pairs.emplace_back(&system, other);
  if (pairs.empty())
    throw Error(ExitCode::kUsage, "the evaluations {} and {} have no system of the same name; put two together with --systems \"A=B\"",
                options.a, options.b);
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

void compare(const Globals& globals, const Options& options) {
  Desk desk = Desk::open(globals);
  const Evaluation a = find_evaluation(desk, options.a), b = find_evaluation(desk, options.b);
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

}  // namespace

std::function<void()> declare_compare(CLI::App& sub, const Globals& globals) {
  const auto options = std::make_shared<Options>();
  sub.add_option("A", options->a, "an evaluation's name, or the folder of a report")->required();
  sub.add_option("B", options->b, "the other one")->required();
  sub.add_option("--systems", options->systems, "which to put together: NAME, or NAME_IN_A=NAME_IN_B; those of one name if not given");
  sub.add_option("--out", options->folder, "also write a page into this folder");
  sub.add_flag("--force", options->force, "write over a page that is there");
  sub.footer("Example:\n  deskhand --desk mydesk compare 2024-03-01 2024-04-01 --out march-against-april");
  return [options, &globals] { compare(globals, *options); };
}

}  // namespace deskhand
