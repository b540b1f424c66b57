#include "deskhand/tensor/dtype.h"

#include <array>
#include <bit>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

struct Traits {
  std::string_view name;
  std::int64_t elements, bytes;   // of a block
};

// Block layouts: github.com/ggml-org/ggml, docs/gguf.md and ggml-common.h.
constexpr std::array<Traits, 16> kTraits = {{{"f32", 1, 4},     {"f16", 1, 2},     {"bf16", 1, 2},     {"i32", 1, 4},      {"i8", 1, 1},
                                             {"q4_0", 32, 18},  {"q4_1", 32, 20},  {"q5_0", 32, 22},   {"q5_1", 32, 24},   {"q8_0", 32, 34},
                                             {"q4_k", 256, 144}, {"q5_k", 256, 176}, {"q6_k", 256, 210},
                                             {"tiled_q4_0", 32, 18}, {"tiled_q8_0", 32, 34}, {"tiled_q4_k", 256, 144}}};

const Traits& traits(DType type) { return kTraits.at(static_cast<std::size_t>(type)); }

}  // namespace

std::string_view dtype_name(DType type) { return traits(type).name; }
bool is_quantised(DType type) { return traits(type).elements > 1; }
bool is_tiled(DType type) { return type >= DType::kTiledQ4_0; }
std::int64_t block_elements(DType type) { return traits(type).elements; }
std::int64_t block_bytes(DType type) { return traits(type).bytes; }

std::int64_t row_bytes(DType type, std::int64_t elements) {
  DESKHAND_ASSERT(elements % block_elements(type) == 0, "a row is whole blocks");
  return elements / block_elements(type) * block_bytes(type);
}

float from_f16(std::uint16_t bits) {
  const std::uint32_t sign = std::uint32_t{bits & 0x8000u} << 16, exponent = (bits >> 10) & 31u, mantissa = bits & 1023u;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent == 0) {   // zero or subnormal: mantissa * 2^-24
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

std::uint16_t to_f16(float value) {
  const auto word = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((word >> 16) & 0x8000u);
  const std::uint32_t magnitude = word & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;                       // NaN
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;                      // rounds beyond 65504
  if (magnitude < 0x38800000u) {                                            // subnormal: the addition rounds at 2^-24
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u));
  }
  const std::uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

std::uint16_t to_bf16(float value) {
  const auto word = std::bit_cast<std::uint32_t>(value);
  if ((word & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((word >> 16) | 0x40u);   // NaN stays NaN
  return static_cast<std::uint16_t>((word + 0x7fffu + ((word >> 16) & 1u)) >> 16);
}

}  // namespace deskhand
