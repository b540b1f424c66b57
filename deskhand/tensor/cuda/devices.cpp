#include "deskhand/tensor/cuda/devices.h"

#ifdef DESKHAND_CUDA
#include <cuda_runtime_api.h>
#include <fmt/format.h>
#endif

namespace deskhand {

#ifdef DESKHAND_CUDA
CudaDevices cuda_devices(std::size_t most) {
  CudaDevices found;
  int count = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess) {
    int driver = 0;  // 12040 is CUDA 12.4; 0 where there is none
    if (status == cudaErrorInsufficientDriver && cudaDriverGetVersion(&driver) == cudaSuccess && driver > 0)
      found.reason = fmt::format("the NVIDIA driver is too old: it speaks CUDA {}.{}, this build CUDA {}.{}; update the driver",
                                 driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    else
      found.reason = status == cudaErrorInsufficientDriver
                         ? "no NVIDIA driver is installed; install one"
                         : fmt::format("CUDA says '{}'; see what nvidia-smi lists", cudaGetErrorString(status));
    return found;
  }
  std::string fault = "the driver lists no GPU; see what nvidia-smi lists";
  for (int number = 0; number < count && found.devices.size() < most; ++number) {
    cudaDeviceProp properties{};
    std::size_t free = 0, total = 0;
    cudaError_t status = cudaGetDeviceProperties(&properties, number);
    if (status == cudaSuccess) status = cudaSetDevice(number);
    if (status == cudaSuccess) status = cudaMemGetInfo(&free, &total);
    if (status == cudaSuccess) {
      found.devices.push_back({.name = properties.name,
                               .number = number,
                               .capability_major = properties.major,
                               .capability_minor = properties.minor,
                               .processors = properties.multiProcessorCount,
                               .total_bytes = properties.totalGlobalMem,
                               .free_bytes = free});
    } else {
      cudaGetLastError();  // or the first kernel of another GPU would be taken to have failed
      fault = fmt::format("of GPU {} CUDA says '{}'; see in nvidia-smi what holds it", number, cudaGetErrorString(status));
    }
  }
  if (found.devices.empty()) found.reason = fault;
  return found;
}
#else
CudaDevices cuda_devices(std::size_t) {
  return {{}, "this build has no CUDA"};
}
#endif

}  // namespace deskhand
