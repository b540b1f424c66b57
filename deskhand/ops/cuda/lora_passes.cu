// Forward: the low ranks of an input, and what they add to each out; backward's last pass is the same on the input's gradient.
#include "deskhand/ops/cuda/lora_passes.cuh"

namespace deskhand::cuda {
namespace {

constexpr std::int64_t kUsualHead = 128, kMostHead = 256;  // what most models have, and the widest that is turned here

// The halves a of all pairs one below the other in bf16, zeros below them.
struct Halves {
  const float* a[kMostRanks / 8];  // of eight ranks; null: zeros
};

__global__ void round_halves_kernel(Bf16* to, const __grid_constant__ Halves halves, std::int64_t width) {
  constexpr int kEach = 8;
  const std::int64_t column = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * kEach, row = blockIdx.y;
  if (column >= width) return;
  float values[kEach] = {};
  if (const float* const a = halves.a[row / 8]) load(values, a + row % 8 * width + column);
  store(to + row * width + column, values);
}

struct Lows {
  Bf16* low[kMostRanks / 8];  // of eight ranks; null: nobody's
  int ranks[kMostRanks / 8], first[kMostRanks / 8];
  float scale[kMostRanks / 8];
  Draw draw[kMostRanks / 8];
};

// A block: kTiles tiles of 16 rows, its warps 32 columns of x in turn.
template <int kTiles, int kEights, bool kDrops>
__global__ void __launch_bounds__(kThreads, 1)
    low_kernel(const __grid_constant__ Lows lows, const Bf16* x, const Bf16* a, int rows, std::int64_t width) {
  constexpr int kAll = kTiles * kRows, kRanks = kEights * 8;
  __shared__ float together[kAll][kRanks];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, eight = lane / 4, eighth = lane % 4;
  const std::int64_t first = std::int64_t{blockIdx.x} * kAll;
  float sums[kTiles][kEights][4] = {};
  uint4 next[kTiles][2], next_a[kEights];
  const auto fetch_next = [&](std::int64_t column) {
    if (column >= width) return;
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile)
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        const std::int64_t row = first + tile * kRows + 8 * k + eight;
        next[tile][k] = row < rows ? *reinterpret_cast<const uint4*>(x + row * width + column + eighth * 8) : uint4{};
      }
#pragma unroll
    for (int eights = 0; eights < kEights; ++eights)
      next_a[eights] = *reinterpret_cast<const uint4*>(a + (eights * 8 + eight) * width + column + eighth * 8);
  };
  fetch_next(warp * kHalf);
  for (std::int64_t column = warp * kHalf; column < width; column += kWarps * kHalf) {
    uint4 here[kTiles][2], here_a[kEights];
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile)
#pragma unroll
      for (int k = 0; k < 2; ++k) here[tile][k] = next[tile][k];
#pragma unroll
    for (int eights = 0; eights < kEights; ++eights) here_a[eights] = next_a[eights];
    fetch_next(column + kWarps * kHalf);
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      uint4 in[2] = {here[tile][0], here[tile][1]};
#pragma unroll
      for (int eights = 0; eights < kEights; ++eights) {
        if (kDrops && lows.first[eights] == 0 && lows.low[eights])
#pragma unroll
          for (int k = 0; k < 2; ++k)
            in[k] =
                dropped(here[tile][k], lows.draw[eights], static_cast<int>(first) + tile * kRows + 8 * k + eight, column + eighth * kDraws);
#pragma unroll
        for (int four = 0; four < 2; ++four) {
          const Fragment left = {word(in[0], 2 * four), word(in[1], 2 * four), word(in[0], 2 * four + 1), word(in[1], 2 * four + 1)};
          multiply_add(sums[tile][eights], left, word(here_a[eights], 2 * four), word(here_a[eights], 2 * four + 1));
        }
      }
    }
  }
  for (int w = 0; w < kWarps; ++w) {
    if (w == warp)
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile)
#pragma unroll
        for (int eights = 0; eights < kEights; ++eights)
#pragma unroll
          for (int k = 0; k < 4; ++k) {
            float& to = together[tile * kRows + eight + k / 2 * 8][eights * 8 + 2 * eighth + k % 2];
            to = w == 0 ? sums[tile][eights][k] : to + sums[tile][eights][k];
          }
    __syncthreads();
  }
  for (int i = static_cast<int>(threadIdx.x); i < kAll * kRanks; i += kThreads) {
    const int row = i / kRanks, rank = i % kRanks, eights = rank / 8;
    if (first + row >= rows || !lows.low[eights]) continue;
    lows.low[eights][(first + row) * lows.ranks[eights] + lows.first[eights] + rank % 8] =
        __float2bfloat16_rn(together[row][rank] * lows.scale[eights]);
  }
}

// Turns what a thread has of a row by its angles, those of `first` and on.
template <bool kHalves>
__device__ void turn(float (&values)[2][8], const float* cosines, const float* sines, int first, int eighth) {
#pragma unroll
  for (int four = 0; four < 2; ++four) {
    float cosine[4], sine[4];
    const int at = first + (kHalves ? eighth * 8 + four * 4 : four * (kHalf / 2) + eighth * 4);
    load(cosine, cosines + at);
    load(sine, sines + at);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float &first_of = kHalves ? values[0][four * 4 + i] : values[four][2 * i],
            &second = kHalves ? values[1][four * 4 + i] : values[four][2 * i + 1];
      const float a = first_of, b = second;
      first_of = a * cosine[i] - b * sine[i];
      second = a * sine[i] + b * cosine[i];
    }
  }
}

// A row of angles in shared memory: two rows in one go of eight threads lie in different banks.
__host__ __device__ constexpr int angle_step(std::int64_t head_width) {
  return static_cast<int>(head_width / 2) + 16;
}

// out += low half^T, then turned. kDrops: of each pair's product what falls is left out. Shared memory: low of the block's rows, then
// cosines and sines of their positions, which all heads share.
template <int kSteps, bool kDrops>
__global__ void __launch_bounds__(kThreads, kSteps <= 2 ? 2 : 1)
    add_and_turn_kernel(const __grid_constant__ Parts parts, const Turned turned, int rows, int rows_each) {
  constexpr int kAhead = kSteps <= 1 && !kDrops ? 2 : 1;  // times 16 rows that are on their way
  constexpr int kRanks = (kSteps > 0 ? kSteps : 1) * kDepth;
  extern __shared__ __align__(16) Bf16 lows[];  // (rows_each, kRanks)
  const Part& part = part_of(parts);
  const int lane = threadIdx.x % 32, eight = lane / 4, eighth = lane % 4;
  const std::int64_t unit = std::int64_t{blockIdx.x - part.first_block} * kWarps + threadIdx.x / 32;
  const int first = static_cast<int>(blockIdx.y) * rows_each, end = min(first + rows_each, rows);
  const bool is_there = unit * kColumns < part.width;
  const Columns columns = columns_of(is_there ? unit : 0, part.head_width, turned.halves);
  Place here_at{part.out + (first + eight) * part.width + columns.first[0] + eighth * 8, columns.first[1] - columns.first[0],
                8 * part.width};
  Rows next[kAhead];
#pragma unroll
  for (int i = 0; i < kAhead; ++i, here_at.at += kRows * part.width)
    next[i] = load_rows(here_at, first + eight + i * kRows, is_there ? end : first);
  if constexpr (kSteps > 0) {
    constexpr int kChunks = kRanks / kChunk;
    for (int i = threadIdx.x; i < rows_each * kChunks; i += kThreads) {
      const int row = i / kChunks, chunk = i % kChunks;
      const Step& step = part.step[chunk / 2];
      const bool has = first + row < end && chunk % 2 * kChunk < step.ranks;
      copy_async(lows + place_of<kRanks>(row, chunk), step.low + (has ? (first + row) * step.low_step + chunk % 2 * kChunk : 0), has);
    }
  }
  const int step = angle_step(part.head_width);
  auto* const cosines = reinterpret_cast<float*>(lows + (kSteps > 0 ? rows_each * kRanks : 0));
  float* const sines = cosines + rows_each * step;
  if (part.head_width > 0) {
    const int fours = static_cast<int>(part.head_width / 8);
#pragma unroll 4
    for (int i = threadIdx.x; i < (end - first) * fours; i += kThreads) {
      const int row = i / fours, at = i % fours * 4;
      const std::int64_t from = turned.position[first + row] * (part.head_width / 2) + at;
      copy_async(cosines + row * step + at, turned.cosines + from, true);
      copy_async(sines + row * step + at, turned.sines + from, true);
    }
  }
  end_copies();
  wait_for_copies<0>();
  __syncthreads();
  if (!is_there) return;
  std::uint32_t right[kSteps > 0 ? kSteps : 1][2][4][2];
#pragma unroll
  for (int s = 0; s < kSteps; ++s)
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int pair = 0; pair < 4; ++pair) {
        const Step& step = part.step[s];
        const std::int64_t column = (columns.first[half] + eight / 2 * 8 + 2 * pair + eight % 2) * step.column_step;
        float values[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int rank = i / 2 * 8 + 2 * eighth + i % 2;
          values[i] = rank < step.ranks ? step.half[column + rank * step.rank_step] : 0.0f;
        }
        right[s][half][pair][0] = pair_of(values[0], values[1]);
        right[s][half][pair][1] = pair_of(values[2], values[3]);
      }
  for (int row = first + eight; row - eight < end; row += kRows) {
    Rows here = next[0];
#pragma unroll
    for (int i = 0; i + 1 < kAhead; ++i) next[i] = next[i + 1];
    next[kAhead - 1] = load_rows(here_at, row + kAhead * kRows, end);
    const Place to{here_at.at - kAhead * kRows * part.width, here_at.apart, here_at.below};
    here_at.at += kRows * part.width;
    Wide values;
    widen(values, here);
    if constexpr (kDrops) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float product[4][4] = {};
#pragma unroll
        for (int s = 0; s < kSteps; ++s) {
          Fragment low;
          load_left<kRanks>(low, lows, row - eight - first, s * kDepth);
#pragma unroll
          for (int pair = 0; pair < 4; ++pair) multiply_add(product[pair], low, right[s][half][pair][0], right[s][half][pair][1]);
          if (s + 1 < kSteps && !part.step[s + 1].is_another) continue;
          const Draw& draw = part.step[s].draw;
#pragma unroll
          for (int k = 0; k < 2; ++k) {
            const uint4 drawn =
                drawn_of(draw, static_cast<std::uint32_t>(row + 8 * k), static_cast<std::uint32_t>(columns.first[half] / kDraws + eighth));
#pragma unroll
            for (int pair = 0; pair < 4; ++pair) {
              const std::uint32_t bits = word(drawn, pair);
              if ((bits & 0xffff) >= draw.falls) values[half][pair][2 * k] += product[pair][2 * k] * draw.scale;
              if (bits >> 16 >= draw.falls) values[half][pair][2 * k + 1] += product[pair][2 * k + 1] * draw.scale;
              product[pair][2 * k] = product[pair][2 * k + 1] = 0;
            }
          }
        }
      }
    } else {
#pragma unroll
      for (int s = 0; s < kSteps; ++s) {
        Fragment low;
        load_left<kRanks>(low, lows, row - eight - first, s * kDepth);
#pragma unroll
        for (int half = 0; half < 2; ++half)
#pragma unroll
          for (int pair = 0; pair < 4; ++pair) multiply_add(values[half][pair], low, right[s][half][pair][0], right[s][half][pair][1]);
      }
    }
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      float of_row[2][8];
#pragma unroll
      for (int half = 0; half < 2; ++half)
#pragma unroll
        for (int i = 0; i < 8; ++i) of_row[half][i] = values[half][i / 2][2 * k + i % 2];
      if (part.head_width > 0) {
        const int at = (row + 8 * k - first) * step, angle = static_cast<int>(columns.angle);
        if (turned.halves)
          turn<true>(of_row, cosines + at, sines + at, angle, eighth);
        else
          turn<false>(of_row, cosines + at, sines + at, angle, eighth);
      }
      narrow(here, k, of_row);
    }
    store_rows(to, row, end, here);
  }
}

bool fits(const LoraWeights& weights, ConstView out) {
  const std::int64_t rank = weights.a.shape()[0];
  return out.type() == DType::kBF16 && rank % 8 == 0 && rank <= kMostRank && weights.a.shape()[1] % kColumns == 0;
}

bool turns(std::int64_t head_width, ConstView out, const Turn& turn) {
  if (head_width == 0) return true;
  return out.type() == DType::kBF16 && head_width % kColumns == 0 && head_width <= kMostHead && is_aligned(turn.table.cosine.data()) &&
         is_aligned(turn.table.sine.data());
}

bool fits_passes(const LoraWeights& weights, ConstView out, std::int64_t head_width, const Turn& turn) {
  return turns(head_width, out, turn) && width_of(out) % kColumns == 0 && is_aligned(out.data()) &&
         (weights.a.empty() || fits(weights, out));
}

template <class Each>
bool fit_together(std::span<const Each> parts) {
  std::int64_t ranks = 0;
  for (const Each& part : parts) {
    if (part.weights.a.empty()) continue;
    if (!fits(part.weights, part.low) || !is_aligned(part.weights.a.data())) return false;
    ranks += (part.weights.a.shape()[0] + kDepth - 1) / kDepth * kDepth;
  }
  return parts.size() <= kMostParts && ranks > 0 && ranks <= kMostRanks;
}

}  // namespace

void add_and_turn(const Backend& on, const Parts& parts, int blocks, const Turned& turned, std::int64_t rows) {
  if (blocks == 0) return;
  std::int64_t head_width = 0;
  for (int i = 0; i < parts.count; ++i) head_width = std::max(head_width, parts.part[i].head_width);
  const int each = rows < kManyRows || head_width > kUsualHead ? 64 : 128;
  const dim3 grid(static_cast<unsigned>(blocks), blocks_for(rows, each));
  const int angles = head_width > 0 ? 2 * each * angle_step(head_width) * static_cast<int>(sizeof(float)) : 0;
  with_bool(drops(parts), [&](auto some_fall) {
    with_steps(steps_of(parts), [&](auto steps) {
      const int bytes = each * steps() * kDepth * static_cast<int>(sizeof(Bf16)) + angles;
      const auto kernel = &add_and_turn_kernel<steps(), some_fall()>;
      check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
      kernel<<<grid, kThreads, bytes, stream(on)>>>(parts, turned, static_cast<int>(rows), each);
    });
  });
  check_launch();
}

bool have_low_pass(std::span<const LoraPart> parts) {
  return fit_together(parts);
}
bool have_out_pass(std::span<const LoraPart> parts, const Turn& turn) {
  return parts.size() <= kMostParts && std::all_of(parts.begin(), parts.end(), [&](const LoraPart& part) {
           return fits_passes(part.weights, part.out, part.head_width, turn);
         });
}
bool have_passes(std::span<const LoraSlope> parts) {
  return fit_together(parts) && std::all_of(parts.begin(), parts.end(), [](const LoraSlope& part) {
           return part.weights.a.empty() || fits_passes(part.weights, part.d_out, 0, {});
         });
}

void pass_low(const Backend& on, std::span<const LoraPart> parts, ConstView x) {
  require_gpu(on, {x});
  DESKHAND_ASSERT(is_aligned(x.data()), "rows of x on 16 bytes");
  const std::int64_t rows = x.shape()[0], width = x.shape()[1];
  Halves halves{};
  Lows lows{};
  int eights = 0;
  bool some_fall = false;
  for (const LoraPart& part : parts) {
    if (part.weights.a.empty()) continue;
    require_gpu(on, {part.low, part.weights.a});
    const int rank = static_cast<int>(part.low.shape()[1]);
    for (int first = 0; first < rank; first += 8, ++eights) {
      halves.a[eights] = pointer(part.weights.a) + first * width;
      lows.low[eights] = pointer<Bf16>(part.low);
      lows.ranks[eights] = rank;
      lows.first[eights] = first;
      lows.draw[eights] = draw_of(part.weights.dropout);
      lows.scale[eights] = part.weights.scale * lows.draw[eights].scale;
      some_fall |= lows.draw[eights].falls > 0;
    }
  }
  const int all = eights <= 2 ? 2 : eights <= 4 ? 4 : kMostRanks / 8;
  Bf16* const a = on.cuda->scratch<Bf16>(kHalfA, std::int64_t{all} * 8 * width);
  round_halves_kernel<<<dim3(blocks_for(width, kThreads * 8), static_cast<unsigned>(all * 8)), kThreads, 0, stream(on)>>>(a, halves, width);
  check_launch();
  const auto start = [&](auto tiles, auto of) {
    with_bool(some_fall, [&](auto falls) {
      low_kernel<tiles(), of(), falls()>
          <<<blocks_for(rows, tiles() * kRows), kThreads, 0, stream(on)>>>(lows, pointer<Bf16>(x), a, static_cast<int>(rows), width);
    });
  };
  using std::integral_constant;
  const bool many = rows >= kManyRows;
  if (all == 2)
    many ? start(integral_constant<int, 4>(), integral_constant<int, 2>())
         : start(integral_constant<int, 1>(), integral_constant<int, 2>());
  else if (all == 4)
    many ? start(integral_constant<int, 4>(), integral_constant<int, 4>())
         : start(integral_constant<int, 1>(), integral_constant<int, 4>());
  else
    many ? start(integral_constant<int, 2>(), integral_constant<int, 8>())
         : start(integral_constant<int, 1>(), integral_constant<int, 8>());
  check_launch();
}

void pass_out(const Backend& on, std::span<const LoraPart> parts, const Turn& turn) {
  Parts made;
  int blocks = 0;
  std::int64_t rows = 0;
  for (const LoraPart& from : parts) {
    if (from.weights.a.empty() && from.head_width == 0) continue;
    require_gpu(on, {from.out, from.low, from.weights.b});
    rows = from.out.shape()[0];
    Part& part = made.part[made.count++];
    part.out = pointer<Bf16>(from.out);
    part.width = width_of(from.out);
    part.head_width = from.head_width;
    part.first_block = blocks;
    if (!from.weights.a.empty()) add_steps(part, from.low, pointer(from.weights.b), from.low.shape()[1], 1);
    blocks += blocks_of(part.width);
  }
  add_and_turn(on, made, blocks, turned_by(on, turn), rows);
}

}  // namespace deskhand::cuda
