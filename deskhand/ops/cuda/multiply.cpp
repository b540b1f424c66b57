// cuBLASLt thinks in columns: our row-major c = a b is its c^T = b^T a^T, so b is its first matrix and a its second.
#include "deskhand/ops/cuda/multiply.h"

#include <optional>

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

MatmulDesc description_of(const Product& p) {
  cublasLtMatmulDesc_t made = nullptr;
  check(cublasLtMatmulDescCreate(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  MatmulDesc desc(made);
  set(desc, CUBLASLT_MATMUL_DESC_TRANSA, p.b_turned ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(desc, CUBLASLT_MATMUL_DESC_TRANSB, p.a_turned ? CUBLAS_OP_T : CUBLAS_OP_N);
  if (p.type == Product::Type::kE4M3) set(desc, CUBLASLT_MATMUL_DESC_FAST_ACCUM, kFastSums);
  if (p.a_scales) scale_rows(desc, p);
  if (p.bias) {
    set(desc, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
    if (p.count > 1) set(desc, CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, p.bias_apart);
  }
  return desc;
}

// In cuBLASLt's order.
struct Layouts {
  MatrixLayout first, second, result;
};

Layouts layouts_of(const Product& p) {
  const cudaDataType_t type = cuda_type(p.type);
  Layouts made{p.b_turned ? layout(type, p.depth, p.columns, p.b_step) : layout(type, p.columns, p.depth, p.b_step),
               p.a_turned ? layout(type, p.rows, p.depth, p.a_step) : layout(type, p.depth, p.rows, p.a_step),
               layout(cuda_type(p.result), p.columns, p.rows, p.c_step)};
  if (p.count > 1) {
    repeat(made.first, p.count, p.b_apart);
    repeat(made.second, p.count, 0);
    repeat(made.result, p.count, p.c_apart);
  }
  return made;
}

const void* summand_of(const Product& p) {
  return p.plus ? p.plus : p.c;
}

struct Alignments {
  std::uint32_t a, b, c, plus;
};

Alignments alignments_of(const Product& p) {
  return {alignment(p.a), alignment(p.b, p.b_apart * size_of(p.type)), alignment(p.c, p.c_apart * size_of(p.result)),
          alignment(summand_of(p), p.c_apart * size_of(p.result))};
}

CudaHandles::ProductKey key_of(const Product& p, const Alignments& aligned) {
  const int kind = (p.type == Product::Type::kF32 ? 0 : 1) | (p.a_turned ? 2 : 0) | (p.b_turned ? 4 : 0) | (p.add ? 8 : 0) |
                   (p.result == Product::Type::kF32 ? 0 : 16) | (p.type == Product::Type::kE4M3 ? 32 : 0) | (p.a_scales ? 64 : 0) |
                   (p.bias ? 128 : 0) | static_cast<int>(p.count) << 8;
  return {p.rows,
          p.columns,
          p.depth,
          p.a_step,
          p.b_step,
          p.c_step,
          kind,
          static_cast<int>(aligned.a << 16 | aligned.b),
          static_cast<int>(aligned.plus << 16 | aligned.c)};
}

// The algorithm that cuBLASLt thinks the fastest; nothing where it knows none.
std::optional<cublasLtMatmulAlgo_t> proposed(const CudaHandles& handles, const Product& p, const MatmulDesc& desc, const Layouts& layouts,
                                             const Alignments& aligned) {
  cublasLtMatmulPreference_t made = nullptr;
  check(cublasLtMatmulPreferenceCreate(&made));
  MatmulPreference preference(made);
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(handles.matmul_workspace.bytes));
  // Parts of a split depth may neither be added in place, in whatever order they end, nor be rounded to the result's type before.
  // Nor does it pay where there are few rows and enough columns for the card.
  const bool splits = p.rows > kFewRows || p.columns < kManyColumns;
  set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      static_cast<std::uint32_t>(splits ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE : CUBLASLT_REDUCTION_SCHEME_NONE));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, aligned.b);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, aligned.a);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, aligned.plus);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, aligned.c);
  cublasLtMatmulHeuristicResult_t best{};
  int count = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(handles.matmul.get(), desc.get(), layouts.first.get(), layouts.second.get(), layouts.result.get(),
                                     layouts.result.get(), preference.get(), 1, &best, &count);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return std::nullopt;
  check(status);
  return count == 0 ? std::nullopt : std::optional(best.algo);
}

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
  const bool is_fp8 = p.type == Product::Type::kE4M3;
  DESKHAND_ASSERT(p.result == Product::Type::kF32 || p.type != Product::Type::kF32, "a bf16 result of bf16 factors");
  DESKHAND_ASSERT(is_fp8 ? p.result == Product::Type::kBF16 && p.b_turned && !p.a_turned : !p.a_scales, "e4m3 along the depth, to bf16");
  DESKHAND_ASSERT(p.add || !p.plus, "what is added is added");
  DESKHAND_ASSERT(!p.add || p.count == 1, "several products at once are not added");
  DESKHAND_ASSERT(!p.bias || (p.type == Product::Type::kBF16 && p.result == Product::Type::kBF16), "a bias of bf16's products");
  CudaHandles& handles = on.cuda->handles();
  const MatmulDesc desc = description_of(p);
  const Layouts layouts = layouts_of(p);
  const Alignments aligned = alignments_of(p);
  const CudaHandles::ProductKey key = key_of(p, aligned);
  auto found = handles.algorithms.find(key);
  if (found == handles.algorithms.end()) {
    const auto algorithm = proposed(handles, p, desc, layouts, aligned);
    if (!algorithm) return false;
    found = handles.algorithms.emplace(key, *algorithm).first;
  }
  const float scale = p.scale, keep = p.add ? 1.0f : 0.0f;
  check(cublasLtMatmul(handles.matmul.get(), desc.get(), &scale, p.b, layouts.first.get(), p.a, layouts.second.get(), &keep, summand_of(p),
                       layouts.result.get(), p.c, layouts.result.get(), &found->second, handles.matmul_workspace.data.get(),
                       static_cast<std::size_t>(handles.matmul_workspace.bytes), handles.stream.get()));
  return true;
}

}  // namespace deskhand::cuda
