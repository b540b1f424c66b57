// q4_0 and q4_k: a block of threads makes 16 outputs at a time (of gate and up 16 each), its warps each a share of the inputs. Weights come
// to shared memory in the background as they lie, a span of 16 rows at a time, and become whole numbers in bf16 in registers, exactly. The
// tensor cores multiply them (mma.m16n8k16, f32 sums) with columns made of x, and each block's scale is applied to the sums. A product of
// eight columns costs what one of one costs, so a row of x is given as a sum of columns, bf16 each: one where it is bf16, two behind a
// norm, three where it is f32; nothing of it is lost but what is beyond 16 bits behind a norm. Sums always in the same order.
#include <cuda_fp16.h>

#include <algorithm>

#include "deskhand/ops/cuda/few_rows.cuh"
#include "deskhand/ops/cuda/overlap.cuh"
#include "deskhand/ops/cuda/tiles.cuh"

namespace deskhand::cuda {
namespace {

using Bytes = const std::uint8_t*;

constexpr int kRun = 32;  // inputs of two mma: a quarter of lanes holds 8 weights of a row each
constexpr int kMostColumns = 16;

// block_elements and block_bytes, while compiling.
__host__ __device__ constexpr int elements_of(DType type) {
  return type == DType::kQ4_K ? 256 : 32;
}
__host__ __device__ constexpr int bytes_of(DType type) {
  return type == DType::kQ4_K ? 144 : 18;
}

// A span is what a warp reads of a row at a time. Its line in shared memory is so long that lanes of different rows meet different banks.
template <DType type>
struct Span {
  static constexpr int kInputs = 256, kRuns = kInputs / kRun;
  static constexpr int kBytes = kInputs / elements_of(type) * bytes_of(type);
  static constexpr int kPieces = (kBytes + 14 + 15) / 16;  // of 16 bytes; it may begin in the middle of one
  static constexpr int kLine = (kPieces | 1) * 16, kTile = kTileOutputs * kLine;
  static constexpr int kStages = 3;
};

// How a row of x becomes columns.
__host__ __device__ int columns_of_row(const FewRowsJob& job) {
  return !job.x_bf16 ? 3 : job.norm ? 2 : 1;
}

// --- weights of a run ---

// This lane's 8 of 32 weights of a row, inputs 4 t .. 4 t + 3 and 16 more, two in a word, as numbers u with w = d u - m.
struct Run {
  std::uint32_t pairs[4];
  float d, m;
};

// The word at an even offset, known while compiling, of a line that begins at a multiple of 4; and t words on.
__device__ std::uint32_t word_at(Bytes line, int offset, int t) {
  const auto* const words = reinterpret_cast<const std::uint32_t*>(line) + t + offset / 4;
  return offset % 4 == 0 ? words[0] : __funnelshift_r(words[0], words[1], 16);
}
__device__ float half_at(Bytes at) {
  return __half2float(*reinterpret_cast<const __half*>(at));
}

// Bytes below 128 as 128 + u: the upper half of bf16's 128 is all that they lack.
__device__ void pairs_of_bytes(std::uint32_t& low, std::uint32_t& high, std::uint32_t bytes) {
  low = __byte_perm(bytes, 0x43u, 0x4140);
  high = __byte_perm(bytes, 0x43u, 0x4342);
}
__device__ std::uint32_t less(std::uint32_t from, std::uint32_t what) {
  const __nv_bfloat162 left = __hsub2(reinterpret_cast<const __nv_bfloat162&>(from), reinterpret_cast<const __nv_bfloat162&>(what));
  return reinterpret_cast<const std::uint32_t&>(left);
}

// Scales and minima of the 8 runs of a block of 256, a byte each.
struct Scales {
  float d, minimum;
  std::uint32_t scales[2], minima[2];
};

__device__ Scales scales_of(Bytes block) {
  const std::uint32_t first = word_at(block, 4, 0), second = word_at(block, 8, 0), third = word_at(block, 12, 0);
  return {half_at(block),
          half_at(block + 2),
          {first & 0x3f3f3f3fu, (third & 0x0f0f0f0fu) | (first >> 2 & 0x30303030u)},
          {second & 0x3f3f3f3fu, (third >> 4 & 0x0f0f0f0fu) | (second >> 2 & 0x30303030u)}};
}

// `number`: of the run in the line, known while compiling.
template <DType type>
__device__ void read_run(Run& run, Bytes line, const Scales& scales, int number, int t) {
  constexpr std::uint32_t kLow = 0x0f0f0f0fu, kOff = 0x43084308u;  // 128 + 8 twice
  std::uint32_t low = 0, high = 0;
  if constexpr (type == DType::kQ4_K) {
    const int begin = 16 + number / 2 * 32, shift = number % 2 * 4, byte = number % 4 * 8;
    low = word_at(line, begin, t) >> shift & kLow;
    high = word_at(line, begin + 16, t) >> shift & kLow;
    run.d = scales.d * static_cast<float>(scales.scales[number / 4] >> byte & 0xff);
    run.m = scales.minimum * static_cast<float>(scales.minima[number / 4] >> byte & 0xff);
  } else {
    const int block = number * bytes_of(type);
    const std::uint32_t nibbles = word_at(line, block + 2, t);
    low = nibbles & kLow;
    high = nibbles >> 4 & kLow;
    run.d = half_at(line + block);
  }
  pairs_of_bytes(run.pairs[0], run.pairs[1], low);
  pairs_of_bytes(run.pairs[2], run.pairs[3], high);
  if constexpr (type == DType::kQ4_K) {
    run.m += 128 * run.d;  // what is too much in u
  } else {
#pragma unroll
    for (std::uint32_t& pair : run.pairs) pair = less(pair, kOff);
  }
}

// --- x ---

// This warp's spans of x: of each run and column four times 16 bytes, the inputs in the order in which lanes hold weights. Squares (rows,
// warps) of what the norm wants.
template <DType type>
__device__ void stage(uint4* to, float* squares, const FewRowsJob& job, int mine) {
  using S = Span<type>;
  constexpr int kGroups = S::kInputs / 8;
  const int lane = threadIdx.x % 32, warp = static_cast<int>(threadIdx.x) / 32, each = columns_of_row(job), columns = job.rows * each;
  for (int m = 0; m < job.rows; ++m) {
    float square = 0;
#pragma unroll 4
    for (int i = lane; i < mine * kGroups; i += 32) {
      const int group = (warp + i / kGroups * kFewWarps) * kGroups + i % kGroups, input = group * 8;
      float values[8] = {};
      if (input < job.width) {
        const std::int64_t from = std::int64_t{m} * job.width + input;
        if (job.x_bf16)
          load(values, static_cast<const Bf16*>(job.x) + from);
        else
          load(values, static_cast<const float*>(job.x) + from);
        if (job.norm) {
          float weights[8];
          load(weights, job.norm + input);
#pragma unroll
          for (int k = 0; k < 8; ++k) {
            square += values[k] * values[k];
            values[k] *= weights[k];
          }
        }
      }
      for (int part = 0; part < each; ++part) {
        std::uint32_t pairs[4];
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          pairs[k] = pair_of(values[2 * k], values[2 * k + 1]);
          values[2 * k] -= __uint_as_float(pairs[k] << 16);
          values[2 * k + 1] -= __uint_as_float(pairs[k] & 0xffff0000u);
        }
        uint4* const line = to + (group / 4 * columns + m * each + part) * 4;
        const int quarter = group % 4;
        reinterpret_cast<uint2*>(line + quarter % 2 * 2)[quarter / 2] = make_uint2(pairs[0], pairs[1]);
        reinterpret_cast<uint2*>(line + quarter % 2 * 2 + 1)[quarter / 2] = make_uint2(pairs[2], pairs[3]);
      }
    }
    for (int step = 16; step > 0; step /= 2) square += __shfl_xor_sync(~0u, square, step);
    if (lane == 0) squares[m * kFewWarps + warp] = square;
  }
  __syncwarp();
}

// --- the kernel ---

// A tile of one part, with kSwiglu of gate and the same of up.
struct Tile {
  int part, first;
};
__device__ Tile tile_of(const FewRowsJob& job, int number, int sub) {
  if (job.then == FewRows::Then::kSwiglu) return {sub, number * kTileOutputs};
  int part = 0;
  while (number >= job.parts[part].units) number -= job.parts[part++].units;
  return {part, number * kTileOutputs};
}

__device__ void copy_bytes_async(void* to, const void* from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(to)), "l"(from), "r"(bytes) : "memory");
}

// The warps' sums (subs, warps, outputs, columns) to where they belong; one warp's work.
__device__ void finish(const FewRowsJob& job, int number, const float* sums, const float* squares) {
  const int each = columns_of_row(job), columns = job.rows * each;
  const bool gated = job.then == FewRows::Then::kSwiglu;
  for (int i = threadIdx.x % 32; i < kTileOutputs * job.rows; i += 32) {
    const int line = i % kTileOutputs, m = i / kTileOutputs;
    float factor = 1, value[2] = {};
    if (job.norm) {
      float square = 0;
      for (int w = 0; w < kFewWarps; ++w) square += squares[m * kFewWarps + w];
      factor = 1 / sqrtf(square / static_cast<float>(job.width) + job.epsilon);
    }
    int output = 0;
#pragma unroll
    for (int sub = 0; sub < 2; ++sub) {
      if (sub == 1 && !gated) break;
      const Tile tile = tile_of(job, number, sub);
      output = tile.first + line;
      for (int w = 0; w < kFewWarps; ++w)
        for (int k = 0; k < each; ++k) value[sub] += sums[((sub * kFewWarps + w) * kTileOutputs + line) * columns + m * each + k];
      value[sub] *= factor;
      const FewRowsPart& part = job.parts[tile.part];
      if (part.bias && output < part.outputs) value[sub] += part.bias[output];
    }
    const FewRowsPart& part = job.parts[tile_of(job, number, 0).part];
    if (output < part.outputs) put(job, part, m, output, gated ? value[0] / (1 + __expf(-value[0])) * value[1] : value[0]);
  }
}

// kGroups: of 8 columns.
template <DType type, int kGroups>
__global__ void __launch_bounds__(kFewThreads, 2) tile_kernel(const __grid_constant__ FewRowsJob job) {
  using S = Span<type>;
  extern __shared__ uint4 shared[];
  const int lane = threadIdx.x % 32, warp = static_cast<int>(threadIdx.x) / 32, g = lane / 4, t = lane % 4;
  const int columns = job.rows * columns_of_row(job), subs = job.then == FewRows::Then::kSwiglu ? 2 : 1;
  const int spans = (job.width + S::kInputs - 1) / S::kInputs, row_size = job.width / elements_of(type) * bytes_of(type);
  const int mine = warp < spans ? (spans - warp + kFewWarps - 1) / kFewWarps : 0;  // spans warp, warp + kFewWarps, ...
  uint4* const x_lines = shared;                                                   // (runs, columns, 4)
  float* const sums = reinterpret_cast<float*>(x_lines + spans * S::kRuns * columns * 4);
  const int of_turn = subs * kFewWarps * kTileOutputs * columns;  // two of them: the next tile may be begun
  float* const squares = sums + 2 * of_turn;
  std::uint8_t* const stages = reinterpret_cast<std::uint8_t*>(squares + kFewRows * kFewWarps) + warp * S::kStages * S::kTile;

  // Where rows g and g + 8 of a tile begin; past the end it is the last row again.
  const auto row_of = [&](int number, int sub, int r) {
    const Tile tile = tile_of(job, number, sub);
    const FewRowsPart& part = job.parts[tile.part];
    return part.weight + std::int64_t{min(tile.first + g + 8 * r, part.outputs - 1)} * row_size;
  };
  // The pipeline runs ahead of the work by kStages - 1 spans, over the ends of tiles.
  int ahead = mine > 0 ? static_cast<int>(blockIdx.x) : job.units, ahead_sub = 0, ahead_span = warp, ahead_stage = 0;
  const std::byte* ahead_row[2] = {};
  const auto begin_tile = [&] {
    if (ahead >= job.units) return;
    ahead_row[0] = row_of(ahead, ahead_sub, 0);
    ahead_row[1] = row_of(ahead, ahead_sub, 1);
  };
  begin_tile();
  const auto fetch = [&] {
    if (ahead < job.units) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const std::byte* const begin = ahead_row[r] + ahead_span * S::kBytes;
        const int skew = static_cast<int>(reinterpret_cast<std::uintptr_t>(begin) & 15);
        const int left = skew + min(S::kBytes, row_size - ahead_span * S::kBytes) - 16 * t;
        std::uint8_t* const to = stages + ahead_stage * S::kTile + (g + 8 * r) * S::kLine + 16 * t;
#pragma unroll
        for (int k = 0; k < (S::kPieces + 3) / 4; ++k)
          if (t + 4 * k < S::kPieces) copy_bytes_async(to + 64 * k, begin - skew + 16 * t + 64 * k, max(0, min(16, left - 64 * k)));
      }
      ahead_span += kFewWarps;
      if (ahead_span >= spans) {
        ahead_span = warp;
        if (++ahead_sub == subs) {
          ahead_sub = 0;
          ahead += static_cast<int>(gridDim.x);
        }
        begin_tile();
      }
    }
    ahead_stage = ahead_stage + 1 == S::kStages ? 0 : ahead_stage + 1;
    end_copies();
  };
#pragma unroll
  for (int i = 0; i + 1 < S::kStages; ++i) fetch();  // before x is waited for
  let_next_begin();
  wait_for_previous();
  stage<type>(x_lines, squares, job, mine);

  int stage_now = 0, turn = 0;
  for (int number = static_cast<int>(blockIdx.x); number < job.units; number += static_cast<int>(gridDim.x), ++turn) {
    float* const sums_now = sums + turn % 2 * of_turn;
    for (int sub = 0; sub < subs; ++sub) {
      float sum[kGroups][4] = {};
      const std::byte* const rows[2] = {row_of(number, sub, 0), row_of(number, sub, 1)};
      for (int span = warp; span < spans; span += kFewWarps) {
        wait_for_copies<S::kStages - 2>();
        __syncwarp();
        fetch();  // into the stage that all lanes have left
        Bytes line[2];
        Scales scales[2] = {};
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const auto begin = reinterpret_cast<std::uintptr_t>(rows[r] + span * S::kBytes);
          line[r] = stages + stage_now * S::kTile + (g + 8 * r) * S::kLine + (begin & 15);
          if constexpr (type == DType::kQ4_K) scales[r] = scales_of(line[r]);
        }
        const uint4* const x_line = x_lines + (span * S::kRuns * columns + g) * 4 + t;
#pragma unroll
        for (int number_of_run = 0; number_of_run < S::kRuns; ++number_of_run) {
          Run run[2];
          read_run<type>(run[0], line[0], scales[0], number_of_run, t);
          read_run<type>(run[1], line[1], scales[1], number_of_run, t);
          const Fragment first = {run[0].pairs[0], run[1].pairs[0], run[0].pairs[1], run[1].pairs[1]};
          const Fragment second = {run[0].pairs[2], run[1].pairs[2], run[0].pairs[3], run[1].pairs[3]};
#pragma unroll
          for (int j = 0; j < kGroups; ++j) {
            uint4 x = make_uint4(0, 0, 0, 0);
            if (8 * j + g < columns) x = x_line[(number_of_run * columns + 8 * j) * 4];
            float dot[4] = {};
            multiply_add(dot, first, x.x, x.y);
            multiply_add(dot, second, x.z, x.w);
            [[maybe_unused]] float x_sum[4] = {};
            if constexpr (type == DType::kQ4_K) {
              const Fragment ones = {0x3f803f80u, 0x3f803f80u, 0x3f803f80u, 0x3f803f80u};
              multiply_add(x_sum, ones, x.x, x.y);
              multiply_add(x_sum, ones, x.z, x.w);
            }
#pragma unroll
            for (int i = 0; i < 4; ++i) {
              sum[j][i] += run[i / 2].d * dot[i];
              if constexpr (type == DType::kQ4_K) sum[j][i] -= run[i / 2].m * x_sum[i];
            }
          }
        }
        stage_now = stage_now + 1 == S::kStages ? 0 : stage_now + 1;
      }
#pragma unroll
      for (int j = 0; j < kGroups; ++j)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int column = 8 * j + 2 * t + i % 2, line = g + i / 2 * 8;
          if (column < columns) sums_now[((sub * kFewWarps + warp) * kTileOutputs + line) * columns + column] = sum[j][i];
        }
    }
    __syncthreads();
    if (warp == turn % kFewWarps) finish(job, number, sums_now, squares);
  }
}

template <DType type>
int bytes_for(const FewRowsJob& job) {
  using S = Span<type>;
  DESKHAND_ASSERT(elements_of(type) == block_elements(type) && bytes_of(type) == block_bytes(type), "sizes of this type's blocks");
  const int columns = job.rows * columns_of_row(job), subs = job.then == FewRows::Then::kSwiglu ? 2 : 1;
  const int spans = (job.width + S::kInputs - 1) / S::kInputs;
  return spans * S::kRuns * columns * 64 + 2 * subs * kFewWarps * kTileOutputs * columns * 4 + kFewRows * kFewWarps * 4 +
         kFewWarps * S::kStages * S::kTile;
}

// Calls work with the type as a constant.
template <class Work>
void with_tiles(DType type, const Work& work) {
  DESKHAND_ASSERT(type == DType::kQ4_0 || type == DType::kQ4_K, "a type of tiles");
  if (type == DType::kQ4_0)
    work(std::integral_constant<DType, DType::kQ4_0>());
  else
    work(std::integral_constant<DType, DType::kQ4_K>());
}

}  // namespace

bool are_tiles(DType type, std::int64_t width) {
  return type == DType::kQ4_K || (type == DType::kQ4_0 && width % 64 == 0);  // rows begin at multiples of 4
}

int tile_rows(DType type, const FewRowsJob& job, int most_bytes) {
  FewRowsJob some = job;
  some.rows = std::min({job.rows, kFewRows, kMostColumns / columns_of_row(job)});
  with_tiles(type, [&](auto known) {
    while (some.rows > 0 && bytes_for<decltype(known)::value>(some) > most_bytes) --some.rows;
  });
  return some.rows;
}

void start_tiles(const Backend& on, DType type, const FewRowsJob& job) {
  with_tiles(type, [&](auto known) {
    constexpr DType kType = decltype(known)::value;
    const int bytes = bytes_for<kType>(job), columns = job.rows * columns_of_row(job);
    auto* const kernel = columns > 8 ? &tile_kernel<kType, 2> : &tile_kernel<kType, 1>;
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    const int together = std::clamp(kSharedBytes / bytes, 1, 2);
    const int blocks = std::min(job.units, few_rows_attribute(on, cudaDevAttrMultiProcessorCount) * together);
    start_overlapping(on, kernel, static_cast<unsigned>(blocks), kFewThreads, static_cast<std::size_t>(bytes), job);
  });
}

}  // namespace deskhand::cuda
