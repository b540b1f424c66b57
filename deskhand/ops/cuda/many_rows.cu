// Products of 128 outputs and all rows of x on the tensor cores, 256 of the depth at a time. The chunks of all such tiles, one behind the
// other, are dealt out evenly: a block makes a run of them, whatever tiles that touches, and leaves what it has of each as a part; a second
// kernel adds a tile's parts in their order and does what is to be done with the sums. Chunks of weights come to shared memory as they lie,
// the next ones while one is multiplied; a thread widens eight neighbours and has them as its share of a fragment: which weight of a chunk
// is called which column of the depth does not matter, as long as x agrees. Half of the block's warps take even, half odd runs of 32
// weights.
#include "deskhand/ops/cuda/many_rows.h"

#include <algorithm>

#include "deskhand/ops/cuda/few_rows.cuh"
#include "deskhand/ops/cuda/overlap.cuh"
#include "deskhand/ops/cuda/swiglu.cuh"
#include "deskhand/ops/cuda/tiled.cuh"
#include "deskhand/ops/cuda/tiles.cuh"

namespace deskhand::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kTile = 128;             // outputs
constexpr int kDepth = 256;            // of a chunk
constexpr int kRun = 32;               // weights that four neighbouring threads have
constexpr int kMostParts = 4;          // of one launch
constexpr int kMostBytes = 220 << 10;  // of shared memory
constexpr int kMostStages = 4;

struct Part {
  Bytes weight;
  const float* bias;
  void* out;
  int outputs, tiles;
  bool out_bf16;
};

struct Job {
  Part parts[kMostParts];
  const Bf16* x;  // (rows, width)
  float* sums;    // (blocks, slots, kTile, rows that there is room for)
  int rows, width;
  int chunks;  // of a tile
  int tiles, blocks, slots;
  FewRows::Then then;
};

struct Tile {
  int part, number;
};
__device__ inline Tile tile_of(const Job& job, int tile) {
  int part = 0;
  while (tile >= job.parts[part].tiles) tile -= job.parts[part++].tiles;
  return {part, tile};
}

// Where a block's run of chunks begins.
__host__ __device__ inline int first_chunk(const Job& job, int block) {
  return static_cast<int>(std::int64_t{job.tiles} * job.chunks * block / job.blocks);
}
__device__ inline int block_of(const Job& job, int chunk) {
  return static_cast<int>(((std::int64_t{chunk} + 1) * job.blocks - 1) / (std::int64_t{job.tiles} * job.chunks));
}

template <DType type>
constexpr int kChunkBytes = kDepth / kBlockWeights<type>* kBlockBytes<type>;
// Bytes of a row of x in shared memory: two rows' runs lie in different banks; beside tiles, where a run is read in two parts, four rows'
// parts.
template <DType type>
constexpr int kXStep = kDepth * 2 + (kTiled<type> ? 32 : 64);
// Of a row of weights in shared memory: eight rows' runs lie in different banks as far as the size allows.
template <DType type>
constexpr int kWeightStep = kChunkBytes<type> + (kTiled<type>                   ? 0
                                                 : kChunkBytes<type> % 128 == 0 ? 64
                                                 : kChunkBytes<type> % 64 == 0  ? 16
                                                                                : 0);
template <DType type, int kRows>
constexpr int kStageBytes = kTile* kWeightStep<type> + kRows* kXStep<type>;
template <DType type, int kRows>
constexpr int kStages = std::min(kMostStages, kMostBytes / kStageBytes<type, kRows>);

// Output of a row of a tile. Gate and up take turns, 16 of each.
__device__ inline int output_of(const Job& job, int tile, int row) {
  if (job.then == FewRows::Then::kSwiglu) return tile * (kTile / 2) + row / 32 * 16 + row % 16;
  return tile * kTile + row;
}

template <DType type>
__device__ void fetch_weights(std::uint8_t* stage, const Job& job, int chunk) {
  constexpr int kPieces = kChunkBytes<type> / 16;
  const Tile tile = tile_of(job, chunk / job.chunks);
  const std::int64_t step = std::int64_t{job.width} / kBlockWeights<type> * kBlockBytes<type>;
  if constexpr (kTiled<type>) {  // a warp the tile of 16 outputs
    constexpr int kAll = kTileBytes<type> / 16;
    static_assert(kThreads / 32 * kTiledRows == kTile);
    const int lane = threadIdx.x % 32, of_chunk = threadIdx.x / 32;
    const Part& part = job.parts[job.then == FewRows::Then::kSwiglu ? of_chunk % 2 : tile.part];
    const int output = output_of(job, tile.number, of_chunk * static_cast<int>(kTiledRows));
    const bool is_there = output < part.outputs;
    const Bytes begin = part.weight + (is_there ? output : 0) * step + std::int64_t{chunk % job.chunks} * kTileBytes<type> + lane * 16;
    std::uint8_t* const to = stage + of_chunk * kTileBytes<type> + lane * 16;
#pragma unroll
    for (int k = 0; k < (kAll + 31) / 32; ++k)
      if (32 * k + 31 < kAll || lane + 32 * k < kAll) copy_async(to + 512 * k, begin + 512 * k, is_there);
    return;
  }
  const std::int64_t from = std::int64_t{chunk % job.chunks} * kChunkBytes<type>;
  for (int i = threadIdx.x; i < kTile * kPieces; i += kThreads) {
    const int row = i / kPieces, piece = i % kPieces;
    const Part& part = job.parts[job.then == FewRows::Then::kSwiglu ? row / 16 % 2 : tile.part];
    const int output = output_of(job, tile.number, row);
    const bool is_there = output < part.outputs;
    copy_async(stage + row * kWeightStep<type> + piece * 16, part.weight + (is_there ? output : 0) * step + from + piece * 16, is_there);
  }
}

template <DType type, int kRows>
__device__ void fetch_x(std::uint8_t* stage, const Job& job, int chunk) {
  constexpr int kPieces = kDepth * 2 / 16;
  std::uint8_t* const to = stage + kTile * kWeightStep<type>;
  const Bf16* const from = job.x + chunk % job.chunks * kDepth;
#pragma unroll
  for (int i = threadIdx.x; i < kRows * kPieces; i += kThreads) {
    const int row = i / kPieces, piece = i % kPieces;
    const bool is_there = row < job.rows;
    copy_async(to + row * kXStep<type> + piece * 16, from + std::int64_t{is_there ? row : 0} * job.width + piece * 8, is_there);
  }
}

// Weights i .. i + 7 of a row's chunk in bf16, two in a word.
template <DType type>
__device__ void pairs_of(std::uint32_t (&to)[4], Bytes row, int i) {
  float weights[kEight];
  weights_of<type>(weights, i % kBlockWeights<type>, row + i / kBlockWeights<type> * kBlockBytes<type>);
#pragma unroll
  for (int k = 0; k < 4; ++k) to[k] = pair_of(weights[2 * k], weights[2 * k + 1]);
}

// sum += weights (32 outputs of this warp) times x (kRows, 32 of the depth). x_of(n): this lane's eight of row lane / 4 of every eight.
template <int kRows, class OfX>
__device__ void add_run(float (&sum)[2][kRows / 8][4], const Fragment (&left)[2][2], const OfX& x_of) {
#pragma unroll
  for (int n = 0; n < kRows / 8; ++n) {
    const uint4 right = x_of(n);
#pragma unroll
    for (int m = 0; m < 2; ++m) {
      multiply_add(sum[m][n], left[m][0], right.x, right.y);
      multiply_add(sum[m][n], left[m][1], right.z, right.w);
    }
  }
}

// sum += half of a chunk of tiles, the first four runs or the last.
template <DType type, int kRows>
__device__ void add_tiles(float (&sum)[2][kRows / 8][4], Bytes tiles, Bytes x, int half) {
  constexpr int kRuns = 4, kPieces = kRuns / kPieceRuns<type>;
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  const auto piece_of = [&](int m, int number) { return reinterpret_cast<const uint4*>(tiles + m * kTileBytes<type>)[number]; };
  const HalfHead<type> heads[2][2] = {{{piece_of(0, g), half}, {piece_of(0, g + 8), half}},
                                      {{piece_of(1, g), half}, {piece_of(1, g + 8), half}}};
#pragma unroll
  for (int i = 0; i < kPieces; ++i) {
    const uint4 pieces[2] = {piece_of(0, kTileHeads / 16 + (half * kPieces + i) * 32 + lane),
                             piece_of(1, kTileHeads / 16 + (half * kPieces + i) * 32 + lane)};
#pragma unroll
    for (int k = 0; k < kPieceRuns<type>; ++k) {
      const int number = i * kPieceRuns<type> + k;
      Fragment left[2][2];
#pragma unroll
      for (int m = 0; m < 2; ++m)
#pragma unroll
        for (int low = 0; low < 2; ++low) {
          Run run;
          bytes_of_piece<type>(run, pieces[m], k, low);
          const float d = heads[m][low].scale(number), minimum = heads[m][low].minimum(number);
#pragma unroll
          for (int part = 0; part < 2; ++part) {
            float weights[4];
            weights_of_bytes<type>(weights, part == 0 ? run.low : run.high, d, minimum);
            left[m][part][low] = pair_of(weights[0], weights[1]);
            left[m][part][2 + low] = pair_of(weights[2], weights[3]);
          }
        }
      add_run<kRows>(sum, left, [&](int n) {
        const Bytes at = x + n * 8 * kXStep<type> + (half * kRuns + number) * kRun * 2 + t * 8;
        const uint2 first = *reinterpret_cast<const uint2*>(at), second = *reinterpret_cast<const uint2*>(at + kRun);
        return uint4{first.x, first.y, second.x, second.y};
      });
    }
  }
}

template <DType type, int kRows>
__global__ void __launch_bounds__(kThreads, 1) many_products_kernel(Job job) {
  extern __shared__ __align__(128) std::uint8_t stages[];
  constexpr int kCount = kStages<type, kRows>, kBytes = kStageBytes<type, kRows>;
  const int begin = first_chunk(job, blockIdx.x), end = first_chunk(job, blockIdx.x + 1);
  const int lane = threadIdx.x % 32, group = threadIdx.x / 32 % 4, half = threadIdx.x / 128;  // of the outputs; of the runs
  const auto stage_of = [&](int chunk) { return stages + (chunk - begin) % kCount * kBytes; };
  let_next_begin();
  for (int chunk = begin; chunk < min(end, begin + kCount - 1); ++chunk) fetch_weights<type>(stage_of(chunk), job, chunk);
  wait_for_previous();
  for (int chunk = begin; chunk < begin + kCount - 1; ++chunk) {
    if (chunk < end) fetch_x<type, kRows>(stage_of(chunk), job, chunk);
    end_copies();
  }

  float sum[2][kRows / 8][4] = {};
  for (int chunk = begin; chunk < end; ++chunk) {
    wait_for_copies<kCount - 2>();
    __syncthreads();  // this chunk has arrived for all, and all are done with the one before
    if (const int next = chunk + kCount - 1; next < end) {
      fetch_weights<type>(stage_of(next), job, next);
      fetch_x<type, kRows>(stage_of(next), job, next);
    }
    end_copies();
    std::uint8_t* const stage = stage_of(chunk);
    const std::uint8_t* const x = stage + kTile * kWeightStep<type> + lane / 4 * kXStep<type>;
    if constexpr (kTiled<type>)
      add_tiles<type, kRows>(sum, stage + group * 2 * kTileBytes<type>, x, half);
    else
      for (int run = half; run < kDepth / kRun; run += 2) {
        const int i = run * kRun + lane % 4 * kEight;
        Fragment left[2][2];  // of 16 outputs each; of the run's two steps of 16
#pragma unroll
        for (int m = 0; m < 2; ++m)
#pragma unroll
          for (int low = 0; low < 2; ++low) {
            std::uint32_t pairs[4];
            pairs_of<type>(pairs, stage + (group * 32 + m * 16 + low * 8 + lane / 4) * kWeightStep<type>, i);
            left[m][0][low] = pairs[0];
            left[m][0][2 + low] = pairs[1];
            left[m][1][low] = pairs[2];
            left[m][1][2 + low] = pairs[3];
          }
        add_run<kRows>(sum, left, [&](int n) { return *reinterpret_cast<const uint4*>(x + n * 8 * kXStep<type> + i * 2); });
      }
    if (chunk + 1 < end && (chunk + 1) % job.chunks != 0) continue;
    // The tile ends, or the block's share of it. Odd runs' sums go through this chunk's stage, which nobody fetches into before the next
    // round's barrier.
    __syncthreads();
    float* const other = reinterpret_cast<float*>(stage) + threadIdx.x % 128;
    if (half == 1)
#pragma unroll
      for (int m = 0; m < 2; ++m)
#pragma unroll
        for (int n = 0; n < kRows / 8; ++n)
#pragma unroll
          for (int k = 0; k < 4; ++k) other[((m * (kRows / 8) + n) * 4 + k) * 128] = sum[m][n][k];
    __syncthreads();
    if (half == 0) {
      const int slot = chunk / job.chunks - begin / job.chunks;
      float* const to = job.sums + (std::int64_t{blockIdx.x} * job.slots + slot) * (kTile * kRows);
#pragma unroll
      for (int m = 0; m < 2; ++m)
#pragma unroll
        for (int n = 0; n < kRows / 8; ++n)
#pragma unroll
          for (int low = 0; low < 2; ++low) {
            const int at = (m * (kRows / 8) + n) * 4 + low * 2;
            const float2 two = {sum[m][n][low * 2] + other[at * 128], sum[m][n][low * 2 + 1] + other[(at + 1) * 128]};
            *reinterpret_cast<float2*>(to + (group * 32 + m * 16 + low * 8 + lane / 4) * kRows + n * 8 + lane % 4 * 2) = two;
          }
    }
#pragma unroll
    for (int m = 0; m < 2; ++m)
#pragma unroll
      for (int n = 0; n < kRows / 8; ++n)
#pragma unroll
        for (int k = 0; k < 4; ++k) sum[m][n][k] = 0;
  }
}

constexpr int kJoined = 32;  // outputs of a block

// A tile's rows from `row` on: kJoined of them, or with kSwiglu 16 of gate and 16 of up twice.
template <int kRows>
__global__ void __launch_bounds__(kThreads) many_join_kernel(Job job) {
  __shared__ float sums[kTile / 2][kRows + 1];
  const bool is_gated = job.then == FewRows::Then::kSwiglu;
  const int joined = is_gated ? 2 * kJoined : kJoined;  // rows of the tile
  const int tile = blockIdx.x / (kTile / joined), row = blockIdx.x % (kTile / joined) * joined;
  let_next_begin();
  wait_for_previous();
  const int from = block_of(job, tile * job.chunks), to = block_of(job, (tile + 1) * job.chunks - 1);
  constexpr int kPacks = kRows / 4;
  for (int i = threadIdx.x; i < joined * kPacks; i += kThreads) {
    const int own = i / kPacks, column = i % kPacks * 4;
    float4 sum{0, 0, 0, 0};
    for (int block = from; block <= to; ++block) {
      const int slot = tile - first_chunk(job, block) / job.chunks;
      const float4 part = *reinterpret_cast<const float4*>(job.sums + (std::int64_t{block} * job.slots + slot) * (kTile * kRows) +
                                                           (row + own) * kRows + column);
      sum.x += part.x;
      sum.y += part.y;
      sum.z += part.z;
      sum.w += part.w;
    }
    sums[own][column] = sum.x;
    sums[own][column + 1] = sum.y;
    sums[own][column + 2] = sum.z;
    sums[own][column + 3] = sum.w;
  }
  __syncthreads();
  const Tile at = tile_of(job, tile);
  const Part& part = job.parts[at.part];
  const int lane = threadIdx.x % kJoined;
  const int own = is_gated ? lane / 16 * 32 + lane % 16 : lane, output = output_of(job, at.number, row + own);
  if (output >= part.outputs) return;
  const float bias = part.bias ? part.bias[output] : 0;
  for (int x_row = threadIdx.x / kJoined; x_row < job.rows; x_row += kThreads / kJoined) {
    float value = sums[own][x_row] + bias;
    if (is_gated) {
      const float in[2] = {value, sums[own + 16][x_row] + (job.parts[1].bias ? job.parts[1].bias[output] : 0)};
      SwigluForward()(&value, in);
    }
    const std::int64_t place = std::int64_t{x_row} * part.outputs + output;
    if (part.out_bf16) {
      Bf16* const to_bf16 = static_cast<Bf16*>(part.out) + place;
      if (job.then == FewRows::Then::kAdd) value += widened(*to_bf16);
      *to_bf16 = narrowed<Bf16>(value);
    } else {
      float* const to_f32 = static_cast<float*>(part.out) + place;
      if (job.then == FewRows::Then::kAdd) value += *to_f32;
      *to_f32 = value;
    }
  }
}

template <DType type, int kRows>
void start(const Backend& on, Job job) {
  constexpr int kBytes = kStages<type, kRows> * kStageBytes<type, kRows>;
  static_assert(kStages<type, kRows> >= 2 && kStageBytes<type, kRows> >= kTile * kRows * 4, "two stages, of which one holds a tile's sums");
  job.sums = on.cuda->scratch<float>(kSums, std::int64_t{job.blocks} * job.slots * kTile * kRows);
  check(cudaFuncSetAttribute(&many_products_kernel<type, kRows>, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  start_overlapping(on, &many_products_kernel<type, kRows>, static_cast<unsigned>(job.blocks), kThreads, kBytes, job);
  const int joined = job.then == FewRows::Then::kSwiglu ? 2 * kJoined : kJoined;
  start_overlapping(on, &many_join_kernel<kRows>, static_cast<unsigned>(job.tiles * (kTile / joined)), kThreads, 0, job);
}

constexpr int kRows = 64;  // of x, of one launch

template <DType type>
void start_rows(const Backend& on, const Job& job) {
  if (job.rows <= kRows / 2)
    start<type, kRows / 2>(on, job);
  else
    start<type, kRows>(on, job);
}

void start_type(const Backend& on, DType type, const Job& job) {
  with_one_of<DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kQ4_K, DType::kQ5_K, DType::kTiledQ4_0,
              DType::kTiledQ8_0, DType::kTiledQ4_K>(type, [&](auto known) { start_rows<known()>(on, job); });
}

bool has_kernel(DType type) {
  return is_quantised(type) && type != DType::kQ6_K;  // whose blocks do not end on 16 bytes
}

}  // namespace

bool are_many_rows(const Backend& on, std::span<const LinearPart> parts, ConstView x) {
  constexpr std::int64_t kMostRead = 256;  // rows of x: from there on it costs more to read blocks several times than to widen them once
  const std::int64_t rows = x.shape()[0], width = x.shape()[1];
  if (rows == 0 || parts.empty() || parts.size() > kMostParts || x.type() != DType::kBF16 || width % kDepth != 0 || width > 1 << 20 ||
      !is_aligned(x.data()) || attribute_of(on, cudaDevAttrMaxSharedMemoryPerBlockOptin) < kMostBytes)
    return false;
  const DType type = parts[0].weight.type();
  if (!has_kernel(type) || rows > kMostRead) return false;
  return std::all_of(parts.begin(), parts.end(), [&](const LinearPart& part) {
    return part.weight.type() == type && is_aligned(part.weight.data()) && part.add.empty() && part.weight.shape()[0] > 0 &&
           part.weight.shape()[0] < 1 << 22;
  });
}

void many_rows(const Backend& on, std::span<const LinearPart> parts, ConstView x, FewRows::Then then) {
  const bool is_gated = then == FewRows::Then::kSwiglu;
  DESKHAND_ASSERT(!is_gated || (parts.size() == 2 && parts[0].weight.shape() == parts[1].weight.shape()), "gate and up");
  Job job{};
  job.width = static_cast<int>(x.shape()[1]);
  job.chunks = job.width / kDepth;
  job.then = then;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const LinearPart& part = parts[i];
    require_gpu(on, {part.out, part.weight, part.bias, x});
    const int outputs = static_cast<int>(part.weight.shape()[0]), each = is_gated ? kTile / 2 : kTile;
    job.parts[i] = {.weight = pointer<std::uint8_t>(part.weight),
                    .bias = part.bias.empty() ? nullptr : pointer(part.bias),
                    .outputs = outputs,
                    .tiles = (outputs + each - 1) / each,
                    .out_bf16 = part.out.type() == DType::kBF16};
    if (!is_gated || i == 0) job.tiles += job.parts[i].tiles;
  }
  job.blocks = std::min(job.tiles * job.chunks, processors(on));
  const int longest = (job.tiles * job.chunks + job.blocks - 1) / job.blocks;
  job.slots = (longest + job.chunks - 2) / job.chunks + 1;
  for (std::int64_t first = 0; first < x.shape()[0]; first += kRows) {
    const std::int64_t rows = std::min<std::int64_t>(kRows, x.shape()[0] - first);
    job.x = pointer<Bf16>(x.rows(first, rows));
    job.rows = static_cast<int>(rows);
    for (std::size_t i = 0; i < parts.size(); ++i) job.parts[i].out = parts[i].out.rows(first, rows).data();
    start_type(on, parts[0].weight.type(), job);
  }
}

}  // namespace deskhand::cuda
