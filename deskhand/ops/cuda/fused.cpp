#include "deskhand/ops/fused.h"

#include <algorithm>
#include <array>

#include "deskhand/ops/cuda/hopper/product.h"
#include "deskhand/ops/cuda/launch.cuh"
#include "deskhand/ops/cuda/many_rows.h"
#include "deskhand/ops/cuda/multiply.h"
#include "deskhand/ops/rms_norm.h"

namespace deskhand::cuda {
namespace {

// Hopper's own product of activations and weights, if all are bf16 and it is the faster way.
bool try_hopper(const Backend& on, const HopperProduct& product, std::span<const ConstView> all) {
  if (std::any_of(all.begin(), all.end(), [](const ConstView& one) { return one.type() != DType::kBF16; })) return false;
  for (const ConstView& one : all) require_gpu(on, {one});
  if (!is_hopper_product(on, product)) return false;
  multiply_hopper(on, product);
  return true;
}

}  // namespace

bool norm_linear(const Backend& on, std::span<const LinearPart> parts, const NormedInput& in) {
  if (!are_few_rows(on, parts, in.x)) return false;
  few_rows(on, parts, in.x, {.norm = in.weight, .epsilon = in.epsilon});
  return true;
}

bool norm_gate_up(const Backend& on, View out, ConstView gate, ConstView up, const NormedInput& in) {
  const LinearPart parts[] = {{out, gate, {}}, {out, up, {}}};
  if (gate.type() != up.type()) return false;
  if (are_few_rows(on, parts, in.x)) {
    few_rows(on, parts, in.x, {.norm = in.weight, .epsilon = in.epsilon, .then = FewRows::Then::kSwiglu});
  } else {
    if (!are_many_rows(on, parts, in.room)) return false;
    cuda::rms_norm(on, in.room, in.x, in.weight, in.epsilon, {});
    many_rows(on, parts, in.room, FewRows::Then::kSwiglu);
  }
  return true;
}

bool linear_add(const Backend& on, View x, ConstView in, ConstView weight) {
  const LinearPart part{x, weight, {}};
  if (are_few_rows(on, {&part, 1}, in))
    few_rows(on, {&part, 1}, in, {.then = FewRows::Then::kAdd});
  else if (are_many_rows(on, {&part, 1}, in))
    many_rows(on, {&part, 1}, in, FewRows::Then::kAdd);
  else
    add_linear(on, x, in, weight);
  return true;
}

bool linear_swiglu(const Backend& on, const GatedLinear& to, ConstView x) {
  const std::int64_t width = x.shape()[1];
  const auto factors_of = [&](ConstView weight) { return HopperFactors{width, x.data(), width, weight.data(), width}; };
  const HopperFactors factors[] = {factors_of(to.gate_weight), factors_of(to.up_weight)};
  return try_hopper(on,
                    {.rows = x.shape()[0],
                     .columns = to.out.shape()[1],
                     .factors = factors,
                     .c = to.out.data(),
                     .c_step = to.out.shape()[1],
                     .end = HopperProduct::End::kGated,
                     .gate = to.gate.data(),
                     .up = to.up.data()},
                    std::array<ConstView, 6>{x, to.out, to.gate, to.up, to.gate_weight, to.up_weight});
}

bool linear_swiglu_backward(const Backend& on, View gate, View up, ConstView d_out, ConstView weight) {
  const std::int64_t depth = weight.shape()[0], width = weight.shape()[1];
  const HopperFactors factors{depth, d_out.data(), depth, weight.data(), width};
  return try_hopper(on,
                    {.rows = gate.shape()[0],
                     .columns = width,
                     .factors = {&factors, 1},
                     .c_step = width,
                     .end = HopperProduct::End::kGateGradients,
                     .gate = gate.data(),
                     .up = up.data()},
                    std::array<ConstView, 4>{gate, up, d_out, weight});
}

bool linear_backward_input(const Backend& on, View d_x, std::span<const LinearSlope> parts) {
  if (parts.size() > HopperProduct::kMost) return false;
  const std::int64_t width = d_x.shape()[1];
  std::array<HopperFactors, HopperProduct::kMost> factors;
  std::array<ConstView, 2 * HopperProduct::kMost> all;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto& [d_out, weight] = parts[i];
    const std::int64_t depth = weight.shape()[0];
    factors[i] = {depth, d_out.data(), depth, weight.data(), width};
    all[2 * i] = d_out;
    all[2 * i + 1] = weight;
  }
  return try_hopper(
      on, {.rows = d_x.shape()[0], .columns = width, .factors = std::span(factors).first(parts.size()), .c = d_x.data(), .c_step = width},
      std::span(all).first(2 * parts.size()));
}

}  // namespace deskhand::cuda
