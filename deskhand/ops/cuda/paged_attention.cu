// Attention over pages. Three ways, chosen by what a sequence brings:
//   tiles    64 new tokens at a time on the tensor cores (Dao, 2023, "FlashAttention-2"), keys and values fetched from their pages
//   splits   a few new tokens: the context is cut in parts that are read side by side ("Flash-Decoding"), then their shares are summed
//   plain    pages of f32 and odd head widths: a block a row and head
// Every sum has one order for a given number of parts, which the batch's shape decides and not its lengths.
#include "deskhand/ops/paged_attention.h"

#include <cuda_fp16.h>

#include <algorithm>
#include <vector>

#include "deskhand/ops/cuda/splits.cuh"
#include "deskhand/ops/cuda/tiles.cuh"
#include "deskhand/ops/repeat.h"

namespace deskhand::cuda {
namespace {

enum PagedSlot : int { kTables = 40, kBlocks, kParts, kArrived };

Tables upload(const Backend& on, std::span<const KvSequence> sequences, std::span<const std::int32_t> bounds) {
  const auto step = static_cast<std::size_t>(table_step(sequences));
  std::vector<std::int32_t> values(bounds.begin(), bounds.end());
  for (const KvSequence& sequence : sequences) values.push_back(sequence.length);
  for (const KvSequence& sequence : sequences) {
    values.insert(values.end(), sequence.pages.begin(), sequence.pages.end());
    values.resize(values.size() + step - sequence.pages.size());
  }
  const std::int32_t* const there = on.cuda->upload(kTables, std::span<const std::int32_t>(values));
  const auto count = sequences.size();
  return {there, there + count + 1, there + 2 * count + 1, static_cast<int>(count), static_cast<int>(step)};
}

template <class Page>
__device__ Page as_page(float value) {
  if constexpr (std::is_same_v<Page, float>)
    return value;
  else
    return __float2half_rn(value);
}
__device__ inline float of_page(float value) {
  return value;
}
__device__ inline float of_page(__half value) {
  return __half2float(value);
}

// A block a row.
template <class T, class Page>
__global__ void store_kernel(Tables at, Page* keys, Page* values, const T* k, const T* v, int first, int page_tokens, int width) {
  const int number = first + static_cast<int>(blockIdx.x);
  const Row row = row_of(at, number);
  const std::int64_t to = place_of_token(at, row.sequence, row.position, page_tokens) * width, from = std::int64_t{number} * width;
  for (int i = threadIdx.x; i < width; i += blockDim.x) {
    keys[to + i] = as_page<Page>(widened(k[from + i]));
    values[to + i] = as_page<Page>(widened(v[from + i]));
  }
}

// A thread a pair: of the queries' heads, of the keys', then two values. Keys go to their page turned.
template <class T, class Page>
__global__ void rope_and_store_kernel(Tables at, Page* keys, Page* values, T* q, const T* k, const T* v, const float* cosines,
                                      const float* sines, const std::int32_t* positions, int page_tokens, int heads, int groups, int width,
                                      bool halves) {
  let_next_begin();
  const int half = width / 2, number = blockIdx.y, pair = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int of_heads = heads * half, of_groups = groups * half;
  if (pair >= of_heads + 2 * of_groups) return wait_for_previous();
  const bool is_query = pair < of_heads, is_value = pair >= of_heads + of_groups;
  const int mine = is_query ? pair : is_value ? pair - of_heads - of_groups : pair - of_heads;
  const int head = mine / half, i = mine % half;
  const int first = head * width + (halves ? i : 2 * i), second = halves ? first + half : first + 1;
  const std::int64_t from = std::int64_t{number} * (is_query ? heads : groups) * width;
  const T* const in = is_query ? q : is_value ? v : k;
  const std::int64_t angle = std::int64_t{positions[number]} * half + i;
  const float cosine = cosines[angle], sine = sines[angle];
  Page* to = nullptr;
  if (!is_query) {
    const Row row = row_of(at, number);
    to = (is_value ? values : keys) + place_of_token(at, row.sequence, row.position, page_tokens) * groups * width;
  }
  wait_for_previous();  // q, k and v are its work, and pages may still be read
  float a = widened(in[from + first]), b = widened(in[from + second]);
  if (!is_value) {
    const float turned = a * cosine - b * sine;
    b = a * sine + b * cosine;
    a = turned;
  }
  if (is_query) {
    q[from + first] = narrowed<T>(a);
    q[from + second] = narrowed<T>(b);
    return;
  }
  to[first] = as_page<Page>(widened(narrowed<T>(a)));  // as if k had been turned first
  to[second] = as_page<Page>(widened(narrowed<T>(b)));
}

constexpr int kPlainThreads = 128;

// Any width, a block a (row, head): scores of kPlainThreads keys at a time, then a thread a column.
template <class T, class Page>
__global__ void __launch_bounds__(kPlainThreads)
    plain_kernel(Tables at, Shape4 shape, const std::int32_t* rows, T* out, const T* q, const Page* keys, const Page* values) {
  extern __shared__ float shared[];  // the query, the sums
  __shared__ float weight[kPlainThreads];
  float *const query = shared, *const sum = shared + shape.width;
  const int number = rows[blockIdx.x], head = blockIdx.y, group = head / (shape.heads / shape.groups), width = shape.width;
  const Row row = row_of(at, number);
  const std::int64_t from = (std::int64_t{number} * shape.heads + head) * width, token_step = std::int64_t{shape.groups} * width;
  for (int d = threadIdx.x; d < width; d += kPlainThreads) {
    query[d] = widened(q[from + d]) * shape.scale;
    sum[d] = 0;
  }
  __syncthreads();
  float largest = -INFINITY, total = 0;
  const int seen = row.position + 1;
  for (int first = 0; first < seen; first += kPlainThreads) {
    const int key = first + static_cast<int>(threadIdx.x), count = min(kPlainThreads, seen - first);
    float score = -INFINITY;
    if (key < seen) {
      const Page* const line = keys + place_of_token(at, row.sequence, key, shape.page_tokens) * token_step + group * width;
      score = 0;
      for (int d = 0; d < width; ++d) score += query[d] * of_page(line[d]);
    }
    const float larger = of_block(fmaxf(score, largest), -INFINITY, Larger());
    const float e = key < seen ? expf(score - larger) : 0, shrink = expf(largest - larger);
    weight[threadIdx.x] = e;  // of_block waits for all threads before anybody reads
    total = total * shrink + of_block(e);
    largest = larger;
    for (int d = threadIdx.x; d < width; d += kPlainThreads) {
      float part = sum[d] * shrink;
      for (int i = 0; i < count; ++i)
        part +=
            weight[i] * of_page(values[place_of_token(at, row.sequence, first + i, shape.page_tokens) * token_step + group * width + d]);
      sum[d] = part;
    }
    __syncthreads();  // before the weights are written again
  }
  for (int d = threadIdx.x; d < width; d += kPlainThreads) out[from + d] = narrowed<T>(sum[d] / total);
}

// --- tiles ---

constexpr int kRows = 64, kTileWarps = kRows / 16, kTileThreads = 32 * kTileWarps;
constexpr float kLog2e = 1.4426950408889634f;

// Rows [first, first + kRows) of a sequence, as far as they go.
struct TileBlock {
  std::int32_t sequence, first;
};

// Tiles hold f16 here; tiles.cuh only moves their bits.
template <int kWidth, class T>
__global__ void __launch_bounds__(kTileThreads)
    tile_kernel(Tables at, Shape4 shape, const TileBlock* blocks, T* out, const T* q, const __half* keys, const __half* values) {
  extern __shared__ __align__(128) Bf16 tiles[];
  constexpr int kTile = kRows * kWidth, kChunks = kWidth / kChunk;
  Bf16* const query = tiles;
  const auto key = [&](int stage) { return tiles + (1 + 2 * stage) * kTile; };
  const auto value = [&](int stage) { return tiles + (2 + 2 * stage) * kTile; };
  const TileBlock block = blocks[gridDim.x - 1 - blockIdx.x];  // late rows see most keys: they begin
  const int head = blockIdx.y, group = head / (shape.heads / shape.groups), lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int end = at.bounds[block.sequence + 1], length = at.lengths[block.sequence];
  const int before = length - (end - block.first);  // tokens that come before the block's first row
  const int last = min(length, before + kRows), count = (last + kRows - 1) / kRows;
  const std::int64_t token_step = std::int64_t{shape.groups} * kWidth, q_step = std::int64_t{shape.heads} * kWidth;
  const auto fetch_keys = [&](int number) {
#pragma unroll
    for (int i = threadIdx.x; i < kRows * kChunks; i += kTileThreads) {
      const int row = i / kChunks, chunk = i % kChunks, token = number * kRows + row;
      const bool is_there = token < last;
      const std::int64_t from =
          place_of_token(at, block.sequence, is_there ? token : 0, shape.page_tokens) * token_step + group * kWidth + chunk * kChunk;
      copy_async(key(number % 2) + place_of<kWidth>(row, chunk), keys + from, is_there);
      copy_async(value(number % 2) + place_of<kWidth>(row, chunk), values + from, is_there);
    }
    end_copies();
  };
  fetch_keys(0);
  for (int i = threadIdx.x; i < kRows * kChunks; i += kTileThreads) {
    const int row = i / kChunks, chunk = i % kChunks;
    std::uint32_t packed[4] = {};
    if (block.first + row < end) {
      const T* const from = q + (block.first + row) * q_step + head * kWidth + chunk * kChunk;
#pragma unroll
      for (int k = 0; k < 4; ++k) packed[k] = halves_of(widened(from[2 * k]), widened(from[2 * k + 1]));
    }
    *reinterpret_cast<uint4*>(query + place_of<kWidth>(row, chunk)) = make_uint4(packed[0], packed[1], packed[2], packed[3]);
  }

  const int row = warp * 16 + lane / 4;  // in the block; and 8 more
  const float scale = shape.scale * kLog2e;
  float sum[kWidth / 8][4] = {}, largest[2] = {-INFINITY, -INFINITY}, total[2] = {};
  for (int number = 0; number < count; ++number) {
    if (number + 1 < count) {
      fetch_keys(number + 1);
      wait_for_copies<1>();
    } else {
      wait_for_copies<0>();
    }
    __syncthreads();
    float score[kRows / 8][4] = {};
#pragma unroll
    for (int depth = 0; depth < kWidth; depth += 16) {
      Fragment left, right;
      load_left<kWidth>(left, query, warp * 16, depth);
#pragma unroll
      for (int n = 0; n < kRows; n += 16) {
        load_right_of_rows<kWidth>(right, key(number % 2), n, depth);
        multiply_add_halves(score[n / 8], left, right[0], right[1]);
        multiply_add_halves(score[n / 8 + 1], left, right[2], right[3]);
      }
    }
    const int first = number * kRows;
    if (first + kRows > before) {
#pragma unroll
      for (int n = 0; n < kRows / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          if (first + n * 8 + lane % 4 * 2 + i % 2 > before + row + i / 2 * 8) score[n][i] = -INFINITY;
    }
    // The first key is seen by all rows, so `largest` is a number from the first tile on.
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float larger = largest[half];
#pragma unroll
      for (int n = 0; n < kRows / 8; ++n) larger = fmaxf(larger, fmaxf(score[n][2 * half], score[n][2 * half + 1]));
      larger = fmaxf(larger, __shfl_xor_sync(~0u, larger, 1));
      larger = fmaxf(larger, __shfl_xor_sync(~0u, larger, 2));
      const float shrink = exp2f((largest[half] - larger) * scale), off = larger * scale;
      largest[half] = larger;
      total[half] *= shrink;
#pragma unroll
      for (int n = 0; n < kWidth / 8; ++n) {
        sum[n][2 * half] *= shrink;
        sum[n][2 * half + 1] *= shrink;
      }
#pragma unroll
      for (int n = 0; n < kRows / 8; ++n)
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          score[n][i] = exp2f(score[n][i] * scale - off);
          total[half] += score[n][i];
        }
    }
#pragma unroll
    for (int depth = 0; depth < kRows; depth += 16) {
      Fragment right;
      const float(&low)[4] = score[depth / 8];
      const float(&high)[4] = score[depth / 8 + 1];
      const Fragment left = {halves_of(low[0], low[1]), halves_of(low[2], low[3]), halves_of(high[0], high[1]),
                             halves_of(high[2], high[3])};
#pragma unroll
      for (int n = 0; n < kWidth; n += 16) {
        load_right<kWidth>(right, value(number % 2), depth, n);
        multiply_add_halves(sum[n / 8], left, right[0], right[1]);
        multiply_add_halves(sum[n / 8 + 1], left, right[2], right[3]);
      }
    }
    __syncthreads();  // before the tiles are fetched anew
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float whole = total[half];
    whole += __shfl_xor_sync(~0u, whole, 1);
    whole += __shfl_xor_sync(~0u, whole, 2);
    const int to = block.first + row + half * 8;
    if (to >= end) continue;
    T* const line = out + to * q_step + head * kWidth + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < kWidth / 8; ++n) {
      line[n * 8] = narrowed<T>(sum[n][2 * half] / whole);
      line[n * 8 + 1] = narrowed<T>(sum[n][2 * half + 1] / whole);
    }
  }
}

// Rows of sequences that bring few of them; blocks of the others where tiles are wanted.
struct RowList {
  const std::int32_t* at;
  std::int64_t rows, blocks;
};

RowList upload_rows(const Backend& on, std::span<const std::int32_t> bounds, bool tiles) {
  constexpr std::int32_t kFewRows = 16;
  std::vector<std::int32_t> rows, blocks;
  for (std::size_t i = 0; i + 1 < bounds.size(); ++i) {
    if (tiles && bounds[i + 1] - bounds[i] > kFewRows)
      for (std::int32_t row = bounds[i]; row < bounds[i + 1]; row += kRows)
        blocks.insert(blocks.end(), {static_cast<std::int32_t>(i), row});
    else
      for (std::int32_t row = bounds[i]; row < bounds[i + 1]; ++row) rows.push_back(row);
  }
  const auto count = static_cast<std::int64_t>(rows.size());
  rows.insert(rows.end(), blocks.begin(), blocks.end());
  return {on.cuda->upload(kBlocks, std::span<const std::int32_t>(rows)), count, static_cast<std::int64_t>(blocks.size()) / 2};
}

struct Work {
  const Backend& on;
  Tables tables;
  Shape4 shape;
  const std::int32_t* row_list;  // rows one by one, then blocks
  std::int64_t rows, blocks;
  View out;
  ConstView q;
  const KvPages& pages;
};

Work work_of(const Backend& on, View out, ConstView q, const KvPages& pages, std::span<const KvSequence> sequences,
             std::span<const std::int32_t> bounds, float scale, const RowList& list) {
  return {.on = on,
          .tables = upload(on, sequences, bounds),
          .shape = {static_cast<int>(q.shape()[1]), static_cast<int>(pages.keys.shape()[2]), static_cast<int>(q.shape()[2]),
                    static_cast<int>(pages.page_tokens()), scale},
          .row_list = list.at,
          .rows = list.rows,
          .blocks = list.blocks,
          .out = out,
          .q = q,
          .pages = pages};
}

template <class T, class Page>
void run_plain(const Work& work, const std::int32_t* rows) {
  // The query and the sums, in whole 16 bytes: the query's end may be read so.
  const std::size_t bytes = (2 * static_cast<std::size_t>(work.shape.width) * sizeof(float) + 15) / 16 * 16;
  plain_kernel<T, Page><<<dim3(blocks_for(work.rows, 1), static_cast<unsigned>(work.shape.heads)), kPlainThreads, bytes, stream(work.on)>>>(
      work.tables, work.shape, rows, pointer<T>(work.out), pointer<T>(work.q), pointer<Page>(ConstView(work.pages.keys)),
      pointer<Page>(ConstView(work.pages.values)));
  check_launch();
}

template <int kWidth, bool kTurned = false, class T>
void run_splits(const Work& work, const std::int32_t* rows, const Turn<T>& turn) {
  const std::int64_t count = work.rows;
  const Shape4& shape = work.shape;
  const int together = (shape.heads / shape.groups + kShared - 1) / kShared;
  // As many parts as fill the card, none under a tile of what the tables can hold. Of a few rows there are more, as most of them are empty.
  const std::int64_t blocks = count * shape.groups * together, tokens = std::int64_t{work.tables.step} * shape.page_tokens;
  const std::int64_t most = (kTurned ? 4 : 2) * std::int64_t{processors(work.on)};
  const auto parts = static_cast<int>(
      std::clamp<std::int64_t>((most + blocks - 1) / blocks, 1, std::clamp<std::int64_t>(tokens / kSplitTokens<kTurned>, 1, kMostParts)));
  // One tile under work while the next one comes, where there is more than one and room for both.
  const bool both = tokens > parts * kSplitTokens<kTurned> &&
                    split_bytes<kWidth, kTurned>(2) <= attribute_of(work.on, cudaDevAttrMaxSharedMemoryPerBlockOptin);
  Splits splits{.count = parts, .together = together, .buffers = both ? 2 : 1};
  if (parts > 1) {
    const std::int64_t all = count * shape.heads * parts;
    splits.parts = work.on.cuda->scratch<float>(kParts, all * (kWidth + 2));
    splits.largest = splits.parts + all * kWidth;
    splits.total = splits.largest + all;
    // Always as many, so that they are uploaded once: there are parts where `blocks` are fewer than `most`.
    const std::vector<std::int32_t> zeros(static_cast<std::size_t>(4 * processors(work.on)));
    splits.arrived = const_cast<std::int32_t*>(work.on.cuda->upload(kArrived, std::span<const std::int32_t>(zeros)));
  }
  const int bytes = split_bytes<kWidth, kTurned>(splits.buffers);
  auto* const kernel = &split_kernel<kWidth, kTurned, T>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  start_overlapping(work.on, kernel,
                    dim3(static_cast<unsigned>(parts), blocks_for(count, 1), static_cast<unsigned>(shape.groups * together)),
                    kSplitThreads<kTurned>, static_cast<std::size_t>(bytes), work.tables, shape, splits, rows, pointer<T>(work.out),
                    pointer<T>(work.q), pointer<__half>(ConstView(work.pages.keys)), pointer<__half>(ConstView(work.pages.values)), turn);
}

template <int kWidth, class T>
void run_tiles(const Work& work, const TileBlock* blocks) {
  constexpr auto kBytes = static_cast<int>(5 * kRows * kWidth * sizeof(__half));
  check(cudaFuncSetAttribute(&tile_kernel<kWidth, T>, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  tile_kernel<kWidth, T>
      <<<dim3(static_cast<unsigned>(work.blocks), static_cast<unsigned>(work.shape.heads)), kTileThreads, kBytes, stream(work.on)>>>(
          work.tables, work.shape, blocks, pointer<T>(work.out), pointer<T>(work.q), pointer<__half>(ConstView(work.pages.keys)),
          pointer<__half>(ConstView(work.pages.values)));
  check_launch();
}

template <class T>
void run(const Work& work) {
  const std::int32_t* const rows = work.row_list;
  const bool f16 = work.pages.keys.type() == DType::kF16;
  if (work.rows > 0) {
    if (f16 && work.shape.width == 64)
      run_splits<64>(work, rows, Turn<T>{});
    else if (f16 && work.shape.width == 128)
      run_splits<128>(work, rows, Turn<T>{});
    else if (f16)
      run_plain<T, __half>(work, rows);
    else
      run_plain<T, float>(work, rows);
  }
  if (work.blocks == 0) return;
  const auto* const blocks = reinterpret_cast<const TileBlock*>(rows + work.rows);
  if (work.shape.width == 64)
    run_tiles<64, T>(work, blocks);
  else
    run_tiles<128, T>(work, blocks);
}

}  // namespace

std::int64_t table_step(std::span<const KvSequence> sequences) {
  std::size_t step = 64;  // tables grow by doubling, so that one recorded pass serves many lengths
  for (const KvSequence& sequence : sequences)
    while (step < sequence.pages.size()) step *= 2;
  return static_cast<std::int64_t>(step);
}

void upload_tables(const Backend& on, std::span<const KvSequence> sequences, std::span<const std::int32_t> bounds) {
  upload(on, sequences, bounds);
  upload_rows(on, bounds, false);
}

void store_keys_values(const Backend& on, const KvPages& pages, ConstView k, ConstView v, std::span<const KvSequence> sequences,
                       std::span<const std::int32_t> bounds) {
  require_gpu(on, {pages.keys, pages.values, k, v});
  if (sequences.empty() || bounds.back() == bounds.front()) return;
  const Tables tables = upload(on, sequences, bounds);
  const auto width = static_cast<int>(k.shape()[1] * k.shape()[2]), page_tokens = static_cast<int>(pages.page_tokens());
  const unsigned rows = blocks_for(bounds.back() - bounds.front(), 1);
  const int threads = std::clamp((width + 31) / 32 * 32, 32, 256);
  with_type(k.type(), [&](auto type) {
    using T = decltype(type);
    if (pages.keys.type() == DType::kF16)
      store_kernel<<<rows, threads, 0, stream(on)>>>(tables, pointer<__half>(pages.keys), pointer<__half>(pages.values), pointer<T>(k),
                                                     pointer<T>(v), bounds.front(), page_tokens, width);
    else
      store_kernel<<<rows, threads, 0, stream(on)>>>(tables, pointer<float>(pages.keys), pointer<float>(pages.values), pointer<T>(k),
                                                     pointer<T>(v), bounds.front(), page_tokens, width);
  });
  check_launch();
}

void rope_and_store(const Backend& on, View q, View k, ConstView v, std::span<const std::int32_t> positions, const RopeTable& table,
                    const KvPages& pages, std::span<const KvSequence> sequences, std::span<const std::int32_t> bounds) {
  require_gpu(on, {q, k, v, pages.keys, pages.values, table.cosine, table.sine});
  if (positions.empty()) return;
  const Tables tables = upload(on, sequences, bounds);
  const std::int32_t* const position = on.cuda->upload(kPositions, positions);
  constexpr int kThreads = 256;
  const auto heads = static_cast<int>(q.shape()[1]), groups = static_cast<int>(k.shape()[1]), width = static_cast<int>(q.shape()[2]);
  const dim3 blocks(blocks_for(std::int64_t{heads + 2 * groups} * (width / 2), kThreads), static_cast<unsigned>(positions.size()));
  with_type(q.type(), [&](auto type) {
    using T = decltype(type);
    const auto begin = [&]<class Page>(Page*) {
      start_overlapping(on, &rope_and_store_kernel<T, Page>, blocks, kThreads, 0, tables, pointer<Page>(pages.keys),
                        pointer<Page>(pages.values), pointer<T>(q), pointer<T>(ConstView(k)), pointer<T>(v), pointer(table.cosine),
                        pointer(table.sine), position, static_cast<int>(pages.page_tokens()), heads, groups, width,
                        table.pairs == RopePairs::kHalves);
    };
    if (pages.keys.type() == DType::kF16)
      begin(static_cast<__half*>(nullptr));
    else
      begin(static_cast<float*>(nullptr));
  });
}

bool rope_and_attend(const Backend& on, View out, ConstView q, ConstView k, ConstView v, std::span<const std::int32_t> positions,
                     const RopeTable& table, const KvPages& pages, std::span<const KvSequence> sequences,
                     std::span<const std::int32_t> bounds, float scale) {
  require_gpu(on, {out, q, k, v, pages.keys, pages.values, table.cosine, table.sine});
  const std::int64_t width = q.shape()[2];
  if (pages.keys.type() != DType::kF16 || (width != 64 && width != 128)) return false;
  const RowList list = upload_rows(on, bounds, true);
  constexpr std::int64_t kMost = 8;  // more rows fill the card: a launch less is nothing to them, and turning costs registers
  if (list.rows == 0 || list.rows > kMost || list.blocks > 0 || bounds.front() != 0) return false;
  const Work work = work_of(on, out, q, pages, sequences, bounds, scale, list);
  const std::int32_t* const position = on.cuda->upload(kPositions, positions);
  with_type(q.type(), [&](auto type) {
    using T = decltype(type);
    const Turn<T> turn{.k = pointer<T>(k),
                       .v = pointer<T>(v),
                       .cosines = pointer(table.cosine),
                       .sines = pointer(table.sine),
                       .positions = position,
                       .halves = table.pairs == RopePairs::kHalves,
                       .keys = pointer<__half>(pages.keys),
                       .values = pointer<__half>(pages.values)};
    if (width == 64)
      run_splits<64, true>(work, list.at, turn);
    else
      run_splits<128, true>(work, list.at, turn);
  });
  return true;
}

void paged_attention(const Backend& on, View out, ConstView q, const KvPages& pages, std::span<const KvSequence> sequences,
                     std::span<const std::int32_t> bounds, float scale) {
  require_gpu(on, {out, q, pages.keys, pages.values});
  const bool tiles = pages.keys.type() == DType::kF16 && (q.shape()[2] == 64 || q.shape()[2] == 128);
  const RowList list = upload_rows(on, bounds, tiles);
  if (list.rows + list.blocks == 0) return;
  const Work work = work_of(on, out, q, pages, sequences, bounds, scale, list);
  with_type(q.type(), [&](auto type) { run<decltype(type)>(work); });
}

}  // namespace deskhand::cuda
