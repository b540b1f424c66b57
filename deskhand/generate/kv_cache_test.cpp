#include "deskhand/generate/kv_cache.h"

#include <doctest/doctest.h>

#include <numeric>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

KvCacheSettings room(std::int64_t tokens) {
  return {.tokens = tokens, .page_tokens = 4, .type = DType::kF32};
}
constexpr KvShape kShape{2, 1, 1};

// One float a token and layer.
float& cell(KvCache& cache, const KvCache::Sequence& sequence, std::size_t layer, std::int32_t position) {
  const auto page = sequence.pages()[static_cast<std::size_t>(position / 4)];
  return cache.layers()[layer].keys.floats()[static_cast<std::size_t>(page * 4 + position % 4)];
}
void append(KvCache& cache, KvCache::Sequence& sequence, std::span<const std::int32_t> tokens) {
  const std::int32_t from = sequence.length();
  sequence.grow(static_cast<std::int32_t>(tokens.size()));
  for (std::size_t i = 0; i < tokens.size(); ++i)
    for (std::size_t layer = 0; layer < 2; ++layer)
      cell(cache, sequence, layer, from + static_cast<std::int32_t>(i)) =
          static_cast<float>(tokens[i]) + 1000.f * static_cast<float>(layer);
}
std::vector<std::int32_t> read(KvCache& cache, const KvCache::Sequence& sequence) {
  std::vector<std::int32_t> out;
  for (std::int32_t i = 0; i < sequence.length(); ++i) {
    out.push_back(static_cast<std::int32_t>(cell(cache, sequence, 0, i)));
    CHECK(cell(cache, sequence, 1, i) == cell(cache, sequence, 0, i) + 1000);
  }
  return out;
}
std::vector<std::int32_t> counted(std::int32_t from, std::int32_t count) {
  std::vector<std::int32_t> out(static_cast<std::size_t>(count));
  std::iota(out.begin(), out.end(), from);
  return out;
}

TEST_CASE("a fork reads the same tokens, and neither sees what the other writes afterwards") {
  KvCache cache(kShape, room(64));
  auto first = cache.sequence();
  append(cache, first, counted(1, 6));
  auto second = first.fork();
  CHECK(cache.free_pages() == 14);
  append(cache, second, counted(100, 3));
  append(cache, first, counted(200, 1));
  CHECK(read(cache, first) == std::vector<std::int32_t>{1, 2, 3, 4, 5, 6, 200});
  CHECK(read(cache, second) == std::vector<std::int32_t>{1, 2, 3, 4, 5, 6, 100, 101, 102});
  CHECK(second.pages()[0] == first.pages()[0]);
  CHECK(second.pages()[1] != first.pages()[1]);
}

TEST_CASE("what was cut off a fork is written over without touching the other") {
  KvCache cache(kShape, room(64));
  auto first = cache.sequence();
  append(cache, first, counted(1, 8));
  auto second = first.fork();
  second.truncate(3);
  append(cache, second, counted(50, 4));
  CHECK(read(cache, first) == counted(1, 8));
  CHECK(read(cache, second) == std::vector<std::int32_t>{1, 2, 3, 50, 51, 52, 53});
}

TEST_CASE("every page comes back when its sequences end") {
  KvCache cache(kShape, room(64));
  {
    auto first = cache.sequence();
    append(cache, first, counted(1, 30));
    auto second = first.fork(), third = second.fork();
    append(cache, second, counted(1, 9));
    third.truncate(5);
    first.release();
    first = std::move(second);
  }
  CHECK(cache.free_pages() == cache.pages());
}

TEST_CASE("a cache without a free page says what to change and leaves the sequence as it was") {
  KvCache cache(kShape, room(16));
  auto first = cache.sequence();
  append(cache, first, counted(1, 6));
  auto second = cache.sequence();
  second.grow(8);
  auto third = first.fork();
  CHECK_THROWS_WITH_AS(third.grow(1), doctest::Contains("all 4 pages of 4 tokens"), Error);
  CHECK(third.length() == 6);
  CHECK_THROWS_AS(first.grow(20), Error);
  CHECK(read(cache, first) == counted(1, 6));
  second.release();
  append(cache, third, counted(7, 1));
  CHECK(read(cache, third) == counted(1, 7));
}

TEST_CASE("a remembered prompt is recalled up to its longest common beginning, in the middle of a page too") {
  KvCache cache(kShape, room(256));
  const auto prompt = counted(1, 22);
  {
    auto sequence = cache.sequence();
    append(cache, sequence, prompt);
    cache.remember("model", prompt, sequence);
    append(cache, sequence, counted(900, 5));  // the answer must not leak into what is remembered
  }
  CHECK(cache.remembered_pages() == 6);
  auto like = prompt;
  like[18] = 77;
  auto recalled = cache.recall("model", like);
  CHECK(recalled.length() == 18);
  CHECK(read(cache, recalled) == counted(1, 18));
  append(cache, recalled, std::span(like).subspan(18));
  auto again = cache.recall("model", prompt);
  CHECK(again.length() == 21);  // one token is left to ask for
  CHECK(read(cache, again) == counted(1, 21));
  CHECK(cache.recall("model+adapter", prompt).length() == 0);
  CHECK(cache.recall("model", counted(5, 9)).length() == 0);
}

TEST_CASE("the longest of several beginnings is found, and a longer prompt takes the place of its own shorter last page") {
  KvCache cache(kShape, room(256));
  for (const auto& prompt : {std::vector<std::int32_t>{1, 2, 3, 4, 5, 6, 7, 8, 9}, std::vector<std::int32_t>{1, 2, 3, 4, 5, 9},
                             std::vector<std::int32_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}) {
    auto sequence = cache.sequence();
    append(cache, sequence, prompt);
    cache.remember("m", prompt, sequence);
  }
  CHECK(cache.remembered_pages() == 4);
  CHECK(cache.recall("m", std::vector<std::int32_t>{1, 2, 3, 4, 5, 9, 9}).length() == 6);
  auto longest = cache.recall("m", std::vector<std::int32_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  CHECK(read(cache, longest) == counted(1, 10));
}

TEST_CASE("when pages run out the least recently used prompt goes first, and none that a sequence still reads") {
  KvCache cache(kShape, room(32));
  for (const std::int32_t start : {100, 200, 300}) {
    auto sequence = cache.sequence();
    append(cache, sequence, counted(start, 8));
    cache.remember("m", counted(start, 8), sequence);
  }
  CHECK(cache.recall("m", counted(100, 9)).length() == 8);  // now the most recently used
  auto held = cache.recall("m", counted(300, 9));
  auto fresh = cache.sequence();
  append(cache, fresh, counted(1, 16));
  CHECK(cache.recall("m", counted(200, 9)).length() == 0);
  CHECK(cache.recall("m", counted(100, 9)).length() == 8);
  append(cache, fresh, counted(17, 8));
  CHECK(cache.recall("m", counted(100, 9)).length() == 0);
  CHECK(read(cache, held) == counted(300, 8));
  CHECK_THROWS_AS(fresh.grow(1), Error);
  held.release();
  fresh.release();
  cache.forget();
  CHECK(cache.free_pages() == cache.pages());
}

TEST_CASE("settings that no cache can have are refused") {
  CHECK_THROWS_AS(KvCache(kShape, {.tokens = 0}), Error);
  CHECK_THROWS_AS(KvCache(kShape, {.page_tokens = 0}), Error);
  CHECK_THROWS_AS(KvCache(kShape, {.type = DType::kI8}), Error);
}

}  // namespace
}  // namespace deskhand
