#include "deskhand/ops/embed.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "deskhand/ops/cuda/dequantize.cuh"
#include "deskhand/ops/cuda/map.cuh"

namespace deskhand::cuda {
namespace {

constexpr int kThreads = 256;

// A block a distinct token: its rows of d_out in their order, so that the sums do not depend on chance.
template <class T>
__global__ void __launch_bounds__(kThreads)
    embed_backward_kernel(float* d_table, const T* d_out, const std::int32_t* tokens, const std::int32_t* order,
                          const std::int32_t* begins, std::int64_t width) {
  const std::int32_t begin = begins[blockIdx.x], end = begins[blockIdx.x + 1];
  float* const to = d_table + tokens[order[begin]] * width;
  for (std::int64_t column = threadIdx.x; column < width; column += kThreads) {
    float sum = to[column];
    for (std::int32_t i = begin; i < end; ++i) sum += widened(d_out[order[i] * width + column]);
    to[column] = sum;
  }
}

}  // namespace

void embed(const Backend& on, View out, std::span<const std::int32_t> tokens, ConstView table) {
  require_gpu(on, {out, table});
  const std::int32_t* const index = on.cuda->upload(kIndices, tokens);
  with_type(out.type(), [&](auto type) { widen(on, pointer<decltype(type)>(out), table, out.shape()[0], index); });
}

void embed_backward(const Backend& on, View d_table, std::span<const std::int32_t> tokens, ConstView d_out) {
  require_gpu(on, {d_table, d_out});
  if (tokens.empty()) return;
  const auto count = static_cast<std::int32_t>(tokens.size());
  std::vector<std::int32_t> order(tokens.size()), begins;
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) { return tokens[a] < tokens[b]; });
  for (std::int32_t i = 0; i < count; ++i)
    if (i == 0 || tokens[order[i]] != tokens[order[i - 1]]) begins.push_back(i);
  const auto distinct = static_cast<std::int64_t>(begins.size());
  begins.push_back(count);
  order.insert(order.end(), begins.begin(), begins.end());
  const std::int32_t* const on_gpu = on.cuda->upload(kOrder, std::span<const std::int32_t>(order));
  const std::int32_t* const token = on.cuda->upload(kIndices, tokens);
  with_type(d_out.type(), [&](auto type) {
    embed_backward_kernel<<<blocks_for(distinct, 1), kThreads, 0, stream(on)>>>(pointer(d_table), pointer<decltype(type)>(d_out), token,
                                                                                on_gpu, on_gpu + count, d_table.shape()[1]);
  });
  check_launch();
}

}  // namespace deskhand::cuda
