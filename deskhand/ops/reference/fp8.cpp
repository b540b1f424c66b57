// e4m3 as OCP's "8-bit floating point" has it: bias 7, no infinities, 0x7f and 0xff are NaN, subnormals in steps of 2^-9.
#include "deskhand/ops/fp8.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace deskhand::reference {
namespace {

constexpr float kLargest = 448;
constexpr float kSmallest = 1e-30f;  // a row of zeros has a scale too

// How much a row of this largest size is scaled by.
float inverse_scale(float largest) {
  return kLargest / std::max(largest, kSmallest);
}

float largest_of(float largest, const float* from, std::int64_t count, std::int64_t step) {
  for (std::int64_t i = 0; i < count; ++i) largest = std::fmax(largest, std::abs(from[i * step]));  // passes over NaN
  return largest;
}

void quantise(std::uint8_t* to, const float* from, std::int64_t count, std::int64_t step, float inverse) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = to_e4m3(from[i * step] * inverse);
}

}  // namespace

float from_e4m3(std::uint8_t bits) {
  const int exponent = bits >> 3 & 15, mantissa = bits & 7;
  if ((bits & 0x7f) == 0x7f) return std::numeric_limits<float>::quiet_NaN();
  const float size =
      exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9) : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  return bits & 0x80 ? -size : size;
}

std::uint8_t to_e4m3(float value) {
  const std::uint8_t sign = std::signbit(value) ? 0x80 : 0;
  if (std::isnan(value)) return sign | 0x7f;
  const float size = std::min(std::abs(value), kLargest);
  int exponent = 0;
  std::frexp(size, &exponent);
  const int lowest = std::max(exponent - 4, -9);                                  // of the last bit that is kept
  const int steps = static_cast<int>(std::nearbyint(std::ldexp(size, -lowest)));  // 8 .. 16, below 8 where it is subnormal or zero
  return static_cast<std::uint8_t>(sign | (steps < 8 ? steps : (lowest + 9) * 8 + steps));  // a 16 carries into the exponent
}

void to_fp8(const Fp8Rows& out, std::span<const ConstView> parts) {
  auto* to = reinterpret_cast<std::uint8_t*>(out.values.data());
  for (std::int64_t row = 0; row < out.values.shape()[0]; ++row) {
    float largest = 0;
    const auto row_of = [&](ConstView x) { return x.floats().data() + row * x.shape()[1]; };
    for (const ConstView& x : parts) largest = largest_of(largest, row_of(x), x.shape()[1], 1);
    for (const ConstView& x : parts) {
      quantise(to, row_of(x), x.shape()[1], 1, inverse_scale(largest));
      to += x.shape()[1];
    }
    out.scales.floats()[row] = std::max(largest, kSmallest) / kLargest;
  }
}

void to_fp8_turned(const Fp8Rows& out, ConstView x) {
  const std::int64_t rows = x.shape()[0], columns = x.shape()[1];
  auto* const to = reinterpret_cast<std::uint8_t*>(out.values.data());
  for (std::int64_t column = 0; column < columns; ++column) {
    const float* const from = x.floats().data() + column;
    const float largest = largest_of(0, from, rows, columns);
    quantise(to + column * rows, from, rows, columns, inverse_scale(largest));
    out.scales.floats()[column] = std::max(largest, kSmallest) / kLargest;
  }
}

void fp8_linear(View out, const ConstFp8Rows& x, const ConstFp8Rows& weight, ConstView bias, ConstView add) {
  const std::int64_t tokens = x.values.shape()[0], inputs = x.values.shape()[1], outputs = weight.values.shape()[0];
  const auto* const a = reinterpret_cast<const std::uint8_t*>(x.values.data());
  const auto* const b = reinterpret_cast<const std::uint8_t*>(weight.values.data());
  for (std::int64_t token = 0; token < tokens; ++token)
    for (std::int64_t o = 0; o < outputs; ++o) {
      double sum = 0;
      for (std::int64_t i = 0; i < inputs; ++i) sum += static_cast<double>(from_e4m3(a[token * inputs + i])) * from_e4m3(b[o * inputs + i]);
      sum *= static_cast<double>(x.scales.floats()[token]) * weight.scales.floats()[o];
      if (!bias.empty()) sum += bias.floats()[o];
      if (!add.empty()) sum += add.floats()[token * outputs + o];
      out.floats()[token * outputs + o] = static_cast<float>(sum);
    }
}

}  // namespace deskhand::reference
