#include "deskhand/ops/dropout.h"

#include <array>
#include <cmath>

namespace deskhand::reference {

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xd2511f53} * counter[0], b = std::uint64_t{0xcd9e8d57} * counter[2];
    counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
               static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key = {key[0] + 0x9e3779b9, key[1] + 0xbb67ae85};
  }
  return counter;
}

void dropout(View out, ConstView x, const Dropout& dropped, Into into) {
  const std::int64_t width = x.shape()[1];
  const double falls = std::floor(dropped.probability * 65536.0 + 0.5), scale = 65536 / (65536 - falls);
  for (std::int64_t row = 0; row < x.shape()[0]; ++row)
    for (std::int64_t column = 0; column < width; ++column) {
      const auto words =
          philox({dropped.first_row + static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(column / 8), dropped.layer, dropped.step},
                 {static_cast<std::uint32_t>(dropped.seed), static_cast<std::uint32_t>(dropped.seed >> 32)});
      const std::uint32_t draw = words[column % 8 / 2] >> (column % 2 * 16) & 0xffff;
      const double value = draw < falls ? 0 : x.floats()[row * width + column] * scale;
      float& to = out.floats()[row * width + column];
      to = static_cast<float>(into == Into::kAdd ? to + value : value);
    }
}

}  // namespace deskhand::reference
