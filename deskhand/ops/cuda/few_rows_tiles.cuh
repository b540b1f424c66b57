// Products of a few rows of x, 16 outputs at a time on the tensor cores: a block's warps take a share of the inputs each. Weights come to
// shared memory in the background, a span of 16 rows at a time; q4_0, q8_0 and q4_k lie in tiles (ops/tiled.h), whose 16 bytes a lane reads
// are what it gives to the tensor cores, q6_k as in its file. They go there as bytes (mma.m16n8k32), which are multiplied as whole numbers,
// exactly; each block's scale is applied to the sums. A product of eight columns costs what one of one costs, so x comes in three columns
// of 8 bits: the 22 bits below the largest of 256 neighbours, nearly what f32 would keep of their sum. Sums always in the same order.
#pragma once
#include <cuda_fp16.h>

#include "deskhand/ops/cuda/few_rows.cuh"
#include "deskhand/ops/cuda/tiled.cuh"
#include "deskhand/ops/cuda/tiles.cuh"

namespace deskhand::cuda {

#ifdef __CUDACC__

constexpr int kRun = 32;                                      // inputs of one mma: a quarter of lanes holds 8 weights of a row each
constexpr int kSpanInputs = 256, kRuns = kSpanInputs / kRun;  // of a span, what a warp reads of a row at a time
constexpr int kDigits = 3;                                    // columns of a row of x
constexpr int kTurns = 4;                                     // tiles whose sums may be unfinished

// A row's part of a span, what a warp reads of it at a time, and its 16 rows in shared memory.
template <DType type>
struct Span {
  static constexpr int kBytes = kSpanInputs / kBlockWeights<type> * kBlockBytes<type>;
  static constexpr bool kLaid = kTiled<type>;        // in tiles, one after another
  static constexpr bool kSkewed = kBytes % 16 != 0;  // spans may begin in the middle of 16 bytes, in all rows alike
  static constexpr int kPieces = (kBytes + (kSkewed ? 14 : 0) + 15) / 16;
  static constexpr int kLine = kLaid ? kBytes : (kPieces | 1) * 16;  // words 0..3 of eight rows lie in different banks
  static constexpr int kTile = kTileOutputs * kLine;
  static constexpr bool kMinimum = type == DType::kTiledQ4_K;
  static constexpr int kUnit = type == DType::kTiledQ4_0 ? 4 : type == DType::kQ6_K ? 2 : 0;  // weights are given to mma times 2^kUnit
};

// Spans that a warp has in shared memory or on their way, and how many of them are asked for before x: memory answers in turn, and x is
// what all else waits for.
template <DType type>
constexpr int kMostStages = type == DType::kTiledQ8_0 ? 4 : 3;
template <DType type>
constexpr int kBefore = type == DType::kTiledQ8_0 ? 3 : 1;

// --- weights of a run ---

// The word at an even address; and t words on.
__device__ inline std::uint32_t word_anywhere(Bytes line, int offset, int t) {
  const Bytes from = line + offset + 4 * t;
  const auto odd = static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(from) & 2);
  const auto* const words = reinterpret_cast<const std::uint32_t*>(from - odd);
  return __funnelshift_r(words[0], words[1], odd * 8);
}
__device__ inline float half_at(Bytes at) {
  return __half2float(*reinterpret_cast<const __half*>(at));
}

// q6_k's 16 scales, a byte with sign each.
struct Scales {
  float d;
  std::uint32_t bytes[4];
};
__device__ inline Scales scales_of_q6_k(Bytes block) {
  return {half_at(block + 208),
          {word_anywhere(block, 192, 0), word_anywhere(block, 196, 0), word_anywhere(block, 200, 0), word_anywhere(block, 204, 0)}};
}

// `number`: of the run in the line, known while compiling. 6 bits less 32, in the upper part of signed bytes.
__device__ inline void read_q6_k(Run& run, Bytes line, const Scales& scales, int number, int t) {
  const int half = number / 4, part = number % 4;
  const std::uint32_t scale = scales.bytes[number / 2] >> (number % 2 * 16);
  run.d = scales.d * static_cast<float>(static_cast<std::int8_t>(scale));
  run.d_high = scales.d * static_cast<float>(static_cast<std::int8_t>(scale >> 8));
  const auto six_bits = [&](int in_run) {
    const std::uint32_t nibbles = word_anywhere(line, half * 64 + part % 2 * 32 + in_run, t);
    const std::uint32_t pairs = word_anywhere(line, 128 + half * 32 + in_run, t);
    const std::uint32_t low = (part / 2 == 0 ? nibbles << 2 : nibbles >> 2) & 0x3c3c3c3cu, high = pairs << (6 - 2 * part) & 0xc0c0c0c0u;
    return (low | high) ^ 0x80808080u;
  };
  run.low = six_bits(0);
  run.high = six_bits(16);
}

// sum (16 x 8) = left (16 x 32) right (32 x 8) + kZero: whole numbers below 2^22, as the last bits of the float kZero.
constexpr float kZero = 12582912;  // 1.5 2^23

template <bool kSigned>
__device__ void multiply(std::uint32_t (&sum)[4], const Run (&left)[2], std::uint32_t right_low, std::uint32_t right_high) {
  const std::uint32_t zero = __float_as_uint(kZero);
  if constexpr (kSigned)
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %10, %10, %10};\n"
        : "=r"(sum[0]), "=r"(sum[1]), "=r"(sum[2]), "=r"(sum[3])
        : "r"(left[0].low), "r"(left[1].low), "r"(left[0].high), "r"(left[1].high), "r"(right_low), "r"(right_high), "r"(zero));
  else
    asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %10, %10, %10};\n"
        : "=r"(sum[0]), "=r"(sum[1]), "=r"(sum[2]), "=r"(sum[3])
        : "r"(left[0].low), "r"(left[1].low), "r"(left[0].high), "r"(left[1].high), "r"(right_low), "r"(right_high), "r"(zero));
}

// The same of depth 16.
__device__ inline void multiply_half(std::uint32_t (&sum)[4], std::uint32_t left, std::uint32_t left_8, std::uint32_t right) {
  const std::uint32_t zero = __float_as_uint(kZero);
  asm("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%7, %7, %7, %7};\n"
      : "=r"(sum[0]), "=r"(sum[1]), "=r"(sum[2]), "=r"(sum[3])
      : "r"(left), "r"(left_8), "r"(right), "r"(zero));
}

// --- x ---

// Where a block's x and sums lie in shared memory.
struct Layout {
  int columns, padded;    // of x; as lanes hold them
  uint4* lines;           // (pairs of runs, columns, 4): bytes in the order in which lanes hold weights
  float* scales;          // (spans, padded): of a column
  uint2* sums_of_runs;    // (spans, padded, 4): its bytes' sums in two runs and what f16 leaves of them, where there are minima
  float *squares, *sums;  // (rows, warps) of what the norm wants; kTurns of (subs, warps, rows, outputs)
  int of_turn;            // the next tiles' sums may be begun
  std::uint8_t* end;
};

template <DType type>
__host__ __device__ Layout layout_of(const FewRowsJob& job, uint4* shared) {
  using S = Span<type>;
  Layout at{.columns = job.rows * kDigits};
  at.padded = (at.columns + 7) / 8 * 8;
  const int spans = job.width / kSpanInputs, subs = job.then == FewRows::Then::kSwiglu ? 2 : 1;
  at.of_turn = subs * kFewWarps * kTileOutputs * job.rows;
  at.lines = shared;
  at.scales = reinterpret_cast<float*>(at.lines + spans * kRuns / 2 * at.columns * 4);
  at.sums_of_runs = reinterpret_cast<uint2*>(at.scales + spans * at.padded);
  at.squares = reinterpret_cast<float*>(at.sums_of_runs + (S::kMinimum ? spans * at.padded * 4 : 0));
  at.sums = at.squares + kFewRows * kFewWarps;
  at.end = reinterpret_cast<std::uint8_t*>(at.sums + kTurns * at.of_turn);
  return at;
}

// The larger one without sign; what is no number is above all.
__device__ inline float larger_size(float a, float b) {
  float larger;
  asm("max.NaN.f32 %0, %1, %2;\n" : "=f"(larger) : "f"(fabsf(a)), "f"(fabsf(b)));
  return larger;
}

// Four times three signed bytes, whose sum is the whole number with 2^16, 2^8 and 1 before them: a word of each. `numbers`: more by kZero.
__device__ inline void digits_of(std::uint32_t (&to)[3], const std::uint32_t (&numbers)[4]) {
  constexpr std::uint32_t kLift = 0x808080u - 0x4b400000u;  // kZero's bits
  std::uint32_t lifted[4];                                  // bytes from 0 on, each 128 too large
#pragma unroll
  for (int i = 0; i < 4; ++i) lifted[i] = numbers[i] + kLift;
  const std::uint32_t first = __byte_perm(lifted[0], lifted[1], 0x5140), second = __byte_perm(lifted[2], lifted[3], 0x5140);
  to[2] = __byte_perm(first, second, 0x5410) ^ 0x80808080u;
  to[1] = __byte_perm(first, second, 0x7632) ^ 0x80808080u;
  to[0] = __byte_perm(__byte_perm(lifted[0], lifted[1], 0x0062), __byte_perm(lifted[2], lifted[3], 0x0062), 0x5410) ^ 0x80808080u;
}

// A warp's 256 neighbours of row `m` of x, as digits of 8 bits. A lane has 4 t .. 4 t + 3 of its run of 32 and 16 more.
template <DType type>
__device__ void stage_digits(const Layout& at, const float (&values)[2][4], int span, int m) {
  using S = Span<type>;
  constexpr int kExponent = 23, kBits = 22;
  const int lane = threadIdx.x % 32;
  float most = 0;
#pragma unroll
  for (int k = 0; k < 8; ++k) most = larger_size(most, values[k / 4][k % 4]);
  const std::uint32_t largest = __reduce_max_sync(~0u, __float_as_uint(most));
  // From 2^(kBits - 1) to below 2^kBits.
  const int exponent = max(static_cast<int>(largest >> kExponent), 40);
  const float up = __uint_as_float(static_cast<std::uint32_t>(254 + kBits - 1 - exponent) << kExponent);
  std::uint32_t digits[2][kDigits];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    std::uint32_t numbers[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) numbers[k] = __float_as_uint(fmaf(values[h][k], up, kZero));
    digits_of(digits[h], numbers);
  }
  const int run = span * kRuns + lane / 4, quarter = lane % 4;
  auto* const pairs = reinterpret_cast<uint2*>(at.lines);
#pragma unroll
  for (int i = 0; i < kDigits; ++i) {
    const int column = m * kDigits + i;
    pairs[((run / 2 * at.columns + column) * 4 + quarter) * 2 + run % 2] = make_uint2(digits[0][i], digits[1][i]);
    if constexpr (S::kMinimum) {
      int sum = __dp4a(static_cast<int>(digits[0][i]), 0x01010101, __dp4a(static_cast<int>(digits[1][i]), 0x01010101, 0));
      sum += __shfl_xor_sync(~0u, sum, 1);
      sum += __shfl_xor_sync(~0u, sum, 2);
      if (quarter < 2) {
        const __half most = __int2half_rn(sum);
        auto* const halves = reinterpret_cast<__half*>(at.sums_of_runs + (span * at.padded + column) * 4 + lane / 8);
        halves[quarter * 2 + lane / 4 % 2] = quarter == 0 ? most : __int2half_rn(sum - __half2int_rn(most));
      }
    }
  }
  if (lane < kDigits) {
    const int down = exponent - (kBits - 1) + 8 * (kDigits - 1 - lane) - S::kUnit;
    at.scales[span * at.padded + m * kDigits + lane] =
        exponent == 255 ? __uint_as_float(0x7fffffffu) : __uint_as_float(static_cast<std::uint32_t>(down) << kExponent);
  }
}

constexpr int kNormBatch = 2;  // spans whose weights of the norm a warp has before x is there

// Where a lane's eight of a span's inputs begin: four there and four 16 on.
__device__ inline int in_span() {
  const int lane = threadIdx.x % 32;
  return lane / 4 * kRun + lane % 4 * 4;
}
template <int kBatch>
__device__ void load_norm(float (&to)[kBatch][2][4], const FewRowsJob& job, int first) {
#pragma unroll
  for (int b = 0; b < kBatch; ++b) {
    const int begin = (first + b * kFewWarps) * kSpanInputs;
    if (begin >= job.width) break;
#pragma unroll
    for (int h = 0; h < 2; ++h) load(to[b][h], job.norm + begin + in_span() + 16 * h);
  }
}

// This warp's spans of x. kBatch: spans on their way together; `weights`: the norm's of the first of them. `behind` is called when the
// first are asked for.
template <DType type, bool kNormed, int kBatch, class X, int kWeights, class Behind>
__device__ void stage(const Layout& at, const FewRowsJob& job, const X* x, [[maybe_unused]] float (&weights)[kWeights][2][4],
                      const Behind& behind) {
  static_assert(!kNormed || kWeights == kBatch);
  const int lane = threadIdx.x % 32, warp = static_cast<int>(threadIdx.x) / 32, spans = job.width / kSpanInputs;
  if (warp >= spans) behind();
  for (int m = 0; m < job.rows; ++m) {
    float square = 0;
    for (int first = warp; first < spans; first += kBatch * kFewWarps) {
      Elements<X, 4> batch[kBatch][2];  // not widened before all are asked for
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const X* const from = x + std::int64_t{m} * job.width + min(first + b * kFewWarps, spans - 1) * kSpanInputs + in_span();
#pragma unroll
        for (int h = 0; h < 2; ++h) batch[b][h] = *reinterpret_cast<const Elements<X, 4>*>(from + 16 * h);
      }
      if (m == 0 && first == warp) behind();
      if constexpr (kNormed)
        if (spans > kBatch * kFewWarps && (m > 0 || first > warp)) load_norm<kBatch>(weights, job, first);
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const int span = first + b * kFewWarps;
        if (span >= spans) break;
        float values[2][4];
#pragma unroll
        for (int k = 0; k < 8; ++k) {
          float& value = values[k / 4][k % 4];
          value = widened(batch[b][k / 4].values[k % 4]);
          if constexpr (kNormed) {
            square += value * value;
            value *= weights[b][k / 4][k % 4];
          }
        }
        stage_digits<type>(at, values, span, m);
      }
    }
    if constexpr (kNormed) {
      for (int step = 16; step > 0; step /= 2) square += __shfl_xor_sync(~0u, square, step);
      if (lane == 0) at.squares[m * kFewWarps + warp] = square;
    }
  }
  __syncwarp();
}

// --- tiles of outputs ---

// A tile of one part, with kSwiglu of gate and the same of up.
struct Tile {
  int part, first;
};
__device__ inline Tile tile_of(const FewRowsJob& job, int number, int sub) {
  if (job.then == FewRows::Then::kSwiglu) return {sub, number * kTileOutputs};
  int part = 0;
  while (number >= job.parts[part].units) number -= job.parts[part++].units;
  return {part, number * kTileOutputs};
}

// One of the block's barriers beside __syncthreads': all arrive, one warp waits.
template <int kBarrier>
__device__ void arrive_or_wait(bool is_waiting) {
  if (is_waiting)
    asm volatile("bar.sync %0, %1;\n" ::"n"(kBarrier), "n"(kFewThreads) : "memory");
  else
    asm volatile("bar.arrive %0, %1;\n" ::"n"(kBarrier), "n"(kFewThreads) : "memory");
}

// What a lane fetches of a tile's weights: of two rows, 8 apart, every fourth 16 bytes; of what lies in tiles every 32nd.
template <DType type>
struct TileRows {
  const std::byte* row[Span<type>::kLaid ? 1 : 2];
  int row_size;
};
template <DType type>
__device__ TileRows<type> rows_of(const FewRowsJob& job, const Tile& tile) {
  const FewRowsPart& part = job.parts[tile.part];
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, row_size = job.width / kSpanInputs * Span<type>::kBytes;
  TileRows<type> rows{.row_size = row_size};
  if constexpr (Span<type>::kLaid) {
    rows.row[0] = part.weight + std::int64_t{tile.first} * row_size + 16 * lane;
  } else {
#pragma unroll
    for (int r = 0; r < 2; ++r)  // past the end it is the last row again
      rows.row[r] = part.weight + std::int64_t{min(tile.first + g + 8 * r, part.outputs - 1)} * row_size + 16 * t;
  }
  return rows;
}
// Where in a tile a lane's first 16 bytes of a span belong.
template <DType type>
__device__ int in_tile() {
  using S = Span<type>;
  const int lane = threadIdx.x % 32;
  return S::kLaid ? 16 * lane : lane / 4 * S::kLine + 16 * (lane % 4);
}
// Begins to copy a span of 16 rows; `to`: where this lane's first 16 bytes of it belong.
template <DType type>
__device__ void fetch_span(std::uint32_t to, const TileRows<type>& rows, int span, std::uint64_t policy) {
  using S = Span<type>;
  const int lane = threadIdx.x % 32, t = lane % 4;
  if constexpr (S::kLaid) {
    constexpr int kAll = S::kTile / 16;
    const std::byte* const begin = rows.row[0] + std::int64_t{span} * S::kTile;
#pragma unroll
    for (int k = 0; k < (kAll + 31) / 32; ++k)
      if (32 * k + 31 < kAll || lane + 32 * k < kAll) copy_weights(to + 512 * k, begin + 512 * k, 16, policy);
  } else {
    const int from = span * S::kBytes & ~15;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const std::byte* const begin = rows.row[r] + from;
#pragma unroll
      for (int k = 0; k < (S::kPieces + 3) / 4; ++k)
        if ((4 * k + 3 < S::kPieces || t + 4 * k < S::kPieces) && (!S::kSkewed || from + 16 * (t + 4 * k) < rows.row_size))
          copy_weights(to + 8 * r * S::kLine + 64 * k, begin + 64 * k, 16, policy);
    }
  }
}

// A row's digits in one: the sum of its three columns, of 16 outputs, to this warp's place in `to`.
template <int kGroups>
__device__ void put_sums(float* to, const float (&sum)[kGroups][4], int rows) {
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
#pragma unroll
  for (int m = 0; m < kGroups * 8 / kDigits; ++m) {
    if (m >= rows) break;
    float whole[2] = {};
#pragma unroll
    for (int k = 0; k < kDigits; ++k) {
      const int column = m * kDigits + k;
#pragma unroll
      for (int i = 0; i < 2; ++i) whole[i] += __shfl_sync(~0u, sum[column / 8][column % 2 + 2 * i], lane / 4 * 4 + column % 8 / 2);
    }
    if (t != m % 4) continue;
    to[m * kTileOutputs + g] = whole[0];
    to[m * kTileOutputs + g + 8] = whole[1];
  }
}

// What a tile's sums are added to, as the lanes of the warp that finishes it hold its outputs: two rows at a time.
template <int kGroups>
struct Addends {
  static constexpr int kCount = (kGroups * 8 / kDigits + 1) / 2;
  float of[kCount];
};
// Read before the sums are there.
template <int kGroups>
__device__ Addends<kGroups> addends_of(const FewRowsJob& job, int number) {
  Addends<kGroups> addends{};
  if (job.then != FewRows::Then::kAdd) return addends;
  const Tile tile = tile_of(job, number, 0);
  const FewRowsPart& part = job.parts[tile.part];
  const int lane = threadIdx.x % 32, output = tile.first + lane % kTileOutputs;
#pragma unroll
  for (int i = 0; i < Addends<kGroups>::kCount; ++i)
    if (const int m = 2 * i + lane / kTileOutputs; m < job.rows && output < part.outputs)
      addends.of[i] = few_rows_element(part.out, job.out_bf16, std::int64_t{m} * part.outputs + output);
  return addends;
}

// The warps' sums to where they belong; one warp's work.
template <int kGroups>
__device__ void finish(const FewRowsJob& job, int number, const Layout& at, const float* sums, const Addends<kGroups>& addends) {
  const bool gated = job.then == FewRows::Then::kSwiglu;
  const int lane = threadIdx.x % 32, line = lane % kTileOutputs;
#pragma unroll
  for (int i = 0; i < Addends<kGroups>::kCount; ++i) {
    const int m = 2 * i + lane / kTileOutputs;
    if (m >= job.rows) break;
    float factor = 1, value[2] = {};
    if (job.norm) {
      float square = 0;
#pragma unroll
      for (int w = 0; w < kFewWarps; ++w) square += at.squares[m * kFewWarps + w];
      factor = 1 / sqrtf(square / static_cast<float>(job.width) + job.epsilon);
    }
    int output = 0;
#pragma unroll
    for (int sub = 0; sub < 2; ++sub) {
      if (sub == 1 && !gated) break;
      const Tile tile = tile_of(job, number, sub);
      output = tile.first + line;
#pragma unroll
      for (int w = 0; w < kFewWarps; ++w) value[sub] += sums[((sub * kFewWarps + w) * job.rows + m) * kTileOutputs + line];
      value[sub] *= factor;
      const FewRowsPart& part = job.parts[tile.part];
      if (part.bias && output < part.outputs) value[sub] += part.bias[output];
    }
    const FewRowsPart& part = job.parts[tile_of(job, number, 0).part];
    if (output < part.outputs)
      store_row(job, part, m, output, gated ? value[0] / (1 + __expf(-value[0])) * value[1] : value[0] + addends.of[i]);
  }
}

// of_span = a span's minima times sums of runs of x: f16 has both exactly, the sums in two parts.
template <DType type>
__device__ void add_minima(float (&of_span)[4], const HalfHead<type> (&heads)[2][2], const uint2& sums) {
  const int t = threadIdx.x % 4;
  std::uint32_t left[2];  // of runs 2 t and 2 t + 1
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const std::uint32_t two = (t < 2 ? heads[i][0] : heads[i][1]).minima >> (t % 2 * 16);
    const std::uint32_t lifted = __byte_perm(two, 0x64646464u, 0x4140);  // 1024 more
    const __half2 minima = __hsub2(reinterpret_cast<const __half2&>(lifted), __float2half2_rn(1024));
    left[i] = reinterpret_cast<const std::uint32_t&>(minima);
  }
  float sum[4];
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %4, %5}, {%6, %7}, {%8, %8, %8, %8};\n"
      : "=f"(sum[0]), "=f"(sum[1]), "=f"(sum[2]), "=f"(sum[3])
      : "r"(left[0]), "r"(left[1]), "r"(sums.x), "r"(sums.y), "f"(0.0f));
#pragma unroll
  for (int i = 0; i < 4; ++i) of_span[i] = -heads[i / 2][0].m * sum[i];
}

// A lane's bytes or halves of x for a pair of runs, or of depths; `group`: of 8 columns.
template <DType type>
__device__ uint4 x_of(const Layout& at, int span, int pair, int group) {
  const int lane = threadIdx.x % 32, column = min(8 * group + lane / 4, at.columns - 1);  // those behind the last are not looked at
  return at.lines[((span * (kRuns / 2) + pair) * at.columns + column) * 4 + lane % 4];
}

// of_span: sums of a span before the columns' scales.
template <DType type, int kGroups>
__device__ void multiply_q6_k_span(float (&of_span)[kGroups][4], const std::uint8_t* tile, const Layout& at, int span) {
  using S = Span<type>;
  const int lane = threadIdx.x % 32;
  const Bytes first_line = tile + lane / 4 * S::kLine + (span * S::kBytes & 15);
  const Bytes line[2] = {first_line, first_line + 8 * S::kLine};
  const Scales scales[2] = {scales_of_q6_k(line[0]), scales_of_q6_k(line[1])};
#pragma unroll
  for (int pair = 0; pair < kRuns / 2; ++pair) {
    Run run[2][2];  // of the pair, of the rows
#pragma unroll
    for (int i = 0; i < 4; ++i) read_q6_k(run[i / 2][i % 2], line[i % 2], scales[i % 2], 2 * pair + i / 2, lane % 4);
#pragma unroll
    for (int j = 0; j < kGroups; ++j) {
      const uint4 x = x_of<type>(at, span, pair, j);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        std::uint32_t dot[4], high[4];
        multiply_half(dot, run[half][0].low, run[half][1].low, half == 0 ? x.x : x.z);
        multiply_half(high, run[half][0].high, run[half][1].high, half == 0 ? x.y : x.w);
#pragma unroll
        for (int i = 0; i < 4; ++i)
          of_span[j][i] +=
              run[half][i / 2].d * (__uint_as_float(dot[i]) - kZero) + run[half][i / 2].d_high * (__uint_as_float(high[i]) - kZero);
      }
    }
  }
}

template <DType type, int kGroups>
__device__ void multiply_laid_span(float (&of_span)[kGroups][4], const std::uint8_t* tile, const Layout& at, int span) {
  using S = Span<type>;
  constexpr int kPairPieces = 2 / kPieceRuns<type>;
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  const auto* const pieces = reinterpret_cast<const uint4*>(tile);
  const uint4 head = pieces[g], head_8 = pieces[g + 8];
  const HalfHead<type> heads[2][2] = {{{head, 0}, {head, 1}}, {{head_8, 0}, {head_8, 1}}};  // of two rows
  if constexpr (S::kMinimum)
#pragma unroll
    for (int j = 0; j < kGroups; ++j) add_minima<type>(of_span[j], heads, at.sums_of_runs[(span * at.padded + 8 * j + g) * 4 + t]);
#pragma unroll
  for (int pair = 0; pair < kRuns / 2; ++pair) {
    uint4 piece[kPairPieces];
#pragma unroll
    for (int i = 0; i < kPairPieces; ++i) piece[i] = pieces[kTileHeads / 16 + (pair * kPairPieces + i) * 32 + lane];
    Run run[2][2];  // of the pair, of the rows
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int half = i / 2;
      bytes_of_piece<type>(run[half][i % 2], piece[half / kPieceRuns<type>], half % kPieceRuns<type>, i % 2);
      run[half][i % 2].d = heads[i % 2][pair / 2].scale(pair % 2 * 2 + half);
    }
#pragma unroll
    for (int j = 0; j < kGroups; ++j) {
      const uint4 x = x_of<type>(at, span, pair, j);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        std::uint32_t dot[4];
        multiply<type != DType::kTiledQ4_K>(dot, run[half], half == 0 ? x.x : x.z, half == 0 ? x.y : x.w);
#pragma unroll
        for (int i = 0; i < 4; ++i) of_span[j][i] += run[half][i / 2].d * (__uint_as_float(dot[i]) - kZero);
      }
    }
  }
}

// sum += a span of 16 rows of weights, which lies in `tile`, times x. kGroups: of 8 columns.
template <DType type, int kGroups>
__device__ void add_span(float (&sum)[kGroups][4], const std::uint8_t* tile, const Layout& at, int span) {
  float of_span[kGroups][4] = {};
  if constexpr (Span<type>::kLaid)
    multiply_laid_span<type>(of_span, tile, at, span);
  else
    multiply_q6_k_span<type>(of_span, tile, at, span);
#pragma unroll
  for (int j = 0; j < kGroups; ++j) {
    const float2 scale = *reinterpret_cast<const float2*>(at.scales + span * at.padded + 8 * j + threadIdx.x % 4 * 2);
#pragma unroll
    for (int i = 0; i < 4; ++i) sum[j][i] += of_span[j][i] * (i % 2 == 0 ? scale.x : scale.y);
  }
}

#endif

}  // namespace deskhand::cuda
