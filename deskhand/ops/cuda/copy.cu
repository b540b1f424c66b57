#include "deskhand/ops/copy.h"

#include "deskhand/ops/cuda/map.cuh"

namespace deskhand::cuda {
namespace {

template <class Unit>
void copy_blocks(const Backend& on, View x, std::int64_t to, std::int64_t from, std::int64_t block_bytes) {
  const std::int64_t count = block_bytes / static_cast<std::int64_t>(sizeof(Unit)), step = x.shape()[1] * count;
  Unit* const values = pointer<Unit>(x);
  for_each(on, x.shape()[0] * count, [=] __device__(std::int64_t i) {
    Unit* const plane = values + i / count * step;
    plane[to * count + i % count] = plane[from * count + i % count];
  });
}

}  // namespace

void copy(const Backend& on, View out, ConstView in) {
  require_gpu(on, {out, in});
  if (out.bytes() > 0)
    check(cudaMemcpyAsync(out.data(), in.data(), static_cast<std::size_t>(out.bytes()), cudaMemcpyDeviceToDevice, stream(on)));
}

void clear(const Backend& on, View out) {
  require_gpu(on, {out});
  if (out.bytes() > 0) check(cudaMemsetAsync(out.data(), 0, static_cast<std::size_t>(out.bytes()), stream(on)));
}

void copy_block(const Backend& on, View x, std::int64_t to, std::int64_t from) {
  require_gpu(on, {x});
  const std::int64_t block_bytes = x.bytes() / (x.shape()[0] * x.shape()[1]);
  if (block_bytes % static_cast<std::int64_t>(sizeof(uint4)) == 0 && is_aligned(x.data()))
    copy_blocks<uint4>(on, x, to, from, block_bytes);
  else
    copy_blocks<std::byte>(on, x, to, from, block_bytes);
}

}  // namespace deskhand::cuda
