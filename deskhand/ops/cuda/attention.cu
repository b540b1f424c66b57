// bf16 heads whose width the tensor cores' tiles know: attention_bf16.cu. Plain kernels for all others, version 1: a block a (row, head),
// keys or queries a tile at a time, a thread a score, then a thread a column of the head. f32 throughout and no tensor cores; every sum has
// one order. Each block reads all keys of its sequence through the cache.
#include "deskhand/ops/attention.h"

#include "deskhand/ops/cuda/attention_bf16.h"
#include "deskhand/ops/cuda/hopper/attention.h"
#include "deskhand/ops/cuda/map.cuh"
#include "deskhand/ops/shared_beginning.h"

namespace deskhand::cuda {
namespace {

constexpr int kTile = 128;       // scores at a time, and threads
constexpr int kMostColumns = 4;  // of a thread: heads up to 512 wide

struct Heads {
  const std::int32_t* bounds;
  int sequences;
  std::int64_t first_row, heads, groups, width;
  float scale;
  bool causal;
};

struct Span {
  std::int64_t begin, end;
};

// The sequence of a row: the last that begins at or before it.
__device__ Span sequence_of(const Heads& at, std::int64_t row) {
  const int sequence = last_begun(at.bounds, at.sequences, row);
  return {at.bounds[sequence], at.bounds[sequence + 1]};
}

// A head's width in shared memory: the compiler reads four floats at once and looks past the end, at what it then leaves alone.
__host__ __device__ std::int64_t padded(std::int64_t width) {
  return (width + 3) / 4 * 4;
}

__device__ float dot(const float* a, const float* b, std::int64_t width) {
  float sum = 0;
  for (std::int64_t i = 0; i < width; ++i) sum += a[i] * b[i];
  return sum;
}

__global__ void __launch_bounds__(kTile)
    attention_kernel(Heads at, float* out, float* logsumexp, const float* q, const float* k, const float* v) {
  extern __shared__ float query[];
  __shared__ float weight[kTile];
  const std::int64_t row = at.first_row + blockIdx.x, head = blockIdx.y, group = head / (at.heads / at.groups);
  const Span sequence = sequence_of(at, row);
  const std::int64_t last = at.causal ? row + 1 : sequence.end;
  for (std::int64_t d = threadIdx.x; d < at.width; d += kTile) query[d] = q[(row * at.heads + head) * at.width + d];
  __syncthreads();
  float largest = -INFINITY, total = 0, sum[kMostColumns] = {};
  for (std::int64_t first = sequence.begin; first < last; first += kTile) {
    const std::int64_t key = first + threadIdx.x;
    const float score = key < last ? dot(query, k + (key * at.groups + group) * at.width, at.width) * at.scale : -INFINITY;
    const float larger = of_block(fmaxf(score, largest), -INFINITY, Larger());
    const float e = key < last ? expf(score - larger) : 0, shrink = expf(largest - larger);
    weight[threadIdx.x] = e;  // of_block waits for all threads before anybody reads
    total = total * shrink + of_block(e);
    largest = larger;
    const int count = static_cast<int>(min(std::int64_t{kTile}, last - first));
#pragma unroll
    for (int c = 0; c < kMostColumns; ++c) {
      const std::int64_t d = threadIdx.x + c * kTile;
      if (d >= at.width) break;
      float part = sum[c] * shrink;
      for (int i = 0; i < count; ++i) part += weight[i] * v[((first + i) * at.groups + group) * at.width + d];
      sum[c] = part;
    }
    __syncthreads();  // before the weights are written again
  }
#pragma unroll
  for (int c = 0; c < kMostColumns; ++c) {
    const std::int64_t d = threadIdx.x + c * kTile;
    if (d < at.width) out[(row * at.heads + head) * at.width + d] = sum[c] / total;
  }
  if (logsumexp && threadIdx.x == 0) logsumexp[row * at.heads + head] = largest + logf(total);
}

// delta (N, H) = the rows' sums of d_out out: a warp each.
__global__ void __launch_bounds__(kTile)
    delta_kernel(float* delta, const float* d_out, const float* out, std::int64_t first, std::int64_t count, std::int64_t width) {
  const std::int64_t number = blockIdx.x * std::int64_t{kTile / 32} + threadIdx.x / 32;
  if (number >= count) return;
  const std::int64_t at = (first + number) * width;
  float sum = 0;
  for (std::int64_t d = threadIdx.x % 32; d < width; d += 32) sum += d_out[at + d] * out[at + d];
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
  if (threadIdx.x % 32 == 0) delta[first + number] = sum;
}

struct Forward {
  const float *q, *k, *v, *d_out, *logsumexp, *delta;
};

// d_q: a block a (row, head).
__global__ void __launch_bounds__(kTile) d_query_kernel(Heads at, Forward in, float* d_q) {
  extern __shared__ float shared[];
  __shared__ float d_score[kTile];
  float* const query = shared;
  float* const d = shared + padded(at.width);
  const std::int64_t row = at.first_row + blockIdx.x, head = blockIdx.y, group = head / (at.heads / at.groups),
                     of_row = row * at.heads + head;
  const Span sequence = sequence_of(at, row);
  const std::int64_t last = at.causal ? row + 1 : sequence.end;
  for (std::int64_t i = threadIdx.x; i < at.width; i += kTile) {
    query[i] = in.q[of_row * at.width + i];
    d[i] = in.d_out[of_row * at.width + i];
  }
  const float logsumexp = in.logsumexp[of_row], delta = in.delta[of_row];
  float sum[kMostColumns] = {};
  for (std::int64_t first = sequence.begin; first < last; first += kTile) {
    __syncthreads();
    const std::int64_t key = first + threadIdx.x, from = (key * at.groups + group) * at.width;
    if (key < last)
      d_score[threadIdx.x] =
          expf(dot(query, in.k + from, at.width) * at.scale - logsumexp) * (dot(d, in.v + from, at.width) - delta) * at.scale;
    __syncthreads();
    const int count = static_cast<int>(min(std::int64_t{kTile}, last - first));
#pragma unroll
    for (int c = 0; c < kMostColumns; ++c) {
      const std::int64_t column = threadIdx.x + c * kTile;
      if (column >= at.width) break;
      for (int i = 0; i < count; ++i) sum[c] += d_score[i] * in.k[((first + i) * at.groups + group) * at.width + column];
    }
  }
#pragma unroll
  for (int c = 0; c < kMostColumns; ++c) {
    const std::int64_t column = threadIdx.x + c * kTile;
    if (column < at.width) d_q[of_row * at.width + column] = sum[c];
  }
}

// d_k and d_v: a block a (row, group), over the heads that share the key and the queries that see it.
__global__ void __launch_bounds__(kTile) d_key_kernel(Heads at, Forward in, float* d_k, float* d_v) {
  extern __shared__ float shared[];
  __shared__ float weight[kTile], d_score[kTile];
  float* const key = shared;
  float* const value = shared + padded(at.width);
  const std::int64_t row = at.first_row + blockIdx.x, group = blockIdx.y, share = at.heads / at.groups, of_row = row * at.groups + group;
  const Span sequence = sequence_of(at, row);
  for (std::int64_t i = threadIdx.x; i < at.width; i += kTile) {
    key[i] = in.k[of_row * at.width + i];
    value[i] = in.v[of_row * at.width + i];
  }
  float sum_k[kMostColumns] = {}, sum_v[kMostColumns] = {};
  for (std::int64_t head = group * share; head < (group + 1) * share; ++head)
    for (std::int64_t first = at.causal ? row : sequence.begin; first < sequence.end; first += kTile) {
      __syncthreads();
      const std::int64_t of_query = (first + threadIdx.x) * at.heads + head;
      if (first + threadIdx.x < sequence.end) {
        const float p = expf(dot(key, in.q + of_query * at.width, at.width) * at.scale - in.logsumexp[of_query]);
        weight[threadIdx.x] = p;
        d_score[threadIdx.x] = p * (dot(value, in.d_out + of_query * at.width, at.width) - in.delta[of_query]) * at.scale;
      }
      __syncthreads();
      const int count = static_cast<int>(min(std::int64_t{kTile}, sequence.end - first));
#pragma unroll
      for (int c = 0; c < kMostColumns; ++c) {
        const std::int64_t column = threadIdx.x + c * kTile;
        if (column >= at.width) break;
        for (int i = 0; i < count; ++i) {
          const std::int64_t from = ((first + i) * at.heads + head) * at.width + column;
          sum_v[c] += weight[i] * in.d_out[from];
          sum_k[c] += d_score[i] * in.q[from];
        }
      }
    }
#pragma unroll
  for (int c = 0; c < kMostColumns; ++c) {
    const std::int64_t column = threadIdx.x + c * kTile;
    if (column >= at.width) break;
    d_k[of_row * at.width + column] = sum_k[c];
    d_v[of_row * at.width + column] = sum_v[c];
  }
}

Heads heads_of(const Backend& on, const Shape& q, const Shape& k, std::span<const std::int32_t> bounds, const AttentionOptions& options) {
  DESKHAND_ASSERT(q[2] <= kTile * kMostColumns && q[1] < 65536, "heads that the kernels have room for");
  return {.bounds = on.cuda->upload(kBounds, bounds),
          .sequences = static_cast<int>(bounds.size()) - 1,
          .first_row = bounds.front(),
          .heads = q[1],
          .groups = k[1],
          .width = q[2],
          .scale = options.scale,
          .causal = options.causal};
}

// An f32 twin of a bf16 tensor, in scratch: for widths that the tiles do not know.
struct Widen {
  const Bf16* in;
  float* out;
  __device__ void operator()(std::int64_t i) const { out[i] = widened(in[i]); }
};
struct Narrow {
  const float* in;
  Bf16* out;
  __device__ void operator()(std::int64_t i) const { out[i] = narrowed<Bf16>(in[i]); }
};

View twin(const Backend& on, int number, ConstView of) {
  const View wide(on.cuda->scratch(kWide + number, of.shape().elements() * static_cast<std::int64_t>(sizeof(float))), DType::kF32,
                  of.shape(), Device::kCuda);
  for_each(on, of.shape().elements(), Widen{pointer<Bf16>(of), pointer(wide)});
  return wide;
}

void take_back(const Backend& on, View out, ConstView twin) {
  for_each(on, out.shape().elements(), Narrow{pointer(twin), pointer<Bf16>(out)});
}

}  // namespace

void attention(const Backend& on, View out, ConstView q, ConstView k, ConstView v, std::span<const std::int32_t> bounds,
               AttentionOptions options, View logsumexp) {
  require_gpu(on, {out, q, k, v, logsumexp});
  const std::int64_t rows = bounds.back() - bounds.front(), width = q.shape()[2];
  if (rows == 0 || width == 0 || q.shape()[1] == 0) return;
  if (q.type() == DType::kBF16 && has_hopper_attention(on, width)) return attention_hopper(on, out, q, k, v, bounds, options, logsumexp);
  if (options.shared > 0) return gathered_attention(on, out, q, k, v, bounds, options, logsumexp);
  if (q.type() == DType::kBF16) {
    if (has_attention_tiles(width)) return attention_bf16(on, out, q, k, v, bounds, options, logsumexp);
    const View wide = twin(on, 0, out);  // rows outside the sequences come back as they were
    cuda::attention(on, wide, twin(on, 1, q), twin(on, 2, k), twin(on, 3, v), bounds, options, logsumexp);
    return take_back(on, out, wide);
  }
  const Heads at = heads_of(on, q.shape(), k.shape(), bounds, options);
  attention_kernel<<<dim3(blocks_for(rows, 1), static_cast<unsigned>(at.heads)), kTile, padded(width) * sizeof(float), stream(on)>>>(
      at, pointer(out), pointer(logsumexp), pointer(q), pointer(k), pointer(v));
  check_launch();
}

bool turns_back(const Backend& on, ConstView d_out) {
  return d_out.type() == DType::kBF16 && has_hopper_attention(on, d_out.shape()[2]);
}

void attention_backward(const Backend& on, const AttentionGradients& gradients, ConstView d_out, const AttentionForward& forward,
                        std::span<const std::int32_t> bounds, AttentionOptions options) {
  require_gpu(on, {gradients.d_q, gradients.d_k, gradients.d_v, d_out, forward.q, forward.k, forward.v, forward.out, forward.logsumexp});
  const std::int64_t rows = bounds.back() - bounds.front(), width = d_out.shape()[2];
  if (rows == 0 || width == 0 || d_out.shape()[1] == 0) return;
  if (turns_back(on, d_out)) return attention_backward_hopper(on, gradients, d_out, forward, bounds, options);
  if (options.shared > 0) return gathered_attention_backward(on, gradients, d_out, forward, bounds, options);
  if (d_out.type() == DType::kBF16) {
    if (has_attention_tiles(width)) return attention_backward_bf16(on, gradients, d_out, forward, bounds, options);
    const AttentionGradients wide{twin(on, 0, gradients.d_q), twin(on, 1, gradients.d_k), twin(on, 2, gradients.d_v)};
    const AttentionForward wide_forward{twin(on, 3, forward.q), twin(on, 4, forward.k), twin(on, 5, forward.v), twin(on, 6, forward.out),
                                        forward.logsumexp};
    cuda::attention_backward(on, wide, twin(on, 7, d_out), wide_forward, bounds, options);
    take_back(on, gradients.d_q, wide.d_q);
    take_back(on, gradients.d_k, wide.d_k);
    return take_back(on, gradients.d_v, wide.d_v);
  }
  const Heads at = heads_of(on, d_out.shape(), forward.k.shape(), bounds, options);
  float* const delta = on.cuda->scratch<float>(kDelta, d_out.shape()[0] * at.heads);
  delta_kernel<<<blocks_for(rows * at.heads, kTile / 32), kTile, 0, stream(on)>>>(delta, pointer(d_out), pointer(forward.out),
                                                                                  at.first_row * at.heads, rows * at.heads, width);
  check_launch();
  const Forward in{pointer(forward.q), pointer(forward.k), pointer(forward.v), pointer(d_out), pointer(forward.logsumexp), delta};
  const std::size_t bytes = 2 * static_cast<std::size_t>(padded(width)) * sizeof(float);
  d_query_kernel<<<dim3(blocks_for(rows, 1), static_cast<unsigned>(at.heads)), kTile, bytes, stream(on)>>>(at, in, pointer(gradients.d_q));
  check_launch();
  d_key_kernel<<<dim3(blocks_for(rows, 1), static_cast<unsigned>(at.groups)), kTile, bytes, stream(on)>>>(at, in, pointer(gradients.d_k),
                                                                                                          pointer(gradients.d_v));
  check_launch();
}

}  // namespace deskhand::cuda
