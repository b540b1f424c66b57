#include "deskhand/ops/fp8.h"

#include "deskhand/ops/rms_norm.h"
#include "deskhand/ops/swiglu.h"
#include "deskhand/tensor/cuda/context.h"
#include "deskhand/tensor/tensor.h"

namespace deskhand {
namespace {

void check(const ConstFp8Rows& rows, const Shape& shape) {
  DESKHAND_ASSERT(rows.values.type() == DType::kI8 && rows.values.shape() == shape, "(N, K) i8 of e4m3");
  DESKHAND_ASSERT(rows.scales.type() == DType::kF32 && (rows.scales.shape() == Shape{shape[0]}), "(N) f32 of scales");
  DESKHAND_ASSERT(shape[1] % 16 == 0, "rows of a multiple of 16");
}

void check_plain(ConstView plain, ConstView like) {
  DESKHAND_ASSERT(plain.empty() || (plain.shape() == like.shape() && plain.type() == like.type()),
                  "the result, of its input's shape and type");
}

// For the composed forms: `plain`, or memory of its own where nobody wants it.
class Room {
 public:
  Room(View plain, ConstView like) : view_(plain) {
    if (!plain.empty()) return;
    own_ = Tensor(like.type(), like.shape());
    view_ = own_.view();
  }
  View view() const { return view_; }

 private:
  Tensor own_;
  View view_;
};

bool is_cuda(const Backend& on) {
  DESKHAND_ASSERT(on.kind != Backend::Kind::kCpu, "FP8 on a GPU or the reference");
  return kCudaBuilt && on.kind == Backend::Kind::kCuda;
}

// What FP8's products and their neighbours are made from and leave.
bool is_activation_of_fp8(const Backend& on, DType type) {
  return type == (on.kind == Backend::Kind::kCuda ? DType::kBF16 : DType::kF32);
}

}  // namespace

bool has_fp8(const Backend& on) {
  if (on.kind != Backend::Kind::kCuda) return on.kind == Backend::Kind::kReference;
  const CudaDevice& card = on.cuda->card();
  return card.capability_major * 10 + card.capability_minor >= 89;
}

bool fits_fp8(const Shape& weight) {
  return weight.rank() == 2 && weight[0] % 16 == 0 && weight[1] % 16 == 0;
}

void to_fp8(const Backend& on, const Fp8Rows& out, std::span<const ConstView> parts) {
  DESKHAND_ASSERT(!parts.empty() && parts.size() <= 3, "one to three parts");
  std::int64_t width = 0;
  for (const ConstView& x : parts) {
    DESKHAND_ASSERT(is_activation_of_fp8(on, x.type()) && x.shape().rank() == 2 && x.shape()[0] == parts[0].shape()[0],
                    "(N, K) bf16 of a part, f32 on the reference");
    DESKHAND_ASSERT(x.shape()[1] % 16 == 0, "rows of a multiple of 16");
    width += x.shape()[1];
  }
  check(out, {parts[0].shape()[0], width});
  if (!is_cuda(on)) return reference::to_fp8(out, parts);
  if constexpr (kCudaBuilt) cuda::to_fp8(on, out, parts);
}

void to_fp8_turned(const Backend& on, const Fp8Rows& out, ConstView x) {
  DESKHAND_ASSERT(is_activation_of_fp8(on, x.type()) && x.shape().rank() == 2, "(K, N) bf16 of x, f32 on the reference");
  check(out, {x.shape()[1], x.shape()[0]});
  if (!is_cuda(on)) return reference::to_fp8_turned(out, x);
  if constexpr (kCudaBuilt) cuda::to_fp8_turned(on, out, x);
}

void fp8_linear(const Backend& on, View out, const ConstFp8Rows& x, const ConstFp8Rows& weight, ConstView bias, ConstView add) {
  const Shape of_x = x.values.shape(), of_weight = weight.values.shape();
  check(x, of_x);
  check(weight, of_weight);
  DESKHAND_ASSERT(of_x[1] == of_weight[1] && of_weight[0] % 16 == 0, "(N, I) of x, (O, I) of weight");
  DESKHAND_ASSERT(is_activation_of_fp8(on, out.type()) && (out.shape() == Shape{of_x[0], of_weight[0]}), "(N, O) of out");
  DESKHAND_ASSERT(bias.empty() || (bias.type() == DType::kF32 && bias.shape().elements() == of_weight[0]), "(O) f32 of bias");
  DESKHAND_ASSERT(add.empty() || (add.type() == out.type() && add.shape() == out.shape()), "(N, O) of add, of out's type");
  if (!is_cuda(on)) return reference::fp8_linear(out, x, weight, bias, add);
  if constexpr (kCudaBuilt) cuda::fp8_linear(on, out, x, weight, bias, add);
}

void rms_norm_fp8(const Backend& on, const Fp8Rows& out, View plain, ConstView x, ConstView weight, float epsilon, View rstd) {
  check(out, x.shape());
  check_plain(plain, x);
  if (!is_cuda(on)) {
    const Room room(plain, x);
    rms_norm(on, room.view(), x, weight, epsilon, rstd);
    return to_fp8(on, out, room.view());
  }
  DESKHAND_ASSERT(x.type() == DType::kBF16 && weight.type() == DType::kF32 && weight.shape().elements() == x.shape().last(),
                  "(N, C) bf16 of x, (C) f32 of weight");
  DESKHAND_ASSERT(rstd.empty() || rstd.shape().elements() == x.shape()[0], "one rstd a row");
  if constexpr (kCudaBuilt) cuda::rms_norm_fp8(on, out, plain, x, weight, epsilon, rstd);
}

void rms_norm_backward_fp8(const Backend& on, const Fp8Rows& out, const RmsNormGradients& gradients, ConstView d_out, ConstView x,
                           ConstView weight, ConstView rstd) {
  check(out, x.shape());
  if (!is_cuda(on)) {
    rms_norm_backward(on, gradients, d_out, x, weight, rstd);
    return to_fp8(on, out, gradients.d_x);
  }
  for (const ConstView view : {ConstView(gradients.d_x), d_out, x})
    DESKHAND_ASSERT(view.type() == DType::kBF16 && view.shape() == x.shape(), "(N, C) bf16 of d_x, d_out and x");
  DESKHAND_ASSERT(weight.type() == DType::kF32 && weight.shape().elements() == x.shape().last(), "(C) f32 of weight");
  DESKHAND_ASSERT(rstd.shape().elements() == x.shape()[0], "one rstd a row");
  if constexpr (kCudaBuilt) cuda::rms_norm_backward_fp8(on, out, gradients, d_out, x, weight, rstd);
}

void swiglu_fp8(const Backend& on, const Fp8Rows& out, View plain, ConstView gate, ConstView up) {
  check(out, gate.shape());
  check_plain(plain, gate);
  if (!is_cuda(on)) {
    const Room room(plain, gate);
    swiglu(on, room.view(), gate, up);
    return to_fp8(on, out, room.view());
  }
  DESKHAND_ASSERT(gate.type() == DType::kBF16 && up.type() == gate.type() && up.shape() == gate.shape(), "(N, F) bf16 of gate and up");
  if constexpr (kCudaBuilt) cuda::swiglu_fp8(on, out, plain, gate, up);
}

void swiglu_backward_fp8(const Backend& on, const Fp8Rows& out, View plain_gate, View plain_up, ConstView d_out, ConstView gate,
                         ConstView up) {
  check(out, {gate.shape()[0], 2 * gate.shape()[1]});
  check_plain(plain_gate, gate);
  check_plain(plain_up, gate);
  DESKHAND_ASSERT(plain_gate.empty() == plain_up.empty(), "both gradients themselves, or neither");
  if (!is_cuda(on)) {
    const Room of_gate(plain_gate, gate), of_up(plain_up, up);
    swiglu_backward(on, of_gate.view(), of_up.view(), d_out, gate, up);
    const ConstView parts[] = {of_gate.view(), of_up.view()};
    return to_fp8(on, out, parts);
  }
  for (const ConstView view : {d_out, gate, up})
    DESKHAND_ASSERT(view.type() == DType::kBF16 && view.shape() == gate.shape(), "(N, F) bf16 of all");
  if constexpr (kCudaBuilt) cuda::swiglu_backward_fp8(on, out, plain_gate, plain_up, d_out, gate, up);
}

}  // namespace deskhand
