// Bound by memory: a block a row.
#include "deskhand/ops/gather.h"

#include "deskhand/ops/cuda/map.cuh"

namespace deskhand::cuda {
namespace {

constexpr int kThreads = 256;

// Row to[i] of `out` (or i) = row from[i] of `in` (or i).
template <class T>
__global__ void __launch_bounds__(kThreads)
    move_rows_kernel(T* out, const T* in, const std::int32_t* to, const std::int32_t* from, std::int64_t width) {
  T* const target = out + (to ? to[blockIdx.x] : blockIdx.x) * width;
  const T* const source = in + (from ? from[blockIdx.x] : blockIdx.x) * width;
  for (std::int64_t i = threadIdx.x; i < width; i += kThreads) target[i] = source[i];
}

template <class T>
void move_rows(const Backend& on, View out, ConstView in, const std::int32_t* to, const std::int32_t* from, std::int64_t rows) {
  const std::int64_t width = out.shape()[1];
  constexpr std::int64_t kWide = sizeof(uint4) / sizeof(T);
  if (width % kWide == 0 && is_aligned(out.data()) && is_aligned(in.data()))
    move_rows_kernel<<<blocks_for(rows, 1), kThreads, 0, stream(on)>>>(pointer<uint4>(out), pointer<uint4>(in), to, from, width / kWide);
  else
    move_rows_kernel<<<blocks_for(rows, 1), kThreads, 0, stream(on)>>>(pointer<T>(out), pointer<T>(in), to, from, width);
  check_launch();
}

}  // namespace

void gather_rows(const Backend& on, View out, ConstView in, std::span<const std::int32_t> rows) {
  require_gpu(on, {out, in});
  if (rows.empty() || out.shape()[1] == 0) return;
  const std::int32_t* const from = on.cuda->upload(kOrder, rows);
  with_type(out.type(), [&](auto type) { move_rows<decltype(type)>(on, out, in, nullptr, from, out.shape()[0]); });
}

void scatter_rows(const Backend& on, View out, ConstView in, std::span<const std::int32_t> rows) {
  require_gpu(on, {out, in});
  check(cudaMemsetAsync(out.data(), 0, static_cast<std::size_t>(out.bytes()), stream(on)));
  if (rows.empty() || out.shape()[1] == 0) return;
  const std::int32_t* const to = on.cuda->upload(kOrder, rows);
  with_type(out.type(), [&](auto type) { move_rows<decltype(type)>(on, out, in, to, nullptr, in.shape()[0]); });
}

}  // namespace deskhand::cuda
