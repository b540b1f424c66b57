#include "deskhand/ops/copy.h"

#include "deskhand/ops/cuda/launch.cuh"

namespace deskhand::cuda {

void copy(const Backend& on, View out, ConstView in) {
  require_gpu(on, {out, in});
  if (out.bytes() > 0)
    check(cudaMemcpyAsync(out.data(), in.data(), static_cast<std::size_t>(out.bytes()), cudaMemcpyDeviceToDevice, stream(on)));
}

void clear(const Backend& on, View out) {
  require_gpu(on, {out});
  if (out.bytes() > 0) check(cudaMemsetAsync(out.data(), 0, static_cast<std::size_t>(out.bytes()), stream(on)));
}

}  // namespace deskhand::cuda
