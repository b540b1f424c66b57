#include "deskhand/app/engine.h"

#include <cstdio>

#include "deskhand/tensor/cuda/devices.h"

namespace deskhand {

Engine::Engine(int threads, Compute compute) : pool(threads) {
  backend = {.kind = Backend::Kind::kCpu, .pool = &pool, .workspace = &workspace, .cpu = CpuFeatures::detect(), .compute = compute};
  models = backend;
}

Engine::Engine(const Globals& globals, Compute compute) : Engine(globals.threads, compute) {
  const bool asked = globals.device == DeviceChoice::kCuda;
  if (!asked && gpu_in_use(globals).empty()) return;
  gpu = std::make_unique<CudaContext>();
  models.kind = Backend::Kind::kCuda;
  models.cuda = gpu.get();
  if (!globals.quiet) fmt::print(stderr, "on the GPU: {}\n", gpu->card().name);
}

std::string gpu_in_use(const Globals& globals) {
  constexpr int kOldest = 8;  // as CudaContext has it
  if (globals.device == DeviceChoice::kCpu) return "";
  const CudaDevices found = cuda_devices();
  return found.devices.empty() || found.devices.front().capability_major < kOldest ? "" : found.devices.front().name;
}

}  // namespace deskhand
