// Chooses how each part is multiplied. Quantised weights meet 8-bit inputs (quantised.h) unless the caller wants their full width; few
// tokens meet bf16 weights as they are where the processor can (bf16.h); many tokens go to the tiles of processors that have them (amx.h);
// all else is widened to f32 a panel at a time (dense.h).
#include "deskhand/ops/linear.h"

#include <algorithm>
#include <array>

#include "deskhand/ops/cpu/amx.h"
#include "deskhand/ops/cpu/bf16.h"
#include "deskhand/ops/cpu/dense.h"
#include "deskhand/ops/cpu/quantised.h"
#include "deskhand/ops/cpu/split.h"

namespace deskhand::cpu {
namespace {

#if defined(__x86_64__)
constexpr int kMostFewTokens = 7;        // more than this and a panel pays for its unpacking
constexpr std::int64_t kRowsAUnit = 16;  // rows that a thread takes at once when tokens are few

enum Slot : int { kInputs, kPanels };

bool multiplies_in_8_bits(const Backend& on, const LinearPart& part) {
  const bool can = on.cpu.avx2 && on.cpu.fma && on.cpu.f16c, wants = on.compute == Compute::kAuto || on.compute == Compute::kInt8;
  return can && wants && is_quantised(part.weight.type());
}

RowTask rows_of(const LinearPart& part, std::int64_t first, std::int64_t count) {
  const std::int64_t bytes = row_bytes(part.weight.type(), part.weight.shape()[1]);
  return {.type = part.weight.type(),
          .weight = reinterpret_cast<const std::uint8_t*>(part.weight.data()) + first * bytes,
          .row_bytes = bytes,
          .rows = count,
          .bias = part.bias.empty() ? nullptr : part.bias.floats().data() + first,
          .out = part.out.floats().data() + first,
          .out_stride = part.weight.shape()[0]};
}

// Hands each unit of `height` rows of all parts to `work(task, worker)`; runs of units of one part come as one task if `joined`.
template <class Work>
void for_units(const Backend& on, std::span<const LinearPart> parts, std::int64_t height, std::int64_t grain, bool joined, Work&& work) {
  const auto units_of = [&](const LinearPart& part) { return (part.weight.shape()[0] + height - 1) / height; };
  std::int64_t total = 0;
  for (const LinearPart& part : parts)
    if (multiplies_in_8_bits(on, part)) total += units_of(part);
  split(on, total, grain, [&](std::int64_t begin, std::int64_t end, int worker) {
    std::int64_t first = 0;
    for (const LinearPart& part : parts) {
      if (!multiplies_in_8_bits(on, part)) continue;
      const std::int64_t units = units_of(part), from = std::max(begin, first), to = std::min(end, first + units);
      for (std::int64_t unit = from; unit < to; unit = joined ? to : unit + 1) {
        const std::int64_t row = (unit - first) * height, last = ((joined ? to : unit + 1) - first) * height;
        work(rows_of(part, row, std::min(last, part.weight.shape()[0]) - row), worker);
      }
      first += units;
    }
  });
}

// Hands out consecutive aligned pieces of one block of scratch: first with no memory, to find the size.
class Pieces {
 public:
  explicit Pieces(std::byte* base) : base_(base) {}
  template <class T>
  T* take(std::int64_t count) {
    T* piece = base_ ? reinterpret_cast<T*>(base_ + size_) : nullptr;
    size_ += (static_cast<std::size_t>(count) * sizeof(T) + 63) / 64 * 64;
    return piece;
  }
  std::size_t size() const { return size_; }

 private:
  std::byte* base_;
  std::size_t size_ = 0;
};

void multiply_few(const Backend& on, std::span<const LinearPart> parts, ConstView x) {
  const std::int64_t inputs = x.shape()[1], tokens = x.shape()[0], padded = (inputs + kPadding - 1) / kPadding * kPadding;
  InputRows rows{.inputs = inputs, .padded = padded};
  const auto lay_out = [&](Pieces pieces) {
    rows.q = pieces.take<std::int8_t>(tokens * padded);
    rows.scale = pieces.take<float>(tokens * padded / 32);
    rows.sum = pieces.take<float>(tokens * padded / 32);
    rows.half_sum = pieces.take<float>(tokens * padded / 16);
    return pieces.size();
  };
  lay_out(Pieces(on.workspace->get(kInputs, lay_out(Pieces(nullptr))).data()));
  for (std::int64_t token = 0; token < tokens; ++token)
    avx2::quantise(x.floats().data() + token * inputs, inputs, padded, rows.q + token * padded, rows.scale + token * (padded / 32),
                   rows.sum + token * (padded / 32), rows.half_sum + token * (padded / 16), nullptr);
  const auto dot_rows = on.cpu.avx512_vnni ? avx512::dot_rows : avx2::dot_rows;
  const std::int64_t grain = std::max<std::int64_t>(1, 65536 / (inputs * kRowsAUnit));
  for_units(on, parts, kRowsAUnit, grain, true, [&](const RowTask& task, int) {
    for (std::int64_t token = 0; token < tokens; token += 4)
      dot_rows(task, rows, token, static_cast<int>(std::min<std::int64_t>(4, tokens - token)));
  });
}

void quantise_tiles(const Backend& on, const InputTiles& tiles, ConstView x) {
  const std::int64_t inputs = tiles.inputs, tokens = x.shape()[0], width = tiles.width;
  split(on, (tokens + width - 1) / width, std::max<std::int64_t>(1, 16384 / (inputs * width)),
        [&](std::int64_t begin, std::int64_t end, int) {
          for (std::int64_t tile = begin; tile < end; ++tile)
            avx512::quantise_tile(x.floats().data() + tile * width * inputs, static_cast<int>(std::min(width, tokens - tile * width)),
                                  tiles, tile);
        });
}

// Quantises token by token, then deals each row out to its column of the tile.
void quantise_tiles_by_rows(const Backend& on, const InputTiles& tiles, ConstView x, std::byte* scratch, std::size_t scratch_bytes) {
  const std::int64_t inputs = tiles.inputs, blocks = inputs / kBlock, tokens = x.shape()[0];
  const int width = tiles.width;
  const std::int64_t count = (tokens + width - 1) / width;
  split(on, count, std::max<std::int64_t>(1, 16384 / (inputs * width)), [&](std::int64_t begin, std::int64_t end, int worker) {
    Pieces pieces(scratch + static_cast<std::size_t>(worker) * scratch_bytes);
    auto* const q = pieces.take<std::int8_t>(inputs);
    auto* const scale = pieces.take<float>(blocks);
    auto* const sum = pieces.take<float>(blocks);
    auto* const half_sum = pieces.take<float>(2 * blocks);
    auto* const whole = pieces.take<std::int32_t>(2 * blocks);
    for (std::int64_t token = begin * width; token < end * width; ++token) {
      if (token < tokens) {
        avx2::quantise(x.floats().data() + token * inputs, inputs, inputs, q, scale, sum, half_sum, whole);
      } else {
        std::fill_n(q, inputs, std::int8_t{0});
        std::fill_n(scale, blocks, 0.0f);
        std::fill_n(sum, blocks, 0.0f);
        std::fill_n(whole, 2 * blocks, 0);
      }
      const std::int64_t tile = token / width, column = token % width;
      std::int8_t* to = tiles.q + (tile * inputs / 4 * width + column) * 4;
      for (std::int64_t i = 0; i < inputs; i += 4, to += 4 * width) __builtin_memcpy(to, q + i, 4);
      for (std::int64_t block = 0; block < blocks; ++block) {
        const std::int64_t at = (tile * blocks + block) * width + column, at_half = (tile * blocks + block) * 2 * width + column;
        tiles.scale[at] = scale[block];
        tiles.sum[at] = sum[block];
        const std::int32_t low = whole[2 * block], high = whole[2 * block + 1];
        if (tiles.start8) tiles.start8[at] = -8 * (low + high);
        if (tiles.start16) tiles.start16[at] = -16 * (low + high);
        if (tiles.start128) tiles.start128[at] = -128 * (low + high);
        if (tiles.start32) {
          tiles.start32[at_half] = -32 * low;
          tiles.start32[at_half + width] = -32 * high;
        }
      }
    }
  });
}

void multiply_many(const Backend& on, std::span<const LinearPart> parts, ConstView x) {
  const bool wide = on.cpu.avx512_vnni;
  const int width = wide ? avx512::kTileTokens : avx2::kTileTokens, height = wide ? avx512::kPanelRows : avx2::kPanelRows;
  const std::int64_t inputs = x.shape()[1], tokens = x.shape()[0], blocks = inputs / kBlock, padded = (tokens + width - 1) / width * width;
  const auto has = [&](DType type) {
    return std::any_of(parts.begin(), parts.end(), [&](const LinearPart& part) { return part.weight.type() == type; });
  };
  InputTiles tiles{.inputs = inputs, .width = width};
  const auto lay_out = [&](Pieces pieces) {
    tiles.q = pieces.take<std::int8_t>(padded * inputs);
    tiles.scale = pieces.take<float>(padded * blocks);
    tiles.sum = pieces.take<float>(padded * blocks);
    if (has(DType::kQ4_0)) tiles.start8 = pieces.take<std::int32_t>(padded * blocks);
    if (has(DType::kQ5_0)) tiles.start16 = pieces.take<std::int32_t>(padded * blocks);
    if (has(DType::kQ8_0)) tiles.start128 = pieces.take<std::int32_t>(padded * blocks);
    if (has(DType::kQ6_K)) tiles.start32 = pieces.take<std::int32_t>(2 * padded * blocks);
    return pieces.size();
  };
  lay_out(Pieces(on.workspace->get(kInputs, lay_out(Pieces(nullptr))).data()));

  Panel panel;
  const auto lay_out_panel = [&](Pieces pieces) {
    panel.u = pieces.take<std::uint8_t>(inputs * height);
    panel.scale = pieces.take<float>(2 * blocks * height);
    panel.minimum = pieces.take<float>(blocks * height);
    panel.rows = pieces.take<std::uint8_t>(8 * inputs);
    return pieces.size();
  };
  const std::size_t panel_bytes = lay_out_panel(Pieces(nullptr));  // more than a row of quantised inputs needs
  std::byte* const scratch = on.workspace->get(kPanels, panel_bytes * static_cast<std::size_t>(on.pool->size())).data();
  if (wide)
    quantise_tiles(on, tiles, x);
  else
    quantise_tiles_by_rows(on, tiles, x, scratch, panel_bytes);
  for_units(on, parts, height, 1, false, [&](const RowTask& task, int worker) {
    Panel mine;
    Pieces pieces(scratch + static_cast<std::size_t>(worker) * panel_bytes);
    mine.u = pieces.take<std::uint8_t>(inputs * height);
    mine.scale = pieces.take<float>(2 * blocks * height);
    mine.minimum = pieces.take<float>(blocks * height);
    mine.rows = pieces.take<std::uint8_t>(8 * inputs);
    avx2::unpack_panel(task, inputs, height, !wide, mine);
    (wide ? avx512::multiply_panel : avx2::multiply_panel)(task, mine, tiles, tokens);
  });
}
#else
bool multiplies_in_8_bits(const Backend&, const LinearPart&) {
  return false;
}
constexpr int kMostFewTokens = 0;
void multiply_few(const Backend&, std::span<const LinearPart>, ConstView) {}
void multiply_many(const Backend&, std::span<const LinearPart>, ConstView) {}
#endif

// Parts that meet x on tiles: x is cut up once for several of them.
class AmxParts {
 public:
  AmxParts(const Backend& on, ConstView x) : on_(on), x_(x) {}

  bool fits(const LinearPart& part) const { return multiplies_on_amx(on_, x_.shape()[0], x_.shape()[1], part.weight.shape()[0]); }
  void add(const LinearPart& part) {
    if (count_ == parts_.size()) multiply();
    parts_[count_++] = {.b = part.weight,
                        .b_is_turned = true,
                        .bias = part.bias.empty() ? nullptr : part.bias.floats().data(),
                        .c = part.out.floats().data()};
  }
  void multiply() {
    if (count_ == 0) return;
    const std::int64_t inputs = x_.shape()[1];
    multiply_amx(
        on_, {.a = x_.floats().data(), .rows = x_.shape()[0], .depth = inputs, .a_step = inputs, .rounds = on_.compute == Compute::kBF16},
        std::span(parts_).first(count_));
    count_ = 0;
  }

 private:
  const Backend& on_;
  ConstView x_;
  std::array<AmxPart, 8> parts_;
  std::size_t count_ = 0;
};

}  // namespace

void linear(const Backend& on, std::span<const LinearPart> parts, ConstView x) {
  if (x.shape()[0] == 0) return;
  bool any = false;
  AmxParts on_tiles(on, x);
  for (const LinearPart& part : parts)
    if (multiplies_in_8_bits(on, part))
      any = true;
    else if (multiplies_in_bf16(on, part, x.shape()[0]))
      multiply_bf16(on, part, x);
    else if (on_tiles.fits(part))
      on_tiles.add(part);
    else
      multiply_dense(on, part, x);
  on_tiles.multiply();
  if (!any) return;
  if (x.shape()[0] <= kMostFewTokens)
    multiply_few(on, parts, x);
  else
    multiply_many(on, parts, x);
}

}  // namespace deskhand::cpu
