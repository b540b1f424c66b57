// FP8's products by cuBLASLt, with a scale for each row of both factors where it has that (Hopper, from CUDA 12.9 on); elsewhere the bare
// product and a pass that scales it. What is left in FP8 is made a block a row, which registers hold between the search for its largest
// size and the rounding: bound by memory, read once. Values are rounded to bf16 first, so that each is its composed form to the bit.
#include "deskhand/ops/fp8.h"

#include <cuda_fp8.h>

#include "deskhand/ops/cuda/fp8_in_two.h"
#include "deskhand/ops/cuda/map.cuh"
#include "deskhand/ops/cuda/multiply.h"
#include "deskhand/ops/cuda/norm_weight.h"
#include "deskhand/ops/cuda/swiglu.cuh"

namespace deskhand::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kEach = 8;                       // neighbours, 16 bytes of bf16
constexpr std::int64_t kHeldBytes = 96 << 10;  // of shared memory, which every card gives a block; rows that take more are made twice
constexpr float kLargest = 448, kSmallest = 1e-30f;

// kEach bf16, two to a register.
struct alignas(16) Pack {
  __nv_bfloat162 pairs[kEach / 2];
};

// Results side by side in a row of FP8, under one scale.
template <int kCount>
struct Outs {
  std::uint8_t* values;
  float* scales;
  Bf16* plain[kCount];  // or null
};

constexpr int kMostParts = 3;

struct Parts {
  const Bf16* at[kMostParts];
  int ends[kMostParts];  // of each in the row that they make side by side; all others' is its end
};

// How much the largest size of the block's row is scaled by, in every thread; the scale back is stored.
__device__ float inverse_scale(float largest, float* scales) {
  largest = fmaxf(of_block(largest, 0.0f, Larger()), kSmallest);
  if (threadIdx.x == 0) scales[blockIdx.x] = largest / kLargest;
  return kLargest / largest;
}

__device__ __nv_bfloat162 larger_of(__nv_bfloat162 largest, const Pack& pack) {
#pragma unroll
  for (const __nv_bfloat162 pair : pack.pairs) largest = __hmax2(largest, __habs2(pair));
  return largest;
}
__device__ float of_both(__nv_bfloat162 pair) {
  return fmaxf(__low2float(pair), __high2float(pair));
}

__device__ void put(std::uint8_t* to, const Pack& from, float inverse) {
  union {
    __nv_fp8x2_storage_t pairs[kEach / 2];
    uint2 all;
  } narrow;
#pragma unroll
  for (int e = 0; e < kEach / 2; ++e) {
    const float2 pair = __bfloat1622float2(from.pairs[e]);
    narrow.pairs[e] = __nv_cvt_float2_to_fp8x2({pair.x * inverse, pair.y * inverse}, __NV_SATFINITE, __NV_E4M3);
  }
  *reinterpret_cast<uint2*>(to) = narrow.all;
}

// The block's row in shared memory, a thread's packs where the same thread finds them; nothing where it does not fit.
extern __shared__ Pack held_row[];

__global__ void __launch_bounds__(kThreads) to_fp8_kernel(std::uint8_t* values, float* scales, Parts parts, bool holds) {
  const std::int64_t row = blockIdx.x;
  const int step = static_cast<int>(blockDim.x) * kEach, start = static_cast<int>(threadIdx.x) * kEach, end = parts.ends[kMostParts - 1];
  const auto read = [&](int i) {
    int part = 0, begin = 0;
#pragma unroll
    for (int k = 0; k < kMostParts - 1; ++k)
      if (i >= parts.ends[k]) part = k + 1, begin = parts.ends[k];
    const Bf16* from = parts.at[0];
#pragma unroll
    for (int k = 1; k < kMostParts; ++k)
      if (part == k) from = parts.at[k];
    int width = parts.ends[0];
#pragma unroll
    for (int k = 1; k < kMostParts; ++k)
      if (part == k) width = parts.ends[k] - begin;
    return *reinterpret_cast<const Pack*>(from + row * width + (i - begin));
  };
  __nv_bfloat162 largest = __float2bfloat162_rn(0);
#pragma unroll 2
  for (int i = start; i < end; i += step) {
    const Pack pack = read(i);
    largest = larger_of(largest, pack);
    if (holds) held_row[i / kEach] = pack;
  }
  const float inverse = inverse_scale(of_both(largest), scales);
  for (int i = start; i < end; i += step) put(values + row * end + i, holds ? held_row[i / kEach] : read(i), inverse);
}

// work(y, x) for each element, y rounded to bf16. Outputs may be inputs: a thread writes what it alone has read.
template <int kOuts, int kIns, class Work>
__global__ void __launch_bounds__(kThreads)
    rows_to_fp8_kernel(Outs<kOuts> out, Pointers<const Bf16, kIns> in, std::int64_t width, bool holds, Work work) {
  const std::int64_t row = blockIdx.x * width;
  const int step = static_cast<int>(blockDim.x) * kEach, start = static_cast<int>(threadIdx.x) * kEach, end = static_cast<int>(width);
  const auto make = [&](Pack(&to)[kOuts], int i) {
    Pack read[kIns];
#pragma unroll
    for (int k = 0; k < kIns; ++k) read[k] = *reinterpret_cast<const Pack*>(in.at[k] + row + i);
#pragma unroll
    for (int e = 0; e < kEach / 2; ++e) {
      float x[2][kIns], y[2][kOuts];
#pragma unroll
      for (int k = 0; k < kIns; ++k) {
        const float2 pair = __bfloat1622float2(read[k].pairs[e]);
        x[0][k] = pair.x, x[1][k] = pair.y;
      }
      work(y[0], x[0]);
      work(y[1], x[1]);
#pragma unroll
      for (int k = 0; k < kOuts; ++k) to[k].pairs[e] = __floats2bfloat162_rn(y[0][k], y[1][k]);
    }
  };
  __nv_bfloat162 largest = __float2bfloat162_rn(0);
#pragma unroll 2
  for (int i = start; i < end; i += step) {
    Pack made[kOuts];
    make(made, i);
#pragma unroll
    for (int k = 0; k < kOuts; ++k) {
      largest = larger_of(largest, made[k]);
      if (holds) held_row[(i / kEach) * kOuts + k] = made[k];
    }
  }
  const float inverse = inverse_scale(of_both(largest), out.scales);
  for (int i = start; i < end; i += step) {
    Pack made[kOuts];
    if (holds)
#pragma unroll
      for (int k = 0; k < kOuts; ++k) made[k] = held_row[(i / kEach) * kOuts + k];
    else
      make(made, i);
#pragma unroll
    for (int k = 0; k < kOuts; ++k) {
      put(out.values + row * kOuts + k * width + i, made[k], inverse);
      if (out.plain[k]) *reinterpret_cast<Pack*>(out.plain[k] + row + i) = made[k];
    }
  }
}

__global__ void __launch_bounds__(kThreads)
    rms_norm_fp8_kernel(Outs<1> out, const Bf16* x, const float* weight, float* rstd, std::int64_t width, bool holds, float epsilon) {
  const std::int64_t row = blockIdx.x * width;
  const int step = static_cast<int>(blockDim.x) * kEach, start = static_cast<int>(threadIdx.x) * kEach, end = static_cast<int>(width);
  const auto read = [&](int i) { return holds ? held_row[i / kEach] : *reinterpret_cast<const Pack*>(x + row + i); };
  float squares = 0;
#pragma unroll 2
  for (int i = start; i < end; i += step) {
    const Pack pack = *reinterpret_cast<const Pack*>(x + row + i);
#pragma unroll
    for (const __nv_bfloat162 pair : pack.pairs) {
      const float2 values = __bfloat1622float2(pair);
      squares += values.x * values.x + values.y * values.y;
    }
    if (holds) held_row[i / kEach] = pack;
  }
  const float scale = 1 / sqrtf(of_block(squares) / static_cast<float>(width) + epsilon);
  if (rstd && threadIdx.x == 0) rstd[blockIdx.x] = scale;
  const auto normed = [&](int i) {
    Pack pack = read(i);
    float weights[kEach];
    load(weights, weight + i);
#pragma unroll
    for (int e = 0; e < kEach / 2; ++e) {
      const float2 values = __bfloat1622float2(pack.pairs[e]);
      pack.pairs[e] = __floats2bfloat162_rn(values.x * (scale * weights[2 * e]), values.y * (scale * weights[2 * e + 1]));
    }
    return pack;
  };
  __nv_bfloat162 largest = __float2bfloat162_rn(0);
  for (int i = start; i < end; i += step) {
    const Pack pack = normed(i);
    largest = larger_of(largest, pack);
    if (holds) held_row[i / kEach] = pack;
  }
  const float inverse = inverse_scale(of_both(largest), out.scales);
  for (int i = start; i < end; i += step) {
    const Pack pack = holds ? held_row[i / kEach] : normed(i);
    put(out.values + row + i, pack, inverse);
    if (out.plain[0]) *reinterpret_cast<Pack*>(out.plain[0] + row + i) = pack;
  }
}

// d_x as rms_norm_backward_kernel makes it, sums in the same order. Held between the passes: d_out and x, then what becomes of them.
__global__ void __launch_bounds__(kThreads)
    rms_norm_backward_fp8_kernel(Outs<1> out, bool add, const Bf16* d_out, const Bf16* x, const float* weight, const float* rstd,
                                 std::int64_t width, bool holds) {
  const std::int64_t row = blockIdx.x * width;
  const int step = kThreads * kEach, start = static_cast<int>(threadIdx.x) * kEach, end = static_cast<int>(width);
  const auto read = [&](int part, const Bf16* from, int i) {
    return holds ? held_row[(i / kEach) * 2 + part] : *reinterpret_cast<const Pack*>(from + row + i);
  };
  const float scale = rstd[blockIdx.x];
  float sum = 0;  // of g x
#pragma unroll 2
  for (int i = start; i < end; i += step) {
    const Pack d = *reinterpret_cast<const Pack*>(d_out + row + i), values = *reinterpret_cast<const Pack*>(x + row + i);
    float weights[kEach];
    load(weights, weight + i);
#pragma unroll
    for (int e = 0; e < kEach / 2; ++e) {
      const float2 slope = __bfloat1622float2(d.pairs[e]), value = __bfloat1622float2(values.pairs[e]);
      sum += slope.x * weights[2 * e] * value.x;
      sum += slope.y * weights[2 * e + 1] * value.y;
    }
    if (holds) held_row[(i / kEach) * 2] = d, held_row[(i / kEach) * 2 + 1] = values;
  }
  const float shared = of_block(sum) / static_cast<float>(width) * scale * scale * scale;
  __nv_bfloat162 largest = __float2bfloat162_rn(0);
  for (int i = start; i < end; i += step) {
    const Pack d = read(0, d_out, i), values = read(1, x, i);
    Pack made, before{};
    if (add) before = *reinterpret_cast<const Pack*>(out.plain[0] + row + i);
    float weights[kEach];
    load(weights, weight + i);
#pragma unroll
    for (int e = 0; e < kEach / 2; ++e) {
      const float2 given = __bfloat1622float2(d.pairs[e]), value = __bfloat1622float2(values.pairs[e]);
      float2 slope{scale * given.x * weights[2 * e] - value.x * shared, scale * given.y * weights[2 * e + 1] - value.y * shared};
      if (add) {
        const float2 there = __bfloat1622float2(before.pairs[e]);
        slope.x = there.x + slope.x, slope.y = there.y + slope.y;
      }
      made.pairs[e] = __floats2bfloat162_rn(slope.x, slope.y);
    }
    largest = larger_of(largest, made);
    *reinterpret_cast<Pack*>(out.plain[0] + row + i) = made;
    if (holds) held_row[(i / kEach) * 2] = made;
  }
  const float inverse = inverse_scale(of_both(largest), out.scales);
  for (int i = start; i < end; i += step) put(out.values + row + i, read(0, out.plain[0], i), inverse);
}

constexpr int kTile = 32, kTileRows = 8;

// A block: 32 columns of x (rows, columns), which become rows. Weights alone pass here, once.
__global__ void __launch_bounds__(kTile* kTileRows)
    turn_to_fp8_kernel(std::uint8_t* values, float* scales, const Bf16* x, std::int64_t rows, std::int64_t columns) {
  __shared__ float sizes[kTileRows][kTile];
  __shared__ std::uint8_t tile[kTile][kTile + 4];
  const std::int64_t first = std::int64_t{blockIdx.x} * kTile, column = first + threadIdx.x;
  const bool is_inside = column < columns;
  float largest = 0;
  if (is_inside)
    for (std::int64_t row = threadIdx.y; row < rows; row += kTileRows) largest = fmaxf(largest, fabsf(widened(x[row * columns + column])));
  sizes[threadIdx.y][threadIdx.x] = largest;
  __syncthreads();
  largest = kSmallest;
  for (int i = 0; i < kTileRows; ++i) largest = fmaxf(largest, sizes[i][threadIdx.x]);
  if (is_inside && threadIdx.y == 0) scales[column] = largest / kLargest;
  const float inverse = kLargest / largest;
  for (std::int64_t top = 0; top < rows; top += kTile) {
    for (int i = threadIdx.y; i < kTile; i += kTileRows)
      if (is_inside && top + i < rows)
        tile[threadIdx.x][i] = __nv_cvt_float_to_fp8(widened(x[(top + i) * columns + column]) * inverse, __NV_SATFINITE, __NV_E4M3);
    __syncthreads();
    for (int i = threadIdx.y; i < kTile; i += kTileRows)
      if (first + i < columns && top + threadIdx.x < rows) values[(first + i) * rows + top + threadIdx.x] = tile[i][threadIdx.x];
    __syncthreads();
  }
}

// out = product times both scales, plus `add` or nothing; out may be add.
__global__ void __launch_bounds__(kThreads)
    scale_kernel(Bf16* out, const Bf16* product, const float* of_row, const float* of_column, const Bf16* add, std::int64_t columns) {
  const std::int64_t row = blockIdx.x;
  for (std::int64_t column = threadIdx.x; column < columns; column += kThreads) {
    const std::int64_t at = row * columns + column;
    const float value = widened(product[at]) * of_row[row] * of_column[column];
    out[at] = narrowed<Bf16>(add ? value + widened(add[at]) : value);
  }
}

int threads_for(std::int64_t width) {
  for (const int threads : {64, 128})
    if (threads * kEach >= width) return threads;
  return kThreads;
}

// The shared memory that a kernel's block holds a row of `count` results in; 0 where it is too much.
template <class Kernel>
int room_for(Kernel* kernel, std::int64_t width, int count) {
  constexpr int kGiven = 48 << 10;  // without asking
  const std::int64_t bytes = width * count * static_cast<std::int64_t>(sizeof(Bf16));
  if (bytes > kHeldBytes) return 0;
  if (bytes > kGiven) check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)));
  return static_cast<int>(bytes);
}

std::uint8_t* bits(View values) {
  return pointer<std::uint8_t>(values);
}

template <int kOuts, int kIns, class Work>
void rows_to_fp8(const Backend& on, const Fp8Rows& out, const View (&plain)[kOuts], const ConstView (&ins)[kIns], Work work) {
  const std::int64_t rows = ins[0].shape()[0], width = ins[0].shape()[1];
  require_gpu(on, {out.values, out.scales});
  if (rows == 0) return;
  Outs<kOuts> outs{bits(out.values), pointer(out.scales), {}};
  Pointers<const Bf16, kIns> in;
  bool aligned = is_aligned(outs.values);
  for (int k = 0; k < kOuts; ++k) {
    require_gpu(on, {plain[k]});
    aligned &= is_aligned(outs.plain[k] = pointer<Bf16>(plain[k]));
  }
  for (int k = 0; k < kIns; ++k) {
    require_gpu(on, {ins[k]});
    aligned &= is_aligned(in.at[k] = pointer<Bf16>(ins[k]));
  }
  DESKHAND_ASSERT(aligned, "rows at multiples of 16 bytes");
  auto* const kernel = &rows_to_fp8_kernel<kOuts, kIns, Work>;
  const int room = room_for(kernel, width, kOuts);
  kernel<<<blocks_for(rows, 1), threads_for(width), room, stream(on)>>>(outs, in, width, room > 0, work);
  check_launch();
}

}  // namespace

void to_fp8(const Backend& on, const Fp8Rows& out, std::span<const ConstView> given) {
  require_gpu(on, {out.values, out.scales});
  const std::int64_t rows = out.values.shape()[0], width = out.values.shape()[1];
  if (rows == 0) return;
  Parts parts{};
  int end = 0;
  for (int k = 0; k < kMostParts; ++k) {
    if (static_cast<std::size_t>(k) < given.size()) {
      require_gpu(on, {given[k]});
      DESKHAND_ASSERT(is_aligned(parts.at[k] = pointer<Bf16>(given[k])), "rows at multiples of 16 bytes");
      end += static_cast<int>(given[k].shape()[1]);
    }
    parts.ends[k] = end;
  }
  const int room = room_for(&to_fp8_kernel, width, 1);
  to_fp8_kernel<<<blocks_for(rows, 1), threads_for(width), room, stream(on)>>>(bits(out.values), pointer(out.scales), parts, room > 0);
  check_launch();
}

void to_fp8_turned(const Backend& on, const Fp8Rows& out, ConstView x) {
  require_gpu(on, {out.values, out.scales, x});
  const std::int64_t rows = x.shape()[0], columns = x.shape()[1];
  if (columns == 0) return;
  turn_to_fp8_kernel<<<blocks_for(columns, kTile), dim3(kTile, kTileRows), 0, stream(on)>>>(bits(out.values), pointer(out.scales),
                                                                                            pointer<Bf16>(x), rows, columns);
  check_launch();
}

void rms_norm_fp8(const Backend& on, const Fp8Rows& out, View plain, ConstView x, ConstView weight, float epsilon, View rstd) {
  require_gpu(on, {out.values, out.scales, plain, x, weight, rstd});
  const std::int64_t rows = x.shape()[0], width = x.shape()[1];
  if (rows == 0) return;
  for (const ConstView view : {ConstView(out.values), ConstView(plain), x, weight})
    DESKHAND_ASSERT(is_aligned(view.data()), "rows at multiples of 16 bytes");
  const Outs<1> outs{bits(out.values), pointer(out.scales), {pointer<Bf16>(plain)}};
  const int room = room_for(&rms_norm_fp8_kernel, width, 1);
  rms_norm_fp8_kernel<<<blocks_for(rows, 1), threads_for(width), room, stream(on)>>>(outs, pointer<Bf16>(x), pointer(weight), pointer(rstd),
                                                                                     width, room > 0, epsilon);
  check_launch();
}

void rms_norm_backward_fp8(const Backend& on, const Fp8Rows& out, const RmsNormGradients& gradients, ConstView d_out, ConstView x,
                           ConstView weight, ConstView rstd) {
  require_gpu(on, {out.values, out.scales, gradients.d_x, gradients.d_weight, d_out, x, weight, rstd});
  const std::int64_t rows = x.shape()[0], width = x.shape()[1];
  if (rows == 0) return;
  for (const ConstView view : {ConstView(out.values), ConstView(gradients.d_x), d_out, x, weight})
    DESKHAND_ASSERT(is_aligned(view.data()), "rows at multiples of 16 bytes");
  add_norm_weight_gradient(on, gradients.d_weight, d_out, x, rstd);  // before: d_x may be d_out
  const Outs<1> outs{bits(out.values), pointer(out.scales), {pointer<Bf16>(gradients.d_x)}};
  const int room = room_for(&rms_norm_backward_fp8_kernel, width, 2);
  rms_norm_backward_fp8_kernel<<<blocks_for(rows, 1), kThreads, room, stream(on)>>>(
      outs, gradients.into == Into::kAdd, pointer<Bf16>(d_out), pointer<Bf16>(x), pointer(weight), pointer(rstd), width, room > 0);
  check_launch();
}

void swiglu_fp8(const Backend& on, const Fp8Rows& out, View plain, ConstView gate, ConstView up) {
  rows_to_fp8<1, 2>(on, out, {plain}, {gate, up}, SwigluForward());
}

void swiglu_backward_fp8(const Backend& on, const Fp8Rows& out, View plain_gate, View plain_up, ConstView d_out, ConstView gate,
                         ConstView up) {
  rows_to_fp8<2, 3>(on, out, {plain_gate, plain_up}, {d_out, gate, up}, SwigluBackwardToBf16());
}

namespace {

// out (N, O) = x weight^T in bf16, as the bits are: not yet scaled.
Product product_of(void* out, const ConstFp8Rows& x, const ConstFp8Rows& weight) {
  const std::int64_t outputs = weight.values.shape()[0], inputs = x.values.shape()[1];
  return {.rows = x.values.shape()[0],
          .columns = outputs,
          .depth = inputs,
          .a = x.values.data(),
          .a_step = inputs,
          .b = weight.values.data(),
          .b_step = inputs,
          .b_turned = true,
          .c = out,
          .c_step = outputs,
          .type = Product::Type::kE4M3,
          .result = Product::Type::kBF16};
}

}  // namespace

void fp8_linear_in_two(const Backend& on, View out, const ConstFp8Rows& x, const ConstFp8Rows& weight, ConstView add) {
  const std::int64_t tokens = out.shape()[0], outputs = out.shape()[1];
  auto* const bare = on.cuda->scratch<Bf16>(kInputs, tokens * outputs);
  multiply(on, product_of(bare, x, weight));
  scale_kernel<<<blocks_for(tokens, 1), kThreads, 0, stream(on)>>>(pointer<Bf16>(out), bare, pointer(x.scales), pointer(weight.scales),
                                                                   add.empty() ? nullptr : pointer<Bf16>(add), outputs);
  check_launch();
}

void fp8_linear(const Backend& on, View out, const ConstFp8Rows& x, const ConstFp8Rows& weight, ConstView bias, ConstView add) {
  require_gpu(on, {out, x.values, x.scales, weight.values, weight.scales, bias, add});
  if (out.shape().elements() == 0) return;
  Product product = product_of(out.data(), x, weight);
  product.add = !add.empty();
  product.plus = add.data();
  product.a_scales = pointer(x.scales);
  product.b_scales = pointer(weight.scales);
  if (!has_row_scales(on) || !try_multiply(on, product)) fp8_linear_in_two(on, out, x, weight, add);
  if (!bias.empty()) add_bias(on, out, bias);
}

}  // namespace deskhand::cuda
