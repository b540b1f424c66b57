// FP8 on the GPU against the reference: what is quantised to the bit, products of the same bits within the sums of the tensor cores.
#include "deskhand/ops/fp8.h"

#include <doctest/doctest.h>

#include "deskhand/ops/cuda/fp8_in_two.h"
#include "deskhand/ops/cuda/testing.h"
#include "deskhand/ops/linear.h"
#include "deskhand/ops/rms_norm.h"
#include "deskhand/ops/swiglu.h"

using namespace deskhand;
using namespace deskhand::testing;

namespace {

// The GPU, if there is one and it has FP8.
std::unique_ptr<Gpu> gpu_with_fp8() {
  auto at = gpu();
  if (at && !has_fp8(at->on)) {
    std::printf("skipped, no FP8: %s\n", at->context.card().name.c_str());
    at.reset();
  }
  return at;
}

struct Narrow {
  Narrow(std::int64_t rows, std::int64_t width, Device device)
      : values(DType::kI8, {rows, width}, device), scales(DType::kF32, {rows}, device) {}
  Fp8Rows rows() { return {values, scales}; }
  Narrow copy_to(Device device) const {
    Narrow twin(values.shape()[0], values.shape()[1], device);
    copy_bytes(twin.values, values);
    copy_bytes(twin.scales, scales);
    return twin;
  }

  Tensor values, scales;
};

struct Differences {
  std::size_t bits = 0;  // values that are not the same
  int steps = 0;         // the most that one is off by
  double scale = 0;      // the worst scale, as a share of it
};

Differences differences(const Narrow& found_there, const Narrow& wanted_there) {
  const Narrow found = found_there.copy_to(Device::kCpu), wanted = wanted_there.copy_to(Device::kCpu);
  Differences seen;
  const auto a = found.values.view().as<std::uint8_t>(), b = wanted.values.view().as<std::uint8_t>();
  for (std::size_t i = 0; i < a.size(); ++i) {
    seen.bits += a[i] != b[i];
    seen.steps = std::max(seen.steps, std::abs(a[i] - b[i]));
  }
  for (std::size_t i = 0; i < found.scales.floats().size(); ++i)
    seen.scale = std::max(seen.scale, std::abs(found.scales.floats()[i] / static_cast<double>(wanted.scales.floats()[i]) - 1));
  return seen;
}

void check_same(const Narrow& found, const Narrow& wanted) {
  const Differences seen = differences(found, wanted);
  CHECK(seen.bits == 0);
  CHECK(seen.scale == 0);
}

Tensor random_bf16(Gpu& gpu, Shape shape, unsigned seed, float scale = 1) {
  return gpu.up(as_bf16(random_tensor(shape, seed, scale)));
}

Tensor in_f32(Gpu& gpu, const Tensor& there) {
  return as_f32(gpu.context.to_host(there));
}

const Shape kShapes[] = {{1, 16}, {3, 48}, {17, 896}, {64, 4096}, {5, 14336}, {2, 65536}};

}  // namespace

TEST_CASE("rows and columns become e4m3 and their scales as on the reference, to the bit") {
  const auto at = gpu_with_fp8();
  if (!at) return;
  for (const Shape shape : kShapes) {
    INFO("shape ", shape.text());
    const Tensor x = random_bf16(*at, shape, 1, 0.02f), plain_x = in_f32(*at, x);
    Narrow found(shape[0], shape[1], Device::kCuda), wanted(shape[0], shape[1], Device::kCpu);
    to_fp8(at->on, found.rows(), x);
    to_fp8(plain(), wanted.rows(), plain_x);
    check_same(found, wanted);
  }
  for (const std::int64_t most : {32, 4096, 40960}) {  // the last is no row that shared memory holds
    const Tensor q = random_bf16(*at, {5, most}, 1, 0.02f), k = random_bf16(*at, {5, 16}, 2), v = random_bf16(*at, {5, most / 2}, 3, 0.1f);
    const Tensor plain_q = in_f32(*at, q), plain_k = in_f32(*at, k), plain_v = in_f32(*at, v);
    const std::int64_t width = most + 16 + most / 2;
    INFO("side by side, ", width);
    Narrow found(5, width, Device::kCuda), wanted(5, width, Device::kCpu);
    const ConstView there[] = {q, k, v}, here[] = {plain_q, plain_k, plain_v};
    to_fp8(at->on, found.rows(), there);
    to_fp8(plain(), wanted.rows(), here);
    check_same(found, wanted);
    Narrow found_two(5, most + 16, Device::kCuda), wanted_two(5, most + 16, Device::kCpu);
    to_fp8(at->on, found_two.rows(), std::span(there).first(2));
    to_fp8(plain(), wanted_two.rows(), std::span(here).first(2));
    check_same(found_two, wanted_two);
  }
  for (const Shape shape : {Shape{16, 16}, Shape{48, 80}, Shape{4096, 48}, Shape{896, 4864}}) {
    INFO("turned, shape ", shape.text());
    const Tensor x = random_bf16(*at, shape, 1, 0.02f), plain_x = in_f32(*at, x);
    Narrow found(shape[1], shape[0], Device::kCuda), wanted(shape[1], shape[0], Device::kCpu);
    to_fp8_turned(at->on, found.rows(), x);
    to_fp8_turned(plain(), wanted.rows(), plain_x);
    check_same(found, wanted);
  }
}

TEST_CASE("rows of zeros have a scale, and a row with a NaN or an infinite value a NaN") {
  const auto at = gpu_with_fp8();
  if (!at) return;
  Tensor x = random_tensor({4, 64}, 1);
  for (int i = 0; i < 64; ++i) x.floats()[i] = 0;
  x.floats()[64 + 5] = std::numeric_limits<float>::quiet_NaN();
  x.floats()[128 + 9] = std::numeric_limits<float>::infinity();
  const Tensor there = at->up(as_bf16(x));
  Narrow found(4, 64, Device::kCuda);
  to_fp8(at->on, found.rows(), there);
  const Narrow host = found.copy_to(Device::kCpu);
  const auto bits = host.values.view().as<std::uint8_t>();
  for (int i = 0; i < 64; ++i) CHECK(bits[i] % 128 == 0);
  CHECK(host.scales.floats()[0] > 0);
  CHECK(bits[64 + 5] % 128 == 127);
  CHECK(bits[128 + 9] % 128 == 127);
  for (int i = 192; i < 256; ++i) CHECK(bits[i] % 128 != 127);
}

TEST_CASE("norm and gate leave in FP8 what they leave in bf16, and that too where it is wanted") {
  const auto at = gpu_with_fp8();
  if (!at) return;
  for (const Shape shape : kShapes) {
    INFO("shape ", shape.text());
    const std::int64_t rows = shape[0], width = shape[1];
    const Tensor gate = random_bf16(*at, shape, 1, 2), up = random_bf16(*at, shape, 2), d = random_bf16(*at, shape, 3, 1e-4f),
                 weight = at->up(random_tensor({width}, 4));
    Tensor wanted_plain(DType::kBF16, shape, Device::kCuda), wanted_other = wanted_plain.copy(), rstd = at->empty({rows}),
                                                             wanted_rstd = at->empty({rows});
    Narrow wanted(rows, width, Device::kCuda), found(rows, width, Device::kCuda), wanted_both(rows, 2 * width, Device::kCuda),
        found_both(rows, 2 * width, Device::kCuda);
    for (const bool keeps : {false, true}) {
      Tensor plain_found(DType::kBF16, shape, Device::kCuda);
      const View kept = keeps ? plain_found.view() : View();
      const auto check_kept = [&](const Tensor& wanted_values, double tolerance) {
        if (keeps) CHECK(worst_difference(in_f32(*at, plain_found).floats(), in_f32(*at, wanted_values).floats()) <= tolerance);
      };
      swiglu(at->on, wanted_plain, gate, up);
      to_fp8(at->on, wanted.rows(), wanted_plain);
      swiglu_fp8(at->on, found.rows(), kept, gate, up);
      check_same(found, wanted);
      check_kept(wanted_plain, 0);

      rms_norm(at->on, wanted_plain, gate, weight, 1e-5f, wanted_rstd);
      to_fp8(at->on, wanted.rows(), wanted_plain);
      rms_norm_fp8(at->on, found.rows(), kept, gate, weight, 1e-5f, rstd);
      const Differences seen = differences(found, wanted);  // the squares are summed in another order
      CHECK(static_cast<double>(seen.bits) <= 0.01 * static_cast<double>(shape.elements()));
      CHECK(seen.steps <= 1);
      CHECK(seen.scale < 0.01);
      CHECK(at->difference(rstd, at->context.to_host(wanted_rstd)) < 2e-6);
      check_kept(wanted_plain, 0.005);

      // d_out times the slope of the norm, added to the stream's gradient or not.
      for (const Into into : {Into::kOverwrite, Into::kAdd}) {
        Tensor wanted_d_x = up.copy(), found_d_x = up.copy();
        Tensor wanted_d_weight = at->up(random_tensor({width}, 5)), found_d_weight = wanted_d_weight.copy();
        rms_norm_backward(at->on, {wanted_d_x, into, keeps ? wanted_d_weight.view() : View()}, d, gate, weight, wanted_rstd);
        to_fp8(at->on, wanted.rows(), wanted_d_x);
        rms_norm_backward_fp8(at->on, found.rows(), {found_d_x, into, keeps ? found_d_weight.view() : View()}, d, gate, weight,
                              wanted_rstd);
        const Differences of_gradient = differences(found, wanted);
        CHECK(static_cast<double>(of_gradient.bits) <= 0.001 * static_cast<double>(shape.elements()));
        CHECK(of_gradient.steps <= 1);
        CHECK(of_gradient.scale < 0.01);
        CHECK(worst_difference(in_f32(*at, found_d_x).floats(), in_f32(*at, wanted_d_x).floats()) < 0.005);
        CHECK(at->difference(found_d_weight, at->context.to_host(wanted_d_weight)) == 0);
      }

      swiglu_backward(at->on, wanted_plain, wanted_other, d, gate, up);
      const ConstView parts[] = {wanted_plain, wanted_other};
      to_fp8(at->on, wanted_both.rows(), parts);
      Tensor in_place_gate = gate.copy(), in_place_up = up.copy();
      swiglu_backward_fp8(at->on, found_both.rows(), keeps ? in_place_gate.view() : View(), keeps ? in_place_up.view() : View(), d,
                          in_place_gate, in_place_up);
      check_same(found_both, wanted_both);
      const Tensor &after_gate = keeps ? wanted_plain : gate, &after_up = keeps ? wanted_other : up;
      CHECK(worst_difference(in_f32(*at, in_place_gate).floats(), in_f32(*at, after_gate).floats()) == 0);
      CHECK(worst_difference(in_f32(*at, in_place_up).floats(), in_f32(*at, after_up).floats()) == 0);
    }
  }
}

TEST_CASE("products of FP8 are the reference's of the same bits, with bias, added and in place, and the same from run to run") {
  const auto at = gpu_with_fp8();
  if (!at) return;
  struct Size {
    std::int64_t outputs, inputs;
  };
  for (const auto [outputs, inputs] : {Size{16, 16}, Size{48, 64}, Size{128, 896}, Size{896, 128}, Size{64, 14336}})
    for (const std::int64_t tokens : {1, 3, 17, 130}) {
      INFO(tokens, " tokens, ", outputs, " x ", inputs);
      const Tensor x = random_bf16(*at, {tokens, inputs}, 1), weight = random_bf16(*at, {outputs, inputs}, 2, 0.02f),
                   add = random_bf16(*at, {tokens, outputs}, 4, 3), bias = random_tensor({outputs}, 3), bias_there = at->up(bias);
      Narrow x8(tokens, inputs, Device::kCuda), w8(outputs, inputs, Device::kCuda);
      to_fp8(at->on, x8.rows(), x);
      to_fp8(at->on, w8.rows(), weight);
      Narrow host_x = x8.copy_to(Device::kCpu), host_w = w8.copy_to(Device::kCpu);
      const Tensor plain_add = in_f32(*at, add);
      Tensor wanted(DType::kF32, {tokens, outputs}), exact(DType::kF32, {tokens, outputs});
      Tensor found(DType::kBF16, {tokens, outputs}, Device::kCuda);
      const auto agree = [&](double tolerance) { CHECK(worst_difference(in_f32(*at, found).floats(), wanted.floats()) < tolerance); };
      // Half a step of bf16, a second one, and what the tensor cores cut off their sums: more with their length.
      const double cut = 4e-7 * static_cast<double>(inputs), once = 0.006 + cut, twice = 0.009 + cut;
      fp8_linear(plain(), wanted, host_x.rows(), host_w.rows());
      fp8_linear(at->on, found, x8.rows(), w8.rows());
      agree(once);
      const Tensor first = found.copy();
      fp8_linear(at->on, found, x8.rows(), w8.rows());
      CHECK(worst_difference(in_f32(*at, found).floats(), in_f32(*at, first).floats()) == 0);
      cuda::fp8_linear_in_two(at->on, found, x8.rows(), w8.rows(), {});
      agree(twice);
      linear(plain(), exact, in_f32(*at, x), in_f32(*at, weight));
      if (tokens * outputs > 1000) CHECK(worst_difference(wanted.floats(), exact.floats()) < 0.06);

      fp8_linear(plain(), wanted, host_x.rows(), host_w.rows(), bias, plain_add);
      fp8_linear(at->on, found, x8.rows(), w8.rows(), bias_there, add);
      agree(twice);
      fp8_linear(plain(), wanted, host_x.rows(), host_w.rows(), {}, plain_add);
      cuda::fp8_linear_in_two(at->on, found, x8.rows(), w8.rows(), add);
      agree(twice);
      found = add.copy();
      fp8_linear(at->on, found, x8.rows(), w8.rows(), {}, found);
      agree(once);
    }
}
