// A thread draws once for eight neighbours of a row, the very bits that the CPU draws.
#include "deskhand/ops/cuda/dropout.cuh"

#include "deskhand/ops/cuda/map.cuh"

namespace deskhand::cuda {
namespace {

template <class T>
__global__ void dropout_kernel(T* out, const T* x, std::int64_t rows, std::int64_t width, Draw draw, bool packs, bool add) {
  const std::int64_t groups = (width + kDraws - 1) / kDraws, number = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (number >= rows * groups) return;
  const std::int64_t row = number / groups, group = number % groups, at = row * width + group * kDraws;
  const uint4 drawn = drawn_of(draw, static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(group));
  const std::uint32_t words[] = {drawn.x, drawn.y, drawn.z, drawn.w};
  const auto kept = [&](int i, float value) { return (words[i / 2] >> (i % 2 * 16) & 0xffff) < draw.falls ? 0 : value * draw.scale; };
  if (packs) {
    float values[kDraws], before[kDraws];
    load(values, x + at);
    if (add) load(before, out + at);
#pragma unroll
    for (int i = 0; i < kDraws; ++i) values[i] = kept(i, values[i]) + (add ? before[i] : 0);
    store(out + at, values);
    return;
  }
#pragma unroll
  for (int i = 0; i < kDraws; ++i)
    if (group * kDraws + i < width) out[at + i] = narrowed<T>(kept(i, widened(x[at + i])) + (add ? widened(out[at + i]) : 0));
}

}  // namespace

void dropout(const Backend& on, View out, ConstView x, const Dropout& dropped, Into into) {
  require_gpu(on, {out, x});
  constexpr int kThreads = 256;
  const std::int64_t rows = x.shape()[0], width = x.shape()[1], groups = (width + kDraws - 1) / kDraws;
  if (rows * groups == 0) return;
  const Draw draw = draw_of(dropped);
  with_type(x.type(), [&](auto type) {
    using T = decltype(type);
    const bool packs = width % kDraws == 0 && is_aligned(out.data()) && is_aligned(x.data());
    dropout_kernel<<<blocks_for(rows * groups, kThreads), kThreads, 0, stream(on)>>>(pointer<T>(out), pointer<T>(x), rows, width, draw,
                                                                                     packs, into == Into::kAdd);
  });
  check_launch();
}

}  // namespace deskhand::cuda
