// A run's whole state in one file that is there whole or not at all: a safetensors file whose metadata hold the state as JSON and a SHA-256
// over everything. Killed at any moment, a run finds its last good checkpoint.
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "deskhand/tensor/tensor.h"
#include "deskhand/train/early_stopping.h"
#include "deskhand/train/packing.h"
#include "deskhand/train/random.h"
#include "deskhand/train/schedule.h"

namespace deskhand {

struct TrainingState {
  std::int64_t step = 0;        // optimizer steps taken
  DataPlace place;              // the next step's
  std::int64_t num_tokens = 0;  // read so far, prompts counted
  std::int64_t evaluated = -1;  // the last evaluation stood after so many steps; -1: none yet
  std::int64_t updates = 0;     // steps that changed something: Adam's correction counts these
  std::int64_t skipped = 0;     // steps whose loss or gradient was no number; in a row, see skipped_in_a_row
  std::int64_t skipped_in_a_row = 0;
  double seconds = 0;  // trained so far, all sittings
  Schedule schedule;
  EarlyStopping best;
  std::map<std::string, Random::State> generators;  // by name
  std::map<std::string, std::string> identity;      // what must not change: "recipe", "data", "base" to a SHA-256
};

struct Checkpoint {
  TrainingState state;
  std::map<std::string, Tensor> tensors;  // trained values and optimizer moments, by name
};

// `wanted` is what the resuming run has. Throws Error(kUsage) naming the first part that differs and both hashes' beginnings.
void check_identity(const TrainingState& kept, const std::map<std::string, std::string>& wanted, std::string_view where);

void write_checkpoint(const std::filesystem::path& path, const TrainingState& state,
                      std::span<const std::pair<std::string, ConstView>> tensors);
// Throws Error(kNotFound); Error(kBadInput) if it is no checkpoint or its hash is not the one it says; Error(kUsage) if it is of another
// format version.
Checkpoint read_checkpoint(const std::filesystem::path& path);

// checkpoints/step-00000120.safetensors
class CheckpointFolder {
 public:
  // Makes the folder; removes what an interrupted write left. Throws Error(kCannotWrite).
  CheckpointFolder(std::filesystem::path folder, std::int32_t keep);

  // Writes first, then removes all but the last `keep` and the best (state.best.step). Throws Error(kCannotWrite) with the reason and the
  // last good checkpoint, which stays.
  void save(const TrainingState& state, std::span<const std::pair<std::string, ConstView>> tensors);

  struct Found {
    std::optional<Checkpoint> checkpoint;  // none: a new run
    std::filesystem::path path;
    std::vector<std::string> warnings;  // damaged ones that were passed over
  };
  // The last that is whole. Throws what has nothing to do with damage: another format version, no memory, no permission to read.
  Found latest() const;
  std::filesystem::path path_of(std::int64_t step) const;
  std::vector<std::int64_t> steps() const;  // ascending
  // Removes those after `step`: what a run that goes on from there will write anew. They were damaged, or `step` would not be the last.
  void remove_after(std::int64_t step);
  std::string what_stays() const;  // for a message that ends a run: the last one that is there, and that the run goes on from it

 private:
  std::filesystem::path folder_;
  std::int32_t keep_;
};

}  // namespace deskhand
