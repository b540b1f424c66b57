// One weight of a row of any type. Block layouts: ops/reference/dequantize.cpp.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "deskhand/ops/cuda/launch.cuh"

namespace deskhand::cuda {

// out (rows, width) of type T, float or __nv_bfloat16: row i is row `index[i]` of `in`, or row i where there is no index.
template <class T>
void widen(const Backend& on, T* out, ConstView in, std::int64_t rows, const std::int32_t* index = nullptr);

}  // namespace deskhand::cuda
