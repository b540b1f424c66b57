#include "deskhand/ops/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "deskhand/ops/dequantize.h"
#include "deskhand/tensor/tensor.h"

namespace deskhand::reference {
namespace {

constexpr std::size_t kValues = 32, kScaleBytes = 2;

// The block's scale, and what to multiply by; all zeros give zeros.
float write_scale(std::byte* to, float step) {
  const std::uint16_t bits = to_f16(step);
  std::memcpy(to, &bits, kScaleBytes);
  return step == 0 ? 0 : 1 / step;
}

void write_q8_0(std::byte* to, std::span<const float> block) {
  float largest = 0;
  for (const float value : block) largest = std::max(largest, std::abs(value));
  const float inverse = write_scale(to, largest / 127);
  for (std::size_t i = 0; i < kValues; ++i)
    to[kScaleBytes + i] = static_cast<std::byte>(static_cast<std::int8_t>(std::lround(block[i] * inverse)));
}

// Values -8 to 7 steps as 0 to 15; byte i holds value i below and value i + 16 above.
void write_q4_0(std::byte* to, std::span<const float> block) {
  const float largest = *std::max_element(block.begin(), block.end(), [](float a, float b) { return std::abs(a) < std::abs(b); });
  const float inverse = write_scale(to, largest / -8);
  const auto level = [&](float value) { return std::min(15, static_cast<int>(value * inverse + 8.5f)); };
  for (std::size_t i = 0; i < kValues / 2; ++i)
    to[kScaleBytes + i] = static_cast<std::byte>(level(block[i]) | level(block[i + kValues / 2]) << 4);
}

}  // namespace

void quantize(View out, ConstView in) {
  Tensor wide(DType::kF32, in.shape());
  dequantize(wide, in);
  std::byte* to = out.data();
  for (std::size_t first = 0; first < wide.floats().size(); first += kValues, to += block_bytes(out.type())) {
    const auto block = std::as_const(wide).floats().subspan(first, kValues);
    if (!std::all_of(block.begin(), block.end(), [](float value) { return std::isfinite(value); })) {  // read back, all of it is NaN
      std::fill_n(to, block_bytes(out.type()), std::byte{});
      write_scale(to, std::numeric_limits<float>::quiet_NaN());
      continue;
    }
    if (out.type() == DType::kQ8_0)
      write_q8_0(to, block);
    else
      write_q4_0(to, block);
  }
}

}  // namespace deskhand::reference
