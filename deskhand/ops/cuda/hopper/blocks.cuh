// What the two directions of attention on Hopper share: blocks of rows and their tiles.
#pragma once
#include <algorithm>
#include <vector>

#include "deskhand/ops/cuda/hopper/attention.h"
#include "deskhand/ops/cuda/hopper/kernel.cuh"

namespace deskhand::cuda::hopper {

constexpr int kPart = 64, kBlock = 2 * kPart;  // rows of a warpgroup and of a block
constexpr int kReaders = 2 * kGroup / 32;      // warps that say when a tile is free
constexpr int kBringerRegisters = 24, kReaderRegisters = 240;
constexpr float kLog2e = 1.4426950408889634f;

// Rows [first, first + kBlock) of queries before `end`, and the keys that they see: [shared_begin, shared_end), then [begin, end).
struct QueryBlock {
  std::int32_t first, begin, end, shared_begin, shared_end;
};

struct Heads {
  int blocks, heads, groups;
  float scale;
  bool causal;
};

// The tiles of kKeys keys that a block sees, one after the other: first those of the shared beginning.
template <int kKeys>
struct KeyTiles {
  __device__ KeyTiles(const QueryBlock& block, bool causal)
      : block(block),
        shared(tiles_of(block.shared_end - block.shared_begin, kKeys)),
        count(shared + tiles_of((causal ? min(block.end, block.first + kBlock) : block.end) - block.begin, kKeys)) {}
  __device__ int first(int number) const {
    return number < shared ? block.shared_begin + number * kKeys : block.begin + (number - shared) * kKeys;
  }
  __device__ int end(int number) const { return number < shared ? block.shared_end : block.end; }
  const QueryBlock& block;
  int shared, count;
};

// The items of a block of the grid, back and forth over the list: their lengths even out.
__device__ inline int item_of(int turn) {
  return turn * static_cast<int>(gridDim.x) + static_cast<int>(turn % 2 ? gridDim.x - 1 - blockIdx.x : blockIdx.x);
}

// One head of a block of queries, and the group of keys that it sees.
struct QueryItem {
  __device__ QueryItem(const QueryBlock* blocks, const Heads& at, int turn)
      : block(blocks[item_of(turn) / at.heads]), head(item_of(turn) % at.heads), group(head / (at.heads / at.groups)) {}
  QueryBlock block;
  int head, group;
};

// A tile's two barriers: it is here when one thread's bytes are, and free when all readers have said so.
__device__ inline void make_barriers(Barrier& here, Barrier& free) {
  make_barrier(here, 1);
  make_barrier(free, kReaders);
}
// What each warp of the readers says of a tile that it is done with: one lane for all, after what they read.
__device__ inline void let_go(Barrier& free) {
  __syncwarp();
  if (threadIdx.x % 32 == 0) arrive(free);
}
__device__ inline float of_row(float value) {
  value += __shfl_xor_sync(~0u, value, 1);
  return value + __shfl_xor_sync(~0u, value, 2);
}
__device__ inline float largest_of_row(float value) {
  value = fmaxf(value, __shfl_xor_sync(~0u, value, 1));
  return fmaxf(value, __shfl_xor_sync(~0u, value, 2));
}

// The copy engine's map of a tensor (N, heads, D): tiles of `box` rows of one head, rows from `rows` on zero.
inline CUtensorMap map_of(ConstView tensor, std::int64_t rows, int box) {
  const std::int64_t heads = tensor.shape()[1], width = tensor.shape()[2];
  return tensor_map(tensor.data(), {kColumnBlock, rows, width / kColumnBlock, heads}, {heads * width * 2, kRowBytes, width * 2},
                    {kColumnBlock, box, width / kColumnBlock, 1});
}

// The blocks of all sequences, those that see most keys first.
inline std::vector<QueryBlock> query_blocks(std::span<const std::int32_t> bounds, std::int32_t shared) {
  std::vector<QueryBlock> blocks;
  for (std::size_t i = 0; i + 1 < bounds.size(); ++i)
    for (std::int32_t first = bounds[i]; first < bounds[i + 1]; first += kBlock)
      blocks.push_back({first, bounds[i], bounds[i + 1], bounds.front(), bounds.front() + (i > 0 ? shared : 0)});
  const auto seen = [](const QueryBlock& block) { return block.first - block.begin + block.shared_end - block.shared_begin; };
  std::stable_sort(blocks.begin(), blocks.end(), [&](const QueryBlock& a, const QueryBlock& b) { return seen(a) > seen(b); });
  return blocks;
}

// Calls work.template operator()<width>() for the head's width.
template <class Work>
void with_width(std::int64_t width, const Work& work) {
  if (width == 64) return work.template operator()<64>();
  DESKHAND_ASSERT(width == 128, "a width that the kernels know");
  work.template operator()<128>();
}

// A block of the grid for each processor, or for each item where there are fewer.
inline dim3 grid_of(const Backend& on, const Heads& at) {
  return dim3(static_cast<unsigned>(std::min<std::int64_t>(processors(on), std::int64_t{at.blocks} * at.heads)));
}

inline Heads heads_of(std::size_t blocks, const Shape& q, const Shape& k, const AttentionOptions& options) {
  return {.blocks = static_cast<int>(blocks),
          .heads = static_cast<int>(q[1]),
          .groups = static_cast<int>(k[1]),
          .scale = options.scale,
          .causal = options.causal};
}

}  // namespace deskhand::cuda::hopper
