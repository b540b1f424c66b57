// What kernels of one bringing and two multiplying warpgroups share: their shape, the copy engine's maps, and how one is started.
#pragma once
#include "deskhand/ops/cuda/hopper/wgmma.cuh"
#include "deskhand/ops/cuda/launch.cuh"

namespace deskhand::cuda::hopper {

constexpr int kGroup = 128, kThreads = 3 * kGroup;  // threads of a warpgroup; one brings, two multiply

__host__ __device__ constexpr int tiles_of(int rows, int each) {
  return (rows + each - 1) / each;
}

// Of the thread; the same in all of a warp, and the compiler knows: products may not stand where a warp might part.
__device__ inline int warpgroup() {
  return __shfl_sync(~0u, static_cast<int>(threadIdx.x) / kGroup, 0);
}

template <class Shared>
__device__ Shared& shared_memory() {
  extern __shared__ __align__(kAtomBytes) std::byte memory[];
  return *reinterpret_cast<Shared*>(memory);
}

// The copy engine's map of bf16 in memory: boxes of `box` elements, in each direction one; rows of the first one's 64 elements are
// swizzled. sizes in elements, steps in bytes: between neighbours of all directions but the first. What lies beyond the sizes reads as zero
// and is not written.
template <std::size_t kDirections>
CUtensorMap tensor_map(const void* data, const std::int64_t (&sizes)[kDirections], const std::int64_t (&steps)[kDirections - 1],
                       const std::int64_t (&box)[kDirections]) {
  static const auto encode = [] {
    void* entry = nullptr;
    cudaDriverEntryPointQueryResult found{};
#if CUDART_VERSION >= 12050
    check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000, cudaEnableDefault, &found));
#else
    check(cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &entry, cudaEnableDefault, &found));
#endif
    DESKHAND_ASSERT(found == cudaDriverEntryPointSuccess && entry, "a driver that makes tensor maps");
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(entry);
  }();
  DESKHAND_ASSERT(reinterpret_cast<std::uintptr_t>(data) % 16 == 0, "16-byte alignment");
  cuuint64_t all[kDirections], apart[kDirections - 1];
  cuuint32_t tile[kDirections], each[kDirections];
  for (std::size_t i = 0; i < kDirections; ++i) {
    all[i] = static_cast<cuuint64_t>(sizes[i]);
    tile[i] = static_cast<cuuint32_t>(box[i]);
    each[i] = 1;
    if (i > 0) apart[i - 1] = static_cast<cuuint64_t>(steps[i - 1]);
  }
  CUtensorMap map;
  const CUresult result = encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, kDirections, const_cast<void*>(data), all, apart, tile, each,
                                 CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                                 CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  DESKHAND_ASSERT(result == CUDA_SUCCESS, "a tensor map");
  return map;
}

// Starts a kernel whose shared memory is a Shared, more than a block has unasked.
template <class Shared, class... Parameters, class... Arguments>
void start(const Backend& on, void (*kernel)(Parameters...), dim3 grid, const Arguments&... arguments) {
  constexpr int kBytes = sizeof(Shared);
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  kernel<<<grid, kThreads, kBytes, stream(on)>>>(arguments...);
  check_launch();
}

}  // namespace deskhand::cuda::hopper
