// What the tests of the GPU's kernels share.
#pragma once
#include <cstdio>
#include <memory>

#include "deskhand/ops/testing.h"
#include "deskhand/tensor/cuda/context.h"

namespace deskhand::testing {

struct Gpu {
  Gpu() {
    on.kind = Backend::Kind::kCuda;
    on.cuda = &context;
  }
  Tensor up(const Tensor& tensor) { return context.to_gpu(tensor); }
  Tensor empty(Shape shape) { return up(random_tensor(shape, 99, 1e6f)); }  // poison: what is not written is seen
  double difference(const Tensor& found, const Tensor& wanted) {
    const Tensor host = context.to_host(found);
    return worst_difference(host.floats(), wanted.floats());
  }
  CudaContext context;
  Backend on;
};

// The machine's first GPU, or nothing and a line that says why.
inline std::unique_ptr<Gpu> gpu() {
  const CudaDevices found = cuda_devices(1);
  if (!found.devices.empty() && found.devices.front().is_new_enough()) return std::make_unique<Gpu>();
  std::printf("skipped, no GPU: %s\n", found.devices.empty() ? found.reason.c_str() : "too old");
  return nullptr;
}

inline Backend plain() {
  Backend on;
  on.kind = Backend::Kind::kReference;
  return on;
}

inline Tensor as_bf16(const Tensor& values) {
  Tensor rounded(DType::kBF16, values.shape());
  const auto in = values.floats();
  const auto out = rounded.view().as<std::uint16_t>();
  for (std::size_t i = 0; i < in.size(); ++i) out[i] = to_bf16(in[i]);
  return rounded;
}

inline Tensor as_f32(const Tensor& values) {
  Tensor wide(DType::kF32, values.shape());
  const auto in = values.view().as<std::uint16_t>();
  for (std::size_t i = 0; i < in.size(); ++i) wide.floats()[i] = from_bf16(in[i]);
  return wide;
}

}  // namespace deskhand::testing
