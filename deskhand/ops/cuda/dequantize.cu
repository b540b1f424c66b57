// Eight neighbours a thread, stored 16 bytes at a time: bound by memory. Rows of other widths, of plain types: a thread a weight. Of tiles:
// a thread what a lane has of 32 neighbours.
#include "deskhand/ops/dequantize.h"

#include "deskhand/ops/cuda/dequantize.cuh"
#include "deskhand/ops/cuda/overlap.cuh"
#include "deskhand/ops/cuda/tiled.cuh"

namespace deskhand::cuda {
namespace {

constexpr int kPacks = 32, kRows = 8;  // of a thread block

// A step's first rows: what multiplies them begins meanwhile, but not before what the step is given is there, for others read it early.
__device__ inline void begin_rows() {
  wait_for_previous();
  let_next_begin();
}

// width: a multiple of 8. Row i of out: row index[i] of what begins at `from`, or row i.
template <DType type, class T>
__global__ void __launch_bounds__(kPacks* kRows)
    widen_kernel(T* out, Bytes from, const std::int32_t* index, std::int64_t rows, std::int64_t width, std::int64_t step) {
  begin_rows();
  const std::int64_t row = std::int64_t{blockIdx.x} * kRows + threadIdx.y, column = (blockIdx.y * kPacks + threadIdx.x) * kEight;
  if (row >= rows || column >= width) return;
  float weights[kEight];
  weights_of<type>(weights, static_cast<int>(column % kBlockWeights<type>),
                   from + (index ? index[row] : row) * step + column / kBlockWeights<type> * kBlockBytes<type>);
  store(out + row * width + column, weights);
}

template <DType type, class T>
void widen_type(const Backend& on, T* out, ConstView in, std::int64_t rows, const std::int32_t* index) {
  DESKHAND_ASSERT(kBlockWeights<type> == block_elements(type) && kBlockBytes<type> == block_bytes(type), "blocks as tensors have them");
  const std::int64_t width = in.shape().last(), step = row_bytes(type, width);
  if (rows == 0 || width == 0) return;
  const auto* const from = pointer<std::uint8_t>(in);
  constexpr bool kIsPlain = kBlockWeights<type> == 1;
  if (!kIsPlain || (width % kEight == 0 && is_aligned(out) && is_aligned(from))) {
    constexpr std::uintptr_t kAlign = 8;
    DESKHAND_ASSERT(is_aligned(out) && (kBlockBytes<type> % kAlign != 0 || reinterpret_cast<std::uintptr_t>(from) % kAlign == 0),
                    "blocks where a tensor's are");
    const dim3 blocks(blocks_for(rows, kRows), blocks_for(width, kPacks * kEight));
    return start_overlapping(on, &widen_kernel<type, T>, blocks, dim3(kPacks, kRows), 0, out, from, index, rows, width, step);
  }
  if constexpr (kIsPlain)
    for_each(on, rows * width, [out, from, index, width, step] __device__(std::int64_t at) {
      const std::int64_t row = index ? index[at / width] : at / width;
      out[at] = narrowed<T>(plain_weight<type>(from + row * step + at % width * kBlockBytes<type>));
    });
}

// Eight weights of a run, as two fours 16 apart.
template <DType type, class T>
__device__ void store_run(T* out, const Run& run) {
  float weights[4];
  weights_of_bytes<type>(weights, run.low, run.d, run.m);
  store(out, weights);
  weights_of_bytes<type>(weights, run.high, run.d, run.m);
  store(out + 16, weights);
}

// A warp half of a tile.
template <DType type, class T>
__global__ void __launch_bounds__(kPacks* kRows) widen_tiles_kernel(T* out, const uint4* from, std::int64_t count, std::int64_t width) {
  constexpr int kRuns = 4, kPieces = kRuns / kPieceRuns<type>;
  const std::int64_t number = std::int64_t{blockIdx.x} * kRows + threadIdx.y, tile = number / 2, spans = width / kTiledWidth;
  if (number >= count) return;
  const int half = static_cast<int>(number % 2), lane = threadIdx.x, g = lane / 4;
  const uint4* const begin = from + tile * (kTileBytes<type> / 16);
  T* const to = out + (tile / spans * kTiledRows + g) * width + tile % spans * kTiledWidth + half * (kRuns * 32) + lane % 4 * 4;
  uint4 pieces[kPieces];
#pragma unroll
  for (int i = 0; i < kPieces; ++i) pieces[i] = begin[kTileHeads / 16 + (half * kPieces + i) * 32 + lane];
#pragma unroll
  for (int row = 0; row < 2; ++row) {
    const HalfHead<type> head(begin[g + 8 * row], half);
#pragma unroll
    for (int i = 0; i < kRuns; ++i) {
      Run run;
      bytes_of_piece<type>(run, pieces[i / kPieceRuns<type>], i % kPieceRuns<type>, row);
      run.d = head.scale(i);
      run.m = head.minimum(i);
      store_run<type>(to + row * 8 * width + i * 32, run);
    }
  }
}

// Rows of what lies in tiles, wherever they are: a thread eight weights.
template <DType type, class T>
__global__ void __launch_bounds__(kPacks* kRows)
    widen_tiled_rows_kernel(T* out, const uint4* from, const std::int32_t* index, std::int64_t rows, std::int64_t width) {
  begin_rows();
  const std::int64_t to = std::int64_t{blockIdx.x} * kRows + threadIdx.y, span = blockIdx.y;
  if (to >= rows) return;
  const int row = index[to], in_tile = static_cast<int>(row % kTiledRows), of_span = threadIdx.x / 4, t = threadIdx.x % 4;
  const uint4* const begin = from + (row / kTiledRows * (width / kTiledWidth) + span) * (kTileBytes<type> / 16);
  const uint4 piece = begin[kTileHeads / 16 + of_span / kPieceRuns<type> * 32 + in_tile % 8 * 4 + t];
  const HalfHead<type> head(begin[in_tile], of_span / 4);
  Run run{};
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int in_half = i / 2, r = i % 2;
    if (in_half != of_span % 4 || r != in_tile / 8) continue;
    bytes_of_piece<type>(run, piece, in_half % kPieceRuns<type>, r);
    run.d = head.scale(in_half);
    run.m = head.minimum(in_half);
  }
  store_run<type>(out + to * width + span * kTiledWidth + of_span * 32 + t * 4, run);
}

template <DType type, class T>
void widen_tiles(const Backend& on, T* out, ConstView in, std::int64_t rows, const std::int32_t* index) {
  const std::int64_t width = in.shape().last();
  if (rows == 0) return;
  DESKHAND_ASSERT(is_aligned(out) && is_aligned(in.data()), "tiles where a tensor's are");
  const auto* const from = pointer<uint4>(in);
  if (index) {
    const dim3 blocks(blocks_for(rows, kRows), static_cast<unsigned>(width / kTiledWidth));
    return start_overlapping(on, &widen_tiled_rows_kernel<type, T>, blocks, dim3(kPacks, kRows), 0, out, from, index, rows, width);
  }
  DESKHAND_ASSERT(rows % kTiledRows == 0, "whole tiles");
  const std::int64_t count = row_bytes(type, width) * rows / kTileBytes<type> * 2;
  widen_tiles_kernel<type><<<blocks_for(count, kRows), dim3(kPacks, kRows), 0, stream(on)>>>(out, from, count, width);
  check_launch();
}

}  // namespace

template <class T>
void widen(const Backend& on, T* out, ConstView in, std::int64_t rows, const std::int32_t* index) {
  with_one_of<DType::kF32, DType::kF16, DType::kBF16, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kQ4_K,
              DType::kQ5_K, DType::kQ6_K, DType::kTiledQ4_0, DType::kTiledQ8_0, DType::kTiledQ4_K>(in.type(), [&](auto type) {
    if constexpr (kTiled<type()>)
      widen_tiles<type()>(on, out, in, rows, index);
    else
      widen_type<type()>(on, out, in, rows, index);
  });
}
template void widen(const Backend&, float*, ConstView, std::int64_t, const std::int32_t*);
template void widen(const Backend&, __nv_bfloat16*, ConstView, std::int64_t, const std::int32_t*);

void dequantize(const Backend& on, View out, ConstView in) {
  require_gpu(on, {out, in});
  if (out.type() == DType::kF32) return widen(on, pointer(out), in, in.shape().rows());
  widen(on, pointer<__nv_bfloat16>(out), in, in.shape().rows());
}

}  // namespace deskhand::cuda
