#include "deskhand/tensor/cuda/devices.h"

#ifdef DESKHAND_CUDA
#include <cuda_runtime_api.h>
#include <fmt/format.h>
#endif

namespace deskhand {

#ifdef DESKHAND_CUDA
CudaDevices cuda_devices() {
  CudaDevices found;
  int count = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess) {
    int driver = 0;  // 12040 is CUDA 12.4; 0 where there is none
    if (status == cudaErrorInsufficientDriver && cudaDriverGetVersion(&driver) == cudaSuccess && driver > 0)
      found.reason = fmt::format("the NVIDIA driver is too old: it speaks CUDA {}.{}, this build CUDA {}.{}; update the driver",
                                 driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    else
      found.reason = status == cudaErrorInsufficientDriver ? "no NVIDIA driver is installed" : cudaGetErrorString(status);
    return found;
  }
  for (int number = 0; number < count; ++number) {
    cudaDeviceProp properties{};
    CudaDevice device;
    if (cudaGetDeviceProperties(&properties, number) != cudaSuccess || cudaSetDevice(number) != cudaSuccess) continue;
    device = {properties.name, properties.major, properties.minor, properties.totalGlobalMem, 0};
    std::size_t total = 0;
    cudaMemGetInfo(&device.free_bytes, &total);
    found.devices.push_back(device);
  }
  if (found.devices.empty()) found.reason = "the driver lists no GPU";
  return found;
}
#else
CudaDevices cuda_devices() {
  return {{}, "this build has no CUDA"};
}
#endif

}  // namespace deskhand
