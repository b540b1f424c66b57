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
  if (globals.device == DeviceChoice::kCpu) return "";
  const CudaDevices found = cuda_devices(1);
  return found.devices.empty() || !found.devices.front().is_new_enough() ? "" : found.devices.front().name;
}

}  // namespace deskhand
