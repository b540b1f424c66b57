// The GPUs that this process could use: what the CUDA driver tells. A build without CUDA finds none and says why.
#pragma once
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

namespace deskhand {

struct CudaDevice {
  static constexpr int kOldest = 8;  // compute capability 8.0, Ampere: bf16 in the tensor cores

  std::string name;  // "NVIDIA H100 80GB HBM3"
  int number = 0;    // the driver's
  int capability_major = 0, capability_minor = 0;
  int processors = 0;  // that blocks run on
  std::size_t total_bytes = 0, free_bytes = 0;

  bool is_new_enough() const { return capability_major >= kOldest; }
};

struct CudaDevices {
  std::vector<CudaDevice> devices;
  std::string reason;  // why there is none, and what to do: not built in, no driver, a driver too old, a GPU that others hold
};

// At most so many, the first. Each is begun to see that it can be used, which costs a moment and some of its memory.
CudaDevices cuda_devices(std::size_t most = std::numeric_limits<std::size_t>::max());

}  // namespace deskhand
