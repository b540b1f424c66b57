// cuBLASLt thinks in columns: our row-major c = a b is its c^T = b^T a^T, so b is its first matrix and a its second.
#include "deskhand/ops/cuda/multiply.h"

#include <algorithm>
#include <utility>

#include "deskhand/ops/cuda/launch.cuh"

namespace deskhand::cuda {
namespace {

MatrixLayout layout(cudaDataType_t type, std::int64_t rows, std::int64_t columns, std::int64_t step) {
  cublasLtMatrixLayout_t made = nullptr;
  check(cublasLtMatrixLayoutCreate(&made, type, static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(columns), step));
  return MatrixLayout(made);
}

std::uint32_t alignment(const void* address) {
  constexpr std::uintptr_t kMost = 256;
  const auto bits = reinterpret_cast<std::uintptr_t>(address) | kMost;
  return static_cast<std::uint32_t>(bits & -bits);
}

template <class Value>
void set(MatmulDesc& desc, cublasLtMatmulDescAttributes_t attribute, Value value) {
  check(cublasLtMatmulDescSetAttribute(desc.get(), attribute, &value, sizeof value));
}
template <class Value>
void set(MatmulPreference& preference, cublasLtMatmulPreferenceAttributes_t attribute, Value value) {
  check(cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof value));
}

}  // namespace

void multiply(const Backend& on, const Product& p) {
  if (p.rows == 0 || p.columns == 0) return;
  DESKHAND_ASSERT(p.depth > 0, "a product of something");
  CudaHandles& handles = on.cuda->handles();
  DESKHAND_ASSERT(p.result == Product::Type::kF32 || p.type == Product::Type::kBF16, "a bf16 result of bf16 factors");
  const auto cuda_type = [](Product::Type of) { return of == Product::Type::kF32 ? CUDA_R_32F : CUDA_R_16BF; };
  const cudaDataType_t type = cuda_type(p.type);
  cublasLtMatmulDesc_t made = nullptr;
  check(cublasLtMatmulDescCreate(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  MatmulDesc desc(made);
  set(desc, CUBLASLT_MATMUL_DESC_TRANSA, p.b_turned ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(desc, CUBLASLT_MATMUL_DESC_TRANSB, p.a_turned ? CUBLAS_OP_T : CUBLAS_OP_N);
  const MatrixLayout first = p.b_turned ? layout(type, p.depth, p.columns, p.b_step) : layout(type, p.columns, p.depth, p.b_step);
  const MatrixLayout second = p.a_turned ? layout(type, p.rows, p.depth, p.a_step) : layout(type, p.depth, p.rows, p.a_step);
  const MatrixLayout result = layout(cuda_type(p.result), p.columns, p.rows, p.c_step);

  const std::uint32_t a_align = alignment(p.a), b_align = alignment(p.b), c_align = alignment(p.c);
  const CudaHandles::ProductKey key{p.rows,
                                    p.columns,
                                    p.depth,
                                    p.a_step,
                                    p.b_step,
                                    p.c_step,
                                    (p.type == Product::Type::kF32 ? 0 : 1) | (p.a_turned ? 2 : 0) | (p.b_turned ? 4 : 0) |
                                        (p.add ? 8 : 0) | (p.result == Product::Type::kF32 ? 0 : 16),
                                    static_cast<int>(a_align << 16 | b_align),
                                    static_cast<int>(c_align)};
  auto found = handles.algorithms.find(key);
  if (found == handles.algorithms.end()) {
    cublasLtMatmulPreference_t preference_made = nullptr;
    check(cublasLtMatmulPreferenceCreate(&preference_made));
    MatmulPreference preference(preference_made);
    set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(handles.matmul_workspace.bytes));
    // Parts of a split depth may neither be added in place, in whatever order they end, nor be rounded to the result's type before.
    set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, b_align);
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, a_align);
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, c_align);
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, c_align);
    cublasLtMatmulHeuristicResult_t best{};
    int count = 0;
    check(cublasLtMatmulAlgoGetHeuristic(handles.matmul.get(), desc.get(), first.get(), second.get(), result.get(), result.get(),
                                         preference.get(), 1, &best, &count));
    DESKHAND_ASSERT(count == 1, "cuBLASLt knows how to do every product of f32 or bf16");
    found = handles.algorithms.emplace(key, best.algo).first;
  }
  const float scale = p.scale, keep = p.add ? 1.0f : 0.0f;
  check(cublasLtMatmul(handles.matmul.get(), desc.get(), &scale, p.b, first.get(), p.a, second.get(), &keep, p.c, result.get(), p.c,
                       result.get(), &found->second, handles.matmul_workspace.data.get(),
                       static_cast<std::size_t>(handles.matmul_workspace.bytes), handles.stream.get()));
}

}  // namespace deskhand::cuda
