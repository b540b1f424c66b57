// Llama-3.1-8B's shape, with as many layers as asked for.
#pragma once
#include "deskhand/model/config.h"

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

}  // namespace deskhand
