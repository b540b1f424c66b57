// Element types. Quantised ones are GGUF's: rows are runs of blocks, a block holds its own scale. Tiled ones have the same blocks' contents
// laid anew in tiles of 16 rows and 256 columns, on the GPU alone (ops/tiled.h).
#pragma once
#include <cstdint>
#include <string_view>

namespace deskhand {

enum class DType : std::uint8_t {
  kF32,
  kF16,
  kBF16,
  kI32,
  kI8,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kTiledQ4_0,
  kTiledQ8_0,
  kTiledQ4_K
};

std::string_view dtype_name(DType type);             // "f32", "q4_k"
bool is_quantised(DType type);
bool is_tiled(DType type);
std::int64_t block_elements(DType type);             // 1 for plain types, 32 or 256 for quantised ones
std::int64_t block_bytes(DType type);                // bytes of one block
std::int64_t row_bytes(DType type, std::int64_t elements);   // `elements` must be whole blocks

// Conversions of single values, round to nearest even; for loops use ops.
float from_f16(std::uint16_t bits);
std::uint16_t to_f16(float value);
inline float from_bf16(std::uint16_t bits) {
  const std::uint32_t word = std::uint32_t{bits} << 16;
  float value;
  __builtin_memcpy(&value, &word, sizeof value);
  return value;
}
std::uint16_t to_bf16(float value);

}  // namespace deskhand
