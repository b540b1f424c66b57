// Products with frozen matrices in FP8: e4m3 (1 sign, 4 bits of exponent, 3 of mantissa, sizes up to 448) and an f32 scale for each row,
// its largest size / 448: Micikevicius et al., 2022. Twice the rate of bf16 in the tensor cores, half the bytes. A GPU of compute
// capability 8.9 or newer, and the reference; what goes in and comes out are activations of one type, bf16 on the GPU.
#pragma once
#include <cstdint>
#include <span>

#include "deskhand/ops/backend.h"
#include "deskhand/ops/rms_norm.h"

namespace deskhand {

// A matrix row by row: its element (n, k) is e4m3's times scales[n].
struct Fp8Rows {
  View values;  // (N, K) i8: the bits of e4m3
  View scales;  // (N) f32
};
struct ConstFp8Rows {
  ConstFp8Rows() = default;
  ConstFp8Rows(ConstView values_in, ConstView scales_in) : values(values_in), scales(scales_in) {}
  ConstFp8Rows(const Fp8Rows& other) : values(other.values), scales(other.scales) {}  // NOLINT: implicit, like ConstView
  bool empty() const noexcept { return values.empty(); }

  ConstView values, scales;
};

bool has_fp8(const Backend& on);
// Rows that the products take: multiples of 16 both ways.
bool fits_fp8(const Shape& weight);

// out (N, K): rows of `parts` (N, K1), (N, K2), ... side by side, up to three, under one scale a row; rounded to nearest even. A row with a
// NaN or an infinite value has NaN in it. Widths are multiples of 16.
void to_fp8(const Backend& on, const Fp8Rows& out, std::span<const ConstView> parts);
inline void to_fp8(const Backend& on, const Fp8Rows& out, ConstView x) {
  to_fp8(on, out, {&x, 1});
}
// out (N, K) of x (K, N) turned round: out's rows are x's columns.
void to_fp8_turned(const Backend& on, const Fp8Rows& out, ConstView x);

// out (N, O) = x (N, I) weight (O, I)^T + bias + add. bias (O) f32 or empty, add (N, O) of out's type or empty; it may be out itself, which
// then is added to.
void fp8_linear(const Backend& on, View out, const ConstFp8Rows& x, const ConstFp8Rows& weight, ConstView bias = {}, ConstView add = {});

// Ops that leave their result in FP8, in one pass. Each is what its composed form says: the op in its own header, then to_fp8. `plain`
// takes the result itself; empty: nobody wants it.
void rms_norm_fp8(const Backend& on, const Fp8Rows& out, View plain, ConstView x, ConstView weight, float epsilon, View rstd = {});
// d_x as rms_norm_backward leaves it, and that in FP8 too.
void rms_norm_backward_fp8(const Backend& on, const Fp8Rows& out, const RmsNormGradients& gradients, ConstView d_out, ConstView x,
                           ConstView weight, ConstView rstd);
void swiglu_fp8(const Backend& on, const Fp8Rows& out, View plain, ConstView gate, ConstView up);
// out (N, 2 F): d_gate and d_up side by side. plain_gate and plain_up both or neither; they may be gate and up.
void swiglu_backward_fp8(const Backend& on, const Fp8Rows& out, View plain_gate, View plain_up, ConstView d_out, ConstView gate,
                         ConstView up);

namespace reference {
float from_e4m3(std::uint8_t bits);
std::uint8_t to_e4m3(float value);  // sizes above 448 become 448
void to_fp8(const Fp8Rows& out, std::span<const ConstView> parts);
void to_fp8_turned(const Fp8Rows& out, ConstView x);
void fp8_linear(View out, const ConstFp8Rows& x, const ConstFp8Rows& weight, ConstView bias, ConstView add);
}  // namespace reference
namespace cuda {
void to_fp8(const Backend& on, const Fp8Rows& out, std::span<const ConstView> parts);
void to_fp8_turned(const Backend& on, const Fp8Rows& out, ConstView x);
void fp8_linear(const Backend& on, View out, const ConstFp8Rows& x, const ConstFp8Rows& weight, ConstView bias, ConstView add);
void rms_norm_fp8(const Backend& on, const Fp8Rows& out, View plain, ConstView x, ConstView weight, float epsilon, View rstd);
void rms_norm_backward_fp8(const Backend& on, const Fp8Rows& out, const RmsNormGradients& gradients, ConstView d_out, ConstView x,
                           ConstView weight, ConstView rstd);
void swiglu_fp8(const Backend& on, const Fp8Rows& out, View plain, ConstView gate, ConstView up);
void swiglu_backward_fp8(const Backend& on, const Fp8Rows& out, View plain_gate, View plain_up, ConstView d_out, ConstView gate,
                         ConstView up);
}  // namespace cuda

}  // namespace deskhand
