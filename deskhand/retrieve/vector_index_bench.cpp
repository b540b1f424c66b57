// 100 000 x 384 float32, one query: 154 MB read. The figure is bytes of the index a second.
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

}  // namespace
