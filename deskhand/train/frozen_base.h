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

}  // namespace deskhand
