// The training runs of a desk: folders runs/NAME, and what they wrote down.
#pragma once
#include <filesystem>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/evaluate/evaluation.h"
#include "deskhand/report/run_comparison.h"
#include "deskhand/train/records.h"
#include "deskhand/train/run_folder.h"

namespace deskhand {

struct TrainingRun {
  RunFolder folder;
  RunInfo info;
  RunLog log;         // empty where nothing was logged yet
  std::string fault;  // why it cannot be read; the rest but the name is empty then

  std::string state() const;  // "finished", "at step 40"
};

// Where the run NAME of a desk lies. Throws Error(kUsage) for a name that cannot be a folder's.
std::filesystem::path run_folder(const std::filesystem::path& desk_folder, const std::string& name);

// A run of the desk by its name, a run's folder, or the adapter's or model's folder inside one; none: it is something else.
std::optional<std::filesystem::path> find_run(const std::filesystem::path& desk_folder, std::string_view name_or_path);

TrainingRun read_training_run(const std::filesystem::path& root);  // throws as its readers do
// Ids of the tickets that a run learns from, and of those that it is evaluated on while it does; kept so that nobody measures it on them.
void write_tickets(const RunFolder& folder, std::span<const std::string> learnt, std::span<const std::string> validation);
std::set<std::string> learnt_tickets(const RunFolder& folder);  // empty where they were not kept; throws Error(kBadInput)
// The latest begun first; one that cannot be read says so and does not hide the others.
std::vector<TrainingRun> training_runs(const std::filesystem::path& desk_folder);
RunCurves curves_of(const TrainingRun& run);
LossCurve loss_curve_of(const TrainingRun& run);

}  // namespace deskhand
