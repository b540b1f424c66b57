// A warp makes two outputs at a time: its lanes hold runs of both rows of weights, widened in registers and multiplied with x in f32, which
// lies in shared memory in the order of the lanes. Weights come to shared memory in the background, 16 bytes at a time: of plain types runs
// of 16 bytes a lane, of quantised types, whose blocks have odd sizes, runs of 1024 weights. One launch for all products of one x. Sums in
// f32, always in the same order. What lies in tiles and q6_k go another way (few_rows_tiles.cu).
#include <cuda_fp16.h>

#include <algorithm>
#include <array>

#include "deskhand/ops/cuda/few_rows.cuh"
#include "deskhand/ops/cuda/overlap.cuh"
#include "deskhand/ops/cuda/tiles.cuh"
#include "deskhand/ops/cuda/weights_of.cuh"

namespace deskhand::cuda {

namespace {

constexpr int kWarps = kFewWarps, kThreads = kFewThreads, kMostParts = kFewParts, kMostRows = kFewRows;

using Part = FewRowsPart;  // its units: pairs of outputs
using Job = FewRowsJob;

// Two outputs of one part, or with kSwiglu one of gate and the same of up. `second` may be past the end: then it is the first again.
struct Unit {
  int part, first, second, second_part;
};

__device__ Unit unit_of(const Job& job, int number) {
  if (job.then == FewRows::Then::kSwiglu) return {0, number, number, 1};
  int part = 0;
  while (number >= job.parts[part].units) number -= job.parts[part++].units;
  return {part, 2 * number, min(2 * number + 1, job.parts[part].outputs - 1), part};
}

// Asks L2 for the norm's weights.
__device__ void prefetch_norm(const Job& job) {
  constexpr int kLine = 32;  // floats of 128 bytes
  for (int i = static_cast<int>(threadIdx.x); i < job.width / kLine; i += kThreads) prefetch(job.norm + i * kLine);
}

// x in shared memory: the lane that has kEach weights in a row finds the x of them in float4s, 32 lanes side by side. Zeros behind the
// width. Returns the norm's factors. `behind` is called once, when the first of x are asked for.
template <int kRows, int kEach, class X, class Behind>
__device__ void stage(float4* to, float (&factor)[kRows], const Job& job, const X* x, int runs, const Behind& behind) {
  const int groups = runs * 8 * kEach;  // of four
  if (static_cast<int>(threadIdx.x) >= groups) behind();
#pragma unroll
  for (int m = 0; m < kRows; ++m) {
    const std::int64_t from = std::int64_t{min(m, job.rows - 1)} * job.width;
    float squares = 0;
    constexpr int kBatch = 5;  // on their way together
    for (int first = threadIdx.x; first < groups; first += kBatch * kThreads) {
      Elements<X, 4> values[kBatch];  // not widened before all are asked for
      float4 weights[kBatch];
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int column = min(4 * (first + i * kThreads), job.width - 4);
        values[i] = *reinterpret_cast<const Elements<X, 4>*>(x + from + column);
        if (job.norm) weights[i] = *reinterpret_cast<const float4*>(job.norm + column);
      }
      if (m == 0 && first == static_cast<int>(threadIdx.x)) behind();
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int g = first + i * kThreads;
        if (g >= groups) break;
        float4 value{widened(values[i].values[0]), widened(values[i].values[1]), widened(values[i].values[2]),
                     widened(values[i].values[3])};
        if (4 * g >= job.width) value = {0, 0, 0, 0};
        if (job.norm) {
          squares += value.x * value.x + value.y * value.y + value.z * value.z + value.w * value.w;
          value = {value.x * weights[i].x, value.y * weights[i].y, value.z * weights[i].z, value.w * weights[i].w};
        }
        const int run = g / (8 * kEach), in_run = g % (8 * kEach), lane = in_run / (kEach / 4), j = in_run % (kEach / 4);
        to[(m * runs + run) * 8 * kEach + j * 32 + lane] = value;
      }
    }
    factor[m] = job.norm ? 1 / sqrtf(of_block(squares) / static_cast<float>(job.width) + job.epsilon) : 1;
  }
  __syncthreads();
}

// The warp's sums to where they belong.
template <int kRows>
__device__ void finish(const Job& job, const Unit& unit, const float (&factor)[kRows], float (&sum)[2][kRows]) {
#pragma unroll
  for (int r = 0; r < 2; ++r)
#pragma unroll
    for (int m = 0; m < kRows; ++m)
      for (int step = 16; step > 0; step /= 2) sum[r][m] += __shfl_xor_sync(~0u, sum[r][m], step);
  if (threadIdx.x % 32 != 0) return;
  const Part &first = job.parts[unit.part], &second = job.parts[unit.second_part];
#pragma unroll
  for (int m = 0; m < kRows; ++m) {
    if (m >= job.rows) break;
    float a = sum[0][m] * factor[m], b = sum[1][m] * factor[m];
    if (first.bias) a += first.bias[unit.first];
    if (second.bias) b += second.bias[unit.second];
    if (job.then == FewRows::Then::kSwiglu) {
      put(job, first, m, unit.first, a / (1 + __expf(-a)) * b);
    } else {
      put(job, first, m, unit.first, a);
      if (unit.second != unit.first) put(job, second, m, unit.second, b);
    }
  }
}

// --- plain types ---

template <class W>
__device__ void widen_16_bytes(float (&to)[16 / sizeof(W)], const uint4& bits) {
  const std::uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if constexpr (std::is_same_v<W, float>) {
      to[i] = __uint_as_float(words[i]);
    } else if constexpr (std::is_same_v<W, Bf16>) {
      to[2 * i] = __uint_as_float(words[i] << 16);
      to[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
    } else {
      const float2 two = __half22float2(reinterpret_cast<const __half2&>(words[i]));
      to[2 * i] = two.x;
      to[2 * i + 1] = two.y;
    }
  }
}

constexpr int kOpen = 6;                  // runs of 32 lanes that are on their way or read
constexpr int kBefore = 3;                // of them asked for before x: memory answers in turn, and x is what all else waits for
constexpr int kStageBytes = 2 * 32 * 16;  // of two rows

template <class W, int kRows>
__global__ void __launch_bounds__(kThreads, kRows == 1 ? 3 : 2) plain_kernel(const __grid_constant__ Job job) {
  constexpr int kEach = 16 / sizeof(W);
  extern __shared__ float4 shared[];
  const int lane = threadIdx.x % 32, warp = static_cast<int>(threadIdx.x) / 32, warps = static_cast<int>(gridDim.x) * kWarps;
  const int first = static_cast<int>(blockIdx.x) * kWarps + warp;
  const int packs = job.width / kEach, runs = (packs + 31) / 32;
  uint4* const ring =
      reinterpret_cast<uint4*>(shared + kRows * runs * 8 * kEach) + warp * kOpen * 64 + lane;  // a lane reads what it fetched

  const auto row_of = [&](const Unit& unit, int r) {
    return reinterpret_cast<const uint4*>(job.parts[r ? unit.second_part : unit.part].weight) +
           std::int64_t{r ? unit.second : unit.first} * packs;
  };
  // The pipeline runs ahead of the work by kOpen - 1 runs, over the ends of rows.
  int ahead = first, ahead_run = 0, ahead_stage = 0;
  const uint4* ahead_row[2] = {};
  const auto begin = [&] {
    if (ahead >= job.units) return;
    const Unit unit = unit_of(job, ahead);
    ahead_row[0] = row_of(unit, 0) + lane;
    ahead_row[1] = row_of(unit, 1) + lane;
  };
  begin();
  const std::uint64_t policy = read_once();
  const auto fetch = [&] {
    if (ahead < job.units) {
      const bool is_there = ahead_run * 32 + lane < packs;
#pragma unroll
      for (int r = 0; r < 2; ++r)
        copy_weights(shared_address(ring + ahead_stage * 64 + r * 32), is_there ? ahead_row[r] + ahead_run * 32 : ahead_row[r] - lane,
                     is_there ? 16 : 0, policy);
      if (++ahead_run == runs) {
        ahead_run = 0;
        ahead += warps;
        begin();
      }
    }
    ahead_stage = ahead_stage + 1 == kOpen ? 0 : ahead_stage + 1;
    asm volatile("cp.async.commit_group;\n" ::: "memory");
  };
  for (int i = 0; i < kBefore; ++i) fetch();
  let_next_begin();
  if (job.norm) prefetch_norm(job);
  wait_for_previous();
  float factor[kRows];
  const auto rest = [&] {
    for (int i = kBefore; i + 1 < kOpen; ++i) fetch();
  };
  if (job.x_bf16)
    stage<kRows, kEach>(shared, factor, job, static_cast<const Bf16*>(job.x), runs, rest);
  else
    stage<kRows, kEach>(shared, factor, job, static_cast<const float*>(job.x), runs, rest);
  int stage_now = 0;
  for (int number = first; number < job.units; number += warps) {
    float sum[2][kRows] = {};
    for (int run = 0; run < runs; ++run) {
      asm volatile("cp.async.wait_group %0;\n" ::"n"(kOpen - 2) : "memory");
      float weight[2][kEach];
      widen_16_bytes<W>(weight[0], ring[stage_now * 64]);
      widen_16_bytes<W>(weight[1], ring[stage_now * 64 + 32]);
      fetch();  // into the stage that was read before
      stage_now = stage_now + 1 == kOpen ? 0 : stage_now + 1;
#pragma unroll
      for (int m = 0; m < kRows; ++m)
#pragma unroll
        for (int j = 0; j < kEach / 4; ++j) {
          const float4 x = shared[(m * runs + run) * 8 * kEach + j * 32 + lane];
#pragma unroll
          for (int r = 0; r < 2; ++r)
            sum[r][m] += weight[r][4 * j] * x.x + weight[r][4 * j + 1] * x.y + weight[r][4 * j + 2] * x.z + weight[r][4 * j + 3] * x.w;
        }
    }
    finish<kRows>(job, unit_of(job, number), factor, sum);
  }
}

// --- blocks: layouts in ops/reference/dequantize.cpp ---

// kCount words from an even address of shared memory.
template <int kCount>
__device__ void read_words(std::uint32_t (&to)[kCount], Bytes from) {
  const auto odd = static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(from) & 3), shift = odd * 8;
  const auto* const words = reinterpret_cast<const std::uint32_t*>(from - odd);
  std::uint32_t low = words[0];
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const std::uint32_t high = shift == 0 && i + 1 == kCount ? 0 : words[i + 1];
    to[i] = __funnelshift_r(low, high, shift);
    low = high;
  }
}

__device__ float half_at(Bytes at) {
  return __half2float(*reinterpret_cast<const __half*>(at));
}

// A run of 32 weights: bytes u, four a word, and for each half w = d u - m.
struct Run {
  std::uint32_t u[8];
  float d[2], m[2];
};

// Bits 0..3 to the bytes' fifth bits.
__device__ std::uint32_t fifth_bits(std::uint32_t four) {
  return ((four & 15) * 0x00204081u & 0x01010101u) << 4;
}

template <DType type>
__device__ void read_run(Run& run, Bytes block, int number) {
  constexpr std::uint32_t kLow = 0x0f0f0f0fu;
  if constexpr (type == DType::kQ8_0) {
    read_words(run.u, block + 2);
#pragma unroll
    for (std::uint32_t& word : run.u) word ^= 0x80808080u;  // q + 128
    run.d[0] = run.d[1] = half_at(block);
    run.m[0] = run.m[1] = 0;
  } else if constexpr (type == DType::kQ4_0 || type == DType::kQ4_1 || type == DType::kQ5_0 || type == DType::kQ5_1) {
    constexpr bool kMinimum = type == DType::kQ4_1 || type == DType::kQ5_1, kFifth = type == DType::kQ5_0 || type == DType::kQ5_1;
    constexpr int kHead = kMinimum ? 4 : 2;
    std::uint32_t nibbles[4];
    read_words(nibbles, block + kHead + (kFifth ? 4 : 0));
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      run.u[i] = nibbles[i] & kLow;
      run.u[i + 4] = nibbles[i] >> 4 & kLow;
    }
    if constexpr (kFifth) {
      std::uint32_t fifth[1];
      read_words(fifth, block + kHead);
#pragma unroll
      for (int i = 0; i < 8; ++i) run.u[i] |= fifth_bits(fifth[0] >> (4 * i));
    }
    const float d = half_at(block);
    run.d[0] = run.d[1] = d;
    run.m[0] = run.m[1] = kMinimum ? -half_at(block + 2) : d * (kFifth ? 16 : 8);
  } else if constexpr (type == DType::kQ4_K || type == DType::kQ5_K) {
    const Bytes packed = block + 4;
    int scale = 0, minimum = 0;
    if (number < 4) {
      scale = packed[number] & 63;
      minimum = packed[number + 4] & 63;
    } else {
      scale = (packed[number + 4] & 15) | (packed[number - 4] >> 6) << 4;
      minimum = (packed[number + 4] >> 4) | (packed[number] >> 6) << 4;
    }
    read_words(run.u, block + (type == DType::kQ5_K ? 48 : 16) + number / 2 * 32);
    const int shift = number % 2 * 4;
#pragma unroll
    for (std::uint32_t& word : run.u) word = word >> shift & kLow;
    if constexpr (type == DType::kQ5_K) {
      std::uint32_t fifth[8];
      read_words(fifth, block + 16);
#pragma unroll
      for (int i = 0; i < 8; ++i) run.u[i] |= (fifth[i] >> number & 0x01010101u) << 4;
    }
    run.d[0] = run.d[1] = half_at(block) * static_cast<float>(scale);
    run.m[0] = run.m[1] = half_at(block + 2) * static_cast<float>(minimum);
  } else {
    static_assert(type == DType::kQ6_K);
    const int half = number / 4, part = number % 4;
    std::uint32_t high[8];
    read_words(run.u, block + half * 64 + part % 2 * 32);
    read_words(high, block + 128 + half * 32);
#pragma unroll
    for (int i = 0; i < 8; ++i) run.u[i] = (run.u[i] >> (part / 2 * 4) & kLow) | (high[i] >> (part * 2) & 0x03030303u) << 4;
    const float d = half_at(block + 208);
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      run.d[h] = d * static_cast<float>(reinterpret_cast<const std::int8_t*>(block)[192 + number * 2 + h]);
      run.m[h] = run.d[h] * 32;
    }
  }
}

// Four bytes as floats: below 128 as 128 + u, which the exponent of 128 makes of a byte for nothing; q8_0's exactly.
template <DType type>
__device__ void widen_bytes(float (&to)[4], std::uint32_t word) {
  if constexpr (type == DType::kQ8_0) {
    constexpr float kOff = 8388608.0f + 128.0f;  // 2^23
    to[0] = __uint_as_float(__byte_perm(word, 0x4b000000u, 0x7650)) - kOff;
    to[1] = __uint_as_float(__byte_perm(word, 0x4b000000u, 0x7651)) - kOff;
    to[2] = __uint_as_float(__byte_perm(word, 0x4b000000u, 0x7652)) - kOff;
    to[3] = __uint_as_float(__byte_perm(word, 0x4b000000u, 0x7653)) - kOff;
  } else {
    to[0] = __uint_as_float(__byte_perm(word, 0x00000043u, 0x4055 | 0 << 8));
    to[1] = __uint_as_float(__byte_perm(word, 0x00000043u, 0x4055 | 1 << 8));
    to[2] = __uint_as_float(__byte_perm(word, 0x00000043u, 0x4055 | 2 << 8));
    to[3] = __uint_as_float(__byte_perm(word, 0x00000043u, 0x4055 | 3 << 8));
  }
}

constexpr int kRun = 32, kSpan = 32 * kRun;  // weights of a lane, and of a warp at a time
constexpr int kStages = 4;

template <DType type>
constexpr int kSpanBytes = kSpan / kBlockWeights<type>* kBlockBytes<type>;
template <DType type>
constexpr int kLineBytes = (kSpanBytes<type> + 15 + 16) / 16 * 16;  // it may begin in the middle of 16 bytes; and a word more is read

template <DType type, int kRows>
__global__ void __launch_bounds__(kThreads, 2) block_kernel(Job job) {
  constexpr int kElements = kBlockWeights<type>, kBlock = kBlockBytes<type>;
  constexpr float kOff = type == DType::kQ8_0 ? 0 : 128;
  extern __shared__ float4 shared[];
  const int lane = threadIdx.x % 32, warp = static_cast<int>(threadIdx.x) / 32, warps = static_cast<int>(gridDim.x) * kWarps;
  const int first = static_cast<int>(blockIdx.x) * kWarps + warp;
  const int spans = (job.width + kSpan - 1) / kSpan, row_size = job.width / kElements * kBlock;
  float* const x_sums = reinterpret_cast<float*>(shared + kRows * spans * (kSpan / 4));  // (kRows, spans, 2 halves, 32)
  std::uint8_t* const lines = reinterpret_cast<std::uint8_t*>(x_sums + kRows * spans * 64) + warp * kStages * 2 * kLineBytes<type>;
  const auto line_of = [&](int stage, int r) { return lines + (stage * 2 + r) * kLineBytes<type>; };

  const std::uint64_t policy = read_once();
  // The pipeline runs ahead of the work by kStages - 1 spans, over the ends of rows.
  int ahead = first, ahead_span = 0, ahead_stage = 0;
  const auto row_begin = [&](const Unit& unit, int r) {
    return job.parts[r ? unit.second_part : unit.part].weight + std::int64_t{r ? unit.second : unit.first} * row_size;
  };
  Unit ahead_unit{};
  if (ahead < job.units) ahead_unit = unit_of(job, ahead);
  const auto fetch = [&] {
    if (ahead < job.units) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const std::byte* const begin = row_begin(ahead_unit, r) + ahead_span * kSpanBytes<type>;
        const int bytes = min(kSpanBytes<type>, row_size - ahead_span * kSpanBytes<type>);
        const int skew = static_cast<int>(reinterpret_cast<std::uintptr_t>(begin) & 15);
        for (int at = lane * 16; at < skew + bytes; at += 32 * 16)
          copy_weights(shared_address(line_of(ahead_stage, r)) + at, begin - skew + at, min(16, skew + bytes - at), policy);
      }
      if (++ahead_span == spans) {
        ahead_span = 0;
        ahead += warps;
        if (ahead < job.units) ahead_unit = unit_of(job, ahead);
      }
    }
    ahead_stage = (ahead_stage + 1) % kStages;
    asm volatile("cp.async.commit_group;\n" ::: "memory");
  };
#pragma unroll
  for (int i = 0; i + 1 < kStages; ++i) fetch();
  let_next_begin();
  wait_for_previous();
  float factor[kRows];
  if (job.x_bf16)
    stage<kRows, kRun>(shared, factor, job, static_cast<const Bf16*>(job.x), spans, [] {});
  else
    stage<kRows, kRun>(shared, factor, job, static_cast<const float*>(job.x), spans, [] {});
  for (int i = threadIdx.x; i < kRows * spans * 64; i += kThreads) {
    const int of_lane = i % 32, half = i / 32 % 2, of_span = i / 64;
    float sum = 0;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const float4 x = shared[of_span * (kSpan / 4) + (half * 4 + j) * 32 + of_lane];
      sum += x.x + x.y + x.z + x.w;
    }
    x_sums[i] = sum;
  }
  __syncthreads();

  int stage_now = 0;
  for (int number = first; number < job.units; number += warps) {
    float sum[2][kRows] = {};
    const Unit unit = unit_of(job, number);
    for (int span = 0; span < spans; ++span) {
      asm volatile("cp.async.wait_group %0;\n" ::"n"(kStages - 2) : "memory");
      __syncwarp();
      fetch();  // into the stage that all lanes have left
      if (span * kSpan + lane * kRun < job.width) {
        Run run[2];
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const auto begin = reinterpret_cast<std::uintptr_t>(row_begin(unit, r) + span * kSpanBytes<type>);
          read_run<type>(run[r], line_of(stage_now, r) + (begin & 15) + lane * kRun / kElements * kBlock, lane * kRun % kElements / kRun);
        }
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          float dot[2][kRows] = {};
#pragma unroll
          for (int j = half * 4; j < half * 4 + 4; ++j) {
            float u[2][4];
            widen_bytes<type>(u[0], run[0].u[j]);
            widen_bytes<type>(u[1], run[1].u[j]);
#pragma unroll
            for (int m = 0; m < kRows; ++m) {
              const float4 x = shared[(m * spans + span) * (kSpan / 4) + j * 32 + lane];
#pragma unroll
              for (int r = 0; r < 2; ++r) dot[r][m] += u[r][0] * x.x + u[r][1] * x.y + u[r][2] * x.z + u[r][3] * x.w;
            }
          }
#pragma unroll
          for (int m = 0; m < kRows; ++m) {
            const float x_sum = x_sums[((m * spans + span) * 2 + half) * 32 + lane];
#pragma unroll
            for (int r = 0; r < 2; ++r) sum[r][m] += run[r].d[half] * (dot[r][m] - kOff * x_sum) - run[r].m[half] * x_sum;
          }
        }
      }
      stage_now = (stage_now + 1) % kStages;
    }
    finish<kRows>(job, unit, factor, sum);
  }
}

// Shared memory of a block for so many rows of x.
int bytes_for(DType type, int rows, int width) {
  if (!is_quantised(type)) {
    const int each = 16 / static_cast<int>(block_bytes(type)) * 32;
    return rows * ((width + each - 1) / each * each) * 4 + kWarps * kOpen * kStageBytes;
  }
  DESKHAND_ASSERT(elements_of(type) == block_elements(type) && bytes_of(type) == block_bytes(type), "sizes of this type's blocks");
  const int spans = (width + kSpan - 1) / kSpan;
  const auto line = static_cast<int>((kSpan / block_elements(type) * block_bytes(type) + 15 + 16) / 16 * 16);
  return rows * spans * (kSpan + 64) * 4 + kWarps * kStages * 2 * line;
}

template <class Kernel>
void start(const Backend& on, Kernel kernel, const Job& job, int bytes) {
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  const int together = std::clamp(kSharedBytes / std::max(bytes, 1), 1, 4);
  const int blocks = std::min((job.units + kWarps - 1) / kWarps, processors(on) * together);
  start_overlapping(on, kernel, static_cast<unsigned>(blocks), kThreads, static_cast<std::size_t>(bytes), job);
}

template <int kRows>
void start_type(const Backend& on, DType type, const Job& job, int bytes) {
  switch (type) {
    case DType::kF32:
      return start(on, &plain_kernel<float, kRows>, job, bytes);
    case DType::kF16:
      return start(on, &plain_kernel<__half, kRows>, job, bytes);
    case DType::kBF16:
      return start(on, &plain_kernel<Bf16, kRows>, job, bytes);
    default:
      with_one_of<DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K>(
          type, [&](auto known) { start(on, &block_kernel<known(), kRows>, job, bytes); });
  }
}

int most_bytes(const Backend& on) {
  return std::min(kSharedBytes, attribute_of(on, cudaDevAttrMaxSharedMemoryPerBlockOptin));
}

bool are_aligned(const Job& job) {
  return std::all_of(job.parts, job.parts + job.count, [](const Part& part) { return is_aligned(part.weight); });
}

// For as many rows of x at a time as shared memory holds.
void start_products(const Backend& on, DType type, const Job& whole) {
  const int rows = whole.rows, most = most_bytes(on);
  int together = are_tiles(type, whole.width) && are_aligned(whole) ? tile_rows(type, whole, most) : 0;
  const bool tiles = together > 0;
  DESKHAND_ASSERT(tiles || !is_tiled(type), "what lies in tiles is made in tiles");
  if (!tiles) {
    together = rows > 2 ? 4 : rows;
    while (together > 1 && bytes_for(type, together, whole.width) > most) together /= 2;
  }
  const int each = tiles ? kTileOutputs : 2;
  for (int begin = 0; begin < rows; begin += together) {
    Job job = whole;
    job.x = static_cast<const std::byte*>(whole.x) + std::int64_t{begin} * whole.width * (whole.x_bf16 ? 2 : 4);
    job.rows = std::min(together, rows - begin);
    job.units = 0;
    for (int i = 0; i < job.count; ++i) {
      Part& part = job.parts[i];
      if (part.out) part.out = static_cast<std::byte*>(part.out) + std::int64_t{begin} * part.outputs * (whole.out_bf16 ? 2 : 4);
      part.units = (part.outputs + each - 1) / each;
      job.units += part.units;
    }
    if (whole.then == FewRows::Then::kSwiglu) job.units = tiles ? job.parts[0].units : job.parts[0].outputs;
    if (tiles) {
      start_tiles(on, type, job, most);
      continue;
    }
    const int bytes = bytes_for(type, together, job.width);
    if (together == 1)
      start_type<1>(on, type, job, bytes);
    else if (together == 2)
      start_type<2>(on, type, job, bytes);
    else
      start_type<4>(on, type, job, bytes);
  }
}

// Products of one type.
void run_type(const Backend& on, std::span<const LinearPart* const> parts, ConstView x, const FewRows& options) {
  const DType type = parts[0]->weight.type(), out = parts[0]->out.type();
  Job job{.x = x.data(),
          .norm = pointer(options.norm),
          .count = static_cast<int>(parts.size()),
          .width = static_cast<int>(x.shape()[1]),
          .rows = static_cast<int>(x.shape()[0]),
          .epsilon = options.epsilon,
          .then = options.then,
          .x_bf16 = x.type() == DType::kBF16,
          .out_bf16 = out == DType::kBF16};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    DESKHAND_ASSERT(parts[i]->out.empty() || parts[i]->out.type() == out, "activations of one type");
    job.parts[i] = {.weight = parts[i]->weight.data(),
                    .bias = pointer(parts[i]->bias),
                    .out = parts[i]->out.data(),
                    .outputs = static_cast<int>(parts[i]->weight.shape()[0])};
  }
  start_products(on, type, job);
}

}  // namespace

bool are_few_rows(const Backend& on, std::span<const LinearPart> parts, ConstView x) {
  const std::int64_t rows = x.shape()[0], width = x.shape()[1];
  constexpr std::int64_t kWidest = 32768;  // one row of x fits in shared memory
  if (rows == 0 || rows > kMostRows || parts.size() > kMostParts || width > kWidest || width % 4 != 0 || !is_aligned(x.data()))
    return false;
  for (const LinearPart& part : parts) {
    const DType type = part.weight.type();
    if (part.weight.shape()[0] == 0 || part.weight.shape()[0] > 1 << 30) return false;
    if (is_tiled(type)) {
      const Job one{.width = static_cast<int>(width), .rows = 1, .then = FewRows::Then::kSwiglu};
      if (tile_rows(type, one, most_bytes(on)) == 0) return false;
    } else if (is_quantised(type)) {
      if (reinterpret_cast<std::uintptr_t>(part.weight.data()) % 2 != 0) return false;
    } else if (rows > 4 || width * block_bytes(type) % 16 != 0 || !is_aligned(part.weight.data())) {
      return false;  // more rows than one reading serves are cuBLASLt's
    }
  }
  return true;
}

void few_rows(const Backend& on, std::span<const LinearPart> parts, ConstView x, const FewRows& options) {
  require_gpu(on, {x, options.norm});
  for (const LinearPart& part : parts) require_gpu(on, {part.out, part.weight, part.bias});
  std::array<const LinearPart*, kMostParts> alike{};
  std::array<bool, kMostParts> done{};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (done[i]) continue;
    std::size_t count = 0;
    for (std::size_t j = i; j < parts.size(); ++j)
      if (parts[j].weight.type() == parts[i].weight.type()) {
        alike[count++] = &parts[j];
        done[j] = true;
      }
    run_type(on, std::span(alike).first(count), x, options);
  }
}

}  // namespace deskhand::cuda
