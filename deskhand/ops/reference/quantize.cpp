#include "deskhand/ops/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "deskhand/ops/dequantize.h"
#include "deskhand/tensor/tensor.h"

namespace deskhand::reference {

void quantize(View out, ConstView in) {
  constexpr std::size_t kValues = 32;
  Tensor wide(DType::kF32, in.shape());
  dequantize(wide, in);
  std::byte* to = out.data();
  for (std::size_t first = 0; first < wide.floats().size(); first += kValues, to += block_bytes(DType::kQ8_0)) {
    const auto block = std::as_const(wide).floats().subspan(first, kValues);
    float largest = 0;
    for (const float value : block) largest = std::max(largest, std::abs(value));
    const float step = largest / 127, inverse = step > 0 ? 1 / step : 0;
    const std::uint16_t bits = to_f16(step);
    std::memcpy(to, &bits, sizeof bits);
    for (std::size_t i = 0; i < kValues; ++i)
      to[sizeof bits + i] = static_cast<std::byte>(static_cast<std::int8_t>(std::lround(block[i] * inverse)));
  }
}

}  // namespace deskhand::reference
