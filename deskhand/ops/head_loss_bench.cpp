// Speed of the head with its loss on Qwen2.5-0.5B's shape. `GOP` counts a multiplication and an addition of each product as two: logits and
// d_hidden, and d_weight where the head is trained.
#include "deskhand/ops/head_loss.h"

#include <benchmark/benchmark.h>

#include "deskhand/ops/testing.h"

using namespace deskhand;

namespace {

void bench_head_loss(benchmark::State& state, DType type, bool is_trained) {
  constexpr std::int64_t kVocabulary = 151936, kWidth = 896;
  const std::int64_t tokens = state.range(0);
  testing::Machine machine(0);
  machine.on.compute = Compute::kF32;
  const Tensor hidden = testing::random_tensor({tokens, kWidth}, 1, type == DType::kF32 ? 0.1f : 0.01f),
               weight = testing::random_weights(type, {kVocabulary, kWidth}, 2);
  Tensor d_hidden(DType::kF32, hidden.shape()), d_weight;
  if (is_trained) d_weight = Tensor(DType::kF32, weight.shape());
  const std::vector<std::int32_t> targets(static_cast<std::size_t>(tokens), 1234);
  for (auto _ : state) head_loss(machine.on, {d_hidden, d_weight.empty() ? View() : d_weight.view()}, hidden, weight, targets);
  const double products = is_trained ? 3 : 2;
  state.counters["GOP/s"] = benchmark::Counter(2e-9 * products * static_cast<double>(tokens * kVocabulary * kWidth * state.iterations()),
                                               benchmark::Counter::kIsRate);
}

BENCHMARK_CAPTURE(bench_head_loss, f32, DType::kF32, false)->Arg(128)->Arg(512)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(bench_head_loss, f32_trained, DType::kF32, true)->Arg(128)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(bench_head_loss, q8_0, DType::kQ8_0, false)->Arg(128)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

}  // namespace
