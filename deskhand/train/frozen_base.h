// How the frozen matrices of a base are held while training: as their file has them, or quantised on loading (QLoRA: Dettmers et al., 2023,
// here with GGUF's plain blocks instead of NF4, so that one set of kernels serves both).
#pragma once
#include "deskhand/model/decoder.h"
#include "deskhand/train/recipe.h"

namespace deskhand {

// The base's parts: views, and with kQ8 or kQ4 the layers' matrices as owned q8_0 or q4_0 blocks. Embedding, head, norms and biases stay as
// they are, and so does a matrix whose rows are no multiple of 32 or that is held in no more bits already.
DecoderWeights hold_base(const Backend& on, const Decoder& base, FrozenBase how);

// Bytes that a layer's matrix takes so.
std::int64_t held_bytes(ConstView matrix, FrozenBase how);

// The same parts with the layers' matrices in FP8 on the GPU, each a matrix and its turned copy: what lies on the host, as `base`'s file
// does, is copied a few matrices at a time and let go. Throws Error(kUsage) with what to change where the GPU has no FP8 or the model's
// widths are no multiples of 16.
DecoderWeights hold_in_fp8(const Backend& on, const Decoder& base, const DecoderWeights& weights);
void require_fp8(const Backend& on, const DecoderWeights& weights);
// A layer's matrices in FP8 and their turned copies, whose memory `owned` takes.
DecoderLayer layer_in_fp8(const Backend& on, const DecoderLayer& layer, std::vector<Tensor>& owned);
std::int64_t fp8_bytes(ConstView matrix);

}  // namespace deskhand
