// From examples to what is computed: an optimizer step is one or more passes, a pass is whole examples one behind the other that do not see
// one another (block-diagonal attention). No padding exists. What a step holds depends on settings, epoch and its number alone, so a place
// in the data is two numbers.
#pragma once
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "deskhand/train/example.h"

namespace deskhand {

struct PackingSettings {
  std::int32_t pass_tokens = 2048;  // N, the most tokens of one pass, which buffers are made for
  std::int32_t pass_examples = 0;   // the most examples of one pass: the seed's micro-batch; 0: as many as fit
  std::int32_t step_examples = 16;  // of one optimizer step, packed into as few passes as first-fit decreasing finds; 0: see step_passes
  std::int32_t step_passes = 1;     // step_examples 0: so many full passes are a step
  std::int32_t shared = 0;          // tokens that every example begins with (shared_beginning): a pass of several holds them once
  std::int32_t window = 512;        // step_examples 0: so many examples, next to one another in the shuffled order, are packed together
  bool shuffle = true;              // anew in each epoch
  std::uint64_t seed = 42;
};

// One forward and backward pass.
struct PackedPass {
  std::vector<std::int32_t> examples;  // (B) which ones
  std::vector<std::int32_t> tokens;    // (N)
  std::vector<std::int32_t> bounds;    // (B + 1) example i's rows are [bounds[i], bounds[i + 1])
  std::vector<std::int32_t> rows;      // ascending: rows whose next token counts
  std::vector<std::int32_t> targets;   // (rows) that next token
  std::vector<float> weights;          // (rows) how much it counts; empty: 1 each
  std::int32_t shared = 0;             // every example but the first begins with the pass's first so many rows, which are not repeated

  double target_weight() const {  // the sum of the weights
    return weights.empty() ? static_cast<double>(targets.size()) : std::accumulate(weights.begin(), weights.end(), 0.0);
  }
  std::int64_t text_tokens() const {  // as if they were repeated
    return static_cast<std::int64_t>(tokens.size()) + shared * (static_cast<std::int64_t>(examples.size()) - 1);
  }
};

// How many tokens all examples begin with and take no loss of: a desk's prompts open with one instruction. 0 below 16, not worth sharing.
std::int32_t shared_beginning(std::span<const Example> examples);

using PassPlan = std::vector<std::int32_t>;  // examples of one pass, in the order of packing
using StepPlan = std::vector<PassPlan>;      // passes of one optimizer step

class Packing {
 public:
  // lengths: tokens of each example. Throws Error(kUsage) for settings out of range, Error(kBadInput) if there is no example,
  // Error(kTooLarge) naming the first one that is longer than pass_tokens: cut_examples comes first.
  Packing(std::span<const std::int32_t> lengths, PackingSettings settings);

  // All steps of an epoch, from 0. Every example stands in exactly one pass; only the last step may be smaller.
  std::vector<StepPlan> epoch(std::int64_t number) const;
  std::int32_t shared() const { return settings_.shared; }

 private:
  std::vector<std::int32_t> lengths_;
  PackingSettings settings_;
};

// Where a run is: the next step to take. Kept in a checkpoint.
struct DataPlace {
  std::int64_t epoch = 0, step = 0;  // step: within the epoch
  bool operator==(const DataPlace&) const = default;
};

// Walks through the epochs, step by step, from any place. Borrows packing and examples.
class StepReader {
 public:
  StepReader(const Packing& packing, std::span<const Example> examples, DataPlace start = {});

  // The passes of the next step; goes on to the next epoch by itself, for ever.
  std::vector<PackedPass> next();
  const DataPlace& place() const { return place_; }
  std::int64_t steps_in_epoch() const { return static_cast<std::int64_t>(plan_.size()); }
  double epoch() const;  // how far: 1.5 is the middle of the second

 private:
  const Packing& packing_;
  std::span<const Example> examples_;
  DataPlace place_;
  std::vector<StepPlan> plan_;  // of place_.epoch
};

// Steps of all `epochs`; 1.5 is one and a half, rounded up.
std::int64_t count_steps(const Packing& packing, double epochs);

// shared: at most shared_beginning's; counts where the plan has several examples.
PackedPass pack(std::span<const Example> examples, const PassPlan& plan, std::int32_t shared = 0);

// All examples in their order, in passes of at most pass_tokens: for evaluation.
std::vector<PackedPass> pack_in_order(std::span<const Example> examples, std::int32_t pass_tokens, std::int32_t shared = 0);

struct CutCounts {
  std::int64_t examples = 0;        // that were longer than allowed
  std::int64_t answers = 0;         // of those: even the answer had to be cut at its end
  std::int64_t tokens = 0;          // that went
  std::int32_t longest_tokens = 0;  // of any example, before cutting
};

// Makes every example at most max_tokens long. The middle of the prompt goes first, where the oldest and longest texts stand: its beginning
// (instruction) and its end (the ticket) stay. An answer is cut only where it leaves the prompt less than a quarter of max_tokens, and then
// loses its end but not its last token. A text that is no prompt and answer is cut at its end.
CutCounts cut_examples(std::span<Example> examples, std::int32_t max_tokens);

}  // namespace deskhand
