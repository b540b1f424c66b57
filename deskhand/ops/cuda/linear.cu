// Products by cuBLASLt. bf16 activations: all in bf16. f32 activations: f32 weights in f32 throughout, without TF32; others: kF32 widens
// them to f32; kAuto, kBF16 and kInt8 multiply in bf16, inputs and weights rounded to it. Sums in f32. What does not lie in memory so is
// made so a panel of rows at a time.
#include "deskhand/ops/linear.h"

#include <algorithm>
#include <vector>

#include "deskhand/ops/add.h"
#include "deskhand/ops/cuda/dequantize.cuh"
#include "deskhand/ops/cuda/many_rows.h"
#include "deskhand/ops/cuda/map_columns.cuh"
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

// cuBLASLt adds biases of bf16 to results of bf16.
bool adds_bias_itself(const LinearPart& part, bool bf16) {
  return !part.bias.empty() && bf16 && part.out.type() == DType::kBF16;
}

constexpr std::size_t kMostBiases = 4;  // of one launch
struct Biases {
  const float* from[kMostBiases] = {};
  Bf16* to[kMostBiases] = {};
  std::int64_t counts[kMostBiases] = {};
};

__global__ void round_biases_kernel(Biases biases) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const unsigned part = blockIdx.y;
  if (i < biases.counts[part]) biases.to[part][i] = __float2bfloat16_rn(biases.from[part][i]);
}

// The parts' biases in bf16, one behind the other; what cuBLASLt does not add stands there too and is not looked at. Lies where inputs are
// rounded, which those of bf16 are not.
std::vector<const Bf16*> rounded_biases(const Backend& on, std::span<const LinearPart> parts) {
  constexpr std::int64_t kAlign = 8;  // 16 bytes
  constexpr int kThreads = 256;
  std::int64_t total = 0;
  std::vector<std::int64_t> first;
  const auto biases_of = [](const LinearPart& part) { return part.bias.empty() ? 0 : part.bias.shape().elements(); };
  for (const LinearPart& part : parts) {
    first.push_back(total);
    total += (biases_of(part) + kAlign - 1) / kAlign * kAlign;
  }
  Bf16* const room = on.cuda->scratch<Bf16>(kInputs, total);
  std::vector<const Bf16*> rounded;
  for (std::size_t begin = 0; begin < parts.size(); begin += kMostBiases) {
    Biases biases;
    const std::size_t count = std::min(kMostBiases, parts.size() - begin);
    std::int64_t longest = 0;
    for (std::size_t i = 0; i < count; ++i) {
      biases.from[i] = pointer(parts[begin + i].bias);
      biases.to[i] = room + first[begin + i];
      longest = std::max(longest, biases.counts[i] = biases_of(parts[begin + i]));
      rounded.push_back(biases.to[i]);
    }
    if (longest == 0) continue;
    round_biases_kernel<<<dim3(blocks_for(longest, kThreads), static_cast<unsigned>(count)), kThreads, 0, stream(on)>>>(biases);
    check_launch();
  }
  return rounded;
}

// out (tokens, outputs): its columns from `first` on, of the weight's rows in `panel`.
Product product_of(View out, const Matrix& in, std::int64_t tokens, std::int64_t width, std::int64_t first, std::int64_t count,
                   const Matrix& panel) {
  return {.rows = tokens,
          .columns = count,
          .depth = width,
          .a = in.data,
          .a_step = width,
          .b = panel.data,
          .b_step = width,
          .b_turned = true,
          .c = out.data() + first * block_bytes(out.type()),
          .c_step = out.shape()[1],
          .type = panel.type,
          .result = product_type(out.type())};
}

// With few tokens or few outputs a product does not occupy the card for long: parts of one form are made in one launch.
constexpr std::int64_t kManySequences = 128, kFewOutputs = 1024;

struct Alike {
  std::int64_t count = 1, weights_apart = 0, outs_apart = 0;  // in elements
};

std::int64_t bytes_apart(const std::byte* from, const std::byte* to) {
  return static_cast<std::int64_t>(reinterpret_cast<std::intptr_t>(to) - reinterpret_cast<std::intptr_t>(from));
}

// How many parts from the first on are alike and lie equally far apart; weights are bf16 already.
Alike alike_parts(std::span<const LinearPart> parts) {
  const LinearPart& first = parts[0];
  const std::int64_t size = block_bytes(first.out.type());
  Alike found;
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const LinearPart &one = parts[i], &before = parts[i - 1];
    if (first.weight.type() != DType::kBF16 || one.weight.type() != DType::kBF16 || one.weight.shape() != first.weight.shape()) break;
    if (one.out.type() != first.out.type() || !one.add.empty() || !first.add.empty() || one.bias.empty() != first.bias.empty()) break;
    const std::int64_t weights = bytes_apart(before.weight.data(), one.weight.data()),
                       outs = bytes_apart(before.out.data(), one.out.data());
    if (weights <= 0 || outs <= 0 || weights % block_bytes(DType::kBF16) != 0 || outs % size != 0) break;
    const Alike next{found.count + 1, weights / block_bytes(DType::kBF16), outs / size};
    if (found.count > 1 && (next.weights_apart != found.weights_apart || next.outs_apart != found.outs_apart)) break;
    if (!first.bias.empty() && one.bias.shape() != first.bias.shape()) break;
    found = next;
  }
  return found;
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
  with_type(out.type(), [&](auto type) { map_columns<decltype(type)>(on, out, out, bias, Plus()); });
}

void linear(const Backend& on, std::span<const LinearPart> parts, ConstView x) {
  require_gpu(on, {x});
  const std::int64_t tokens = x.shape()[0], width = x.shape()[1];
  if (tokens == 0) return;
  if (are_few_rows(on, parts, x)) {
    few_rows(on, parts, x);
    for (const LinearPart& part : parts)
      if (!part.add.empty()) cuda::add(on, part.out, part.out, part.add);
    return;
  }
  if (are_many_rows(on, parts, x)) return many_rows(on, parts, x);
  const auto is_many = [&](const LinearPart& part) { return are_many_rows(on, {&part, 1}, x); };
  if (parts.size() > 1 && std::any_of(parts.begin(), parts.end(), is_many)) {  // of several types
    for (const LinearPart& part : parts) cuda::linear(on, {&part, 1}, x);
    return;
  }
  std::vector<const Bf16*> biases;
  Matrix rounded{};
  for (std::size_t i = 0; i < parts.size();) {
    const LinearPart& part = parts[i];
    require_gpu(on, {part.out, part.weight, part.bias, part.add});
    const bool bf16 = in_bf16(on, x.type(), part.weight.type()), inner_bias = adds_bias_itself(part, bf16);
    if (bf16 && !rounded.data) rounded = inputs(on, x, true);
    if (inner_bias && biases.empty()) biases = rounded_biases(on, parts);
    const Alike alike =
        bf16 && (tokens <= kManySequences || part.weight.shape()[0] <= kFewOutputs) ? alike_parts(parts.subspan(i)) : Alike{};
    for_panels(on, part.weight, bf16, [&](std::int64_t first, std::int64_t count, const Matrix& panel) {
      Product product = product_of(part.out, bf16 ? rounded : inputs(on, x, false), tokens, width, first, count, panel);
      product.add = !part.add.empty();
      if (product.add) product.plus = part.add.data() + first * block_bytes(part.out.type());
      if (inner_bias) product.bias = biases[i] + first;
      product.count = alike.count;
      product.b_apart = alike.weights_apart;
      product.c_apart = alike.outs_apart;
      if (inner_bias && alike.count > 1) product.bias_apart = biases[i + 1] - biases[i];
      multiply(on, product);
    });
    for (std::int64_t k = 0; k < alike.count; ++k, ++i)
      if (!inner_bias && !parts[i].bias.empty()) add_bias(on, parts[i].out, parts[i].bias);
  }
}

void add_linear(const Backend& on, View x, ConstView in, ConstView weight) {
  require_gpu(on, {x, in, weight});
  const std::int64_t tokens = in.shape()[0], width = in.shape()[1];
  if (tokens == 0) return;
  const bool bf16 = in_bf16(on, in.type(), weight.type());
  const Matrix from = inputs(on, in, bf16);
  for_panels(on, weight, bf16, [&](std::int64_t first, std::int64_t count, const Matrix& panel) {
    Product product = product_of(x, from, tokens, width, first, count, panel);
    product.add = true;
    multiply(on, product);
  });
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
