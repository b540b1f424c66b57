// A rotation (ops/rope.h) as the kernels that turn what they have in registers are given it.
#pragma once
#include "deskhand/ops/cuda/launch.cuh"
#include "deskhand/ops/rope.h"

namespace deskhand::cuda {

struct Turned {
  const std::int32_t* position = nullptr;  // of each row; null: nothing is turned
  const float *cosines = nullptr, *sines = nullptr;
  bool halves = false;
};

inline Turned turned_by(const Backend& on, const Turn& turn) {
  if (turn.positions.empty()) return {};
  return {on.cuda->upload(kPositions, turn.positions), pointer(turn.table.cosine), pointer(turn.table.sine),
          turn.table.pairs == RopePairs::kHalves};
}

}  // namespace deskhand::cuda
