// Exact cosine search: one pass over all vectors with the widest SIMD this processor has. 100 000 x 384 is 154 MB, some milliseconds; an
// approximate index pays beyond a million cases and would make answers depend on the order of insertion.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "deskhand/base/parallel.h"

namespace deskhand {

// A place in a channel's list: the item (its number in the index) and its score, more is better.
struct Scored {
  std::uint32_t item = 0;
  double score = 0;
};

class VectorIndex {
 public:
  VectorIndex() = default;  // no vectors
  // vectors: (count, width) row-major. Rows are brought to unit length; a row of zeros has cosine 0 with everything.
  // Throws Error(kBadInput) for values that are not finite or a size that is no multiple of width.
  VectorIndex(std::vector<float> vectors, std::int64_t width, ThreadPool& pool);

  std::int64_t size() const noexcept { return count_; }
  std::int64_t width() const noexcept { return width_; }

  // out[i] = cosine of query and row i, for every row. query: (width), any length but finite. Throws Error(kBadInput) otherwise.
  void cosines(std::span<const float> query, std::span<float> out, ThreadPool& pool) const;
  // The k best rows, best first, ties by row.
  std::vector<Scored> search(std::span<const float> query, std::int64_t k, ThreadPool& pool) const;

 private:
  std::int64_t count_ = 0, width_ = 0;
  std::vector<float> vectors_;
};

// The k best of `scores`, best first, ties by place. NaN is never chosen: it marks what may not be found.
std::vector<Scored> best_of(std::span<const float> scores, std::int64_t k);

}  // namespace deskhand
