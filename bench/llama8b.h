// The shapes that the GPU's benches work on, with as many layers as asked for, and what they take of its memory.
#pragma once
#include "deskhand/model/config.h"
#include "deskhand/tensor/cuda/context.h"

namespace deskhand {

inline DecoderConfig llama8b(std::int64_t layers) {
  return {.family = "llama",
          .vocabulary = 128256,
          .width = 4096,
          .layers = layers,
          .heads = 32,
          .kv_heads = 8,
          .head_width = 128,
          .feed_forward = 14336,
          .rope_theta = 500000,
          .max_positions = 131072};
}

inline DecoderConfig qwen05b(std::int64_t layers) {
  return {.family = "qwen2",
          .vocabulary = 151936,
          .width = 896,
          .layers = layers,
          .heads = 14,
          .kv_heads = 2,
          .head_width = 64,
          .feed_forward = 4864,
          .rope_theta = 1e6,
          .max_positions = 32768};
}

// Since the context was made.
inline double gib_taken(const CudaContext& context) {
  return static_cast<double>(context.card().free_bytes - context.free_bytes()) / (1ll << 30);
}

}  // namespace deskhand
