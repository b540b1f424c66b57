// Backward: sums over rows and columns of outs' gradients and of the input, each in one pass over it.
#include <vector>

#include "deskhand/ops/cuda/lora_passes.cuh"

namespace deskhand::cuda {
namespace {

// Sums over a block's rows of low^T out, and over its columns of out half (kOfColumns). kDrops: each pair has out without what falls. A
// warp's tiles of out and low are on their way to its own shared memory while it multiplies the ones before.
template <int kSteps, bool kOfColumns>
struct SumsShared {
  static constexpr int kStages = 3, kRanks = kSteps * kDepth, kTogether = kSteps == 1 ? 4 : 2;  // tiles whose sums over columns wait
  struct Stage {
    Bf16 out[kRows * kColumns], low[kRows * kRanks];
  };
  Stage stage[kWarps][kStages];
  float lows[kOfColumns ? kWarps : 1][kOfColumns ? kTogether * kRows * kRanks : 4];
};

template <int kSteps, bool kOfColumns, bool kDrops>
__global__ void __launch_bounds__(kThreads, kSteps <= 2 ? 2 : 1)
    sums_kernel(const __grid_constant__ Parts parts, float* of_rows, float* of_columns, int rows, int rows_each) {
  using Shared = SumsShared<kSteps, kOfColumns>;
  constexpr int kRanks = Shared::kRanks, kStages = Shared::kStages, kTogether = Shared::kTogether;
  extern __shared__ __align__(16) std::byte memory[];
  Shared& shared = *reinterpret_cast<Shared*>(memory);
  const Part& part = part_of(parts);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, eight = lane / 4, eighth = lane % 4;
  const int block = static_cast<int>(blockIdx.x) - part.first_block;
  const std::int64_t column = (std::int64_t{block} * kWarps + warp) * kColumns;
  const bool is_there = column < part.width;
  const int first = static_cast<int>(blockIdx.y) * rows_each, end = min(first + rows_each, rows);
  const int tiles = (end - first + kRows - 1) / kRows;

  const Bf16* const out = part.out + (is_there ? column + lane % 8 * kChunk : 0);
  const auto fetch_tile = [&](int number) {
    if (number < tiles) {
      auto& stage = shared.stage[warp][number % kStages];
#pragma unroll
      for (int i = 0; i < kRows / 4; ++i) {
        const int row = 4 * i + lane / 8, from = first + number * kRows + row;
        const bool has = is_there && from < end;
        copy_async(stage.out + place_of<kColumns>(row, lane % 8), out + (has ? from : 0) * part.width, has);
      }
#pragma unroll
      for (int s = 0; s < kSteps; ++s) {
        const Step& step = part.step[s];
        const int row = lane / 2, chunk = lane % 2, from = first + number * kRows + row;
        const bool has = from < end && chunk * kChunk < step.ranks;
        copy_async(stage.low + place_of<kRanks>(row, 2 * s + chunk), has ? step.low + from * step.low_step + chunk * kChunk : part.out,
                   has);
      }
    }
    end_copies();
  };
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) fetch_tile(i);

  std::uint32_t right[kColumns / 16][2 * kSteps][2];  // [sixteen columns][eight ranks]
  if constexpr (kOfColumns) {
#pragma unroll
    for (int sixteen = 0; sixteen < kColumns / 16; ++sixteen)
#pragma unroll
      for (int ranks = 0; ranks < 2 * kSteps; ++ranks) {
        const Step& step = part.step[ranks / 2];
        const int rank = ranks % 2 * 8 + eight;
        float values[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const std::int64_t at = column + sixteen * 16 + i / 2 * 8 + 2 * eighth + i % 2;
          values[i] = is_there && rank < step.ranks ? step.half[at * step.column_step + rank * step.rank_step] : 0.0f;
        }
        right[sixteen][ranks][0] = pair_of(values[0], values[1]);
        right[sixteen][ranks][1] = pair_of(values[2], values[3]);
      }
  }

  float sums[kColumns / 8][kSteps][4] = {};
  for (int number = 0; number < tiles; ++number) {
    wait_for_copies<kStages - 2>();
    __syncwarp();  // all of the tile is here, and the one before it has been read
    fetch_tile(number + kStages - 1);
    auto& stage = shared.stage[warp][number % kStages];
    Fragment low[kSteps];
#pragma unroll
    for (int s = 0; s < kSteps; ++s)  // turned: its rows are ranks, its depth rows
      load_turned_matrices(low[s], stage.low + place_of<kRanks>(lane / 16 * 8 + lane % 8, 2 * s + lane / 8 % 2));
    // The steps from kFirst to kEnd with the tile as it is.
    const auto multiply_tile = [&]<int kFirst, int kEnd>() {
#pragma unroll
      for (int sixteen = 0; sixteen < kColumns / 16; ++sixteen) {
        Fragment of_out;
        load_right<kColumns>(of_out, stage.out, 0, sixteen * 16);
#pragma unroll
        for (int s = kFirst; s < kEnd; ++s) {
          multiply_add(sums[2 * sixteen][s], low[s], of_out[0], of_out[1]);
          multiply_add(sums[2 * sixteen + 1][s], low[s], of_out[2], of_out[3]);
        }
      }
    };
    if constexpr (kDrops) {
      uint4 packs[kRows / 4];
#pragma unroll
      for (int i = 0; i < kRows / 4; ++i)
        packs[i] = *reinterpret_cast<const uint4*>(stage.out + place_of<kColumns>(4 * i + lane / 8, lane % 8));
      const auto multiply_step = [&]<int kStep>() {
        if constexpr (kStep < kSteps) {
          const Step& step = part.step[kStep];
          if (step.is_another) {
            __syncwarp();  // the tile was read
#pragma unroll
            for (int i = 0; i < kRows / 4; ++i) {
              const int row = 4 * i + lane / 8;
              *reinterpret_cast<uint4*>(stage.out + place_of<kColumns>(row, lane % 8)) =
                  dropped(packs[i], step.draw, first + number * kRows + row, column + lane % 8 * kChunk);
            }
            __syncwarp();
          }
          multiply_tile.template operator()<kStep, kStep + 1>();
        }
      };
      multiply_step.template operator()<0>();
      multiply_step.template operator()<1>();
      multiply_step.template operator()<2>();
      multiply_step.template operator()<3>();
    } else {
      multiply_tile.template operator()<0, kSteps>();
    }
    if constexpr (kOfColumns) {
      float d_low[2 * kSteps][4] = {};
#pragma unroll
      for (int sixteen = 0; sixteen < kColumns / 16; ++sixteen) {
        Fragment left;
        load_left<kColumns>(left, stage.out, 0, sixteen * 16);
#pragma unroll
        for (int ranks = 0; ranks < 2 * kSteps; ++ranks)
          multiply_add(d_low[ranks], left, right[sixteen][ranks][0], right[sixteen][ranks][1]);
      }
      float* const mine = shared.lows[warp] + number % kTogether * kRows * kRanks;
#pragma unroll
      for (int ranks = 0; ranks < 2 * kSteps; ++ranks)
#pragma unroll
        for (int k = 0; k < 2; ++k)
          *reinterpret_cast<float2*>(mine + (eight + 8 * k) * kRanks + ranks * 8 + 2 * eighth) = {d_low[ranks][2 * k],
                                                                                                  d_low[ranks][2 * k + 1]};
      if (number % kTogether < kTogether - 1 && number < tiles - 1) continue;
      __syncthreads();
      const int begin = first + number / kTogether * kTogether * kRows;
      for (int i = static_cast<int>(threadIdx.x) * 4; i < kTogether * kRows * kRanks; i += kThreads * 4) {
        float4 sum{};
#pragma unroll
        for (int w = 0; w < kWarps; ++w) {
          const float4 of_warp = *reinterpret_cast<const float4*>(shared.lows[w] + i);
          sum = {sum.x + of_warp.x, sum.y + of_warp.y, sum.z + of_warp.z, sum.w + of_warp.w};
        }
        const int row = begin + i / kRanks;
        if (row < end)
          *reinterpret_cast<float4*>(of_columns + part.first_low + (std::int64_t{block} * rows + row) * kRanks + i % kRanks) = sum;
      }
      __syncthreads();  // `lows` is written again
    }
  }
  if (!is_there) return;
  float* const to = of_rows + part.first_sum + std::int64_t{blockIdx.y} * kRanks * part.width + column;
#pragma unroll
  for (int eights = 0; eights < kColumns / 8; ++eights)
#pragma unroll
    for (int s = 0; s < kSteps; ++s)
#pragma unroll
      for (int k = 0; k < 2; ++k)
        *reinterpret_cast<float2*>(to + (s * kDepth + eight + 8 * k) * part.width + eights * 8 + 2 * eighth) = {sums[eights][s][2 * k],
                                                                                                                sums[eights][s][2 * k + 1]};
}

// What is left of a pass: gradients (ranks, width) by steps, each added the sum over `groups` of (groups, all_ranks, width), ranks from
// `first_rank` on, times a weight a column; and d_low (rows, ranks) of (blocks, rows, all_ranks).
struct Gradient {
  float* to = nullptr;  // null: nobody wants it
  const float* sums = nullptr;
  const float* weight = nullptr;  // null: 1
  float factor = 1;
  std::int64_t column_step = 0, rank_step = 0;
  int width = 0, count = 0, groups = 0, all_ranks = 0, first_rank = 0;
};
struct Low {
  Bf16 *to = nullptr, *scaled = nullptr;  // the other: each row times its scale; or null
  const float *sums = nullptr, *scales = nullptr;
  int count = 0, rows = 0, blocks = 0, all_ranks = 0, ranks = 0;
  float scale = 1;
};
struct Left {
  Gradient gradient[kMostParts];
  Low low[kMostParts];
};

// blockIdx.y: a part's gradient or, behind those of all parts, its d_low.
__global__ void __launch_bounds__(kThreads) take_together_kernel(const __grid_constant__ Left left, unsigned pairs) {
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (blockIdx.y < pairs) {
    const Gradient& gradient = left.gradient[blockIdx.y];
    if (!gradient.to || i >= gradient.count) return;
    const int rank = i / gradient.width, column = i % gradient.width;
    const float* const from = gradient.sums + static_cast<std::int64_t>(gradient.first_rank + rank) * gradient.width + column;
    const std::int64_t step = static_cast<std::int64_t>(gradient.all_ranks) * gradient.width;
    float& to = gradient.to[column * gradient.column_step + rank * gradient.rank_step];
    const float before = to, factor = gradient.factor * (gradient.weight ? gradient.weight[column] : 1.0f);
    float sum = 0;
#pragma unroll 8
    for (int group = 0; group < gradient.groups; ++group) sum += from[group * step];
    to = before + sum * factor;
  } else {
    const Low& low = left.low[blockIdx.y - pairs];
    if (i >= low.count) return;
    const int row = i / low.ranks, rank = i % low.ranks;
    const float* const from = low.sums + static_cast<std::int64_t>(row) * low.all_ranks + rank;
    const std::int64_t step = static_cast<std::int64_t>(low.rows) * low.all_ranks;
    float sum = 0;
#pragma unroll 8
    for (int block = 0; block < low.blocks; ++block) sum += from[block * step];
    sum *= low.scale;
    low.to[i] = __float2bfloat16_rn(sum);
    if (low.scaled) low.scaled[i] = __float2bfloat16_rn(sum * low.scales[row]);
  }
}

template <int kSteps, bool kOfColumns, bool kDrops>
void start_sums(const Backend& on, dim3 grid, const Parts& parts, float* of_rows, float* of_columns, std::int64_t rows, int rows_each) {
  constexpr int kBytes = sizeof(SumsShared<kSteps, kOfColumns>);
  const auto kernel = &sums_kernel<kSteps, kOfColumns, kDrops>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  kernel<<<grid, kThreads, kBytes, stream(on)>>>(parts, of_rows, of_columns, static_cast<int>(rows), rows_each);
  check_launch();
}

void take_together(const Backend& on, const Left& left, int most, int pairs) {
  const unsigned parts = static_cast<unsigned>(left.low[0].to ? 2 * pairs : pairs);
  take_together_kernel<<<dim3(blocks_for(most, kThreads), parts), kThreads, 0, stream(on)>>>(left, static_cast<unsigned>(pairs));
  check_launch();
}

// Rows of a block, where sums over rows are left by each.
int rows_of_group(std::int64_t rows, int blocks) {
  const std::int64_t groups = std::max<std::int64_t>(kBlocks / blocks, 1);
  return static_cast<int>(((rows + groups - 1) / groups + kRows - 1) / kRows * kRows);
}

// A pair's part in backward, its d_low (N, R), and that by which a's gradient comes: where x lies before its norm, each row times its rstd.
struct Slope {
  const LoraSlope& of;
  View d_low, scaled;
};

// d_b += d_out^T low, d_low = scale d_out b.
void pass_d_out(const Backend& on, std::span<const Slope> slopes, ConstView rstd) {
  Parts made;
  int blocks = 0;
  const std::int64_t rows = slopes[0].d_low.shape()[0];
  for (const auto& [from, d_low, scaled] : slopes) {
    require_gpu(on, {from.d_out, from.low, from.weights.b, from.d_b});
    Part& part = made.part[made.count++];
    part.out = const_cast<Bf16*>(pointer<Bf16>(from.d_out));
    part.width = from.d_out.shape()[1];
    part.first_block = blocks;
    add_steps(part, from.low, pointer(from.weights.b), d_low.shape()[1], 1);
    blocks += blocks_of(part.width);
  }
  const int each = rows_of_group(rows, blocks);
  const unsigned groups = blocks_for(rows, each);
  const int steps = steps_of(made), ranks = steps * kDepth;
  std::int64_t sums = 0, lows = 0;
  for (int i = 0; i < made.count; ++i) {
    Part& part = made.part[i];
    part.first_sum = sums;
    part.first_low = lows;
    sums += groups * ranks * part.width;
    lows += std::int64_t{blocks_of(part.width)} * rows * ranks;
  }
  float* const of_rows = on.cuda->scratch<float>(kDelta, sums);
  float* const of_columns = on.cuda->scratch<float>(kSums, lows);
  const dim3 grid(static_cast<unsigned>(blocks), groups);
  if (steps == 1)
    start_sums<1, true, false>(on, grid, made, of_rows, of_columns, rows, each);
  else
    start_sums<2, true, false>(on, grid, made, of_rows, of_columns, rows, each);
  Left left;
  int most = 0;
  for (int i = 0; i < made.count; ++i) {
    const Part& part = made.part[i];
    const auto& [from, d_low, scaled] = slopes[static_cast<std::size_t>(i)];
    const std::int64_t rank = d_low.shape()[1];
    left.gradient[i] = {.to = from.d_b.empty() ? nullptr : pointer(from.d_b),
                        .sums = of_rows + part.first_sum,
                        .column_step = rank,
                        .rank_step = 1,
                        .width = static_cast<int>(part.width),
                        .count = static_cast<int>(rank * part.width),
                        .groups = static_cast<int>(groups),
                        .all_ranks = ranks};
    left.low[i] = {.to = pointer<Bf16>(d_low),
                   .scaled = rstd.empty() ? nullptr : pointer<Bf16>(scaled),
                   .sums = of_columns + part.first_low,
                   .scales = rstd.empty() ? nullptr : pointer(rstd),
                   .count = static_cast<int>(rows * rank),
                   .rows = static_cast<int>(rows),
                   .blocks = blocks_of(part.width),
                   .all_ranks = ranks,
                   .ranks = static_cast<int>(rank),
                   .scale = from.weights.scale};
    most = std::max({most, left.gradient[i].count, left.low[i].count});
  }
  take_together(on, left, most, made.count);
}

// d_a += d_low^T x.
void pass_d_a(const Backend& on, std::span<const Slope> slopes, const LoraInput& in) {
  require_gpu(on, {in.x, in.norm_weight, in.rstd});
  const std::int64_t rows = in.x.shape()[0], width = in.x.shape()[1];
  Parts made;
  made.count = 1;
  Part& part = made.part[0];
  part.out = const_cast<Bf16*>(pointer<Bf16>(in.x));
  part.width = width;
  Left left;
  int pairs = 0, most = 0;
  for (const auto& [from, d_low, scaled] : slopes) {
    if (from.d_a.empty()) continue;
    require_gpu(on, {from.d_a});
    left.gradient[pairs] = {.to = pointer(from.d_a),
                            .weight = in.norm_weight.empty() ? nullptr : pointer(in.norm_weight),
                            .factor = draw_of(from.weights.dropout).scale,
                            .column_step = 1,
                            .rank_step = width,
                            .width = static_cast<int>(width),
                            .count = static_cast<int>(d_low.shape()[1] * width),
                            .first_rank = part.steps * kDepth};
    most = std::max(most, left.gradient[pairs++].count);
    add_steps(part, scaled, nullptr, 0, 0, from.weights.dropout);
  }
  if (pairs == 0) return;
  const int blocks = blocks_of(width), each = rows_of_group(rows, blocks), steps = steps_of(made), ranks = steps * kDepth;
  const unsigned groups = blocks_for(rows, each);
  float* const of_rows = on.cuda->scratch<float>(kDelta, groups * ranks * width);
  const dim3 grid(static_cast<unsigned>(blocks), groups);
  with_bool(drops(made), [&](auto some_fall) {
    if (steps == 1)
      start_sums<1, false, some_fall()>(on, grid, made, of_rows, nullptr, rows, each);
    else if (steps == 2)
      start_sums<2, false, some_fall()>(on, grid, made, of_rows, nullptr, rows, each);
    else
      start_sums<kMostSteps, false, some_fall()>(on, grid, made, of_rows, nullptr, rows, each);
  });
  for (int i = 0; i < pairs; ++i) {
    left.gradient[i].sums = of_rows;
    left.gradient[i].groups = static_cast<int>(groups);
    left.gradient[i].all_ranks = ranks;
  }
  take_together(on, left, most, pairs);
}

// d_x += the sum of d_low a.
void pass_d_x(const Backend& on, std::span<const Slope> slopes, View d_x) {
  require_gpu(on, {d_x});
  Parts made;
  made.count = 1;
  Part& part = made.part[0];
  part.out = pointer<Bf16>(d_x);
  part.width = d_x.shape()[1];
  for (const auto& [from, d_low, scaled] : slopes) add_steps(part, d_low, pointer(from.weights.a), 1, part.width, from.weights.dropout);
  add_and_turn(on, made, blocks_of(part.width), {}, d_x.shape()[0]);
}

}  // namespace

void pass_backward(const Backend& on, std::span<const LoraSlope> parts, View d_x, const LoraInput& in) {
  const std::int64_t rows = in.x.shape()[0];
  std::int64_t ranks = 0;
  for (const LoraSlope& part : parts)
    if (!part.weights.a.empty()) ranks += part.low.shape()[1];
  const bool scales = !in.norm_weight.empty();
  View room(on.cuda->scratch(kLow, row_bytes(DType::kBF16, 2 * rows * ranks)), DType::kBF16, {2 * rows * ranks}, Device::kCuda);
  const auto take = [&](std::int64_t rank) {
    const View taken = room.rows(0, rows * rank).reshaped({rows, rank});
    room = room.rows(rows * rank, room.shape()[0] - rows * rank);
    return taken;
  };
  std::vector<Slope> slopes;
  for (const LoraSlope& part : parts) {
    if (part.weights.a.empty()) continue;
    const View d_low = take(part.low.shape()[1]);
    slopes.push_back({part, d_low, scales ? take(part.low.shape()[1]) : d_low});
  }
  pass_d_out(on, slopes, scales ? in.rstd : ConstView());
  pass_d_a(on, slopes, in);
  if (!d_x.empty()) pass_d_x(on, slopes, d_x);
}

}  // namespace deskhand::cuda
