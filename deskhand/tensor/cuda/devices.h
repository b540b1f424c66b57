// The GPUs that this process could use: what the CUDA driver tells. A build without CUDA finds none and says why.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

namespace deskhand {

struct CudaDevice {
  std::string name;  // "NVIDIA H100 80GB HBM3"
  int capability_major = 0, capability_minor = 0;
  std::size_t total_bytes = 0, free_bytes = 0;
};

struct CudaDevices {
  std::vector<CudaDevice> devices;
  std::string reason;  // why there is none: not built in, no driver, a driver too old
};

CudaDevices cuda_devices();

}  // namespace deskhand
