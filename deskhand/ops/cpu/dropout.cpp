// Sixteen Philox counters at a time give 128 draws of 16 bits. Whole numbers in plain loops, which the compiler turns into vectors for each
// set of instructions.
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

constexpr int kCounters = 16, kDraws = 8 * kCounters;

// draws[j * kCounters + i] is draw j of counter `first` + i.
void draw(const DropoutRow& at, std::uint32_t first, std::uint16_t* draws) {
  std::uint32_t a[kCounters], b[kCounters], c[kCounters], d[kCounters];
  for (int i = 0; i < kCounters; ++i) {
    a[i] = at.row;
    b[i] = first + static_cast<std::uint32_t>(i);
    c[i] = at.layer;
    d[i] = at.step;
  }
  std::uint32_t key0 = at.key[0], key1 = at.key[1];
  for (int round = 0; round < 10; ++round, key0 += 0x9e3779b9, key1 += 0xbb67ae85)
    for (int i = 0; i < kCounters; ++i) {
      const std::uint64_t p = std::uint64_t{0xd2511f53} * a[i], q = std::uint64_t{0xcd9e8d57} * c[i];
      a[i] = static_cast<std::uint32_t>(q >> 32) ^ b[i] ^ key0;
      b[i] = static_cast<std::uint32_t>(q);
      c[i] = static_cast<std::uint32_t>(p >> 32) ^ d[i] ^ key1;
      d[i] = static_cast<std::uint32_t>(p);
    }
  const std::uint32_t* const words[] = {a, b, c, d};
  for (int word = 0; word < 4; ++word)
    for (int i = 0; i < kCounters; ++i) {
      draws[8 * i + 2 * word] = static_cast<std::uint16_t>(words[word][i]);
      draws[8 * i + 2 * word + 1] = static_cast<std::uint16_t>(words[word][i] >> 16);
    }
}

void dropout_row(const DropoutRow& at, float* out, const float* x, std::int64_t width) {
  std::uint16_t draws[kDraws];
  for (std::int64_t column = 0; column < width; column += kDraws) {
    draw(at, static_cast<std::uint32_t>(column / 8), draws);
    const auto count = static_cast<int>(std::min<std::int64_t>(kDraws, width - column));
    for (int i = 0; i < count; ++i) {
      const float value = draws[i] < at.falls ? 0.0f : x[column + i] * at.scale;
      out[column + i] = at.adds ? out[column + i] + value : value;
    }
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
