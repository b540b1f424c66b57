// Products in f32 on AMX tiles, which multiply bf16: a number is cut into the bf16 numbers it is the sum of, three of them at most, and the
// products of these pieces are added in f32. Products of pieces that together are 2^-27 of the whole or less are left out, so what is lost
// is below f32's own rounding; a bf16 weight is one piece and loses nothing. Numbers below 2^-126 count as zero, as do pieces below it;
// what rounds to infinity in bf16 (3.39e38 and more) gives NaN. An element's sum is made in the same order whatever the number of threads,
// rows and columns.
#pragma once
#include <cstdint>
#include <span>

#include "deskhand/ops/backend.h"
#include "deskhand/ops/into.h"

namespace deskhand::cpu {

// c (M, J) = a (M, K) b, or added to c.
struct AmxPart {
  ConstView b;                  // (K, J) of any type
  bool b_is_turned = false;     // b is (J, K)
  const float* bias = nullptr;  // (J), or none
  float* c = nullptr;           // J floats from row to row
  Into into = Into::kOverwrite;
};
struct AmxProduct {
  const float* a = nullptr;
  std::int64_t rows = 0, depth = 0, a_step = 0;  // M, K, floats from row to row
  bool a_is_turned = false;                      // a is (K, M)
  bool rounds = false;                           // to bf16: a and b, not c
};

// Whether tiles are there and large enough a product comes to fill them.
bool multiplies_on_amx(const Backend& on, std::int64_t rows, std::int64_t depth, std::int64_t columns);
void multiply_amx(const Backend& on, const AmxProduct& product, std::span<const AmxPart> parts);

// What amx.cpp is made of. A tile holds 16 rows of 32 bf16 (a), or 16 pairs of rows of 16 columns (b): 1 KiB.
namespace amx {

constexpr std::int64_t kSide = 16, kTileDepth = 32, kTileWords = kSide * kTileDepth, kTileFloats = kSide * kSide;

// Tiles of this thread, from here to the end of the scope.
class Tiles {
 public:
  Tiles();
  ~Tiles();
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

// A part of an operand, up to 16 along its rows (of a) or columns (of b) and 32 deep, which becomes a tile for each piece. What lies beyond
// `count` and `depth` is zero.
struct Square {
  const void* from = nullptr;  // f32, or bf16 bits
  std::int64_t step = 0;       // elements from line to line
  std::int64_t count = 0, depth = 0;
};
using Cut = void (*)(std::uint16_t* to, const Square& square, int pieces);
// Lines run along the depth (deep) or across it (wide).
void cut_deep_for_a(std::uint16_t* to, const Square& square, int pieces);
void cut_wide_for_a(std::uint16_t* to, const Square& square, int pieces);
void cut_deep_for_b(std::uint16_t* to, const Square& square, int pieces);
void cut_wide_for_b(std::uint16_t* to, const Square& square, int pieces);
// The same of bf16 as it lies: one piece.
void lay_deep_for_b(std::uint16_t* to, const Square& square, int pieces);
void lay_wide_for_b(std::uint16_t* to, const Square& square, int pieces);

// Strips of 16 rows of a meet strips of 16 columns of b; every strip is (tiles deep, pieces) tiles. c is (row strips, column strips) of
// (16, 16) f32.
struct Block {
  const std::uint16_t* a = nullptr;
  const std::uint16_t* b = nullptr;
  float* c = nullptr;
  std::int64_t a_step = 0, b_step = 0;  // words from strip to strip
  std::int64_t row_strips = 0, column_strips = 0, tiles = 0;
  bool adds = false;
};
using Multiply = void (*)(const Block& block);
Multiply multiply_of(int pieces_of_a, int pieces_of_b);

// c of a block goes to rows and columns of a matrix.
struct Delivery {
  const float* tiles = nullptr;
  std::int64_t column_strips = 0, rows = 0, columns = 0;
  const float* bias = nullptr;
  float* to = nullptr;
  std::int64_t step = 0;
  bool adds = false;
};
void deliver(const Delivery& delivery);

}  // namespace amx
}  // namespace deskhand::cpu
