// What a CudaContext holds, in CUDA's own types: for the sources of cuda folders alone.
#pragma once
#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <map>
#include <memory>
#include <source_location>
#include <tuple>
#include <vector>

#include "deskhand/tensor/cuda/context.h"

namespace deskhand {

// Throws Error with CUDA's own words and the caller's line; kTooLarge where memory ran out.
void check(cudaError_t status, std::source_location at = std::source_location::current());
void check(cublasStatus_t status, std::source_location at = std::source_location::current());

template <auto destroy>
struct DestroyWith {
  template <class T>
  void operator()(T* handle) const noexcept {
    destroy(handle);
  }
};
using CudaStream = std::unique_ptr<CUstream_st, DestroyWith<&cudaStreamDestroy>>;
using CublasLt = std::unique_ptr<cublasLtContext, DestroyWith<&cublasLtDestroy>>;
using MatmulDesc = std::unique_ptr<cublasLtMatmulDescOpaque_t, DestroyWith<&cublasLtMatmulDescDestroy>>;
using MatrixLayout = std::unique_ptr<cublasLtMatrixLayoutOpaque_t, DestroyWith<&cublasLtMatrixLayoutDestroy>>;
using MatmulPreference = std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, DestroyWith<&cublasLtMatmulPreferenceDestroy>>;

struct GpuMemory {
  struct Free {
    void operator()(std::byte* data) const noexcept;
  };
  std::unique_ptr<std::byte, Free> data;
  std::int64_t bytes = 0;
};

// The host's memory that kernels read and write over the bus, at this very address.
struct PinnedMemory {
  struct Free {
    void operator()(std::byte* data) const noexcept;
  };
  std::unique_ptr<std::byte, Free> data;
  std::int64_t bytes = 0;
  bool is_in_use = false;  // by work that nobody has waited for yet
};

// Uploads that are gathered here for a kernel to fetch them all, one slot's values after the other's, each in whole units.
struct GatheredUploads {
  static constexpr std::size_t kUnit = 16;
  struct Slot {
    std::byte* at;
    std::int64_t end;  // in units
  };
  std::vector<Slot> slots;
  std::vector<std::byte> values;
};

struct CudaHandles {
  // Product's shape, steps, turns, type and alignments (ops/cuda/multiply.h): the algorithm that cuBLASLt chose, looked up once.
  using ProductKey = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t, int, int, int>;

  static constexpr std::int64_t kMatmulBytes = 32ll << 20;  // what NVIDIA advises for Hopper

  CudaDevice card;
  CudaStream stream;
  CublasLt matmul;
  GpuMemory matmul_workspace;
  std::map<ProductKey, cublasLtMatmulAlgo_t> algorithms;
  std::vector<GpuMemory> slots;
  std::map<int, std::vector<std::byte>> uploaded;  // by slot, what was copied into it last
  GatheredUploads* gathered = nullptr;             // where uploads go instead
  std::vector<PinnedMemory> pinned;
};

}  // namespace deskhand
