// One forward and backward pass of a decoder over packed texts: the sums of the loss, and gradients of whatever is trained. Weights are
// read as they lie, frozen ones of any dtype; no input of a frozen matrix is kept. What each layer keeps: LayerActivations. With f32
// activations Compute::kAuto means kF32 here.
#pragma once
#include <array>
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
    Placement activations{};        // on the GPU where weights and gradients are there, and there in f32 or bf16
    bool fp8 = false;               // all matrices of all layers are in FP8 (Linear::fp8); activations are bf16 on the GPU then
  };
  // Texts side by side that do not see one another; text i is tokens [bounds[i], bounds[i + 1]). The token after row rows[j] is to be
  // targets[j]; rows ascend. Texts that begin alike, as prompts under one instruction do, may share that beginning: it stands once, in the
  // first text, and every other text is its first `shared` rows and then its own. Loss and gradients are those of the whole texts; no row
  // of the shared beginning may be among `rows`.
  struct Batch {
    std::span<const std::int32_t> tokens, bounds, rows, targets;
    std::int32_t shared = 0;
    std::span<const float> weights;  // of the targets; empty: 1 each
  };
  struct Options {
    float scale = 1;              // of gradients: 1 / all target tokens of the optimizer's step, or / their weights
    float dropout = 0;            // of every adapter's input
    std::uint64_t seed = 0;       // of dropout, with the next two
    std::uint32_t step = 0;       // of the optimizer
    std::uint32_t first_row = 0;  // rows that earlier passes of this step had
    Into head = Into::kAdd;       // its gradient: the first pass of a step may overwrite it
  };

  // Makes every buffer. Borrows both: values may change between passes, shapes and addresses may not. Throws Error(kTooLarge) if the memory
  // cannot be had, Error(kUsage) for an adapter on the head, which is trained whole or not at all.
  TrainingPass(const DecoderConfig& config, const DecoderWeights& weights, Limits limits);

  // Sums over all targets; no dropout. Throws Error(kBadInput) or Error(kTooLarge) as Decoder::forward.
  HeadLoss evaluate(const Backend& on, const Batch& batch);
  // The same, and gradients times options.scale are added to, the head's as options say.
  HeadLoss backward(const Backend& on, const Batch& batch, const DecoderGradients& gradients, const Options& options);

  // Bytes of the buffers; without weights, gradients and the scratch of products. lora_ranks: the sum over a layer's pairs.
  static std::int64_t bytes(const DecoderConfig& config, Limits limits, std::int64_t lora_ranks);

 private:
  static constexpr std::size_t kLinears = kLayerLinears.size();
  struct Kept {
    LayerActivations act;
    std::array<Tensor, kLinears> low;  // (N, R) of each pair, or empty; R the largest of the layers that use it in turn
  };

  // What several linears of a layer read: as it is, in FP8, or both.
  struct Input {
    ConstView plain;
    ConstFp8Rows narrow;
  };
  // Room for a matrix of N rows in FP8.
  struct Narrow {
    Narrow() = default;
    Narrow(std::int64_t rows, std::int64_t width, const Placement& at);
    Fp8Rows rows(std::int64_t count, std::int64_t width);

    Tensor values, scales;  // (N * the largest width) i8, (N) f32
  };

  enum class Stretch : std::uint8_t { kWhole, kAllButDown };  // of a layer: backward does not read what it leaves

  HeadLoss forward(const Backend& on, const Batch& batch, const Options& options, const DecoderGradients* gradients);
  void forward_layer(const Backend& on, std::size_t number, const Options& options, Stretch stretch);
  // d_x_ goes from the layer's output to its input; to_input false: nobody below wants it.
  void backward_layer(const Backend& on, std::size_t number, const LayerGradients& gradients, const Options& options, bool to_input);
  // rms_norm of x, into normed_ where it is wanted as it is.
  Input norm(const Backend& on, ConstView x, ConstView weight, View rstd, bool plain);
  ConstFp8Rows narrowed(const Backend& on, std::span<const ConstView> parts);
  // The backward of a norm of the stream, added to d_x_; `next` says that the next product reads d_x_ in FP8.
  void norm_backward(const Backend& on, View d_weight, ConstView x, ConstView weight, ConstView rstd, bool next);
  void apply_layers(const Backend& on, std::span<const LinearCall> calls, const Input& in, const Turn& turn = {});
  Kept& kept(std::size_t layer) { return kept_[kept_.size() == 1 ? 0 : layer]; }
  View rows_of(Tensor& buffer) const;                    // of the pass under way, as a matrix
  View low_of(Tensor& low, const Linear& linear) const;  // (N, R) of its pair; empty where it has none
  Turn turn() const;

  const DecoderConfig& config_;
  const DecoderWeights& weights_;
  Limits limits_;
  RopeAngles angles_;
  std::vector<Tensor> inputs_;           // (N, C)     of each layer, then what the last one leaves
  std::vector<Kept> kept_;               // of each layer; one for all where they are computed again
  Tensor normed_, delta_, d_x_;          // (N, C)     delta: what is added to the stream, d_normed on the way back
  Tensor product_, d_product_;           // (N, F)     silu(gate) * up
  Tensor d_attended_, d_q_, d_k_, d_v_;  // (N, H, D), (N, H, D), (N, G, D) twice
  Tensor last_rstd_;                     // (M)
  Narrow narrow_;                        // where matrices are in FP8: what is multiplied next
  bool has_narrow_d_x_ = false;          // that is d_x_
  std::vector<std::int32_t> positions_;  // (N)
  // Of the pass under way.
  std::int64_t rows_ = 0;    // N
  std::int32_t shared_ = 0;  // rows of the beginning that texts share
  std::span<const std::int32_t> bounds_;
};

}  // namespace deskhand
