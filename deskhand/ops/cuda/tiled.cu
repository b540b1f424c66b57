// A thread 16 bytes of a tile, made of its rows' blocks: done once, when a model is placed.
#include "deskhand/ops/cuda/tiled.cuh"

namespace deskhand::cuda {
namespace {

constexpr int kThreads = 256;

__device__ std::uint32_t word_at(Bytes at) {  // blocks have even sizes
  const auto* const halves = reinterpret_cast<const std::uint16_t*>(at);
  return halves[0] | std::uint32_t{halves[1]} << 16;
}

// type: of the tiles.
template <DType type>
__global__ void __launch_bounds__(kThreads) lay_kernel(uint4* to, Bytes from, std::int64_t count, std::int64_t width) {
  constexpr int kPieces = kTileBytes<type> / 16, kHeads = kTileHeads / 16;
  constexpr bool kOneBlock = kBlockWeights<type> == kTiledWidth;  // for all runs of a row
  const std::int64_t number = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (number >= count) return;
  const std::int64_t tile = number / kPieces, spans = width / kTiledWidth, step = width / kBlockWeights<type> * kBlockBytes<type>;
  const Bytes first = from + tile / spans * kTiledRows * step + tile % spans * (kTiledWidth / kBlockWeights<type> * kBlockBytes<type>);
  const auto block = [&](int row, int run) { return first + row * step + (kOneBlock ? 0 : run * kBlockBytes<type>); };
  const int piece = static_cast<int>(number % kPieces), lane = (piece - kHeads) % 32, j = (piece - kHeads) / 32;
  std::uint32_t words[4];
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    if (piece < kHeads) {
      const auto scale = [&](int run) { return std::uint32_t{*reinterpret_cast<const std::uint16_t*>(block(piece, run))}; };
      words[k] = kOneBlock ? word_at(block(piece, 0) + 4 * k) : scale(2 * k) | scale(2 * k + 1) << 16;
      continue;
    }
    const int row = lane / 4 + k % 2 * 8, t = lane % 4, second = k / 2;
    if constexpr (type == DType::kTiledQ4_0) words[k] = word_at(block(row, 2 * j + second) + 2 + 4 * t) ^ 0x88888888u;
    if constexpr (type == DType::kTiledQ8_0) words[k] = word_at(block(row, j) + 2 + 4 * (t + 4 * second));
    if constexpr (type == DType::kTiledQ4_K) words[k] = word_at(block(row, 0) + 16 + 32 * j + 4 * (t + 4 * second));
  }
  to[number] = {words[0], words[1], words[2], words[3]};
}

template <DType type>
void start(View to, ConstView from) {
  DESKHAND_ASSERT(kBlockWeights<type> == block_elements(type) && kBlockBytes<type> == block_bytes(type), "blocks as tensors have them");
  const std::int64_t count = to.bytes() / 16;
  check(cudaDeviceSynchronize());
  lay_kernel<type>
      <<<blocks_for(count, kThreads), kThreads>>>(reinterpret_cast<uint4*>(to.data()), pointer<std::uint8_t>(from), count, to.shape()[1]);
  check_launch();
  check(cudaDeviceSynchronize());
}

}  // namespace

void lay_tiles(View to, ConstView from) {
  DESKHAND_ASSERT(to.device() == Device::kCuda && from.device() == Device::kCuda && to.shape() == from.shape() && can_be_tiled(from),
                  "whole tiles in the GPU's memory");
  if (from.shape()[0] == 0) return;
  with_one_of<DType::kTiledQ4_0, DType::kTiledQ8_0, DType::kTiledQ4_K>(to.type(), [&](auto type) { start<type()>(to, from); });
}

}  // namespace deskhand::cuda
