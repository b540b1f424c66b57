// A block a row, which is read once, 16 bytes at a time where it can be: each thread keeps its largest and the sum behind it, then the
// threads' sums are brought to the block's largest and added in double. A launch more takes out the tokens that are wanted.
#include "deskhand/ops/log_probability.h"

#include "deskhand/ops/cuda/launch.cuh"

namespace deskhand::cuda {
namespace {

constexpr int kThreads = 512;
enum OwnSlot : int { kWanted = 44, kTotals, kFound, kAllowed };

struct Sum {
  float largest = -INFINITY, total = 0;
  template <int kCount>
  __device__ void add(const float (&values)[kCount]) {
    float larger = largest;
#pragma unroll
    for (int i = 0; i < kCount; ++i) larger = fmaxf(larger, values[i]);
    const float base = larger == -INFINITY ? 0 : larger;  // nothing was allowed yet
    total *= __expf(largest - base);
    largest = larger;
#pragma unroll
    for (int i = 0; i < kCount; ++i) total += __expf(values[i] - base);  // a NaN stays one
  }
};

// kEach columns at a time: 4 where every row begins on 16 bytes.
template <int kEach>
__global__ void __launch_bounds__(kThreads) totals_kernel(double* totals, const float* x, const std::uint64_t* allowed, std::int64_t width) {
  const float* const row = x + blockIdx.x * width;
  Sum sum;
  for (std::int64_t i = std::int64_t{threadIdx.x} * kEach; i < width; i += kThreads * kEach) {
    float values[kEach];
    if constexpr (kEach == 4) {
      const float4 four = *reinterpret_cast<const float4*>(row + i);
      values[0] = four.x, values[1] = four.y, values[2] = four.z, values[3] = four.w;
    } else {
      values[0] = row[i];
    }
    if (allowed) {
      const auto bits = static_cast<unsigned>(allowed[i / 64] >> (i % 64));
#pragma unroll
      for (int k = 0; k < kEach; ++k)
        if ((bits >> k & 1) == 0) values[k] = -INFINITY;
    }
    sum.add(values);
  }
  const float largest = of_block(sum.largest, -INFINITY, Larger());
  const double share = sum.largest == -INFINITY ? sum.total : sum.total * exp(static_cast<double>(sum.largest) - largest);
  const double total = of_block(share);
  if (threadIdx.x == 0) totals[blockIdx.x] = total == 0 ? -INFINITY : largest + log(total);
}

const double* totals_of(const Backend& on, ConstView x, std::span<const std::uint64_t> allowed) {
  const std::int64_t rows = x.shape()[0], width = x.shape()[1];
  const std::uint64_t* const bits = allowed.empty() ? nullptr : on.cuda->upload(kAllowed, allowed);
  double* const totals = on.cuda->scratch<double>(kTotals, rows);
  const auto start = [&](auto kernel) {
    kernel<<<blocks_for(rows, 1), kThreads, 0, stream(on)>>>(totals, pointer(x), bits, width);
    check_launch();
  };
  if (width % 4 == 0 && reinterpret_cast<std::uintptr_t>(x.data()) % sizeof(float4) == 0)
    start(totals_kernel<4>);
  else
    start(totals_kernel<1>);
  return totals;
}

}  // namespace

void log_probabilities(const Backend& on, std::span<double> out, ConstView x, std::span<const TokenAt> wanted) {
  require_gpu(on, {x});
  const double* const totals = totals_of(on, x, {});
  const TokenAt* const at = on.cuda->upload(kWanted, wanted);
  double* const found = on.cuda->scratch<double>(kFound, static_cast<std::int64_t>(wanted.size()));
  const float* const values = pointer(x);
  const std::int64_t width = x.shape()[1];
  for_each(on, static_cast<std::int64_t>(wanted.size()),
           [=] __device__(std::int64_t k) { found[k] = values[at[k].row * width + at[k].token] - totals[at[k].row]; });
  on.cuda->download(std::as_writable_bytes(out), found);
}

double log_sum_exp(const Backend& on, ConstView x, std::span<const std::uint64_t> allowed) {
  require_gpu(on, {x});
  double total = 0;
  on.cuda->download(std::as_writable_bytes(std::span(&total, 1)), totals_of(on, x, allowed));
  return total;
}

}  // namespace deskhand::cuda
