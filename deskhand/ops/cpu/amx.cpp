// All of a is cut into pieces first. Then a thread takes up to 512 rows and 256 columns of c at a time: b is cut 256 deep into the second
// cache level, where c's tiles lie too, and strips of a, 128 deep, pass through the first.
#include "deskhand/ops/cpu/amx.h"

#include <algorithm>

#include "deskhand/ops/cpu/dense.h"
#include "deskhand/ops/cpu/split.h"

namespace deskhand::cpu {

#if defined(__x86_64__)
namespace {

using amx::kSide;
using amx::kTileDepth;
using amx::kTileFloats;
using amx::kTileWords;

constexpr std::int64_t kDepthOfB = 256;                         // a block of every quantised type
constexpr std::int64_t kDepthOfA = 128, kTilesOfA = 4;          // of a strip that meets b at once
constexpr std::int64_t kMostRows = 512, kMostColumns = 256;     // of c a unit
constexpr std::int64_t kSlabRows = 4096, kSlabWords = 8 << 20;  // of a in pieces at a time: 16 MiB
constexpr std::int64_t kStripsAUnit = 8;                        // of a that a thread cuts at once

enum Slot : int { kScratch = 8, kPieces };  // as those of panels.cpp: above those of `linear`

std::int64_t up_to(std::int64_t count, std::int64_t step) {
  return (count + step - 1) / step * step;
}

// How many bf16 numbers a weight is the sum of: 8 bits each, and a sign.
int pieces_of(DType type) {
  switch (type) {
    case DType::kBF16:
      return 1;
    case DType::kF16:   // 11 bits
    case DType::kQ4_0:  // 11 bits of scale, 4
    case DType::kQ5_0:  // and 5 of weight
      return 2;
    default:
      return 3;
  }
}

// Part of a: rows [row, row + rows), columns [k, k + depth).
struct Slab {
  std::int64_t row = 0, rows = 0, k = 0, depth = 0;
  std::int64_t strips() const { return (rows + kSide - 1) / kSide; }
};

// to: for every kDepthOfA of depth (strips, kTilesOfA, pieces) tiles.
void cut_a(const Backend& on, const AmxProduct& product, std::uint16_t* to, const Slab& slab, int pieces) {
  const std::int64_t strips = slab.strips(), step = product.a_step, tile = pieces * kTileWords;
  const amx::Cut cut = product.a_is_turned ? amx::cut_wide_for_a : amx::cut_deep_for_a;
  split(on, (strips + kStripsAUnit - 1) / kStripsAUnit, grain_of_rows(slab.depth * kSide * kStripsAUnit),
        [&](std::int64_t begin, std::int64_t end, int) {
          for (std::int64_t k = 0; k < slab.depth; k += kTileDepth)
            for (std::int64_t strip = begin * kStripsAUnit; strip < std::min(strips, end * kStripsAUnit); ++strip) {
              const std::int64_t row = slab.row + strip * kSide, column = slab.k + k;
              const float* const from = product.a + (product.a_is_turned ? column * step + row : row * step + column);
              cut(to + (k / kDepthOfA * strips + strip) * kTilesOfA * tile + k % kDepthOfA / kTileDepth * tile,
                  {from, step, std::min(kSide, slab.rows - strip * kSide), std::min(kTileDepth, slab.depth - k)}, pieces);
            }
        });
}

// Columns [column, column + columns) of b, [k, k + depth) deep, become strips of (tiles, pieces) tiles, kDepthOfB / kTileDepth of them
// deep.
class CutterOfB {
 public:
  CutterOfB(const Backend& on, const AmxPart& part, int pieces) : on_(on), part_(part), pieces_(pieces) {}

  void cut(std::uint16_t* to, float* widened, std::int64_t column, std::int64_t columns, std::int64_t k, std::int64_t depth) const {
    return part_.b_is_turned ? cut_deep(to, widened, column, columns, k, depth) : cut_wide(to, widened, column, columns, k, depth);
  }

 private:
  static constexpr std::int64_t kTiles = kDepthOfB / kTileDepth;

  void cut_deep(std::uint16_t* to, float* widened, std::int64_t column, std::int64_t columns, std::int64_t k, std::int64_t depth) const {
    for (std::int64_t first = 0; first < columns; first += kSide) {
      const std::int64_t count = std::min(kSide, columns - first);
      const Lines lines = lines_of(widened, column + first, count, k, depth);
      for (std::int64_t at = 0; at < depth; at += kTileDepth, to += pieces_ * kTileWords)
        (is_laid() ? amx::lay_deep_for_b : amx::cut_deep_for_b)(to, {lines.at(at), lines.step, count, std::min(kTileDepth, depth - at)},
                                                                pieces_);
      to += (kTiles - (depth + kTileDepth - 1) / kTileDepth) * pieces_ * kTileWords;
    }
  }

  void cut_wide(std::uint16_t* to, float* widened, std::int64_t column, std::int64_t columns, std::int64_t k, std::int64_t depth) const {
    for (std::int64_t at = 0; at < depth; at += kTileDepth, to += pieces_ * kTileWords) {
      const std::int64_t count = std::min(kTileDepth, depth - at);
      const Lines lines = lines_of(widened, k + at, count, column, columns);
      for (std::int64_t first = 0; first < columns; first += kSide)
        (is_laid() ? amx::lay_wide_for_b : amx::cut_wide_for_b)(to + first / kSide * kTiles * pieces_ * kTileWords,
                                                                {lines.at(first), lines.step, std::min(kSide, columns - first), count},
                                                                pieces_);
    }
  }

  bool is_laid() const { return part_.b.type() == DType::kBF16; }

  struct Lines {
    const std::byte* from;
    std::int64_t step, element;  // elements, bytes
    const void* at(std::int64_t i) const { return from + i * element; }
  };
  // [first, first + count) of b's rows, elements [column, column + width) of each: as they lie, or widened.
  Lines lines_of(float* widened, std::int64_t first, std::int64_t count, std::int64_t column, std::int64_t width) const {
    const DType type = part_.b.type();
    const std::int64_t step = part_.b.shape()[1], row = row_bytes(type, step);
    const std::byte* const from = part_.b.data() + first * row + row_bytes(type, column);
    if (type == DType::kF32 || is_laid()) return {from, step, row_bytes(type, 1)};
    for (std::int64_t i = 0; i < count; ++i) widen_row(on_, widened + i * width, ConstView(from + i * row, type, {1, width}));
    return {reinterpret_cast<const std::byte*>(widened), width, sizeof(float)};
  }

  const Backend& on_;
  const AmxPart& part_;
  int pieces_;
};

std::int64_t columns_of(const AmxPart& part) {
  return part.b.shape()[part.b_is_turned ? 0 : 1];
}

// Columns are shared out in whole granules, as evenly as they go.
struct Columns {
  Columns(const AmxPart& part, std::int64_t threads) : all(columns_of(part)) {
    if (!part.b_is_turned && is_quantised(part.b.type())) granule = std::max<std::int64_t>(granule, block_elements(part.b.type()));
    granules = (all + granule - 1) / granule;
    units = std::min(granules, up_to((all + kMostColumns - 1) / kMostColumns, threads));
  }
  std::int64_t first(std::int64_t unit) const { return std::min(all, unit * granules / units * granule); }

  std::int64_t all, granule = 2 * kSide, granules = 0, units = 0;
};

// A worker's own memory.
struct Scratch {
  static constexpr std::int64_t kSums = kMostRows * kMostColumns, kWidened = kTileDepth * kMostColumns,
                                kWords = kMostColumns * kDepthOfB * 3, kFloats = kSums + kWidened + kWords / 2;
  explicit Scratch(float* base) : sums(base), widened(base + kSums), b(reinterpret_cast<std::uint16_t*>(widened + kWidened)) {}
  float *sums, *widened;
  std::uint16_t* b;
};
static_assert(Scratch::kWidened >= kSide * kDepthOfB);

// Rows [row, row + rows) of the slab and columns [column, column + columns) of c.
struct Unit {
  std::int64_t row, rows, column, columns;
};

void multiply_unit(const Backend& on, const AmxProduct& product, const AmxPart& part, const Slab& slab, const std::uint16_t* pieces,
                   const Unit& unit, const Scratch& scratch) {
  const int of_a = product.rounds ? 1 : 3, of_b = product.rounds ? 1 : pieces_of(part.b.type());
  const amx::Multiply multiply = amx::multiply_of(of_a, of_b);
  const CutterOfB cutter(on, part, of_b);
  const std::int64_t tile_of_a = of_a * kTileWords, tile_of_b = of_b * kTileWords;
  amx::Block block{.c = scratch.sums, .a_step = kTilesOfA * tile_of_a, .b_step = kDepthOfB / kTileDepth * tile_of_b};
  block.row_strips = (unit.rows + kSide - 1) / kSide;
  block.column_strips = (unit.columns + kSide - 1) / kSide;
  for (std::int64_t k = 0; k < slab.depth; k += kDepthOfB) {
    const std::int64_t depth = std::min(kDepthOfB, slab.depth - k);
    cutter.cut(scratch.b, scratch.widened, unit.column, unit.columns, slab.k + k, depth);
    for (std::int64_t at = 0; at < depth; at += kDepthOfA, block.adds = true) {
      block.a = pieces + ((k + at) / kDepthOfA * slab.strips() + unit.row / kSide) * block.a_step;
      block.b = scratch.b + at / kTileDepth * tile_of_b;
      block.tiles = (std::min(kDepthOfA, depth - at) + kTileDepth - 1) / kTileDepth;
      multiply(block);
    }
  }
  const std::int64_t step = columns_of(part);
  amx::deliver({.tiles = scratch.sums,
                .column_strips = block.column_strips,
                .rows = unit.rows,
                .columns = unit.columns,
                .bias = part.bias && slab.k == 0 ? part.bias + unit.column : nullptr,
                .to = part.c + (slab.row + unit.row) * step + unit.column,
                .step = step,
                .adds = part.into == Into::kAdd || slab.k > 0});
}

void multiply_slab(const Backend& on, const AmxProduct& product, std::span<const AmxPart> parts, const Slab& slab) {
  const int pieces = product.rounds ? 1 : 3;
  const std::int64_t padded = up_to(slab.depth, kDepthOfA), row_units = (slab.rows + kMostRows - 1) / kMostRows;
  auto* const of_a = on.workspace->get<std::uint16_t>(kPieces, slab.strips() * kSide * padded * pieces);
  float* const scratch = on.workspace->get<float>(kScratch, Scratch::kFloats * on.pool->size());
  cut_a(on, product, of_a, slab, pieces);
  std::int64_t units = 0;
  for (const AmxPart& part : parts) units += Columns(part, on.pool->size()).units * row_units;
  split(on, units, 1, [&](std::int64_t begin, std::int64_t end, int worker) {
    const amx::Tiles tiles;
    std::int64_t first = 0;
    for (const AmxPart& part : parts) {
      const Columns columns(part, on.pool->size());
      const std::int64_t count = columns.units * row_units;
      for (std::int64_t unit = std::max(begin, first); unit < std::min(end, first + count); ++unit) {
        const std::int64_t row = (unit - first) % row_units * kMostRows, column = columns.first((unit - first) / row_units);
        multiply_unit(on, product, part, slab, of_a,
                      {row, std::min(kMostRows, slab.rows - row), column, columns.first((unit - first) / row_units + 1) - column},
                      Scratch(scratch + worker * Scratch::kFloats));
      }
      first += count;
    }
  });
}

}  // namespace

bool multiplies_on_amx(const Backend& on, std::int64_t rows, std::int64_t depth, std::int64_t columns) {
  const bool can = on.cpu.amx_bf16 && on.cpu.avx512 && on.cpu.avx512_bf16;
  return can && rows >= kSide && depth > kSide && columns > kSide;  // products with pairs of rank 16 are as fast in panels
}

void multiply_amx(const Backend& on, const AmxProduct& product, std::span<const AmxPart> parts) {
  for (std::int64_t row = 0; row < product.rows; row += kSlabRows) {
    const std::int64_t rows = std::min(kSlabRows, product.rows - row);
    const std::int64_t depth = std::max(kDepthOfB, kSlabWords / (up_to(rows, kSide) * 3) / kDepthOfB * kDepthOfB);
    for (std::int64_t k = 0; k < product.depth; k += depth)
      multiply_slab(on, product, parts, {.row = row, .rows = rows, .k = k, .depth = std::min(depth, product.depth - k)});
  }
}
#else
bool multiplies_on_amx(const Backend&, std::int64_t, std::int64_t, std::int64_t) {
  return false;
}
void multiply_amx(const Backend&, const AmxProduct&, std::span<const AmxPart>) {}
#endif

}  // namespace deskhand::cpu
