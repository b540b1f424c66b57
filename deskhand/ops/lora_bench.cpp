// Speed of an adapter of rank 16 beside Qwen2.5-0.5B's up projection, 512 tokens. `GOP` counts the low-rank products: two forward, four
// backward.
#include "deskhand/ops/lora.h"

#include <benchmark/benchmark.h>

#include "deskhand/ops/testing.h"

using namespace deskhand;

namespace {

void bench_lora(benchmark::State& state, bool backward, float probability) {
  constexpr std::int64_t kTokens = 512, kInputs = 896, kOutputs = 4864, kRank = 16;
  testing::Machine machine(0);
  const Tensor a = testing::random_tensor({kRank, kInputs}, 1), b = testing::random_tensor({kOutputs, kRank}, 2),
               x = testing::random_tensor({kTokens, kInputs}, 3), d_out = testing::random_tensor({kTokens, kOutputs}, 4);
  Tensor out = d_out.copy(), low(DType::kF32, {kTokens, kRank}), d_a = a.copy(), d_b = b.copy(), d_x = x.copy();
  const LoraWeights weights{a, b, 2, {.probability = probability, .seed = 1}};
  for (auto _ : state)
    if (backward)
      lora_backward(machine.on, {d_a, d_b, d_x}, d_out, x, low, weights);
    else
      lora(machine.on, out, low, x, weights);
  state.counters["GOP/s"] =
      benchmark::Counter(2e-9 * (backward ? 2 : 1) * static_cast<double>(kTokens * kRank * (kInputs + kOutputs) * state.iterations()),
                         benchmark::Counter::kIsRate);
}

BENCHMARK_CAPTURE(bench_lora, forward, false, 0.0f)->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(bench_lora, backward, true, 0.0f)->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(bench_lora, forward_dropout, false, 0.1f)->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(bench_lora, backward_dropout, true, 0.1f)->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);

}  // namespace
