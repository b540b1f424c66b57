// q4_0, q8_0, q4_k and q6_k: a block of threads makes 16 outputs at a time (of gate and up 16 each), its warps each a share of the inputs.
// Weights come to shared memory in the background as they lie, a span of 16 rows at a time, and go as bytes to the tensor cores
// (mma.m16n8k32), which multiply whole numbers exactly; each block's scale is applied to the sums. A product of eight columns costs what
// one of one costs, so x comes in three columns of 8 bits: the 22 bits below the largest of 256 neighbours, nearly what f32 would keep of
// their sum. Sums always in the same order.
#include <cuda_fp16.h>

#include <algorithm>

#include "deskhand/ops/cuda/few_rows.cuh"
#include "deskhand/ops/cuda/overlap.cuh"
#include "deskhand/ops/cuda/tiles.cuh"
#include "deskhand/ops/cuda/weights_of.cuh"

namespace deskhand::cuda {
namespace {

constexpr int kRun = 32;                                      // inputs of one mma: a quarter of lanes holds 8 weights of a row each
constexpr int kSpanInputs = 256, kRuns = kSpanInputs / kRun;  // of a span, what a warp reads of a row at a time
constexpr int kDigits = 3;                                    // columns of a row of x
constexpr int kMostStages = 4;
constexpr int kTurns = 4;  // tiles whose sums may be unfinished

// A row's part of a span, and its 16 rows in shared memory.
template <DType type>
struct Span {
  static constexpr int kBytes = kSpanInputs / kBlockWeights<type> * kBlockBytes<type>;
  static constexpr bool kSkewed = kBytes % 16 != 0;  // spans may begin in the middle of 16 bytes, in all rows alike
  static constexpr int kPieces = (kBytes + (kSkewed ? 14 : 0) + 15) / 16;
  static constexpr int kLine = (kPieces | 1) * 16, kTile = kTileOutputs * kLine;  // words 0..3 of eight rows lie in different banks
  static constexpr bool kShifted = kBlockWeights<type> == kRun;  // runs begin 2 bytes behind each other's places in 16 bytes
  static constexpr bool kMinimum = type == DType::kQ4_K;
  static constexpr bool kHalves = type == DType::kQ6_K;                                  // scales of 16 weights
  static constexpr int kUnit = type == DType::kQ4_0 ? 4 : type == DType::kQ6_K ? 2 : 0;  // weights are given to mma times 2^kUnit
};

// --- weights of a run ---

// This lane's 8 of 32 weights of a row, inputs 4 t .. 4 t + 3 and 16 more, as bytes b with w = d b - m.
struct Run {
  std::uint32_t low, high;
  float d, m, d_high;  // d_high: of `high`, where halves have their own
};

// A lane of four has every fourth word of a row's 16 bytes. Where a run begins in the middle of them its words go round the lanes, and
// where it begins in the middle of a word one lane's is made of the first and the last half: x is laid out to match.
struct Place {
  int first;     // the lane that has the run's beginning
  bool is_half;  // in the middle of a word
};
template <DType type>
__host__ __device__ constexpr Place place_of_run(int number) {
  if constexpr (!Span<type>::kShifted) return {0, false};
  return {(number + 1) / 2 % 4, number % 2 == 0};
}

// What a lane takes of two words for runs that begin at lane `first`.
struct Takes {
  std::uint32_t whole[4], half[4];
};
__device__ Takes takes_of(int t) {
  Takes takes;
#pragma unroll
  for (int first = 0; first < 4; ++first) {
    takes.whole[first] = t >= first ? 0x3210 : 0x7654;
    takes.half[first] = t == first ? 0x5432 : takes.whole[first];
  }
  return takes;
}

// This lane's words of two rows, 8 apart: number i of each 16 bytes.
template <DType type>
using Words = std::uint32_t[2][Span<type>::kPieces];

template <DType type>
__device__ void load_words(Words<type>& to, Bytes tile, int lane) {
  constexpr int kPieces = Span<type>::kPieces;
#pragma unroll
  for (int i = 0; i < kPieces; i += 2) {
    Fragment four;
    load_matrices(four, reinterpret_cast<const Bf16*>(tile + lane % 16 * Span<type>::kLine + min(i + lane / 16, kPieces - 1) * 16));
    to[0][i] = four[0];
    to[1][i] = four[1];
    if (i + 1 == kPieces) break;
    to[0][i + 1] = four[2];
    to[1][i + 1] = four[3];
  }
}

// The word of 16 bytes that begin at an even offset, known while compiling.
template <DType type, int kCount>
__device__ std::uint32_t word_at(const std::uint32_t (&words)[kCount], int offset, int number, const Takes& takes) {
  constexpr int kPiece = 16;
  const Place place = place_of_run<type>(number);
  if (offset % kPiece == 0) return words[offset / kPiece];
  return __byte_perm(words[offset / kPiece], words[offset / kPiece + 1],
                     place.is_half ? takes.half[place.first] : takes.whole[place.first]);
}

// The word at an even address; and t words on.
__device__ std::uint32_t word_anywhere(Bytes line, int offset, int t) {
  const Bytes from = line + offset + 4 * t;
  const auto odd = static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(from) & 2);
  const auto* const words = reinterpret_cast<const std::uint32_t*>(from - odd);
  return __funnelshift_r(words[0], words[1], odd * 8);
}
__device__ float half_at(Bytes at) {
  return __half2float(*reinterpret_cast<const __half*>(at));
}

// Scales and minima of the 8 runs of a block of 256, a byte each; q6_k's 16 scales have signs.
struct Scales {
  float d, minimum;
  std::uint32_t scales[2], minima[2];
};

template <DType type>
__device__ Scales scales_of(Bytes block) {
  if constexpr (type == DType::kQ6_K)
    return {half_at(block + 208),
            0,
            {word_anywhere(block, 192, 0), word_anywhere(block, 196, 0)},
            {word_anywhere(block, 200, 0), word_anywhere(block, 204, 0)}};
  const uint4 head = *reinterpret_cast<const uint4*>(block);
  const float2 two = __half22float2(reinterpret_cast<const __half2&>(head.x));
  return {two.x,
          two.y,
          {head.y & 0x3f3f3f3fu, (head.w & 0x0f0f0f0fu) | (head.y >> 2 & 0x30303030u)},
          {head.z & 0x3f3f3f3fu, (head.w >> 4 & 0x0f0f0f0fu) | (head.z >> 2 & 0x30303030u)}};
}

// factor times a byte of `word`, exactly rounded: the byte becomes the end of 2^23.
__device__ float times_byte(float factor, std::uint32_t word, int number) {
  constexpr float kBig = 8388608;
  return fmaf(factor, __uint_as_float(__byte_perm(word, 0x4b000000u, 0x7540 | number)), -factor * kBig);
}

// `number`: of the run in the line, known while compiling.
template <DType type>
__device__ void read_run(Run& run, Bytes line, const std::uint32_t (&words)[Span<type>::kPieces], const Takes& takes, const Scales& scales,
                         int number, int t) {
  if constexpr (type == DType::kQ4_K) {
    const int begin = 16 + number / 2 * 32;
    const std::uint32_t mask = number % 2 == 0 ? 0x0f0f0f0fu : 0xf0f0f0f0u;
    run.low = word_at<type>(words, begin, number, takes) & mask;
    run.high = word_at<type>(words, begin + 16, number, takes) & mask;
    run.d = times_byte(number % 2 == 0 ? scales.d : scales.d / 16, scales.scales[number / 4], number % 4);
    run.m = times_byte(scales.minimum, scales.minima[number / 4], number % 4);
  } else if constexpr (type == DType::kQ6_K) {  // 6 bits less 32, in the upper part of signed bytes
    const int half = number / 4, part = number % 4;
    const std::uint32_t scale = (half == 0 ? scales.scales : scales.minima)[part / 2] >> (part % 2 * 16);
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
  } else {
    const Bytes block = line + number * kBlockBytes<type>;
    const int begin = number * kBlockBytes<type> + 2;
    run.d = half_at(block);
    run.m = 0;
    if constexpr (type == DType::kQ8_0) {
      run.low = word_at<type>(words, begin, number, takes);
      run.high = word_at<type>(words, begin + 16, number, takes);
    } else {  // nibbles less 8, in the upper half of signed bytes
      const std::uint32_t nibbles = word_at<type>(words, begin, number, takes);
      run.low = (nibbles << 4 & 0xf0f0f0f0u) ^ 0x80808080u;
      run.high = (nibbles & 0xf0f0f0f0u) ^ 0x80808080u;
    }
  }
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
__device__ void multiply_half(std::uint32_t (&sum)[4], std::uint32_t left, std::uint32_t left_8, std::uint32_t right) {
  const std::uint32_t zero = __float_as_uint(kZero);
  asm("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%7, %7, %7, %7};\n"
      : "=r"(sum[0]), "=r"(sum[1]), "=r"(sum[2]), "=r"(sum[3])
      : "r"(left), "r"(left_8), "r"(right), "r"(zero));
}

// --- x ---

// Where a block's x and sums lie in shared memory.
struct Layout {
  int columns, padded;           // of x; as lanes hold them
  uint4* lines;                  // (pairs of runs, columns, 4): bytes in the order in which lanes hold weights
  float *scales, *sums_of_runs;  // (spans, padded): of a column; (runs, padded): its bytes' sums, where there are minima
  float *squares, *sums;         // (rows, warps) of what the norm wants; kTurns of (subs, warps, outputs, columns)
  int of_turn;                   // the next tiles' sums may be begun
  std::uint8_t* stages;
};

template <DType type>
__host__ __device__ Layout layout_of(const FewRowsJob& job, uint4* shared) {
  Layout at{.columns = job.rows * kDigits};
  at.padded = (at.columns + 7) / 8 * 8;
  const int spans = job.width / kSpanInputs, subs = job.then == FewRows::Then::kSwiglu ? 2 : 1;
  at.of_turn = subs * kFewWarps * kTileOutputs * at.columns;
  at.lines = shared;
  at.scales = reinterpret_cast<float*>(at.lines + spans * (kRuns / 2) * at.columns * 4);
  at.sums_of_runs = at.scales + spans * at.padded;
  at.squares = at.sums_of_runs + (Span<type>::kMinimum ? spans * kRuns * at.padded : 0);
  at.sums = at.squares + kFewRows * kFewWarps;
  at.stages = reinterpret_cast<std::uint8_t*>(at.sums + kTurns * at.of_turn);
  return at;
}

// Four times three signed bytes, whose sum is the whole number with 2^16, 2^8 and 1 before them: a word of each.
__device__ void digits_of(std::uint32_t (&to)[kDigits], const std::uint32_t (&numbers)[4]) {
  std::uint32_t lifted[4];  // bytes from 0 on, each 128 too large
#pragma unroll
  for (int i = 0; i < 4; ++i) lifted[i] = numbers[i] + 0x808080u;
  const std::uint32_t first = __byte_perm(lifted[0], lifted[1], 0x5140), second = __byte_perm(lifted[2], lifted[3], 0x5140);
  to[2] = __byte_perm(first, second, 0x5410) ^ 0x80808080u;
  to[1] = __byte_perm(first, second, 0x7632) ^ 0x80808080u;
  to[0] = __byte_perm(__byte_perm(lifted[0], lifted[1], 0x0062), __byte_perm(lifted[2], lifted[3], 0x0062), 0x5410) ^ 0x80808080u;
}

// This warp's spans of x.
template <DType type>
__device__ void stage(const Layout& at, const FewRowsJob& job) {
  using S = Span<type>;
  constexpr int kExponent = 23, kBits = 22, kBatch = 4;  // kBatch: spans on their way together
  const int lane = threadIdx.x % 32, warp = static_cast<int>(threadIdx.x) / 32, spans = job.width / kSpanInputs;
  for (int m = 0; m < job.rows; ++m) {
    float square = 0;
    for (int first = warp; first < spans; first += kBatch * kFewWarps) {
      float batch[kBatch][8], weights[kBatch][8];
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const int input = (first + b * kFewWarps) * kSpanInputs + lane * 8;
        if (input >= job.width) break;
        const std::int64_t from = std::int64_t{m} * job.width + input;
        if (job.x_bf16)
          load(batch[b], static_cast<const Bf16*>(job.x) + from);
        else
          load(batch[b], static_cast<const float*>(job.x) + from);
        if (job.norm) load(weights[b], job.norm + input);
      }
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const int span = first + b * kFewWarps;
        if (span >= spans) break;
        float(&values)[8] = batch[b];
        if (job.norm) {
#pragma unroll
          for (int k = 0; k < 8; ++k) {
            square += values[k] * values[k];
            values[k] *= weights[b][k];
          }
        }
        std::uint32_t largest = 0;  // of numbers without sign the order is their bits'; what is no number is above all
#pragma unroll
        for (int k = 0; k < 8; ++k) largest = max(largest, __float_as_uint(values[k]) & 0x7fffffffu);
        largest = __reduce_max_sync(~0u, largest);
        // From 2^(kBits - 1) to below 2^kBits.
        const int exponent = max(static_cast<int>(largest >> kExponent), 40);
        const float up = __uint_as_float(static_cast<std::uint32_t>(254 + kBits - 1 - exponent) << kExponent);
        std::uint32_t digits[2][kDigits];
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          std::uint32_t numbers[4];
#pragma unroll
          for (int k = 0; k < 4; ++k) numbers[k] = static_cast<std::uint32_t>(__float2int_rn(values[4 * h + k] * up));
          digits_of(digits[h], numbers);
        }
        const int run = span * kRuns + lane / 4, quarter = lane % 4;
        auto* const halves = reinterpret_cast<std::uint16_t*>(at.lines);
        const Place place = place_of_run<type>(run % kRuns);
#pragma unroll
        for (int i = 0; i < kDigits; ++i) {
          const int column = m * kDigits + i;
#pragma unroll
          for (int k = 0; k < 4; ++k) {  // pairs of inputs
            const int pair = quarter % 2 * 4 + k, shifted = pair + (place.is_half ? 1 : 0), of_lane = (place.first + shifted / 2) % 4;
            const int half = place.is_half && (pair == 0 || pair == 7) ? pair / 7 : shifted % 2;
            const int word = ((run / 2 * at.columns + column) * 4 + of_lane) * 4 + run % 2 * 2 + quarter / 2;
            halves[word * 2 + half] = static_cast<std::uint16_t>(digits[k / 2][i] >> (k % 2 * 16));
          }
          if constexpr (S::kMinimum) {
            int sum = __dp4a(static_cast<int>(digits[0][i]), 0x01010101, __dp4a(static_cast<int>(digits[1][i]), 0x01010101, 0));
            sum += __shfl_xor_sync(~0u, sum, 1);
            sum += __shfl_xor_sync(~0u, sum, 2);
            if (quarter == 0) at.sums_of_runs[run * at.padded + column] = static_cast<float>(sum);
          }
        }
        if (lane < kDigits) {
          const int down = exponent - (kBits - 1) + 8 * (kDigits - 1 - lane) - S::kUnit;
          at.scales[span * at.padded + m * kDigits + lane] =
              exponent == 255 ? __uint_as_float(0x7fffffffu) : __uint_as_float(static_cast<std::uint32_t>(down) << kExponent);
        }
      }
    }
    if (!job.norm) continue;
    for (int step = 16; step > 0; step /= 2) square += __shfl_xor_sync(~0u, square, step);
    if (lane == 0) at.squares[m * kFewWarps + warp] = square;
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

// One of the block's barriers beside __syncthreads': all arrive, one warp waits.
template <int kBarrier>
__device__ void arrive_or_wait(bool is_waiting) {
  if (is_waiting)
    asm volatile("bar.sync %0, %1;\n" ::"n"(kBarrier), "n"(kFewThreads) : "memory");
  else
    asm volatile("bar.arrive %0, %1;\n" ::"n"(kBarrier), "n"(kFewThreads) : "memory");
}

__device__ void copy_piece(void* to, const void* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\n" ::"r"(shared_address(to)), "l"(from) : "memory");
}

// The warps' sums to where they belong; one warp's work.
__device__ void finish(const FewRowsJob& job, int number, const Layout& at, const float* sums) {
  const bool gated = job.then == FewRows::Then::kSwiglu;
  for (int i = threadIdx.x % 32; i < kTileOutputs * job.rows; i += 32) {
    const int line = i % kTileOutputs, m = i / kTileOutputs;
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
      for (int w = 0; w < kFewWarps; ++w)
#pragma unroll
        for (int k = 0; k < kDigits; ++k) value[sub] += sums[((sub * kFewWarps + w) * kTileOutputs + line) * at.columns + m * kDigits + k];
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
__global__ void __launch_bounds__(kFewThreads, kGroups == 3 ? 1 : 2) tile_kernel(const __grid_constant__ FewRowsJob job, int stages) {
  using S = Span<type>;
  extern __shared__ uint4 shared[];
  const int lane = threadIdx.x % 32, warp = static_cast<int>(threadIdx.x) / 32, g = lane / 4, t = lane % 4;
  const int spans = job.width / kSpanInputs, row_size = spans * S::kBytes, subs = job.then == FewRows::Then::kSwiglu ? 2 : 1;
  const Layout at = layout_of<type>(job, shared);
  std::uint8_t* const ring = at.stages + warp * stages * S::kTile;  // of this warp, which takes spans warp, warp + kFewWarps, ...

  // The pipeline runs ahead of the work by stages - 1 spans, over the ends of tiles.
  int ahead = warp < spans ? static_cast<int>(blockIdx.x) : job.units, ahead_sub = 0, ahead_span = warp, ahead_stage = 0;
  const std::byte* ahead_row[2] = {};
  const auto begin_tile = [&] {
    if (ahead >= job.units) return;
    const Tile tile = tile_of(job, ahead, ahead_sub);
    const FewRowsPart& part = job.parts[tile.part];
#pragma unroll
    for (int r = 0; r < 2; ++r)  // past the end it is the last row again
      ahead_row[r] = part.weight + std::int64_t{min(tile.first + g + 8 * r, part.outputs - 1)} * row_size + 16 * t;
  };
  begin_tile();
  const auto fetch = [&] {
    if (ahead < job.units) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const std::byte* const begin = ahead_row[r] + (ahead_span * S::kBytes & ~15);
        std::uint8_t* const to = ring + ahead_stage * S::kTile + (g + 8 * r) * S::kLine + 16 * t;
#pragma unroll
        for (int k = 0; k < (S::kPieces + 3) / 4; ++k)
          if ((4 * k + 3 < S::kPieces || t + 4 * k < S::kPieces) &&
              (!S::kSkewed || (ahead_span * S::kBytes & ~15) + 16 * (t + 4 * k) < row_size))
            copy_piece(to + 64 * k, begin + 64 * k);
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
    ahead_stage = ahead_stage + 1 == stages ? 0 : ahead_stage + 1;
    end_copies();
  };
  for (int i = 0; i + 1 < stages; ++i) fetch();  // before x is waited for
  let_next_begin();
  wait_for_previous();
  stage<type>(at, job);

  const Takes takes = takes_of(t);
  int stage_now = 0, turn = 0;
  for (int number = static_cast<int>(blockIdx.x); number < job.units; number += static_cast<int>(gridDim.x), ++turn) {
    float* const sums_now = at.sums + turn % kTurns * at.of_turn;
    for (int sub = 0; sub < subs; ++sub) {
      float sum[kGroups][4] = {};
      for (int span = warp; span < spans; span += kFewWarps) {
        switch (stages) {
          case 2:
            wait_for_copies<0>();
            break;
          case 3:
            wait_for_copies<1>();
            break;
          default:
            wait_for_copies<kMostStages - 2>();
        }
        __syncwarp();
        fetch();  // into the stage that all lanes have left
        [[maybe_unused]] Words<type> words;
        if constexpr (!S::kSkewed) load_words<type>(words, ring + stage_now * S::kTile, lane);
        const Bytes first_line = ring + stage_now * S::kTile + g * S::kLine + (S::kSkewed ? span * S::kBytes & 15 : 0);
        const Bytes line[2] = {first_line, first_line + 8 * S::kLine};
        Scales scales[2] = {};
        if constexpr (kBlockWeights<type> == kSpanInputs) {
          scales[0] = scales_of<type>(line[0]);
          scales[1] = scales_of<type>(line[1]);
        }
        float of_span[kGroups][4] = {};
#pragma unroll
        for (int pair = 0; pair < kRuns / 2; ++pair) {
          Run run[2][2];  // of the pair, of the rows
#pragma unroll
          for (int i = 0; i < 4; ++i)
            read_run<type>(run[i / 2][i % 2], line[i % 2], words[i % 2], takes, scales[i % 2], 2 * pair + i / 2, t);
#pragma unroll
          for (int j = 0; j < kGroups; ++j) {
            const int column = min(8 * j + g, at.columns - 1);  // those behind the last are not looked at
            const uint4 x = at.lines[((span * (kRuns / 2) + pair) * at.columns + column) * 4 + t];
#pragma unroll
            for (int half = 0; half < 2; ++half) {
              const std::uint32_t x_low = half == 0 ? x.x : x.z, x_high = half == 0 ? x.y : x.w;
              std::uint32_t dot[4];
              if constexpr (S::kHalves) {
                std::uint32_t high[4];
                multiply_half(dot, run[half][0].low, run[half][1].low, x_low);
                multiply_half(high, run[half][0].high, run[half][1].high, x_high);
#pragma unroll
                for (int i = 0; i < 4; ++i)
                  of_span[j][i] +=
                      run[half][i / 2].d * (__uint_as_float(dot[i]) - kZero) + run[half][i / 2].d_high * (__uint_as_float(high[i]) - kZero);
                continue;
              }
              multiply<type != DType::kQ4_K>(dot, run[half], x_low, x_high);
              [[maybe_unused]] float2 of_x{};
              if constexpr (S::kMinimum)
                of_x = *reinterpret_cast<const float2*>(at.sums_of_runs + (span * kRuns + 2 * pair + half) * at.padded + 8 * j + 2 * t);
#pragma unroll
              for (int i = 0; i < 4; ++i) {
                of_span[j][i] += run[half][i / 2].d * (__uint_as_float(dot[i]) - kZero);
                if constexpr (S::kMinimum) of_span[j][i] -= run[half][i / 2].m * (i % 2 == 0 ? of_x.x : of_x.y);
              }
            }
          }
        }
#pragma unroll
        for (int j = 0; j < kGroups; ++j) {
          const float2 scale = *reinterpret_cast<const float2*>(at.scales + span * at.padded + 8 * j + 2 * t);
#pragma unroll
          for (int i = 0; i < 4; ++i) sum[j][i] += of_span[j][i] * (i % 2 == 0 ? scale.x : scale.y);
        }
        stage_now = stage_now + 1 == stages ? 0 : stage_now + 1;
      }
#pragma unroll
      for (int j = 0; j < kGroups; ++j)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int column = 8 * j + 2 * t + i % 2, line = g + i / 2 * 8;
          if (column < at.columns) sums_now[((sub * kFewWarps + warp) * kTileOutputs + line) * at.columns + column] = sum[j][i];
        }
    }
    // One warp waits for all and finishes the tile. The others go on, but all wait at every third: whoever writes over sums has met, since
    // then, the warp that finished them.
    const bool is_mine = warp == turn % kFewWarps;
    switch (turn % 3) {
      case 0:
        arrive_or_wait<1>(is_mine);
        break;
      case 1:
        arrive_or_wait<2>(is_mine);
        break;
      default:
        __syncthreads();
    }
    if (is_mine) finish(job, number, at, sums_now);
  }
}

template <DType type>
int bytes_for(const FewRowsJob& job, int stages) {
  DESKHAND_ASSERT(elements_of(type) == block_elements(type) && bytes_of(type) == block_bytes(type), "sizes of this type's blocks");
  const Layout at = layout_of<type>(job, nullptr);
  return static_cast<int>(reinterpret_cast<std::uintptr_t>(at.stages)) + kFewWarps * stages * Span<type>::kTile;
}

// Calls work with the type as a constant.
template <class Work>
void with_tiles(DType type, const Work& work) {
  DESKHAND_ASSERT(type == DType::kQ4_0 || type == DType::kQ8_0 || type == DType::kQ4_K || type == DType::kQ6_K, "a type of tiles");
  if (type == DType::kQ6_K)
    work(std::integral_constant<DType, DType::kQ6_K>());
  else if (type == DType::kQ4_0)
    work(std::integral_constant<DType, DType::kQ4_0>());
  else if (type == DType::kQ8_0)
    work(std::integral_constant<DType, DType::kQ8_0>());
  else
    work(std::integral_constant<DType, DType::kQ4_K>());
}

}  // namespace

bool are_tiles(DType type, std::int64_t width) {
  // Rows begin at multiples of 16 bytes.
  if (type == DType::kQ6_K) return width % (8 * kSpanInputs) == 0;
  return (type == DType::kQ4_0 || type == DType::kQ8_0 || type == DType::kQ4_K) && width % kSpanInputs == 0;
}

int tile_rows(DType type, const FewRowsJob& job, int most_bytes) {
  FewRowsJob some = job;
  some.rows = std::min(job.rows, kFewRows);
  with_tiles(type, [&](auto known) {
    while (some.rows > 0 && bytes_for<decltype(known)::value>(some, 2) > most_bytes) --some.rows;
  });
  return some.rows;
}

namespace {

// Blocks of a processor and how far each reads ahead: 4 bits want many warps, 8 bits many bytes.
struct Shares {
  int together, stages, bytes;
};
template <DType type>
Shares shares_of(const FewRowsJob& job, int most_bytes) {
  for (int together = type == DType::kQ8_0 ? 1 : 2; together > 0; --together)
    for (int stages = kMostStages; stages > 1; --stages)
      if (const int bytes = bytes_for<type>(job, stages); bytes <= std::min(most_bytes, kSharedBytes / together))
        return {together, stages, bytes};
  DESKHAND_ASSERT(false, "tile_rows has asked for shared memory");
  return {};
}

}  // namespace

void start_tiles(const Backend& on, DType type, const FewRowsJob& job, int most_bytes) {
  with_tiles(type, [&](auto known) {
    constexpr DType kType = decltype(known)::value;
    const int columns = job.rows * kDigits;
    const Shares shares = shares_of<kType>(job, most_bytes);
    auto* const kernel = columns > 16 ? &tile_kernel<kType, 3> : columns > 8 ? &tile_kernel<kType, 2> : &tile_kernel<kType, 1>;
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shares.bytes));
    const int blocks = std::min(job.units, few_rows_attribute(on, cudaDevAttrMultiProcessorCount) * shares.together);
    start_overlapping(on, kernel, static_cast<unsigned>(blocks), kFewThreads, static_cast<std::size_t>(shares.bytes), job, shares.stages);
  });
}

}  // namespace deskhand::cuda
