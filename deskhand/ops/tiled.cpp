#include "deskhand/ops/tiled.h"

#include <algorithm>

#include "deskhand/tensor/cuda/devices.h"

namespace deskhand {
namespace {

DType tiled_type(DType type) {
  switch (type) {
    case DType::kQ4_0:
      return DType::kTiledQ4_0;
    case DType::kQ8_0:
      return DType::kTiledQ8_0;
    case DType::kQ4_K:
      return DType::kTiledQ4_K;
    default:
      return type;
  }
}

}  // namespace

bool can_be_tiled(ConstView weight) {
  return tiled_type(weight.type()) != weight.type() && weight.shape().rank() == 2 && weight.shape()[0] % kTiledRows == 0 &&
         weight.shape()[1] % kTiledWidth == 0;
}

Tensor tiled(ConstView weight) {
  DESKHAND_ASSERT(can_be_tiled(weight), "whole tiles of a type that has them");
  Tensor made(tiled_type(weight.type()), weight.shape(), Device::kCuda);
  if constexpr (kCudaBuilt) {
    constexpr std::int64_t kPanelBytes = 64ll << 20;
    const std::int64_t rows = weight.shape()[0], width = weight.shape()[1];
    if (weight.device() == Device::kCuda) {
      cuda::lay_tiles(made, weight);
      return made;
    }
    const std::int64_t most = std::clamp(kPanelBytes / row_bytes(weight.type(), width) / kTiledRows * kTiledRows, kTiledRows, rows);
    Tensor panel(weight.type(), {most, width}, Device::kCuda);
    for (std::int64_t first = 0; first < rows; first += most) {
      const std::int64_t count = std::min(most, rows - first);
      const View part = panel.view().rows(0, count);
      copy_bytes(part, weight.rows(first, count));
      cuda::lay_tiles(made.view().rows(first, count), part);
    }
  }
  return made;
}

}  // namespace deskhand
