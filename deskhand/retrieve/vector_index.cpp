// Bound by memory: every query reads all vectors once. Four accumulators hide the latency of the multiply-add.
#include "deskhand/retrieve/vector_index.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "deskhand/base/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "deskhand/retrieve/vector_index.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h, which includes this file once a target.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace deskhand {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// out[i] = query . rows[i]; rows: (count, width).
void dot_rows(const float* query, const float* rows, std::size_t count, std::size_t width, float* out) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  for (std::size_t i = 0; i < count; ++i) {
    const float* row = rows + i * width;
    auto sum0 = hn::Zero(d), sum1 = hn::Zero(d), sum2 = hn::Zero(d), sum3 = hn::Zero(d);
    std::size_t j = 0;
    for (; j + 4 * lanes <= width; j += 4 * lanes) {
      sum0 = hn::MulAdd(hn::LoadU(d, query + j), hn::LoadU(d, row + j), sum0);
      sum1 = hn::MulAdd(hn::LoadU(d, query + j + lanes), hn::LoadU(d, row + j + lanes), sum1);
      sum2 = hn::MulAdd(hn::LoadU(d, query + j + 2 * lanes), hn::LoadU(d, row + j + 2 * lanes), sum2);
      sum3 = hn::MulAdd(hn::LoadU(d, query + j + 3 * lanes), hn::LoadU(d, row + j + 3 * lanes), sum3);
    }
    for (; j + lanes <= width; j += lanes) sum0 = hn::MulAdd(hn::LoadU(d, query + j), hn::LoadU(d, row + j), sum0);
    float dot = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3))));
    for (; j < width; ++j) dot += query[j] * row[j];
    out[i] = dot;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace deskhand
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace deskhand {
namespace {

HWY_EXPORT(dot_rows);

constexpr std::int64_t kRowsApart = 512;  // rows a thread takes at least

// 1 / length; 0 for zeros; throws on what is not finite.
double inverse_length(std::span<const float> vector, const char* what) {
  double squares = 0;
  for (const float x : vector) squares += double{x} * x;
  if (!std::isfinite(squares))
    throw Error(ExitCode::kBadInput, "{} holds a value that is not finite; the encoder failed on its text", what);
  return squares > 0 ? 1 / std::sqrt(squares) : 0;
}

bool is_better(const Scored& a, const Scored& b) {
  return a.score != b.score ? a.score > b.score : a.item < b.item;
}

}  // namespace

VectorIndex::VectorIndex(std::vector<float> vectors, std::int64_t width, ThreadPool& pool) : width_(width), vectors_(std::move(vectors)) {
  if (width <= 0 || vectors_.size() % static_cast<std::size_t>(width) != 0)
    throw Error(ExitCode::kBadInput, "{} values are no matrix of width {}", vectors_.size(), width);
  count_ = static_cast<std::int64_t>(vectors_.size()) / width;
  if (count_ > std::numeric_limits<std::uint32_t>::max())
    throw Error(ExitCode::kTooLarge, "{} vectors; an index holds 2^32 at most", count_);
  pool.parallel_for(count_, kRowsApart, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::span<float> vector(vectors_.data() + row * width_, static_cast<std::size_t>(width_));
      const double scale = inverse_length(vector, "a vector of the index");
      if (std::abs(scale - 1) < 1e-6) continue;  // already of unit length: its bits stay
      for (float& x : vector) x = static_cast<float>(x * scale);
    }
  });
}

void VectorIndex::cosines(std::span<const float> query, std::span<float> out, ThreadPool& pool) const {
  if (static_cast<std::int64_t>(query.size()) != width_)
    throw Error(ExitCode::kBadInput, "a query vector of width {}; the index holds width {}", query.size(), width_);
  DESKHAND_ASSERT(static_cast<std::int64_t>(out.size()) == count_, "(count) of out");
  std::vector<float> unit(query.begin(), query.end());
  const double scale = inverse_length(query, "the query vector");
  for (float& x : unit) x = static_cast<float>(x * scale);
  pool.parallel_for(count_, kRowsApart, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(dot_rows)
    (unit.data(), vectors_.data() + begin * width_, static_cast<std::size_t>(end - begin), static_cast<std::size_t>(width_),
     out.data() + begin);
  });
}

std::vector<Scored> VectorIndex::search(std::span<const float> query, std::int64_t k, ThreadPool& pool) const {
  if (count_ == 0) return {};
  std::vector<float> scores(static_cast<std::size_t>(count_));
  cosines(query, scores, pool);
  return best_of(scores, k);
}

std::vector<Scored> best_of(std::span<const float> scores, std::int64_t k) {
  if (k <= 0) return {};
  const auto wanted = static_cast<std::size_t>(std::min<std::int64_t>(k, static_cast<std::int64_t>(scores.size())));
  std::vector<Scored> best;  // a heap with the worst of the best on top: most scores are turned away by one comparison
  best.reserve(wanted);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const Scored candidate{static_cast<std::uint32_t>(i), scores[i]};
    if (std::isnan(scores[i])) continue;
    if (best.size() < wanted) {
      best.push_back(candidate);
      std::push_heap(best.begin(), best.end(), is_better);
    } else if (candidate.score > best.front().score) {  // an equal score comes later, so it loses the tie
      std::pop_heap(best.begin(), best.end(), is_better);
      best.back() = candidate;
      std::push_heap(best.begin(), best.end(), is_better);
    }
  }
  std::sort_heap(best.begin(), best.end(), is_better);
  return best;
}

}  // namespace deskhand
#endif  // HWY_ONCE
