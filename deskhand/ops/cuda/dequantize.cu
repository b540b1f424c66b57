// Eight neighbours a thread, stored 16 bytes at a time: bound by memory. Rows of other widths, of plain types: a thread a weight.
#include "deskhand/ops/dequantize.h"

#include "deskhand/ops/cuda/dequantize.cuh"
#include "deskhand/ops/cuda/weights_of.cuh"

namespace deskhand::cuda {
namespace {

constexpr int kPacks = 32, kRows = 8;  // of a thread block

// width: a multiple of 8. Row i of out: row index[i] of what begins at `from`, or row i.
template <DType type, class T>
__global__ void __launch_bounds__(kPacks* kRows)
    widen_kernel(T* out, Bytes from, const std::int32_t* index, std::int64_t rows, std::int64_t width, std::int64_t step) {
  const std::int64_t row = std::int64_t{blockIdx.x} * kRows + threadIdx.y, column = (blockIdx.y * kPacks + threadIdx.x) * kEight;
  if (row >= rows || column >= width) return;
  float weights[kEight];
  weights_of<type>(weights, static_cast<int>(column % kBlockWeights<type>),
                   from + (index ? index[row] : row) * step + column / kBlockWeights<type> * kBlockBytes<type>);
  store(out + row * width + column, weights);
}

template <DType type, class T>
void widen_type(const Backend& on, T* out, ConstView in, std::int64_t rows, const std::int32_t* index) {
  DESKHAND_ASSERT(kBlockWeights<type> == block_elements(type) && kBlockBytes<type> == block_bytes(type), "blocks as tensors have them");
  const std::int64_t width = in.shape().last(), step = row_bytes(type, width);
  if (rows == 0 || width == 0) return;
  const auto* const from = pointer<std::uint8_t>(in);
  constexpr bool kIsPlain = kBlockWeights<type> == 1;
  if (!kIsPlain || (width % kEight == 0 && is_aligned(out) && is_aligned(from))) {
    constexpr std::uintptr_t kAlign = 8;
    DESKHAND_ASSERT(is_aligned(out) && (kBlockBytes<type> % kAlign != 0 || reinterpret_cast<std::uintptr_t>(from) % kAlign == 0),
                    "blocks where a tensor's are");
    const dim3 blocks(blocks_for(rows, kRows), blocks_for(width, kPacks * kEight));
    widen_kernel<type><<<blocks, dim3(kPacks, kRows), 0, stream(on)>>>(out, from, index, rows, width, step);
    return check_launch();
  }
  if constexpr (kIsPlain)
    for_each(on, rows * width, [out, from, index, width, step] __device__(std::int64_t at) {
      const std::int64_t row = index ? index[at / width] : at / width;
      out[at] = narrowed<T>(plain_weight<type>(from + row * step + at % width * kBlockBytes<type>));
    });
}

}  // namespace

template <class T>
void widen(const Backend& on, T* out, ConstView in, std::int64_t rows, const std::int32_t* index) {
  switch (in.type()) {
    case DType::kF32:
      return widen_type<DType::kF32>(on, out, in, rows, index);
    case DType::kF16:
      return widen_type<DType::kF16>(on, out, in, rows, index);
    case DType::kBF16:
      return widen_type<DType::kBF16>(on, out, in, rows, index);
    case DType::kQ4_0:
      return widen_type<DType::kQ4_0>(on, out, in, rows, index);
    case DType::kQ4_1:
      return widen_type<DType::kQ4_1>(on, out, in, rows, index);
    case DType::kQ5_0:
      return widen_type<DType::kQ5_0>(on, out, in, rows, index);
    case DType::kQ5_1:
      return widen_type<DType::kQ5_1>(on, out, in, rows, index);
    case DType::kQ8_0:
      return widen_type<DType::kQ8_0>(on, out, in, rows, index);
    case DType::kQ4_K:
      return widen_type<DType::kQ4_K>(on, out, in, rows, index);
    case DType::kQ5_K:
      return widen_type<DType::kQ5_K>(on, out, in, rows, index);
    case DType::kQ6_K:
      return widen_type<DType::kQ6_K>(on, out, in, rows, index);
    default:
      DESKHAND_ASSERT(false, "a type of weights");
  }
}
template void widen(const Backend&, float*, ConstView, std::int64_t, const std::int32_t*);
template void widen(const Backend&, __nv_bfloat16*, ConstView, std::int64_t, const std::int32_t*);

void dequantize(const Backend& on, View out, ConstView in) {
  require_gpu(on, {out, in});
  if (out.type() == DType::kF32) return widen(on, pointer(out), in, in.shape().rows());
  widen(on, pointer<__nv_bfloat16>(out), in, in.shape().rows());
}

}  // namespace deskhand::cuda
