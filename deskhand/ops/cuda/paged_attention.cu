// A block a (row, head), four warps that share the keys; a warp takes four keys at a time, eight threads a key, and keeps its own largest
// score and sums, which are put together at the end in the warps' order. Plain, version 1: a prompt's rows each read all their keys through
// the cache.
#include "deskhand/ops/paged_attention.h"

#include <cuda_fp16.h>

#include <vector>

#include "deskhand/ops/cuda/map.cuh"

namespace deskhand::cuda {
namespace {

constexpr int kThreads = 128, kWarps = kThreads / 32, kOfKey = 8, kKeys = 32 / kOfKey;
constexpr int kMostColumns = 8;  // of a thread: heads up to 256 wide

// A new row: where its sequence's page numbers begin, and its place in the sequence.
struct Row {
  std::int32_t table, position;
};

struct Pages {
  const Row* rows;
  const std::int32_t* tables;
  std::int64_t page_tokens, groups, width;

  // Where the token's first element of `group` lies.
  __device__ std::int64_t place(const Row& row, std::int64_t token, std::int64_t group) const {
    return ((tables[row.table + token / page_tokens] * page_tokens + token % page_tokens) * groups + group) * width;
  }
};

__device__ float wide(float value) {
  return value;
}
__device__ float wide(__half value) {
  return __half2float(value);
}
__device__ void narrow(float& to, float value) {
  to = value;
}
__device__ void narrow(__half& to, float value) {
  to = __float2half_rn(value);
}

// kEach elements are loaded at a time.
template <int kEach, class T>
__global__ void __launch_bounds__(kThreads) paged_attention_kernel(Pages at, float* out, const float* q, const T* keys, const T* values,
                                                                   std::int64_t first_row, std::int64_t heads, float scale) {
  extern __shared__ float shared[];  // the query, then each warp's sums
  __shared__ float warp_largest[kWarps], warp_total[kWarps];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, of_key = lane % kOfKey;
  const std::int64_t number = first_row + blockIdx.x, head = blockIdx.y, group = head / (heads / at.groups), width = at.width;
  const Row row = at.rows[blockIdx.x];
  float* const query = shared;
  float* const sums = shared + width;
  for (std::int64_t d = threadIdx.x; d < width; d += kThreads) query[d] = q[(number * heads + head) * width + d] * scale;
  __syncthreads();
  float largest = -INFINITY, total = 0, sum[kMostColumns] = {};
  for (std::int64_t first = warp * kKeys; first <= row.position; first += kWarps * kKeys) {
    const std::int64_t key = first + lane / kOfKey;
    float score = 0;
    if (key <= row.position) {
      const T* const from = keys + at.place(row, key, group);
      for (std::int64_t d = of_key * kEach; d < width; d += kOfKey * kEach) {
        const auto part = *reinterpret_cast<const Elements<T, kEach>*>(from + d);
#pragma unroll
        for (int i = 0; i < kEach; ++i) score += query[d + i] * wide(part.values[i]);
      }
    }
    for (int step = kOfKey / 2; step > 0; step /= 2) score += __shfl_xor_sync(~0u, score, step);
    if (key > row.position) score = -INFINITY;
    float larger = fmaxf(largest, score);
    for (int step = kOfKey; step < 32; step *= 2) larger = fmaxf(larger, __shfl_xor_sync(~0u, larger, step));
    const float shrink = expf(largest - larger), e = expf(score - larger);
    largest = larger;
    total *= shrink;
#pragma unroll
    for (int c = 0; c < kMostColumns; ++c) sum[c] *= shrink;
#pragma unroll
    for (int k = 0; k < kKeys; ++k) {
      if (first + k > row.position) break;
      const float weight = __shfl_sync(~0u, e, k * kOfKey);
      const T* const from = values + at.place(row, first + k, group);
      total += weight;
#pragma unroll
      for (int c = 0; c < kMostColumns; ++c)
        if (const std::int64_t d = lane + 32 * c; d < width) sum[c] += weight * wide(from[d]);
    }
  }
#pragma unroll
  for (int c = 0; c < kMostColumns; ++c)
    if (const std::int64_t d = lane + 32 * c; d < width) sums[warp * width + d] = sum[c];
  if (lane == 0) {
    warp_largest[warp] = largest;
    warp_total[warp] = total;
  }
  __syncthreads();
  float most = -INFINITY, whole = 0, share[kWarps];
  for (int i = 0; i < kWarps; ++i) most = fmaxf(most, warp_largest[i]);
  for (int i = 0; i < kWarps; ++i) {
    share[i] = warp_total[i] == 0 ? 0 : expf(warp_largest[i] - most);  // the first warp has a key: most is a number
    whole += warp_total[i] * share[i];
  }
  for (std::int64_t d = threadIdx.x; d < width; d += kThreads) {
    float value = 0;
    for (int i = 0; i < kWarps; ++i) value += share[i] * sums[i * width + d];
    out[(number * heads + head) * width + d] = value / whole;
  }
}

template <class T>
struct Store {
  Pages at;
  T *keys, *values;
  const float *k, *v;  // from the first new row on
  std::int64_t row_width;
  __device__ void operator()(std::int64_t i) const {
    const Row row = at.rows[i / row_width];
    const std::int64_t to = at.place(row, row.position, 0) + i % row_width;
    narrow(keys[to], k[i]);
    narrow(values[to], v[i]);
  }
};

// Rows and tables of a pass, the same for all its layers: copied once.
Pages pages_of(const Backend& on, const KvPages& pages, std::span<const KvSequence> sequences, std::span<const std::int32_t> bounds) {
  std::vector<std::int32_t> rows, tables;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    const std::int32_t count = bounds[i + 1] - bounds[i], table = static_cast<std::int32_t>(tables.size());
    for (std::int32_t row = 0; row < count; ++row) {
      rows.push_back(table);
      rows.push_back(sequences[i].length - count + row);
    }
    tables.insert(tables.end(), sequences[i].pages.begin(), sequences[i].pages.end());
  }
  const auto count = static_cast<std::int64_t>(rows.size());
  rows.insert(rows.end(), tables.begin(), tables.end());
  const std::int32_t* const there = on.cuda->upload(kPages, std::span<const std::int32_t>(rows));
  return {.rows = reinterpret_cast<const Row*>(there),
          .tables = there + count,
          .page_tokens = pages.page_tokens(),
          .groups = pages.keys.shape()[2],
          .width = pages.keys.shape()[3]};
}

// Calls work(T{}) with the type of the pages' elements.
template <class Work>
void with_page_type(const KvPages& pages, const Work& work) {
  if (pages.keys.type() == DType::kF32)
    work(float{});
  else
    work(__half{});
}

}  // namespace

void store_keys_values(const Backend& on, const KvPages& pages, ConstView k, ConstView v, std::span<const KvSequence> sequences,
                       std::span<const std::int32_t> bounds) {
  require_gpu(on, {pages.keys, pages.values, k, v});
  const Pages at = pages_of(on, pages, sequences, bounds);
  const std::int64_t row_width = at.groups * at.width, rows = bounds.back() - bounds.front(), skipped = bounds.front() * row_width;
  with_page_type(pages, [&](auto type) {
    using T = decltype(type);
    for_each(on, rows * row_width,
             Store<T>{at, pointer<T>(pages.keys), pointer<T>(pages.values), pointer(k) + skipped, pointer(v) + skipped, row_width});
  });
}

void paged_attention(const Backend& on, View out, ConstView q, const KvPages& pages, std::span<const KvSequence> sequences,
                     std::span<const std::int32_t> bounds, float scale) {
  require_gpu(on, {out, q, pages.keys, pages.values});
  const std::int64_t rows = bounds.back() - bounds.front(), heads = q.shape()[1];
  const Pages at = pages_of(on, pages, sequences, bounds);
  DESKHAND_ASSERT(at.width <= 32 * kMostColumns && heads < 65536, "heads that the kernel has room for");
  if (rows == 0) return;
  with_page_type(pages, [&](auto type) {
    using T = decltype(type);
    const bool packs = at.width % kPack<T> == 0;
    auto* const kernel = packs ? &paged_attention_kernel<kPack<T>, T> : &paged_attention_kernel<1, T>;
    const auto bytes = static_cast<std::size_t>((1 + kWarps) * at.width) * sizeof(float);
    kernel<<<dim3(blocks_for(rows, 1), static_cast<unsigned>(heads)), kThreads, bytes, stream(on)>>>(
        at, pointer(out), pointer(q), pointer<T>(pages.keys), pointer<T>(pages.values), bounds.front(), heads, scale);
  });
  check_launch();
}

}  // namespace deskhand::cuda
