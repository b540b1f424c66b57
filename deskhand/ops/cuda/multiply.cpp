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

// As many times, that many elements apart.
void repeat(const MatrixLayout& layout, std::int64_t count, std::int64_t apart) {
  const auto times = static_cast<std::int32_t>(count);
  check(cublasLtMatrixLayoutSetAttribute(layout.get(), CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &times, sizeof times));
  check(cublasLtMatrixLayoutSetAttribute(layout.get(), CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &apart, sizeof apart));
}

// Of an address, and of all others so many bytes apart.
std::uint32_t alignment(const void* address, std::int64_t apart = 0) {
  constexpr std::uintptr_t kMost = 256;
  const auto bits = reinterpret_cast<std::uintptr_t>(address) | static_cast<std::uintptr_t>(apart) | kMost;
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

constexpr std::int8_t kFastSums = 1;  // of FP8: f32 sums every 128 products instead take a quarter more time

cudaDataType_t cuda_type(Product::Type of) {
  switch (of) {
    case Product::Type::kF32:
      return CUDA_R_32F;
    case Product::Type::kBF16:
      return CUDA_R_16BF;
    case Product::Type::kE4M3:
      return CUDA_R_8F_E4M3;
  }
  return CUDA_R_32F;
}

std::int64_t size_of(Product::Type of) {
  return of == Product::Type::kF32 ? 4 : of == Product::Type::kBF16 ? 2 : 1;
}

constexpr std::int64_t kFewRows = 128, kManyColumns = 4096;  // of a product that is not split along its depth

constexpr std::size_t kRowScalesSince = 120900;  // cuBLAS 12.9

#if CUBLAS_VERSION >= 120900
void scale_rows(MatmulDesc& desc, const Product& p) {
  set(desc, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, std::int32_t{CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F});
  set(desc, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, std::int32_t{CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F});
  set(desc, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, p.b_scales);
  set(desc, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, p.a_scales);
}
constexpr bool kBuiltWithRowScales = true;
#else
void scale_rows(MatmulDesc&, const Product&) {
  DESKHAND_ASSERT(false, "scales of rows where has_row_scales");
}
constexpr bool kBuiltWithRowScales = false;
#endif

}  // namespace

bool has_row_scales(const Backend& on) {
  const CudaDevice& card = on.cuda->card();
  return kBuiltWithRowScales && cublasLtGetVersion() >= kRowScalesSince && card.capability_major == 9 && card.capability_minor == 0;
}

void multiply(const Backend& on, const Product& product) {
  const bool is_done = try_multiply(on, product);
  DESKHAND_ASSERT(is_done, "cuBLASLt knows how to do every product of f32 or bf16");
}

bool try_multiply(const Backend& on, const Product& p) {
  if (p.rows == 0 || p.columns == 0) return true;
  DESKHAND_ASSERT(p.depth > 0, "a product of something");
  CudaHandles& handles = on.cuda->handles();
  const bool is_fp8 = p.type == Product::Type::kE4M3, is_scaled = p.a_scales != nullptr;
  DESKHAND_ASSERT(p.result == Product::Type::kF32 || p.type != Product::Type::kF32, "a bf16 result of bf16 factors");
  DESKHAND_ASSERT(is_fp8 ? p.result == Product::Type::kBF16 && p.b_turned && !p.a_turned : !is_scaled, "e4m3 along the depth, to bf16");
  DESKHAND_ASSERT(p.add || !p.plus, "what is added is added");
  DESKHAND_ASSERT(!p.bias || (p.type == Product::Type::kBF16 && p.result == Product::Type::kBF16), "a bias of bf16's products");
  const cudaDataType_t type = cuda_type(p.type);
  cublasLtMatmulDesc_t made = nullptr;
  check(cublasLtMatmulDescCreate(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  MatmulDesc desc(made);
  set(desc, CUBLASLT_MATMUL_DESC_TRANSA, p.b_turned ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(desc, CUBLASLT_MATMUL_DESC_TRANSB, p.a_turned ? CUBLAS_OP_T : CUBLAS_OP_N);
  if (is_fp8) set(desc, CUBLASLT_MATMUL_DESC_FAST_ACCUM, kFastSums);
  if (is_scaled) scale_rows(desc, p);
  if (p.bias) {
    set(desc, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
  }
  const MatrixLayout first = p.b_turned ? layout(type, p.depth, p.columns, p.b_step) : layout(type, p.columns, p.depth, p.b_step);
  const MatrixLayout second = p.a_turned ? layout(type, p.rows, p.depth, p.a_step) : layout(type, p.depth, p.rows, p.a_step);
  const MatrixLayout result = layout(cuda_type(p.result), p.columns, p.rows, p.c_step);
  if (p.count > 1) {
    DESKHAND_ASSERT(!p.add, "several products at once are not added");
    repeat(first, p.count, p.b_apart);
    repeat(second, p.count, 0);
    repeat(result, p.count, p.c_apart);
    if (p.bias) set(desc, CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, p.bias_apart);
  }

  const void* const plus = p.plus ? p.plus : p.c;
  const std::uint32_t a_align = alignment(p.a), b_align = alignment(p.b, p.b_apart * size_of(p.type)),
                      c_align = alignment(p.c, p.c_apart * size_of(p.result)), plus_align = alignment(plus, p.c_apart * size_of(p.result));
  const CudaHandles::ProductKey key{p.rows,
                                    p.columns,
                                    p.depth,
                                    p.a_step,
                                    p.b_step,
                                    p.c_step,
                                    (p.type == Product::Type::kF32 ? 0 : 1) | (p.a_turned ? 2 : 0) | (p.b_turned ? 4 : 0) |
                                        (p.add ? 8 : 0) | (p.result == Product::Type::kF32 ? 0 : 16) | (is_fp8 ? 32 : 0) |
                                        (is_scaled ? 64 : 0) | (p.bias ? 128 : 0) | static_cast<int>(p.count) << 8,
                                    static_cast<int>(a_align << 16 | b_align),
                                    static_cast<int>(plus_align << 16 | c_align)};
  auto found = handles.algorithms.find(key);
  if (found == handles.algorithms.end()) {
    cublasLtMatmulPreference_t preference_made = nullptr;
    check(cublasLtMatmulPreferenceCreate(&preference_made));
    MatmulPreference preference(preference_made);
    set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(handles.matmul_workspace.bytes));
    // Parts of a split depth may neither be added in place, in whatever order they end, nor be rounded to the result's type before.
    // Nor does it pay where there are few rows and enough columns for the card.
    const bool splits = p.rows > kFewRows || p.columns < kManyColumns;
    set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
        static_cast<std::uint32_t>(splits ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE : CUBLASLT_REDUCTION_SCHEME_NONE));
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, b_align);
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, a_align);
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, plus_align);
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, c_align);
    cublasLtMatmulHeuristicResult_t best{};
    int count = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handles.matmul.get(), desc.get(), first.get(), second.get(), result.get(),
                                                                 result.get(), preference.get(), 1, &best, &count);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) return false;
    check(status);
    if (count == 0) return false;
    found = handles.algorithms.emplace(key, best.algo).first;
  }
  const float scale = p.scale, keep = p.add ? 1.0f : 0.0f;
  check(cublasLtMatmul(handles.matmul.get(), desc.get(), &scale, p.b, first.get(), p.a, second.get(), &keep, plus, result.get(), p.c,
                       result.get(), &found->second, handles.matmul_workspace.data.get(),
                       static_cast<std::size_t>(handles.matmul_workspace.bytes), handles.stream.get()));
  return true;
}

}  // namespace deskhand::cuda
