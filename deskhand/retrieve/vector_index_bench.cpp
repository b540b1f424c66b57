// 100 000 x 384 float32, one query: 154 MB read. The figure is bytes of the index a second; read_only, the sum of as many integers, is what
// memory gives at that moment.
#include <benchmark/benchmark.h>

#include <random>

#include "deskhand/retrieve/vector_index.h"

namespace {

void search(benchmark::State& state) {
  constexpr std::int64_t kCount = 100000, kWidth = 384;
  deskhand::ThreadPool pool(static_cast<int>(state.range(0)));
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> vectors(kCount * kWidth), query(kWidth);
  for (float& x : vectors) x = normal(random);
  for (float& x : query) x = normal(random);
  const deskhand::VectorIndex index(std::move(vectors), kWidth, pool);
  for (auto _ : state) benchmark::DoNotOptimize(index.search(query, 10, pool));
  state.SetBytesProcessed(state.iterations() * kCount * kWidth * static_cast<std::int64_t>(sizeof(float)));
}
BENCHMARK(search)->ArgName("threads")->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);

void read_only(benchmark::State& state) {
  constexpr std::int64_t kCount = std::int64_t{100000} * 384 / 2;
  deskhand::ThreadPool pool(static_cast<int>(state.range(0)));
  const std::vector<std::uint64_t> values(kCount, 1);
  for (auto _ : state)
    pool.parallel_for(kCount, 1 << 18, [&](std::int64_t begin, std::int64_t end, int) {
      std::uint64_t sum = 0;
      for (std::int64_t i = begin; i < end; ++i) sum += values[static_cast<std::size_t>(i)];
      benchmark::DoNotOptimize(sum);
    });
  state.SetBytesProcessed(state.iterations() * kCount * static_cast<std::int64_t>(sizeof(std::uint64_t)));
}
BENCHMARK(read_only)->ArgName("threads")->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
