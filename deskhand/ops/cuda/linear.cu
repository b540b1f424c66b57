// Products by cuBLASLt. f32 weights: f32 throughout, without TF32. Others: kF32 widens them to f32; kAuto, kBF16 and kInt8 multiply in
// bf16, inputs and weights rounded to it, sums in f32. What is not bf16 in memory is made so a panel of rows at a time.
#include "deskhand/ops/linear.h"

#include <algorithm>

#include "deskhand/ops/cuda/dequantize.cuh"
#include "deskhand/ops/cuda/multiply.h"

namespace deskhand::cuda {
namespace {

constexpr std::int64_t kPanelBytes = 64ll << 20;

bool in_bf16(const Backend& on, DType type) {
  return on.compute == Compute::kBF16 || (on.compute != Compute::kF32 && type != DType::kF32);
}

struct Matrix {
  const void* data;
  Product::Type type;
};

// A view of f32, rounded to bf16 if need be.
Matrix inputs(const Backend& on, ConstView x, bool bf16) {
  if (!bf16) return {x.data(), Product::Type::kF32};
  auto* const rounded = on.cuda->scratch<__nv_bfloat16>(kInputs, x.shape().elements());
  widen(on, rounded, x, x.shape().rows());
  return {rounded, Product::Type::kBF16};
}

// Calls work(first row, rows, panel) for the rows of `weight`, as they lie where the type fits.
template <class Work>
void for_panels(const Backend& on, ConstView weight, bool bf16, const Work& work) {
  const std::int64_t rows = weight.shape()[0], width = weight.shape()[1];
  const Product::Type type = bf16 ? Product::Type::kBF16 : Product::Type::kF32;
  if (weight.type() == (bf16 ? DType::kBF16 : DType::kF32)) return work(0, rows, Matrix{weight.data(), type});
  const std::int64_t size = bf16 ? sizeof(__nv_bfloat16) : sizeof(float);
  const std::int64_t most =
      std::clamp<std::int64_t>(kPanelBytes / std::max<std::int64_t>(width * size, 1), 1, std::max<std::int64_t>(rows, 1));
  std::byte* const panel = on.cuda->scratch(kWeights, most * width * size);
  for (std::int64_t first = 0; first < rows; first += most) {
    const std::int64_t count = std::min(most, rows - first);
    if (bf16)
      widen(on, reinterpret_cast<__nv_bfloat16*>(panel), weight.rows(first, count), count);
    else
      widen(on, reinterpret_cast<float*>(panel), weight.rows(first, count), count);
    work(first, count, Matrix{panel, type});
  }
}

}  // namespace

void linear(const Backend& on, std::span<const LinearPart> parts, ConstView x) {
  require_gpu(on, {x});
  const std::int64_t tokens = x.shape()[0], width = x.shape()[1];
  if (tokens == 0) return;
  Matrix rounded{};
  for (const LinearPart& part : parts) {
    require_gpu(on, {part.out, part.weight, part.bias});
    const bool bf16 = in_bf16(on, part.weight.type());
    if (bf16 && !rounded.data) rounded = inputs(on, x, true);
    const Matrix in = bf16 ? rounded : inputs(on, x, false);
    const std::int64_t outputs = part.weight.shape()[0];
    for_panels(on, part.weight, bf16, [&](std::int64_t first, std::int64_t count, const Matrix& panel) {
      multiply(on, {.rows = tokens,
                    .columns = count,
                    .depth = width,
                    .a = in.data,
                    .a_step = width,
                    .b = panel.data,
                    .b_step = width,
                    .b_turned = true,
                    .c = pointer(part.out) + first,
                    .c_step = outputs,
                    .type = panel.type});
    });
    if (!part.bias.empty())
      for_each(on, tokens * outputs,
               [out = pointer(part.out), bias = pointer(part.bias), outputs] __device__(std::int64_t i) { out[i] += bias[i % outputs]; });
  }
}

void linear_backward_input(const Backend& on, View d_x, ConstView d_out, ConstView weight, Into into) {
  require_gpu(on, {d_x, d_out, weight});
  const std::int64_t tokens = d_out.shape()[0], outputs = d_out.shape()[1], width = weight.shape()[1];
  if (tokens == 0) return;
  const bool bf16 = in_bf16(on, weight.type());
  const Matrix in = inputs(on, d_out, bf16);
  for_panels(on, weight, bf16, [&](std::int64_t first, std::int64_t count, const Matrix& panel) {
    multiply(on,
             {.rows = tokens,
              .columns = width,
              .depth = count,
              .a = static_cast<const std::byte*>(in.data) + first * static_cast<std::int64_t>(bf16 ? sizeof(__nv_bfloat16) : sizeof(float)),
              .a_step = outputs,
              .b = panel.data,
              .b_step = width,
              .c = pointer(d_x),
              .c_step = width,
              .type = panel.type,
              .add = into == Into::kAdd || first > 0});
  });
}

void linear_backward_weight(const Backend& on, View d_weight, ConstView d_out, ConstView x) {
  require_gpu(on, {d_weight, d_out, x});
  if (x.shape()[0] == 0) return;
  multiply(on, {.rows = d_out.shape()[1],
                .columns = x.shape()[1],
                .depth = x.shape()[0],
                .a = d_out.data(),
                .a_step = d_out.shape()[1],
                .a_turned = true,
                .b = x.data(),
                .b_step = x.shape()[1],
                .c = pointer(d_weight),
                .c_step = x.shape()[1],
                .add = true});
}

void linear_backward_bias(const Backend& on, View d_bias, ConstView d_out) {
  require_gpu(on, {d_bias, d_out});
  const std::int64_t outputs = d_out.shape()[1];
  add_column_sums(on, pointer(d_bias), d_out.shape()[0], outputs,
                  [d = pointer(d_out), outputs] __device__(std::int64_t row, std::int64_t column) { return d[row * outputs + column]; });
}

}  // namespace deskhand::cuda
