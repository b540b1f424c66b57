#include "deskhand/ops/cpu/panels.h"

#include <algorithm>

#include "deskhand/ops/cpu/amx.h"
#include "deskhand/ops/cpu/dense.h"
#include "deskhand/ops/cpu/highway.h"
#include "deskhand/ops/cpu/quantised.h"
#include "deskhand/ops/cpu/split.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "deskhand/ops/cpu/panels.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

#include "deskhand/ops/cpu/tile-inl.h"

#ifndef DESKHAND_PANELS_BLOCK
#define DESKHAND_PANELS_BLOCK
namespace deskhand::cpu {

constexpr std::int64_t kPanel = 32;              // columns
constexpr std::int64_t kDepth = 256;             // rows of b in a panel: 32 KiB, the first cache level's
constexpr int kWideStrip = 8, kNarrowStrip = 6;  // rows of a that meet two vectors of columns: as many sums as registers hold

// Some rows of a meet some panels.
struct PanelBlock {
  const float* strips = nullptr;  // (strips, depth, rows of a strip), or none: a as it lies
  const float* a = nullptr;
  std::int64_t a_step = 0, rows = 0, depth = 0;
  const float* panels = nullptr;  // (panels, kDepth, kPanel)
  float* c = nullptr;
  std::int64_t c_step = 0, columns = 0;
  bool adds = false;
};

}  // namespace deskhand::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace deskhand::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int kRows = HWY_TARGET <= HWY_AVX3 ? kWideStrip : kNarrowStrip;

template <int kVectors>
HWY_INLINE void multiply_strip(const PanelBlock& block, const float* a, const float* b, float* c, std::int64_t rows, std::int64_t columns) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::Zero(d);
  for (std::int64_t k = 0; k < block.depth; ++k, a += kRows, b += kPanel) {
    V of_b[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) of_b[v] = hn::Load(d, b + v * lanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const V value = hn::Set(d, a[r]);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::MulAdd(value, of_b[v], sum[r][v]);
    }
  }
  if (rows == kRows && columns >= kVectors * lanes) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        float* const to = c + r * block.c_step + v * lanes;
        hn::StoreU(block.adds ? hn::Add(hn::LoadU(d, to), sum[r][v]) : sum[r][v], d, to);
      }
    return;
  }
  HWY_ALIGN float tail[kRows * kVectors * HWY_LANES(float)];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) hn::Store(sum[r][v], d, tail + (r * kVectors + v) * lanes);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t i = 0; i < std::min(columns, kVectors * lanes); ++i) {
      float& to = c[r * block.c_step + i];
      to = block.adds ? to + tail[r * kVectors * lanes + i] : tail[r * kVectors * lanes + i];
    }
}

void multiply_strips(const PanelBlock& block, const float* panel, std::int64_t column, std::int64_t columns) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<float>()));
  for (std::int64_t row = 0; row < block.rows; row += kRows) {
    const float* const a = block.strips + row * block.depth;
    float* const c = block.c + row * block.c_step + column;
    const std::int64_t rows = std::min<std::int64_t>(kRows, block.rows - row);
    std::int64_t i = 0;
    for (; i + lanes < columns; i += 2 * lanes) multiply_strip<2>(block, a, panel + i, c + i, rows, columns - i);
    if (i < columns) multiply_strip<1>(block, a, panel + i, c + i, rows, columns - i);
  }
}

void multiply_block(const PanelBlock& block) {
  for (std::int64_t column = 0; column < block.columns; column += kPanel) {
    const float* const panel = block.panels + column * kDepth;
    const std::int64_t columns = std::min(kPanel, block.columns - column);
    if (block.strips) {
      multiply_strips(block, panel, column, columns);
      continue;
    }
    TileProduct tiles{.a = block.a, .a_step = block.a_step, .b = panel, .b_step = kPanel, .depth = block.depth, .c = block.c + column};
    tiles.c_step = block.c_step;
    tiles.adds = block.adds;
    multiply_tiles<false>(tiles, block.rows, columns);
  }
}

// A row of b becomes a row of each panel; the last panel is filled up with zeros.
void deal_row(float* panels, const float* row, std::int64_t columns) {
  const hn::CappedTag<float, kPanel> d;
  for (; columns >= kPanel; columns -= kPanel, row += kPanel, panels += kPanel * kDepth)
    for (std::int64_t i = 0; i < kPanel; i += static_cast<std::int64_t>(hn::Lanes(d))) hn::StoreU(hn::LoadU(d, row + i), d, panels + i);
  if (columns == 0) return;
  std::copy_n(row, columns, panels);
  std::fill(panels + columns, panels + kPanel, 0.0f);
}

}  // namespace deskhand::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace deskhand::cpu {
namespace {

constexpr std::int64_t kColumns = 128;  // panels made at once; 256 for weights in blocks of 256
constexpr std::int64_t kMostRowsAUnit = 512, kFewestRowsAUnit = 96;
constexpr std::int64_t kSlabRows = 4096, kSlabDepth = 2048;  // of a in strips at a time: 32 MiB at most
constexpr std::int64_t kFewColumns = 64;                     // up to this many, laying a out in strips does not pay

enum Slot : int { kPanels = 8, kStrips };  // above those of `linear`

// Rows [k, k + depth) and columns [column, column + columns) of b become panels.
class Packer {
 public:
  Packer(const Backend& on, const PanelProduct& product) : on_(on), product_(product), deal_row_(DESKHAND_CHOOSE(on, deal_row)) {}

  void pack(float* panels, float* row, std::int64_t k, std::int64_t depth, std::int64_t column, std::int64_t columns) const {
    const ConstView b = product_.b;
    if (product_.b_is_turned) return pack_turned(panels, k, depth, column, columns);
    const std::int64_t step = row_bytes(b.type(), b.shape()[1]), offset = row_bytes(b.type(), column);
    for (std::int64_t i = 0; i < depth; ++i) {
      const std::byte* const from = b.data() + (k + i) * step + offset;
      const float* values = row;
      if (b.type() == DType::kF32 && !product_.rounds)
        values = reinterpret_cast<const float*>(from);
      else
        widen_row(on_, row, ConstView(from, b.type(), {1, columns}));
      if (product_.rounds) round_to_bf16(on_, row, columns);
      deal_row_(panels + i * kPanel, values, columns);
    }
  }

 private:
  void pack_turned(float* panels, std::int64_t k, std::int64_t depth, std::int64_t column, std::int64_t columns) const {
    const std::int64_t step = product_.b.shape()[1];
    for (std::int64_t first = 0; first < columns; first += kPanel, panels += kPanel * kDepth) {
      const std::int64_t count = std::min(kPanel, columns - first);
      if (count < kPanel) std::fill_n(panels, depth * kPanel, 0.0f);
      turn(on_, {.to = panels,
                 .step = kPanel,
                 .from = product_.b.floats().data() + (column + first) * step + k,
                 .from_step = step,
                 .rows = count,
                 .columns = depth});
    }
  }

  const Backend& on_;
  const PanelProduct& product_;
  void (*deal_row_)(float*, const float*, std::int64_t);
};

}  // namespace

void turn(const Backend& on, const Turn& m) {
  std::int64_t row = 0;
#if defined(__x86_64__)
  if (on.cpu.avx2) {
    const std::int64_t columns = m.columns / 8 * 8;
    for (; row + 8 <= m.rows; row += 8) {
      avx2::interleave(m.from + row * m.from_step, m.from_step, columns, static_cast<int>(m.step), m.to + row);
      for (std::int64_t column = columns; column < m.columns; ++column)
        for (std::int64_t r = row; r < row + 8; ++r) m.to[column * m.step + r] = m.from[r * m.from_step + column];
    }
  }
#else
  (void)on;
#endif
  for (; row < m.rows; ++row)
    for (std::int64_t column = 0; column < m.columns; ++column) m.to[column * m.step + row] = m.from[row * m.from_step + column];
}

namespace {

// Part of a product: rows [row, row + rows) of a, columns [k, k + depth) of it.
struct Slab {
  std::int64_t row = 0, rows = 0, k = 0, depth = 0;
};

std::int64_t strip_height(const Backend& on) {
  return on.cpu.avx512 ? kWideStrip : kNarrowStrip;
}

// A strip of up to `height` rows, all of `depth` columns; missing rows are zeros.
void lay_out_strip(const Backend& on, const PanelProduct& product, float* to, const Slab& strip, std::int64_t height) {
  const std::int64_t step = product.a_step;
  std::int64_t k = 0;
  if (product.a_is_turned) {
    const float* from = product.a + strip.k * step + strip.row;
    for (; k < strip.depth; ++k, from += step)
      for (std::int64_t r = 0; r < height; ++r) to[k * height + r] = r < strip.rows ? from[r] : 0;
  } else {
    const float* const from = product.a + strip.row * step + strip.k;
#if defined(__x86_64__)
    if (on.cpu.avx2 && height == 8 && strip.rows == 8) {
      k = strip.depth / 8 * 8;
      avx2::interleave(from, step, k, 8, to);
    }
#endif
    for (; k < strip.depth; ++k)
      for (std::int64_t r = 0; r < height; ++r) to[k * height + r] = r < strip.rows ? from[r * step + k] : 0;
  }
  if (product.rounds) round_to_bf16(on, to, strip.depth * height);
}

// strips: one run of (slab rows, kDepth) after the other, each (strips, depth, height).
void lay_out_strips(const Backend& on, const PanelProduct& product, float* strips, const Slab& slab) {
  const std::int64_t height = strip_height(on), count = (slab.rows + height - 1) / height;
  split(on, count, grain_of_rows(height * slab.depth), [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t strip = begin; strip < end; ++strip)
      for (std::int64_t k = 0; k < slab.depth; k += kDepth) {
        const std::int64_t row = strip * height, depth = std::min(kDepth, slab.depth - k);
        lay_out_strip(on, product, strips + k * count * height + row * depth,
                      {.row = slab.row + row, .rows = std::min(height, slab.rows - row), .k = slab.k + k, .depth = depth}, height);
      }
  });
}

void multiply_slab(const Backend& on, const PanelProduct& product, const Slab& slab, bool in_strips) {
  const std::int64_t columns = product.b.shape()[product.b_is_turned ? 0 : 1];
  const std::int64_t strip = strip_height(on), strip_rows = (slab.rows + strip - 1) / strip * strip;
  float* const strips = in_strips ? on.workspace->get<float>(kStrips, strip_rows * slab.depth) : nullptr;
  if (in_strips) lay_out_strips(on, product, strips, slab);
  const std::int64_t width = std::max(kColumns, is_quantised(product.b.type()) ? block_elements(product.b.type()) : 1);
  const std::int64_t column_units = (columns + width - 1) / width;
  std::int64_t height = std::min(strip_rows, kMostRowsAUnit / strip * strip);
  while (height > kFewestRowsAUnit && column_units * ((slab.rows + height - 1) / height) < 4 * on.pool->size())
    height = (height / 2 + strip - 1) / strip * strip;
  const std::int64_t row_units = (slab.rows + height - 1) / height, floats = (kDepth + 1) * width;
  float* const scratch = on.workspace->get<float>(kPanels, floats * on.pool->size());
  const Packer packer(on, product);
  const auto multiply_block = DESKHAND_CHOOSE(on, multiply_block);
  split(on, column_units * row_units, 1, [&](std::int64_t begin, std::int64_t end, int worker) {
    float* const panels = scratch + worker * floats;
    for (std::int64_t unit = begin; unit < end; ++unit) {
      const std::int64_t column = unit / row_units * width, row = unit % row_units * height;
      PanelBlock block{.a_step = product.a_step, .rows = std::min(height, slab.rows - row), .panels = panels};
      block.c = product.c + (slab.row + row) * columns + column;
      block.c_step = columns;
      block.columns = std::min(width, columns - column);
      block.adds = product.into == Into::kAdd || slab.k > 0;
      for (std::int64_t k = 0; k < slab.depth; k += kDepth, block.adds = true) {
        block.depth = std::min(kDepth, slab.depth - k);
        if (in_strips)
          block.strips = strips + k * strip_rows + row * block.depth;
        else
          block.a = product.a + (slab.row + row) * product.a_step + slab.k + k;
        packer.pack(panels, panels + kDepth * width, slab.k + k, block.depth, column, block.columns);
        multiply_block(block);
      }
    }
  });
}

}  // namespace

void multiply_panels(const Backend& on, const PanelProduct& product) {
  const Shape& shape = product.b.shape();
  const std::int64_t depth = shape[product.b_is_turned ? 1 : 0], columns = shape[product.b_is_turned ? 0 : 1];
  if (product.rows == 0 || columns == 0) return;
  if (depth == 0 && product.into == Into::kOverwrite) std::fill_n(product.c, product.rows * columns, 0.0f);
  if (multiplies_on_amx(on, product.rows, depth, columns)) {
    const AmxPart part{.b = product.b, .b_is_turned = product.b_is_turned, .c = product.c, .into = product.into};
    return multiply_amx(on,
                        {.a = product.a,
                         .rows = product.rows,
                         .depth = depth,
                         .a_step = product.a_step,
                         .a_is_turned = product.a_is_turned,
                         .rounds = product.rounds},
                        {&part, 1});
  }
  const bool in_strips = product.a_is_turned || product.rounds || columns > kFewColumns;
  for (std::int64_t row = 0; row < product.rows; row += kSlabRows)
    for (std::int64_t k = 0; k < depth; k += kSlabDepth)
      multiply_slab(on, product,
                    {.row = row, .rows = std::min(kSlabRows, product.rows - row), .k = k, .depth = std::min(kSlabDepth, depth - k)},
                    in_strips);
}

}  // namespace deskhand::cpu
#endif
