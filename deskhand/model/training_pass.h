// One forward and backward pass of a decoder over packed texts: the sums of the loss, and gradients of whatever is trained. Weights are
// read as they lie, frozen ones of any dtype; nothing of a frozen matrix's input is kept. What each layer keeps: LayerActivations.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "deskhand/model/decoder.h"
#include "deskhand/ops/head_loss.h"

namespace deskhand {

class TrainingPass {
 public:
  struct Limits {
    std::int64_t tokens = 2048;     // N of a pass
    std::int64_t positions = 2048;  // tokens of the longest text
    bool recompute = false;         // keep each layer's input alone and compute the rest again for backward: Chen et al., 2016
  };
  // Texts side by side that do not see one another; text i is tokens [bounds[i], bounds[i + 1]). Row rows[j]'s next token is to be
  // targets[j]; rows ascend.
  struct Batch {
    std::span<const std::int32_t> tokens, bounds, rows, targets;
  };
  struct Options {
    float scale = 1;              // of gradients: 1 / all target tokens of the optimizer's step
    std::uint64_t seed = 0;       // of dropout, with the next two
    std::uint32_t step = 0;       // of the optimizer
    std::uint32_t first_row = 0;  // rows that earlier passes of this step had
    float dropout = 0;            // of every adapter's input; 0 while evaluating
  };

  // Makes every buffer. Borrows the weights, whose views may change their values between passes, not their addresses. Throws
  // Error(kTooLarge) if the memory cannot be had, Error(kUsage) for an adapter on the head, which is trained whole or not at all.
  TrainingPass(const DecoderConfig& config, const DecoderWeights& weights, Limits limits);

  // The sums over all targets. Throws Error(kBadInput) or Error(kTooLarge) as Decoder::forward.
  HeadLoss evaluate(const Backend& on, const Batch& batch);
  // The same, and gradients times options.scale are added to.
  HeadLoss backward(const Backend& on, const Batch& batch, const DecoderGradients& gradients, const Options& options);

  // Bytes that a pass of these limits holds besides weights, gradients and the products' own scratch.
  static std::int64_t bytes(const DecoderConfig& config, Limits limits, std::int64_t lora_rank);

 private:
  struct Layer;  // one layer's weights, gradients and what it kept

  HeadLoss run(const Backend& on, const Batch& batch, const DecoderGradients* gradients, const Options& options);

  const DecoderConfig& config_;
  const DecoderWeights& weights_;
  Limits limits_;
};

}  // namespace deskhand
