// What the two directions of attention on Hopper share: blocks of rows, their tiles, and how a kernel is started.
#pragma once
#include <algorithm>
#include <vector>

#include "deskhand/ops/cuda/hopper/attention.h"
#include "deskhand/ops/cuda/hopper/wgmma.cuh"
#include "deskhand/ops/cuda/launch.cuh"

namespace deskhand::cuda::hopper {

constexpr int kGroup = 128, kThreads = 3 * kGroup;  // threads of a warpgroup; one brings, two multiply
constexpr int kPart = 64, kBlock = 2 * kPart;       // rows of a warpgroup and of a block
constexpr int kReaders = 2 * kGroup / 32;           // warps that say when a tile is free
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

__host__ __device__ constexpr int tiles_of(int rows, int each) {
  return (rows + each - 1) / each;
}

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

// Of the thread; the same in all of a warp, and the compiler knows: products may not stand where a warp might part.
__device__ inline int warpgroup() {
  return __shfl_sync(~0u, static_cast<int>(threadIdx.x) / kGroup, 0);
}

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

template <class Shared>
__device__ Shared& shared_memory() {
  extern __shared__ __align__(kAtomBytes) std::byte memory[];
  return *reinterpret_cast<Shared*>(memory);
}

// The copy engine's map of a tensor (N, heads, D): tiles of `box` rows of one head, rows from `rows` on zero.
inline CUtensorMap map_of(ConstView tensor, std::int64_t rows, int box) {
  static const auto encode = [] {
    void* entry = nullptr;
    cudaDriverEntryPointQueryResult found{};
#if CUDART_VERSION >= 12050
    check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000, cudaEnableDefault, &found));
#else
    check(cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &entry, cudaEnableDefault, &found));
#endif
    DESKHAND_ASSERT(found == cudaDriverEntryPointSuccess && entry, "a driver that makes tensor maps");
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(entry);
  }();
  DESKHAND_ASSERT(reinterpret_cast<std::uintptr_t>(tensor.data()) % 16 == 0, "16-byte alignment");
  const auto heads = static_cast<cuuint64_t>(tensor.shape()[1]), width = static_cast<cuuint64_t>(tensor.shape()[2]);
  const cuuint64_t sizes[] = {kColumnBlock, static_cast<cuuint64_t>(rows), width / kColumnBlock, heads};
  const cuuint64_t steps[] = {heads * width * 2, kRowBytes, width * 2};
  const cuuint32_t tile[] = {kColumnBlock, static_cast<cuuint32_t>(box), static_cast<cuuint32_t>(width / kColumnBlock), 1},
                   each[] = {1, 1, 1, 1};
  CUtensorMap map;
  const CUresult result = encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 4, const_cast<std::byte*>(tensor.data()), sizes, steps, tile, each,
                                 CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                                 CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  DESKHAND_ASSERT(result == CUDA_SUCCESS, "a tensor map");
  return map;
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

// Starts a kernel whose shared memory is a Shared, more than a block has unasked.
template <class Shared, class... Parameters, class... Arguments>
void start(const Backend& on, void (*kernel)(Parameters...), dim3 grid, const Arguments&... arguments) {
  constexpr int kBytes = sizeof(Shared);
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  kernel<<<grid, kThreads, kBytes, stream(on)>>>(arguments...);
  check_launch();
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
