// What a run writes down at each step and each evaluation: one JSON line each in log.jsonl, with the names that TRL uses, and the same as
// scalars for TensorBoard. compare reads the lines back.
#pragma once
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "deskhand/train/event_file.h"

namespace deskhand {

struct StepRecord {
  std::int64_t step = 0;  // from 1
  double epoch = 0;       // how far in the data after this step
  double loss = 0;        // mean over the step's target tokens, nats
  double grad_norm = 0;   // before clipping
  double learning_rate = 0;
  double entropy = 0;              // of the predicted distributions, mean over the target tokens, nats
  std::int64_t num_tokens = 0;     // of all steps so far, prompts counted
  double mean_token_accuracy = 0;  // 0..1, share of target tokens that were the likeliest
  double tokens_per_second = 0;    // of this step
  bool skipped = false;            // loss or gradient was no number: nothing was changed
};

struct EvalRecord {
  std::int64_t step = 0;
  double epoch = 0;
  double loss = 0, entropy = 0, mean_token_accuracy = 0;  // over all target tokens of the set
  double runtime_s = 0, samples_per_second = 0;
  std::int64_t num_tokens = 0;  // of training so far, as in StepRecord
};

struct RunLog {
  std::vector<StepRecord> steps;
  std::vector<EvalRecord> evaluations;
};

// A last line without its end, as a killed run leaves it, is passed over. Throws Error(kNotFound), or Error(kBadInput) with the line.
RunLog read_run_log(const std::filesystem::path& jsonl);

class RunLogWriter {
 public:
  // from_step 0: a new log; throws Error(kCannotWrite) if there is one. Above 0: a resumed run, and what was logged after that step goes.
  RunLogWriter(const std::filesystem::path& jsonl, const std::filesystem::path& tensorboard_folder, std::int64_t from_step,
               double wall_time);

  // Each is on disk (in the system's hands) when the call returns. wall_time: seconds since 1970.
  void add(const StepRecord& record, double wall_time);
  void add(const EvalRecord& record, double wall_time);
  void sync() const;  // the log is on the disk: before a checkpoint that counts on it

 private:
  void line(const std::string& text);

  std::filesystem::path path_;
  std::ofstream jsonl_;
  EventFile events_;
};

}  // namespace deskhand
