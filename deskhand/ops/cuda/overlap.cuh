// Short kernels one after another: from compute capability 9.0 the next one's blocks may begin while this one's end, and do there what does
// not depend on it (CUDA programming guide, "Programmatic Dependent Launch").
#pragma once
#include "deskhand/ops/cuda/launch.cuh"

namespace deskhand::cuda {

#ifdef __CUDACC__

// Every kernel that is started so calls this before it reads what others wrote or writes at all.
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

inline bool can_overlap(const Backend& on) {
  constexpr int kSince = 9;
  return on.cuda->card().capability_major >= kSince;
}

// cluster: blocks along x of each cluster; 1: none.
template <class... Parameters, class... Arguments>
void start_in_clusters(const Backend& on, void (*kernel)(Parameters...), dim3 blocks, dim3 threads, std::size_t shared_bytes,
                       unsigned cluster, Arguments... arguments) {
  constexpr unsigned kPortable = 8;  // more is Hopper's
  cudaLaunchAttribute attributes[2]{};
  unsigned count = 0;
  if (can_overlap(on)) {
    attributes[count].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[count++].val.programmaticStreamSerializationAllowed = 1;
  }
  if (cluster > 1) {
    attributes[count].id = cudaLaunchAttributeClusterDimension;
    attributes[count++].val.clusterDim = {cluster, 1, 1};
    if (cluster > kPortable) check(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1));
  }
  cudaLaunchConfig_t config{};
  config.gridDim = blocks;
  config.blockDim = threads;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream(on);
  config.attrs = attributes;
  config.numAttrs = count;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...));
}

template <class... Parameters, class... Arguments>
void start_overlapping(const Backend& on, void (*kernel)(Parameters...), dim3 blocks, dim3 threads, std::size_t shared_bytes,
                       Arguments... arguments) {
  start_in_clusters(on, kernel, blocks, threads, shared_bytes, 1, arguments...);
}

#endif

}  // namespace deskhand::cuda
