// Block layouts: github.com/ggml-org/ggml, src/ggml-common.h and ggml-quants.c (dequantize_row_*). Little-endian.
#include "deskhand/ops/dequantize.h"

namespace deskhand::reference {
namespace {

using Bytes = const std::uint8_t*;

float f16_at(Bytes at) {
  return from_f16(static_cast<std::uint16_t>(at[0] | at[1] << 8));
}

// 4 and 5 bits a weight, 32 weights: the low nibbles are the first 16, the high ones the others; bit i of `fifth` belongs to weight i.
void simple_block(float* out, float d, float m, Bytes nibbles, std::uint32_t fifth) {
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((nibbles[i] & 15) | (fifth >> i & 1) << 4) + m;
    out[i + 16] = d * static_cast<float>((nibbles[i] >> 4) | (fifth >> (i + 16) & 1) << 4) + m;
  }
}

std::uint32_t word_at(Bytes at) {
  return at[0] | at[1] << 8 | at[2] << 16 | std::uint32_t{at[3]} << 24;
}

// Eight pairs of 6-bit scale and minimum in 12 bytes.
void scale_and_minimum(int i, Bytes packed, int& scale, int& minimum) {
  if (i < 4) {
    scale = packed[i] & 63;
    minimum = packed[i + 4] & 63;
  } else {
    scale = (packed[i + 4] & 15) | (packed[i - 4] >> 6) << 4;
    minimum = (packed[i + 4] >> 4) | (packed[i] >> 6) << 4;
  }
}

// Q4_K and Q5_K: eight sub-blocks of 32; a run of 32 bytes holds sub-blocks 2 i (low nibbles) and 2 i + 1 (high), bit j of fifth[l] is
// the fifth bit of weight l of sub-block j.
void k_block(float* out, Bytes block, Bytes fifth, Bytes nibbles) {
  const float d = f16_at(block), dmin = f16_at(block + 2);
  for (int sub = 0; sub < 8; ++sub) {
    int scale = 0, minimum = 0;
    scale_and_minimum(sub, block + 4, scale, minimum);
    for (int l = 0; l < 32; ++l) {
      int q = nibbles[sub / 2 * 32 + l] >> (sub % 2 * 4) & 15;
      if (fifth) q |= (fifth[l] >> sub & 1) << 4;
      *out++ = d * static_cast<float>(scale) * static_cast<float>(q) - dmin * static_cast<float>(minimum);
    }
  }
}

// Two halves of 128 weights: low 4 bits in 64 bytes, high 2 bits in 32; 16 scales of 16 weights.
void q6_k_block(float* out, Bytes block) {
  const float d = f16_at(block + 208);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128, run = i % 128 / 32, l = i % 32;
    const int low = block[half * 64 + run % 2 * 32 + l] >> (run / 2 * 4) & 15, high = block[128 + half * 32 + l] >> (run * 2) & 3;
    out[i] = d * static_cast<float>(static_cast<std::int8_t>(block[192 + i / 16])) * static_cast<float>((low | high << 4) - 32);
  }
}

void block_to_floats(DType type, float* out, Bytes block) {
  switch (type) {
    case DType::kF32:
      __builtin_memcpy(out, block, sizeof *out);
      break;
    case DType::kF16:
      *out = f16_at(block);
      break;
    case DType::kBF16:
      *out = from_bf16(static_cast<std::uint16_t>(block[0] | block[1] << 8));
      break;
    case DType::kQ4_0:
      simple_block(out, f16_at(block), -8 * f16_at(block), block + 2, 0);
      break;
    case DType::kQ4_1:
      simple_block(out, f16_at(block), f16_at(block + 2), block + 4, 0);
      break;
    case DType::kQ5_0:
      simple_block(out, f16_at(block), -16 * f16_at(block), block + 6, word_at(block + 2));
      break;
    case DType::kQ5_1:
      simple_block(out, f16_at(block), f16_at(block + 2), block + 8, word_at(block + 4));
      break;
    case DType::kQ8_0:
      for (int i = 0; i < 32; ++i) out[i] = f16_at(block) * static_cast<float>(static_cast<std::int8_t>(block[2 + i]));
      break;
    case DType::kQ4_K:
      k_block(out, block, nullptr, block + 16);
      break;
    case DType::kQ5_K:
      k_block(out, block, block + 16, block + 48);
      break;
    case DType::kQ6_K:
      q6_k_block(out, block);
      break;
    default:
      DESKHAND_ASSERT(false, "a type of weights");
  }
}

}  // namespace

void dequantize(View out, ConstView in) {
  const auto* block = reinterpret_cast<Bytes>(in.data());
  const std::int64_t step = block_elements(in.type());
  for (std::int64_t i = 0; i < in.shape().elements(); i += step, block += block_bytes(in.type()))
    block_to_floats(in.type(), out.floats().data() + i, block);
}

}  // namespace deskhand::reference
