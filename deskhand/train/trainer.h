// The loop of every method: steps of packed passes, clipped gradients, AdamW, evaluations, checkpoints, records. LoRA, hybrid and full are
// recipes for it, not loops of their own. Every sum has one order: a run that is interrupted and resumed, or that has other threads, ends
// in the same adapter to the bit.
#pragma once
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "deskhand/model/decoder.h"
#include "deskhand/train/checkpoint.h"
#include "deskhand/train/example.h"
#include "deskhand/train/recipe.h"
#include "deskhand/train/records.h"
#include "deskhand/train/run_folder.h"

namespace deskhand {

struct TrainingData {
  std::span<const Example> training, validation;  // each at most recipe.data.max_tokens long (cut_examples); validation may be empty
};

// What a run will take, before it starts.
struct TrainingPlan {
  std::int64_t steps = 0, steps_in_epoch = 0, passes_in_epoch = 0;
  std::int64_t tokens_in_epoch = 0, target_tokens_in_epoch = 0;
  std::int64_t trained_parameters = 0;
  std::int64_t frozen_bytes = 0;   // the base, as it is held
  std::int64_t trained_bytes = 0;  // values, gradients, moments
  std::int64_t pass_bytes = 0;     // activations and logits of the largest pass

  std::int64_t bytes() const { return frozen_bytes + trained_bytes + pass_bytes; }
};
TrainingPlan plan_training(const Backend& on, const Decoder& base, const TrainingData& data, const Recipe& recipe);
// What data.pass_tokens = 0 stands for: 2048 on the processor, which larger passes make no faster; on the GPU 8192, halved until the plan
// needs at most so many bytes. Never less than data.max_tokens.
std::int32_t pass_tokens_for(const Backend& on, const Decoder& base, const TrainingData& data, const Recipe& recipe, std::int64_t bytes);
// Other values of a recipe, as --set takes them, whose plan needs at most so many bytes: fewer tokens a pass, then layers computed again as
// well, then a base in 4 bits as well. Empty: none of these does.
std::vector<std::string> settings_that_fit(const Backend& on, const Decoder& base, const TrainingData& data, const Recipe& recipe,
                                           std::int64_t bytes);
// Seconds of one real pass, forward and backward, of the plan's commonest size: what an estimate of the whole run is made from.
double time_of_pass(const Backend& on, const Decoder& base, const TrainingData& data, const Recipe& recipe);

// What a caller hears of a run, and may say to it. Each may be empty.
struct TrainingWatch {
  std::function<void(const StepRecord&, std::int64_t total_steps)> stepped;
  std::function<void(const EvalRecord&, bool is_best)> evaluated;
  std::function<void(std::string_view)> warned;  // damaged checkpoints passed over, skipped steps
  std::function<bool()> should_stop;  // asked after each step and each pass of an evaluation; a run that stops has written a checkpoint
};

struct TrainingOutcome {
  enum class End : std::uint8_t { kFinished, kStoppedEarly, kInterrupted };
  End end = End::kFinished;
  RunInfo info;  // as run.json has it
  TrainingState state;
  std::optional<StepRecord> last_step;
  std::optional<EvalRecord> first_evaluation, best_evaluation;
  double mean_train_loss = 0, mean_train_accuracy = 0;  // over all steps of all sittings, as the log has them
};

// Trains into `folder` (make_run_folder or open_run_folder): run.json, log, checkpoints, TensorBoard events, and at the end adapter/ (for
// kFull model/ in f32, without tokenizer files, which the caller copies). `resume`: from the last whole checkpoint, refused where
// `info.identity()` is not the checkpoint's; without one it starts anew. An evaluation stands before the first step; it is no candidate for
// the best. One that should_stop cuts off is made up by the next sitting.
// A step whose loss or gradients are no numbers changes nothing and is counted; after three in a row throws Error(kBadInput) with what was
// seen and what to change, and so it does for trained weights that are no numbers. Throws Error(kBadInput) or Error(kTooLarge) for examples
// that cannot be learnt from, Error(kCannotWrite) with the checkpoint that stays.
TrainingOutcome run_training(const Backend& on, const Decoder& base, const TrainingData& data, const Recipe& recipe,
                             const RunFolder& folder, const RunInfo& info, bool resume, const TrainingWatch& watch);

}  // namespace deskhand
