#include "deskhand/retrieve/vector_index.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "deskhand/base/error.h"

using namespace deskhand;

namespace {

std::vector<float> random_values(std::int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& x : values) x = normal(random);
  return values;
}

double plain_cosine(const float* a, const float* b, std::int64_t width) {
  double dot = 0, aa = 0, bb = 0;
  for (std::int64_t i = 0; i < width; ++i) dot += double{a[i]} * b[i], aa += double{a[i]} * a[i], bb += double{b[i]} * b[i];
  return dot / std::sqrt(aa * bb);
}

}  // namespace

TEST_CASE("cosines equal a plain loop in double at every width and number of threads") {
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    for (const std::int64_t width : {1, 3, 7, 8, 16, 31, 33, 64, 100, 384, 387}) {
      constexpr std::int64_t kCount = 1500;
      CAPTURE(width);
      const auto rows = random_values(kCount * width, 1), query = random_values(width, 2);
      const VectorIndex index(rows, width, pool);
      std::vector<float> found(kCount);
      index.cosines(query, found, pool);
      double worst = 0;
      for (std::int64_t i = 0; i < kCount; ++i)
        worst = std::max(worst, std::abs(found[static_cast<std::size_t>(i)] - plain_cosine(rows.data() + i * width, query.data(), width)));
      CHECK(worst < 2e-6);  // float32 sums of 387 products
    }
  }
}

TEST_CASE("search gives the best rows, best first, as sorting everything does") {
  ThreadPool pool(2);
  const auto rows = random_values(5000 * 48, 3), query = random_values(48, 4);
  const VectorIndex index(rows, 48, pool);
  std::vector<float> all(5000);
  index.cosines(query, all, pool);
  std::vector<std::uint32_t> order(5000);
  for (std::uint32_t i = 0; i < 5000; ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return all[a] > all[b]; });
  const auto best = index.search(query, 25, pool);
  CHECK(best.size() == 25);
  for (std::size_t i = 0; i < best.size(); ++i) CHECK(best[i].item == order[i]);
  CHECK(index.search(query, 9000, pool).size() == 5000);
  CHECK(index.search(query, 0, pool).empty());
}

TEST_CASE("ties stand by place and NaN is never chosen") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto best = best_of(std::vector<float>{nan, 1, 3, 1, 3, nan, 1}, 4);
  CHECK(best.size() == 4);
  CHECK(best[0].item == 2);
  CHECK(best[1].item == 4);
  CHECK(best[2].item == 1);
  CHECK(best[3].item == 3);
}

TEST_CASE("a row of zeros is near to nothing, what is not finite is refused") {
  ThreadPool pool(1);
  const VectorIndex index({0, 0, 3, 4}, 2, pool);
  std::vector<float> found(2);
  index.cosines(std::vector<float>{30, 40}, found, pool);
  CHECK(found[0] == 0);
  CHECK(found[1] == doctest::Approx(1));
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK_THROWS_AS(VectorIndex({1, infinity}, 2, pool), Error);
  CHECK_THROWS_AS(index.cosines(std::vector<float>{1, infinity}, found, pool), Error);
  CHECK_THROWS_WITH_AS(index.cosines(std::vector<float>{1, 2, 3}, found, pool), doctest::Contains("width 3"), Error);
  CHECK_THROWS_AS(VectorIndex({1, 2, 3}, 2, pool), Error);
  CHECK(VectorIndex().search({}, 3, pool).empty());
}
