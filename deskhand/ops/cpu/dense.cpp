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

constexpr std::int64_t kPanel = 32;         // as multiply_panel has it
constexpr std::int64_t kMostFewTokens = 4;  // up to this many, a row meets the tokens as it lies
constexpr int kTokensAtOnce = 6;

enum Slot : int { kRows, kRounded };

void round_to_bf16(float* values, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) values[i] = from_bf16(to_bf16(values[i]));
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

void multiply_dense(const Backend& on, const LinearPart& part, ConstView x) {
  const std::int64_t inputs = x.shape()[1], tokens = x.shape()[0], outputs = part.weight.shape()[0];
  const bool rounds = on.compute == Compute::kBF16, few = tokens <= kMostFewTokens;
  const float* in = x.floats().data();
  if (rounds) {
    float* const copy = on.workspace->get<float>(kRounded, tokens * inputs);
    std::copy_n(in, tokens * inputs, copy);
    round_to_bf16(copy, tokens * inputs);
    in = copy;
  }
  const std::int64_t scratch = inputs * (few ? 1 : kPanel + 1);
  float* const rows = on.workspace->get<float>(kRows, on.pool->size() * scratch);
  const auto dot = DESKHAND_CHOOSE(on, dot);
  const auto multiply_panel = DESKHAND_CHOOSE(on, multiply_panel);
  const float* const bias = part.bias.empty() ? nullptr : part.bias.floats().data();
  float* const out = part.out.floats().data();
  const auto floats_of = [&](std::int64_t o, float* to) -> const float* {
    const ConstView row = part.weight.rows(o, 1);
    if (row.type() == DType::kF32 && !rounds) return row.floats().data();
    widen_row(on, to, row);
    if (rounds) round_to_bf16(to, inputs);
    return to;
  };
  if (few) {
    split(on, outputs, grain_of_rows(inputs), [&](std::int64_t begin, std::int64_t end, int worker) {
      for (std::int64_t o = begin; o < end; ++o) {
        const float* row = floats_of(o, rows + worker * scratch);
        for (std::int64_t token = 0; token < tokens; ++token)
          out[token * outputs + o] = dot(row, in + token * inputs, inputs) + (bias ? bias[o] : 0);
      }
    });
    return;
  }
  split(on, (outputs + kPanel - 1) / kPanel, 1, [&](std::int64_t begin, std::int64_t end, int worker) {
    float* const panel = rows + worker * scratch;
    for (std::int64_t first = begin * kPanel; first < end * kPanel; first += kPanel) {
      const std::int64_t count = std::min(kPanel, outputs - first);
      if (count <= 0) break;
      for (std::int64_t o = 0; o < kPanel; ++o) {
        const float* row = o < count ? floats_of(first + o, panel + kPanel * inputs) : nullptr;
        for (std::int64_t i = 0; i < inputs; ++i) panel[i * kPanel + o] = row ? row[i] : 0;
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
