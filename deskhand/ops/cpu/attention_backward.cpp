// A unit is one query head of one sequence. It goes through the keys in runs of 64 and, for each, through the queries that see them in runs
// of 48: five products a tile, all in registers and the first cache levels. d_q grows over the runs of keys in their order; d_k and d_v of
// a head are whole after its run and are summed over the heads that share a key head afterwards, in the heads' order.
#include <algorithm>

#include "deskhand/ops/attention.h"
#include "deskhand/ops/cpu/highway.h"
#include "deskhand/ops/cpu/panels.h"
#include "deskhand/ops/cpu/split.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "deskhand/ops/cpu/attention_backward.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include "deskhand/ops/cpu/tile-inl.h"

#ifndef DESKHAND_ATTENTION_BACKWARD_LAYOUT
#define DESKHAND_ATTENTION_BACKWARD_LAYOUT
namespace deskhand::cpu {

constexpr std::int64_t kKeys = 64, kQueries = 48;

// One query head of one sequence; pointers are to its first token.
struct HeadBackward {
  const float *q, *d_out, *k, *v;
  const float *logsumexp, *delta;     // `heads` floats from token to token
  float *d_q, *d_k, *d_v;             // d_q is zero before
  std::int64_t query_step, key_step;  // floats from token to token of q, d_out and d_q; of k and v
  std::int64_t d_key_step;            // of d_k and d_v
  std::int64_t heads, tokens, width;
  float scale;
  bool causal;
};

// A query's row of a tile.
struct Softmax {
  std::int64_t visible = 0, columns = 0;
  float logsumexp = 0, delta = 0;
};

struct HeadScratch {
  float *k_turned, *v_turned;  // (D, kKeys)
  float* k;                    // (kKeys, padded D)
  float *q, *d_out;            // (kQueries, padded D)
  float *weights, *d_scores;   // (kQueries, kKeys)
};

inline std::int64_t whole_vectors(std::int64_t width) {
  return (width + 15) / 16 * 16;
}
inline std::int64_t head_scratch_floats(std::int64_t width) {
  return 2 * width * kKeys + (kKeys + 2 * kQueries) * whole_vectors(width) + 2 * kQueries * kKeys;
}

}  // namespace deskhand::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace deskhand::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

float delta_of(const float* a, const float* b, std::int64_t count) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto sums = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) sums = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), sums);
  float sum = hn::GetLane(hn::SumOfLanes(d, sums));
  for (; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

// Rows of a head, `step` apart, as a matrix padded with zeros; turned too if wanted.
void gather(float* to, const float* from, std::int64_t step, std::int64_t rows, std::int64_t width) {
  const std::int64_t padded = whole_vectors(width);
  for (std::int64_t row = 0; row < rows; ++row) {
    std::copy_n(from + row * step, width, to + row * padded);
    std::fill(to + row * padded + width, to + (row + 1) * padded, 0.0f);
  }
}

void gather_turned(const Backend& on, float* to, const float* from, std::int64_t step, std::int64_t rows, std::int64_t width) {
  if (rows < kKeys) std::fill_n(to, width * kKeys, 0.0f);
  turn(on, {.to = to, .step = kKeys, .from = from, .from_step = step, .rows = rows, .columns = width});
}

// Scores become weights, their gradients those of the scores. Keys from `visible` on are hidden.
void soften_backward(float* weights, float* d_scores, const Softmax& at, float scale) {
  const hn::ScalableTag<float> d;
  const auto by = hn::Set(d, scale), sum = hn::Set(d, at.logsumexp), off = hn::Set(d, at.delta);
  for (std::int64_t key = 0; key < at.columns; key += static_cast<std::int64_t>(hn::Lanes(d))) {
    const auto weight = hn::Exp(d, hn::MulSub(hn::Load(d, weights + key), by, sum));
    hn::Store(weight, d, weights + key);
    hn::Store(hn::Mul(hn::Mul(weight, hn::Sub(hn::Load(d, d_scores + key), off)), by), d, d_scores + key);
  }
  for (std::int64_t key = at.visible; key < at.columns; ++key) weights[key] = d_scores[key] = 0;
}

void head_backward(const Backend& on, const HeadBackward& at, float* memory) {
  const std::int64_t width = at.width, padded = whole_vectors(width);
  const auto take = [&memory](std::int64_t count) {
    float* const piece = memory;
    memory += count;
    return piece;
  };
  HeadScratch s{};
  s.k_turned = take(width * kKeys);
  s.v_turned = take(width * kKeys);
  s.k = take(kKeys * padded);
  s.q = take(kQueries * padded);
  s.d_out = take(kQueries * padded);
  s.weights = take(kQueries * kKeys);
  s.d_scores = take(kQueries * kKeys);
  for (std::int64_t key = 0; key < at.tokens; key += kKeys) {
    const std::int64_t keys = std::min(kKeys, at.tokens - key);
    gather_turned(on, s.k_turned, at.k + key * at.key_step, at.key_step, keys, width);
    gather_turned(on, s.v_turned, at.v + key * at.key_step, at.key_step, keys, width);
    gather(s.k, at.k + key * at.key_step, at.key_step, keys, width);
    for (std::int64_t row = key; row < key + keys; ++row) {
      std::fill_n(at.d_k + row * at.d_key_step, width, 0.0f);
      std::fill_n(at.d_v + row * at.d_key_step, width, 0.0f);
    }
    for (std::int64_t query = at.causal ? key : 0; query < at.tokens; query += kQueries) {
      const std::int64_t queries = std::min(kQueries, at.tokens - query);
      const std::int64_t seen = at.causal ? std::min(keys, query + queries - key) : keys, columns = whole_vectors(seen);
      gather(s.q, at.q + query * at.query_step, at.query_step, queries, width);
      gather(s.d_out, at.d_out + query * at.query_step, at.query_step, queries, width);
      TileProduct scores{.a = s.q, .a_step = padded, .b = s.k_turned, .b_step = kKeys, .depth = width, .c = s.weights, .c_step = kKeys};
      multiply_tiles<false>(scores, queries, columns);
      scores.a = s.d_out;
      scores.b = s.v_turned;
      scores.c = s.d_scores;
      multiply_tiles<false>(scores, queries, columns);
      for (std::int64_t row = 0; row < queries; ++row) {
        const std::int64_t visible = at.causal ? std::min(keys, query + row + 1 - key) : keys, token = (query + row) * at.heads;
        const Softmax softmax{.visible = visible, .columns = columns, .logsumexp = at.logsumexp[token], .delta = at.delta[token]};
        soften_backward(s.weights + row * kKeys, s.d_scores + row * kKeys, softmax, at.scale);
      }
      TileProduct keys_of{.a = s.weights, .a_step = kKeys, .b = s.d_out, .b_step = padded, .depth = queries, .adds = true};
      keys_of.c = at.d_v + key * at.d_key_step;
      keys_of.c_step = at.d_key_step;
      multiply_tiles<true>(keys_of, seen, width);
      keys_of.a = s.d_scores;
      keys_of.b = s.q;
      keys_of.c = at.d_k + key * at.d_key_step;
      multiply_tiles<true>(keys_of, seen, width);
      TileProduct queries_of{.a = s.d_scores, .a_step = kKeys, .b = s.k, .b_step = padded, .depth = seen, .adds = true};
      queries_of.c = at.d_q + query * at.query_step;
      queries_of.c_step = at.query_step;
      multiply_tiles<false>(queries_of, queries, width);
    }
  }
}

}  // namespace deskhand::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace deskhand::cpu {
namespace {

enum Slot : int { kScratch, kDelta, kKeyGradients, kValueGradients };

}  // namespace

void attention_backward(const Backend& on, const AttentionGradients& gradients, ConstView d_out, const AttentionForward& forward,
                        std::span<const std::int32_t> bounds, AttentionOptions options) {
  const std::int64_t heads = forward.q.shape()[1], groups = forward.k.shape()[1], width = forward.q.shape()[2], share = heads / groups;
  const std::int64_t first_row = bounds.front(), rows = bounds.back() - bounds.front();
  const auto sequences = static_cast<std::int64_t>(bounds.size()) - 1;
  const float* const d = d_out.floats().data();
  const float* const out = forward.out.floats().data();
  float* const d_q = gradients.d_q.floats().data();
  const auto delta_of = DESKHAND_CHOOSE(on, delta_of);
  float* const delta = on.workspace->get<float>(kDelta, rows * heads);
  split(on, rows * heads, grain_of_rows(width), [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t at = (first_row * heads + i) * width;
      delta[i] = delta_of(d + at, out + at, width);
      std::fill_n(d_q + at, width, 0.0f);
    }
  });

  // Where query heads share keys, each has a gradient of its own first.
  float* d_k = gradients.d_k.floats().data() + first_row * groups * width;
  float* d_v = gradients.d_v.floats().data() + first_row * groups * width;
  if (share > 1) {
    d_k = on.workspace->get<float>(kKeyGradients, rows * heads * width);
    d_v = on.workspace->get<float>(kValueGradients, rows * heads * width);
  }
  const std::int64_t floats = (head_scratch_floats(width) + 15) / 16 * 16;
  float* const scratch = on.workspace->get<float>(kScratch, floats * on.pool->size());
  const auto head_backward = DESKHAND_CHOOSE(on, head_backward);
  split(on, sequences * heads, 1, [&](std::int64_t begin, std::int64_t end, int worker) {
    for (std::int64_t unit = begin; unit < end; ++unit) {
      const auto sequence = static_cast<std::size_t>(unit / heads);
      const std::int64_t head = unit % heads, row = bounds[sequence], group = head / share;
      const std::int64_t query = (row * heads + head) * width, key = (row * groups + group) * width;
      const std::int64_t d_key = ((row - first_row) * heads + head) * width;
      head_backward(on,
                    {.q = forward.q.floats().data() + query,
                     .d_out = d + query,
                     .k = forward.k.floats().data() + key,
                     .v = forward.v.floats().data() + key,
                     .logsumexp = forward.logsumexp.floats().data() + row * heads + head,
                     .delta = delta + (row - first_row) * heads + head,
                     .d_q = d_q + query,
                     .d_k = d_k + d_key,
                     .d_v = d_v + d_key,
                     .query_step = heads * width,
                     .key_step = groups * width,
                     .d_key_step = heads * width,
                     .heads = heads,
                     .tokens = bounds[sequence + 1] - row,
                     .width = width,
                     .scale = options.scale,
                     .causal = options.causal},
                    scratch + worker * floats);
    }
  });
  if (share == 1) return;
  split(on, rows * groups, grain_of_rows(2 * share * width), [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t i = begin; i < end; ++i)
      for (const auto& [to, from] : {std::pair(gradients.d_k, d_k), std::pair(gradients.d_v, d_v)}) {
        float* const sum = to.floats().data() + (first_row * groups + i) * width;
        const float* const parts = from + i * share * width;
        std::copy_n(parts, width, sum);
        for (std::int64_t part = 1; part < share; ++part)
          for (std::int64_t c = 0; c < width; ++c) sum[c] += parts[part * width + c];
      }
  });
}

}  // namespace deskhand::cpu
#endif
