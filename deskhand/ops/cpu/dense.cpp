#include "deskhand/ops/cpu/dense.h"

#include <algorithm>

#include "deskhand/ops/cpu/highway.h"
#include "deskhand/ops/cpu/quantised.h"
#include "deskhand/ops/cpu/split.h"
#include "deskhand/ops/dequantize.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "deskhand/ops/cpu/dense.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

#include "deskhand/ops/cpu/multiply_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace deskhand::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

float dot(const float* a, const float* b, std::int64_t count) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  std::int64_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes) {
    s0 = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), s0);
    s1 = hn::MulAdd(hn::LoadU(d, a + i + lanes), hn::LoadU(d, b + i + lanes), s1);
    s2 = hn::MulAdd(hn::LoadU(d, a + i + 2 * lanes), hn::LoadU(d, b + i + 2 * lanes), s2);
    s3 = hn::MulAdd(hn::LoadU(d, a + i + 3 * lanes), hn::LoadU(d, b + i + 3 * lanes), s3);
  }
  for (; i + lanes <= count; i += lanes) s0 = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), s0);
  float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
  for (; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

// As to_bf16 has it: to nearest, ties to even; a NaN stays one.
void round_to_bf16(float* values, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint32_t bits;
    __builtin_memcpy(&bits, values + i, sizeof bits);
    const std::uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000, quiet = (bits & 0xffff0000) | 0x00400000;
    bits = (bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded;
    __builtin_memcpy(values + i, &bits, sizeof bits);
  }
}

void widen_plain(float* to, const std::byte* from, DType type, std::int64_t width) {
  widen(to, from, type, width);
}

void multiply_panel(int count, const float* x, std::int64_t inputs, const float* panel, float* out) {
  multiply_rows(count, x, inputs, panel, 32, inputs, out, 32, 32, nullptr);
}

}  // namespace deskhand::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace deskhand::cpu {
namespace {

constexpr std::int64_t kColumns = 256;      // widened and turned at once: a panel of them fits the first cache level
constexpr std::int64_t kPanel = 32;         // as multiply_panel has it
constexpr std::int64_t kMostFewTokens = 5;  // up to this many, a row meets the tokens as it lies
constexpr int kTokensAtOnce = 6;

enum Slot : int { kRows, kRounded };

// A square of kPanel rows of `width` columns, kColumns apart, becomes `width` rows of kPanel.
void turn(const Backend& on, float* to, const float* square, std::int64_t width) {
  std::int64_t done = 0;
#if defined(__x86_64__)
  if (on.cpu.avx2) {
    done = width / 8 * 8;
    for (std::int64_t o = 0; o < kPanel; o += 8) avx2::interleave(square + o * kColumns, kColumns, done, kPanel, to + o);
  }
#else
  (void)on;
#endif
  for (std::int64_t i = done; i < width; ++i)
    for (std::int64_t o = 0; o < kPanel; ++o) to[i * kPanel + o] = square[o * kColumns + i];
}

// Weights [column, column + width) of row o; a block begins at `column`.
void widen_part(const Backend& on, float* to, ConstView weight, std::int64_t o, std::int64_t column, std::int64_t width, bool rounds) {
  const std::int64_t at = row_bytes(weight.type(), weight.shape()[1]) * o + row_bytes(weight.type(), column);
  widen_row(on, to, ConstView(weight.data() + at, weight.type(), {1, width}));
  if (rounds) DESKHAND_CHOOSE(on, round_to_bf16)(to, width);
}

}  // namespace

void widen_row(const Backend& on, float* to, ConstView row) {
  const std::int64_t width = row.shape().elements();
  if (!is_quantised(row.type())) return DESKHAND_CHOOSE(on, widen_plain)(to, row.data(), row.type(), width);
#if defined(__x86_64__)
  if (on.cpu.avx2 && on.cpu.fma && on.cpu.f16c)
    return avx2::dequantise(row.type(), reinterpret_cast<const std::uint8_t*>(row.data()), width, to);
#endif
  reference::dequantize(View(std::span(to, static_cast<std::size_t>(width)), row.shape()), row);
}

void round_to_bf16(const Backend& on, float* values, std::int64_t count) {
  DESKHAND_CHOOSE(on, round_to_bf16)(values, count);
}

void multiply_dense(const Backend& on, const LinearPart& part, ConstView x) {
  const std::int64_t inputs = x.shape()[1], tokens = x.shape()[0], outputs = part.weight.shape()[0];
  const bool rounds = on.compute == Compute::kBF16, few = tokens <= kMostFewTokens;
  const float* in = x.floats().data();
  if (rounds) {
    float* const copy = on.workspace->get<float>(kRounded, tokens * inputs);
    std::copy_n(in, tokens * inputs, copy);
    DESKHAND_CHOOSE(on, round_to_bf16)(copy, tokens * inputs);
    in = copy;
  }
  const std::int64_t scratch = few ? inputs : kPanel * (inputs + kColumns);
  float* const rows = on.workspace->get<float>(kRows, on.pool->size() * scratch);
  const auto dot = DESKHAND_CHOOSE(on, dot);
  const auto multiply_panel = DESKHAND_CHOOSE(on, multiply_panel);
  const float* const bias = part.bias.empty() ? nullptr : part.bias.floats().data();
  float* const out = part.out.floats().data();
  if (few) {
    const bool as_it_lies = part.weight.type() == DType::kF32 && !rounds;
    split(on, outputs, grain_of_rows(inputs), [&](std::int64_t begin, std::int64_t end, int worker) {
      for (std::int64_t o = begin; o < end; ++o) {
        const float* row = rows + worker * scratch;
        if (as_it_lies)
          row = part.weight.floats().data() + o * inputs;
        else
          widen_part(on, rows + worker * scratch, part.weight, o, 0, inputs, rounds);
        for (std::int64_t token = 0; token < tokens; ++token)
          out[token * outputs + o] = dot(row, in + token * inputs, inputs) + (bias ? bias[o] : 0);
      }
    });
    return;
  }
  split(on, (outputs + kPanel - 1) / kPanel, 1, [&](std::int64_t begin, std::int64_t end, int worker) {
    float* const panel = rows + worker * scratch;
    for (std::int64_t unit = begin; unit < end; ++unit) {
      const std::int64_t first = unit * kPanel, count = std::min(kPanel, outputs - first);
      for (std::int64_t column = 0; column < inputs; column += kColumns) {
        const std::int64_t width = std::min(kColumns, inputs - column);
        float* const square = panel + kPanel * inputs;
        for (std::int64_t o = 0; o < kPanel; ++o)
          if (o < count)
            widen_part(on, square + o * kColumns, part.weight, first + o, column, width, rounds);
          else
            std::fill_n(square + o * kColumns, width, 0.0f);
        turn(on, panel + column * kPanel, square, width);
      }
      for (std::int64_t token = 0; token < tokens; token += kTokensAtOnce) {
        alignas(64) float tile[kTokensAtOnce * kPanel];
        const int at_once = static_cast<int>(std::min<std::int64_t>(kTokensAtOnce, tokens - token));
        multiply_panel(at_once, in + token * inputs, inputs, panel, tile);
        for (int t = 0; t < at_once; ++t)
          for (std::int64_t o = 0; o < count; ++o)
            out[(token + t) * outputs + first + o] = tile[t * kPanel + o] + (bias ? bias[first + o] : 0);
      }
    }
  });
}

}  // namespace deskhand::cpu
#endif
