// Rotary position embedding (Su et al., 2021), in place on x (N, H, D), activations: pairs of elements turn by position * frequency.
// kHalves pairs d with d + D/2 (Hugging Face layout), kNeighbours 2d with 2d + 1 (GGUF's layout of the Llama family).
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

enum class RopePairs : std::uint8_t { kHalves, kNeighbours };

// cosine, sine (P, D/2) f32 for positions 0..P-1; `inverse` turns back, which is the gradient.
struct RopeTable {
  ConstView cosine, sine;
  RopePairs pairs = RopePairs::kHalves;
};

void rope(const Backend& on, View x, std::span<const std::int32_t> positions, const RopeTable& table, bool inverse = false);

// By which something is turned, or not at all where there are no positions.
struct Turn {
  std::span<const std::int32_t> positions;  // (N)
  RopeTable table;
};

// Asserts a position a token of x (N, H, D), all of them in a table of such heads.
void check_turn(ConstView x, std::span<const std::int32_t> positions, const RopeTable& table);
// (N, H, D) of a matrix (N, H D).
View heads_of(View matrix, std::int64_t head_width);

namespace reference {
void rope(View x, std::span<const std::int32_t> positions, const RopeTable& table, bool inverse);
}
namespace cpu {
void rope(const Backend& on, View x, std::span<const std::int32_t> positions, const RopeTable& table, bool inverse);
}
namespace cuda {
void rope(const Backend& on, View x, std::span<const std::int32_t> positions, const RopeTable& table, bool inverse);
}

}  // namespace deskhand
