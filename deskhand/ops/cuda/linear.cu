// Products by cuBLASLt. bf16 activations: all in bf16. f32 activations: f32 weights in f32 throughout, without TF32; others: kF32 widens
// them to f32; kAuto, kBF16 and kInt8 multiply in bf16, inputs and weights rounded to it. Sums in f32. What does not lie in memory so is
// made so a panel of rows at a time.
#include "deskhand/ops/linear.h"

#include <algorithm>

#include "deskhand/ops/add.h"
#include "deskhand/ops/cuda/dequantize.cuh"
#include "deskhand/ops/cuda/few_rows.h"
#include "deskhand/ops/cuda/map.cuh"
#include "deskhand/ops/cuda/multiply.h"

namespace deskhand::cuda {
namespace {

constexpr std::int64_t kPanelBytes = 64ll << 20;
constexpr std::int64_t kPanelRows = 256;  // panels of several such, where there are as many: the products' tiles are as high

bool in_bf16(const Backend& on, DType activations, DType weight) {
  return activations == DType::kBF16 || on.compute == Compute::kBF16 || (on.compute != Compute::kF32 && weight != DType::kF32);
}

struct Matrix {
  const void* data;
  Product::Type type;
};

// Activations, rounded to bf16 if need be.
Matrix inputs(const Backend& on, ConstView x, bool bf16) {
  if (!bf16 || x.type() == DType::kBF16) return {x.data(), product_type(x.type())};
  auto* const rounded = on.cuda->scratch<__nv_bfloat16>(kInputs, x.shape().elements());
  widen(on, rounded, x, x.shape().rows());
  return {rounded, Product::Type::kBF16};
}

// Rows of a panel: as few panels as kPanelBytes allows, all of about one size.
std::int64_t panel_rows(std::int64_t rows, std::int64_t row_bytes) {
  const std::int64_t most =
      std::clamp<std::int64_t>(kPanelBytes / std::max<std::int64_t>(row_bytes, 1), 1, std::max<std::int64_t>(rows, 1));
  const std::int64_t panels = (rows + most - 1) / most, even = (rows + panels - 1) / std::max<std::int64_t>(panels, 1);
  const std::int64_t rounded = (even + kPanelRows - 1) / kPanelRows * kPanelRows;
  return rounded <= most ? rounded : most;
}

// Calls work(first row, rows, panel) for the rows of `weight`, as they lie where the type fits.
template <class Work>
void for_panels(const Backend& on, ConstView weight, bool bf16, const Work& work) {
  const std::int64_t rows = weight.shape()[0], width = weight.shape()[1];
  const Product::Type type = bf16 ? Product::Type::kBF16 : Product::Type::kF32;
  if (weight.type() == (bf16 ? DType::kBF16 : DType::kF32)) return work(0, rows, Matrix{weight.data(), type});
  const std::int64_t size = bf16 ? sizeof(__nv_bfloat16) : sizeof(float);
  const std::int64_t most = panel_rows(rows, width * size);
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

template <class T>
void add_bias_to(const Backend& on, View out, ConstView bias) {
  for_each(on, out.shape().elements(), [to = pointer<T>(out), add = pointer(bias), outputs = out.shape()[1]] __device__(std::int64_t i) {
    to[i] = narrowed<T>(widened(to[i]) + add[i % outputs]);
  });
}

template <class T>
void add_bias_gradient(const Backend& on, View d_bias, ConstView d_out) {
  const std::int64_t outputs = d_out.shape()[1];
  add_column_sums(
      on, pointer(d_bias), d_out.shape()[0], outputs,
      [d = pointer<T>(d_out), outputs] __device__(std::int64_t row, std::int64_t column) { return widened(d[row * outputs + column]); });
}

}  // namespace

void add_bias(const Backend& on, View out, ConstView bias) {
  with_type(out.type(), [&](auto type) { add_bias_to<decltype(type)>(on, out, bias); });
}

void linear(const Backend& on, std::span<const LinearPart> parts, ConstView x) {
  require_gpu(on, {x});
  const std::int64_t tokens = x.shape()[0], width = x.shape()[1];
  if (tokens == 0) return;
  if (are_few_rows(parts, x)) {
    few_rows(on, parts, x);
    for (const LinearPart& part : parts)
      if (!part.add.empty()) cuda::add(on, part.out, part.out, part.add);
    return;
  }
  Matrix rounded{};
  for (const LinearPart& part : parts) {
    require_gpu(on, {part.out, part.weight, part.bias, part.add});
    const bool adds = !part.add.empty();
    const bool bf16 = in_bf16(on, x.type(), part.weight.type());
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
                    .c = part.out.data() + first * block_bytes(part.out.type()),
                    .c_step = outputs,
                    .type = panel.type,
                    .result = product_type(part.out.type()),
                    .add = adds,
                    .plus = adds ? part.add.data() + first * block_bytes(part.out.type()) : nullptr});
    });
    if (!part.bias.empty()) add_bias(on, part.out, part.bias);
  }
}

void multiply_by_weight(const Backend& on, View d_x, const void* d_out, DType type, std::int64_t step, ConstView weight, Into into) {
  const std::int64_t tokens = d_x.shape()[0], width = weight.shape()[1];
  const bool bf16 = in_bf16(on, type, weight.type());
  DESKHAND_ASSERT(bf16 == (type == DType::kBF16), "gradients of the type that is multiplied");
  for_panels(on, weight, bf16, [&](std::int64_t first, std::int64_t count, const Matrix& panel) {
    multiply(on, {.rows = tokens,
                  .columns = width,
                  .depth = count,
                  .a = static_cast<const std::byte*>(d_out) + first * block_bytes(type),
                  .a_step = step,
                  .b = panel.data,
                  .b_step = width,
                  .c = d_x.data(),
                  .c_step = width,
                  .type = panel.type,
                  .result = product_type(d_x.type()),
                  .add = into == Into::kAdd || first > 0});
  });
}

void linear_backward_input(const Backend& on, View d_x, ConstView d_out, ConstView weight, Into into) {
  require_gpu(on, {d_x, d_out, weight});
  if (d_out.shape()[0] == 0) return;
  const bool bf16 = in_bf16(on, d_out.type(), weight.type());
  multiply_by_weight(on, d_x, inputs(on, d_out, bf16).data, bf16 ? DType::kBF16 : DType::kF32, d_out.shape()[1], weight, into);
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
                .c = d_weight.data(),
                .c_step = x.shape()[1],
                .type = product_type(x.type()),
                .add = true});
}

void linear_backward_bias(const Backend& on, View d_bias, ConstView d_out) {
  require_gpu(on, {d_bias, d_out});
  with_type(d_out.type(), [&](auto type) { add_bias_gradient<decltype(type)>(on, d_bias, d_out); });
}

}  // namespace deskhand::cuda
