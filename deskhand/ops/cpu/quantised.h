// Products of 8-bit inputs with GGUF's quantised weights, in two ways. Every format is affine on sub-blocks: w = d u - m, u unsigned.
//   Few tokens: bound by memory, a row of weights is unpacked in registers and met with the tokens at once (dot_rows).
//   Many tokens: a panel of rows is unpacked once into a tile that the dot-product instructions read as it lies, then every token meets it
//   (unpack_panel, multiply_panel).
// Inputs are quantised once a call: q = round(x / scale), scale = largest / 127 of a block of 32. Each kernel has a set of instructions to
// its name; linear.cpp chooses.
#pragma once
#include <cstdint>

#include "deskhand/tensor/dtype.h"

namespace deskhand::cpu {

constexpr std::int64_t kBlock = 32;     // inputs that share a scale
constexpr std::int64_t kPadding = 512;  // rows of quantised inputs are padded with zeros to whole runs of this many

// How a format meets the microkernel.
enum class PanelKind : std::uint8_t {
  kCentred,   // w = d (u - c): the centre goes into the integer sum
  kAffine,    // w = d u - m
  kCentred16  // as kCentred with a scale for every 16 weights (q6_k)
};
PanelKind panel_kind(DType type);

// Quantised inputs, a row a token.
struct InputRows {
  std::int64_t inputs = 0, padded = 0;
  std::int8_t* q = nullptr;   // (N, padded)
  float* scale = nullptr;     // (N, padded / 32)
  float* sum = nullptr;       // (N, padded / 32): scale times the sum of q
  float* half_sum = nullptr;  // (N, padded / 16): the same of each half block
};

// Quantised inputs for panels: tiles of W tokens, the last one filled up with zeros.
struct InputTiles {
  std::int64_t inputs = 0;
  int width = 0;             // W
  std::int8_t* q = nullptr;  // (tiles, I / 4, W, 4)
  float* scale = nullptr;    // (tiles, I / 32, W)
  float* sum = nullptr;      // (tiles, I / 32, W): scale times the sum of q, for kAffine
  // What integer sums start from: -c times the sum of q. For kCentred (tiles, I / 32, W), for kCentred16 (tiles, I / 32, 2, W). One for
  // each c that occurs: 8 (q4_0), 16 (q5_0), 128 (q8_0), 32 (q6_k).
  std::int32_t* start8 = nullptr;
  std::int32_t* start16 = nullptr;
  std::int32_t* start128 = nullptr;
  std::int32_t* start32 = nullptr;
  const std::int32_t* start(DType type) const {
    return type == DType::kQ4_0 ? start8 : type == DType::kQ5_0 ? start16 : type == DType::kQ8_0 ? start128 : start32;
  }
};

// Some rows of one weight and where their outputs go.
struct RowTask {
  DType type = DType::kQ8_0;
  const std::uint8_t* weight = nullptr;  // the first row
  std::int64_t row_bytes = 0, rows = 0;
  const float* bias = nullptr;  // of the first row, or none
  float* out = nullptr;         // of the first row and token 0
  std::int64_t out_stride = 0;  // from token to token
};

// A panel of `rows` weights (at most the kernel's height P), unpacked.
struct Panel {
  std::uint8_t* u = nullptr;     // (I / 4, P, 4)
  float* scale = nullptr;        // (I / 32, P), for kCentred16 (I / 16, P)
  float* minimum = nullptr;      // (I / 32, P), kAffine
  std::uint8_t* rows = nullptr;  // (8, I): where rows lie between unpacking and interleaving
};

namespace avx2 {
constexpr int kPanelRows = 16, kTileTokens = 3;
// `whole`, if given: the sum of q of each half block.
void quantise(const float* x, std::int64_t inputs, std::int64_t padded, std::int8_t* q, float* scale, float* sum, float* half_sum,
              std::int32_t* whole);
void dot_rows(const RowTask& task, const InputRows& x, std::int64_t first_token, int tokens);  // tokens 1..4
// 8 rows of floats, `stride` apart, become columns of a matrix `height` wide; `columns` a multiple of 8.
void interleave(const float* rows, std::int64_t stride, std::int64_t columns, int height, float* out);
void dequantise(DType type, const std::uint8_t* row, std::int64_t inputs, float* out);
// Rows are unpacked for panels of `height` rows (8, 16, 32); q8_0 as u = q + 128, or as it is if `keep_sign`.
void unpack_panel(const RowTask& task, std::int64_t inputs, int height, bool keep_sign, const Panel& panel);
void multiply_panel(const RowTask& task, const Panel& panel, const InputTiles& x, std::int64_t tokens);
}  // namespace avx2

namespace avx512 {
constexpr int kPanelRows = 32, kTileTokens = 6;
// 1 to 6 tokens, rows of x one behind another, become tile number `tile`; tokens that are not there are zeros.
void quantise_tile(const float* x, int tokens, const InputTiles& tiles, std::int64_t tile);
void dot_rows(const RowTask& task, const InputRows& x, std::int64_t first_token, int tokens);  // tokens 1..4
void multiply_panel(const RowTask& task, const Panel& panel, const InputTiles& x, std::int64_t tokens);
}  // namespace avx512

}  // namespace deskhand::cpu
