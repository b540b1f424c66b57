// Philox on vectors: a counter to each lane of 64 bits, of which the lower half counts, so that a product of 32 bits with 32 has its place.
// Eight draws of 16 bits a counter.
#include "deskhand/ops/dropout.h"

#include <algorithm>
#include <cmath>

#include "deskhand/ops/cpu/highway.h"
#include "deskhand/ops/cpu/split.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "deskhand/ops/cpu/dropout.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

#ifndef DESKHAND_DROPOUT_RUN
#define DESKHAND_DROPOUT_RUN
namespace deskhand::cpu {

struct DropoutRow {
  std::uint32_t row = 0, layer = 0, step = 0, key[2] = {};
  std::uint32_t falls = 0;  // draws below it
  float scale = 1;
  bool adds = false;
};

}  // namespace deskhand::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace deskhand::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int kCounters = 16, kDraws = 8 * kCounters;

// The eight draws of counter `first`, then those of the next, kCounters of them.
#if HWY_TARGET == HWY_SCALAR
void draw(const DropoutRow& at, std::uint32_t first, std::uint16_t* draws) {
  for (std::uint32_t counter = first; counter < first + kCounters; ++counter) {
    std::uint32_t words[] = {at.row, counter, at.layer, at.step}, key0 = at.key[0], key1 = at.key[1];
    for (int round = 0; round < 10; ++round, key0 += 0x9e3779b9, key1 += 0xbb67ae85) {
      const std::uint64_t p = std::uint64_t{0xd2511f53} * words[0], q = std::uint64_t{0xcd9e8d57} * words[2];
      words[0] = static_cast<std::uint32_t>(q >> 32) ^ words[1] ^ key0;
      words[1] = static_cast<std::uint32_t>(q);
      words[2] = static_cast<std::uint32_t>(p >> 32) ^ words[3] ^ key1;
      words[3] = static_cast<std::uint32_t>(p);
    }
    for (const std::uint32_t word : words) {
      *draws++ = static_cast<std::uint16_t>(word);
      *draws++ = static_cast<std::uint16_t>(word >> 16);
    }
  }
}
#else
void draw(const DropoutRow& at, std::uint32_t first, std::uint16_t* draws) {
  const hn::CappedTag<std::uint64_t, kCounters> d;
  const hn::Repartition<std::uint32_t, decltype(d)> halves;
  using V = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<int>(hn::Lanes(d));
  const auto times = [&](V x, std::uint32_t factor) { return hn::MulEven(hn::BitCast(halves, x), hn::Set(halves, factor)); };
  // Lanes are interleaved at the end: even ones hold the first half of the counters, odd ones the second.
  HWY_ALIGN std::uint64_t order[kCounters];
  for (int i = 0; i < lanes; ++i) order[i] = static_cast<std::uint64_t>(i / 2 + i % 2 * (lanes / 2));
  for (int counter = 0; counter < kCounters; counter += lanes, draws += 8 * lanes) {
    V a = hn::Set(d, at.row), c = hn::Set(d, at.layer), e = hn::Set(d, at.step);
    V b = hn::Add(hn::Load(d, order), hn::Set(d, std::uint64_t{first} + static_cast<std::uint64_t>(counter)));
    std::uint32_t key0 = at.key[0], key1 = at.key[1];
    for (int round = 0; round < 10; ++round, key0 += 0x9e3779b9, key1 += 0xbb67ae85) {
      const V p = times(a, 0xd2511f53), q = times(c, 0xcd9e8d57);
      a = hn::Xor(hn::Xor(hn::ShiftRight<32>(q), b), hn::Set(d, key0));
      b = q;
      c = hn::Xor(hn::Xor(hn::ShiftRight<32>(p), e), hn::Set(d, key1));
      e = p;
    }
    const auto join = [&](V low, V high) {
      return hn::BitCast(d, hn::OddEven(hn::BitCast(halves, hn::ShiftLeft<32>(high)), hn::BitCast(halves, low)));
    };
    const V ab = join(a, b), ce = join(c, e);
    auto* const to = reinterpret_cast<std::uint64_t*>(draws);
    hn::StoreU(hn::InterleaveLower(d, ab, ce), d, to);
    hn::StoreU(hn::InterleaveUpper(d, ab, ce), d, to + lanes);
  }
}
#endif

template <class D>
HWY_INLINE void drop(D d, const DropoutRow& at, const std::uint16_t* draws, float* out, const float* x) {
  const hn::Rebind<std::int32_t, D> whole;
  const hn::Rebind<std::uint16_t, D> half;
  const auto drawn = hn::PromoteTo(whole, hn::LoadU(half, draws));
  const auto falls = hn::RebindMask(d, hn::Lt(drawn, hn::Set(whole, static_cast<std::int32_t>(at.falls))));
  const auto value = hn::IfThenZeroElse(falls, hn::Mul(hn::LoadU(d, x), hn::Set(d, at.scale)));
  hn::StoreU(at.adds ? hn::Add(hn::LoadU(d, out), value) : value, d, out);
}

void dropout_row(const DropoutRow& at, float* out, const float* x, std::int64_t width) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int>(hn::Lanes(d));
  alignas(64) std::uint16_t draws[kDraws];
  for (std::int64_t column = 0; column < width; column += kDraws) {
    draw(at, static_cast<std::uint32_t>(column / 8), draws);
    const auto count = static_cast<int>(std::min<std::int64_t>(kDraws, width - column));
    int i = 0;
    for (; i + lanes <= count; i += lanes) drop(d, at, draws + i, out + column + i, x + column + i);
    for (; i < count; ++i) drop(hn::CappedTag<float, 1>(), at, draws + i, out + column + i, x + column + i);
  }
}

}  // namespace deskhand::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace deskhand::cpu {

void dropout(const Backend& on, View out, ConstView x, const Dropout& dropped, Into into) {
  const std::int64_t width = x.shape()[1];
  const double falls = std::floor(dropped.probability * 65536.0 + 0.5);
  const DropoutRow any{.layer = dropped.layer,
                       .step = dropped.step,
                       .key = {static_cast<std::uint32_t>(dropped.seed), static_cast<std::uint32_t>(dropped.seed >> 32)},
                       .falls = static_cast<std::uint32_t>(falls),
                       .scale = static_cast<float>(65536 / (65536 - falls)),
                       .adds = into == Into::kAdd};
  const auto dropout_row = DESKHAND_CHOOSE(on, dropout_row);
  split(on, x.shape()[0], grain_of_rows(width), [&](std::int64_t begin, std::int64_t end, int) {
    DropoutRow at = any;
    for (std::int64_t row = begin; row < end; ++row) {
      at.row = dropped.first_row + static_cast<std::uint32_t>(row);
      dropout_row(at, out.floats().data() + row * width, x.floats().data() + row * width, width);
    }
  });
}

}  // namespace deskhand::cpu
#endif
