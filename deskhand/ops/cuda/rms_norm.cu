// A block a row, which the cache holds between its two readings. Bound by memory: forward moves two elements for one, backward four with
// Into::kAdd. Where the weight's gradient is wanted a block takes several rows, each held in registers, and its sums over them with it.
#include <algorithm>

#include "deskhand/ops/cuda/map.cuh"
#include "deskhand/ops/cuda/norm_weight.h"
#include "deskhand/ops/rms_norm.h"

namespace deskhand::cuda {
namespace {

constexpr int kThreads = 256;

// Calls work(first element) for the packs of a row that this thread has; kEach 1: any width and alignment.
template <int kEach, class Work>
__device__ void for_packs(std::int64_t width, const Work& work) {
  for (std::int64_t i = threadIdx.x * kEach; i < width; i += kThreads * kEach) work(i);
}

template <int kEach, class T>
__global__ void __launch_bounds__(kThreads)
    rms_norm_kernel(T* out, const T* x, const float* weight, float* rstd, std::int64_t width, float epsilon) {
  const T* const in = x + blockIdx.x * width;
  T* const to = out + blockIdx.x * width;
  float squares = 0;
  for_packs<kEach>(width, [&](std::int64_t i) {
    float values[kEach];
    load(values, in + i);
#pragma unroll
    for (const float value : values) squares += value * value;
  });
  const float scale = 1 / sqrtf(of_block(squares) / static_cast<float>(width) + epsilon);
  if (rstd && threadIdx.x == 0) rstd[blockIdx.x] = scale;
  for_packs<kEach>(width, [&](std::int64_t i) {
    float values[kEach], weights[kEach];
    load(values, in + i);  // from the cache
    load(weights, weight + i);
#pragma unroll
    for (int k = 0; k < kEach; ++k) values[k] *= scale * weights[k];
    store(to + i, values);
  });
}

template <int kEach, class T>
__global__ void __launch_bounds__(kThreads)
    rms_norm_backward_kernel(T* d_x, bool add, const T* d_out, const T* x, const float* weight, const float* rstd, std::int64_t width) {
  const std::int64_t first = blockIdx.x * width;
  const float scale = rstd[blockIdx.x];
  float sum = 0;  // of g x
  for_packs<kEach>(width, [&](std::int64_t i) {
    float d[kEach], values[kEach], weights[kEach];
    load(d, d_out + first + i);
    load(values, x + first + i);
    load(weights, weight + i);
#pragma unroll
    for (int k = 0; k < kEach; ++k) sum += d[k] * weights[k] * values[k];
  });
  const float shared = of_block(sum) / static_cast<float>(width) * scale * scale * scale;
  for_packs<kEach>(width, [&](std::int64_t i) {
    float d[kEach], values[kEach], weights[kEach], before[kEach];
    load(d, d_out + first + i);
    load(values, x + first + i);
    load(weights, weight + i);
    if (add) load(before, d_x + first + i);
#pragma unroll
    for (int k = 0; k < kEach; ++k) {
      const float slope = scale * d[k] * weights[k] - values[k] * shared;
      values[k] = add ? before[k] + slope : slope;
    }
    store(d_x + first + i, values);
  });
}

constexpr std::int64_t kGroups = 512, kLeastRows = 4;  // of rows, and of a group: the same on every card, so that sums are

// The same of a group of rows, and its sums of d_out x rstd: part (groups, width). kPacks of kPack<T> columns a thread. kSumsAlone: d_x
// stays as it is, and the sums are the same to the bit.
template <int kPacks, bool kSumsAlone, class T>
__global__ void __launch_bounds__(kThreads)
    rms_norm_backward_of_group_kernel(T* d_x, bool add, float* part, const T* d_out, const T* x, const float* weight, const float* rstd,
                                      std::int64_t rows, std::int64_t rows_each, std::int64_t width) {
  constexpr int kEach = kPack<T>;
  using Pack = Elements<T, kEach>;
  float weights[kPacks][kEach], sums[kPacks][kEach] = {};
  const auto column_of = [](int pack) { return (std::int64_t{pack} * kThreads + threadIdx.x) * kEach; };
#pragma unroll
  for (int p = 0; p < kPacks; ++p)
    if (!kSumsAlone && column_of(p) < width) load(weights[p], weight + column_of(p));
  const std::int64_t first = blockIdx.x * rows_each, end = min(first + rows_each, rows);
  for (std::int64_t row = first; row < end; ++row) {
    const float scale = rstd[row];
    Pack d[kPacks], values[kPacks], before[kPacks];
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      if (column_of(p) >= width) continue;
      const std::int64_t at = row * width + column_of(p);
      d[p] = *reinterpret_cast<const Pack*>(d_out + at);
      values[p] = *reinterpret_cast<const Pack*>(x + at);
      if (!kSumsAlone && add) before[p] = *reinterpret_cast<const Pack*>(d_x + at);
    }
    float sum = 0;  // of g x
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      if (column_of(p) >= width) continue;
#pragma unroll
      for (int k = 0; k < kEach; ++k) {
        const float product = widened(d[p].values[k]) * widened(values[p].values[k]);
        if (!kSumsAlone) sum += product * weights[p][k];
        sums[p][k] = fmaf(product, scale, sums[p][k]);
      }
    }
    if constexpr (kSumsAlone) continue;
    const float shared = of_block(sum) / static_cast<float>(width) * scale * scale * scale;
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      if (column_of(p) >= width) continue;
      float slopes[kEach];
#pragma unroll
      for (int k = 0; k < kEach; ++k) {
        slopes[k] = scale * widened(d[p].values[k]) * weights[p][k] - widened(values[p].values[k]) * shared;
        if (add) slopes[k] += widened(before[p].values[k]);
      }
      store(d_x + row * width + column_of(p), slopes);
    }
  }
#pragma unroll
  for (int p = 0; p < kPacks; ++p)
    if (column_of(p) < width) store(part + blockIdx.x * width + column_of(p), sums[p]);
}

// d_x too, unless it is empty. False: rows of this width are not held.
template <class T>
bool backward_by_groups(const Backend& on, const RmsNormGradients& gradients, ConstView d_out, ConstView x, ConstView weight,
                        ConstView rstd) {
  for (const ConstView view : {ConstView(gradients.d_x), d_out, x, weight})
    if (!is_aligned(view.data()) || x.shape()[1] % kPack<T> != 0) return false;
  const std::int64_t rows = x.shape()[0], width = x.shape()[1], packs = (width + kThreads * kPack<T> - 1) / (kThreads * kPack<T>);
  const std::int64_t each = std::max((rows + kGroups - 1) / kGroups, kLeastRows);
  if (packs > 4) return false;
  const unsigned groups = blocks_for(rows, each);
  float* const part = on.cuda->scratch<float>(kWide, groups * width);
  const auto of = [&](auto alone) {
    return packs == 1   ? &rms_norm_backward_of_group_kernel<1, alone(), T>
           : packs == 2 ? &rms_norm_backward_of_group_kernel<2, alone(), T>
                        : &rms_norm_backward_of_group_kernel<4, alone(), T>;
  };
  auto* const kernel = gradients.d_x.empty() ? of(std::true_type()) : of(std::false_type());
  kernel<<<groups, kThreads, 0, stream(on)>>>(pointer<T>(gradients.d_x), gradients.into == Into::kAdd, part, pointer<T>(d_out),
                                              pointer<T>(x), pointer(weight), pointer(rstd), rows, each, width);
  check_launch();
  add_column_sums(on, pointer(gradients.d_weight), groups, width,
                  [part, width] __device__(std::int64_t row, std::int64_t column) { return part[row * width + column]; });
  return true;
}

// d_out x rstd, of which a column's sum is the weight's gradient.
template <class T>
struct WeightSlope {
  const T *d_out, *x;
  const float* rstd;
  std::int64_t width;
  __device__ float operator()(std::int64_t row, std::int64_t column) const {
    return widened(d_out[row * width + column]) * widened(x[row * width + column]) * rstd[row];
  }
};

}  // namespace

void rms_norm(const Backend& on, View out, ConstView x, ConstView weight, float epsilon, View rstd) {
  require_gpu(on, {out, x, weight, rstd});
  const std::int64_t width = x.shape().last();
  if (x.shape().elements() == 0) return;
  with_type(x.type(), [&](auto type) {
    using T = decltype(type);
    const bool packs = width % kPack<T> == 0 && is_aligned(out.data()) && is_aligned(x.data()) && is_aligned(weight.data());
    auto* const kernel = packs ? &rms_norm_kernel<kPack<T>, T> : &rms_norm_kernel<1, T>;
    kernel<<<blocks_for(x.shape().rows(), 1), kThreads, 0, stream(on)>>>(pointer<T>(out), pointer<T>(x), pointer(weight), pointer(rstd),
                                                                         width, epsilon);
  });
  check_launch();
}

void add_norm_weight_gradient(const Backend& on, View d_weight, ConstView d_out, ConstView x, ConstView rstd) {
  if (d_weight.empty()) return;
  const std::int64_t rows = x.shape()[0], width = x.shape()[1];
  with_type(x.type(), [&](auto type) {
    using T = decltype(type);
    if (backward_by_groups<T>(on, {.d_x = {}, .d_weight = d_weight}, d_out, x, {}, rstd)) return;
    add_column_sums(on, pointer(d_weight), rows, width, WeightSlope<T>{pointer<T>(d_out), pointer<T>(x), pointer(rstd), width});
  });
}

void rms_norm_backward(const Backend& on, const RmsNormGradients& gradients, ConstView d_out, ConstView x, ConstView weight,
                       ConstView rstd) {
  require_gpu(on, {gradients.d_x, gradients.d_weight, d_out, x, weight, rstd});
  const std::int64_t rows = x.shape()[0], width = x.shape()[1];
  if (rows == 0 || width == 0) return;
  with_type(x.type(), [&](auto type) {
    using T = decltype(type);
    bool packs = width % kPack<T> == 0;
    for (const ConstView view : {ConstView(gradients.d_x), d_out, x, weight}) packs &= is_aligned(view.data());
    if (!gradients.d_weight.empty()) {
      if (backward_by_groups<T>(on, gradients, d_out, x, weight, rstd)) return;
      add_norm_weight_gradient(on, gradients.d_weight, d_out, x, rstd);  // before: d_x may be d_out
    }
    auto* const kernel = packs ? &rms_norm_backward_kernel<kPack<T>, T> : &rms_norm_backward_kernel<1, T>;
    kernel<<<blocks_for(rows, 1), kThreads, 0, stream(on)>>>(pointer<T>(gradients.d_x), gradients.into == Into::kAdd, pointer<T>(d_out),
                                                             pointer<T>(x), pointer(weight), pointer(rstd), width);
  });
  check_launch();
}

}  // namespace deskhand::cuda
