// Short kernels one after another: from compute capability 9.0 the next one's blocks may begin while this one's end, and do there what does
// not depend on it (CUDA programming guide, "Programmatic Dependent Launch").
#pragma once
#include "deskhand/ops/cuda/launch.cuh"

namespace deskhand::cuda {

#ifdef __CUDACC__

// Every kernel that is started so calls this before it writes, and before it reads what kernels of this pass wrote. What passes before this
// one wrote may be read earlier: a pass begins with `embed`, which waits before it lets the next begin.
__device__ inline void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
#endif
}
__device__ inline void let_next_begin() {
#if __CUDA_ARCH__ >= 900
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

template <class... Parameters, class... Arguments>
void start_overlapping(const Backend& on, void (*kernel)(Parameters...), dim3 blocks, dim3 threads, std::size_t shared_bytes,
                       Arguments... arguments) {
  constexpr int kSince = 9;
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = blocks;
  config.blockDim = threads;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream(on);
  config.attrs = &attribute;
  config.numAttrs = on.cuda->card().capability_major >= kSince ? 1 : 0;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...));
}

#endif

}  // namespace deskhand::cuda
