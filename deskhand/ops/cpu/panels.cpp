#include "deskhand/ops/cpu/panels.h"

#include <algorithm>

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

constexpr std::int64_t kPanel = 32;   // columns
constexpr std::int64_t kDepth = 256;  // rows of b in a panel: 32 KiB, the first cache level's

// Some rows of a meet some panels.
struct PanelBlock {
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

void multiply_block(const PanelBlock& block) {
  for (std::int64_t column = 0; column < block.columns; column += kPanel)
    multiply_tiles<false>({.a = block.a,
                           .a_step = block.a_step,
                           .b = block.panels + column * kDepth,
                           .b_step = kPanel,
                           .depth = block.depth,
                           .c = block.c + column,
                           .c_step = block.c_step,
                           .adds = block.adds},
                          block.rows, std::min(kPanel, block.columns - column));
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

enum Slot : int { kPanels = 8, kRounded };  // above those of `linear`

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

void multiply_panels(const Backend& on, const PanelProduct& product) {
  const Shape& shape = product.b.shape();
  const std::int64_t rows = product.rows, depth = shape[product.b_is_turned ? 1 : 0], columns = shape[product.b_is_turned ? 0 : 1];
  if (rows == 0 || columns == 0) return;
  if (depth == 0) {
    if (product.into == Into::kOverwrite) std::fill_n(product.c, rows * columns, 0.0f);
    return;
  }
  const float* a = product.a;
  std::int64_t a_step = product.a_step;
  if (product.rounds) {
    float* const copy = on.workspace->get<float>(kRounded, rows * depth);
    for (std::int64_t row = 0; row < rows; ++row) std::copy_n(a + row * a_step, depth, copy + row * depth);
    round_to_bf16(on, copy, rows * depth);
    a = copy;
    a_step = depth;
  }
  const std::int64_t width = std::max(kColumns, is_quantised(product.b.type()) ? block_elements(product.b.type()) : 1);
  const std::int64_t column_units = (columns + width - 1) / width;
  std::int64_t height = std::min(rows, kMostRowsAUnit);
  while (height > kFewestRowsAUnit && column_units * ((rows + height - 1) / height) < 4 * on.pool->size()) height = (height + 1) / 2;
  const std::int64_t row_units = (rows + height - 1) / height, floats = (kDepth + 1) * width;
  float* const scratch = on.workspace->get<float>(kPanels, floats * on.pool->size());
  const Packer packer(on, product);
  const auto multiply_block = DESKHAND_CHOOSE(on, multiply_block);
  split(on, column_units * row_units, 1, [&](std::int64_t begin, std::int64_t end, int worker) {
    float* const panels = scratch + worker * floats;
    for (std::int64_t unit = begin; unit < end; ++unit) {
      const std::int64_t column = unit / row_units * width, row = unit % row_units * height;
      PanelBlock block{.a_step = a_step, .rows = std::min(height, rows - row), .panels = panels, .c = product.c + row * columns + column};
      block.c_step = columns;
      block.columns = std::min(width, columns - column);
      block.adds = product.into == Into::kAdd;
      for (std::int64_t k = 0; k < depth; k += kDepth, block.adds = true) {
        block.depth = std::min(kDepth, depth - k);
        block.a = a + row * a_step + k;
        packer.pack(panels, panels + kDepth * width, k, block.depth, column, block.columns);
        multiply_block(block);
      }
    }
  });
}

}  // namespace deskhand::cpu
#endif
