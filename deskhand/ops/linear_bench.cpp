// Speed of `linear` and its backward on the shapes of Qwen2.5-0.5B. `GOP` counts a multiplication and an addition as two, `bytes` the
// weights read. linear_bench --benchmark_filter=q5_0 ; DESKHAND_THREADS sets the threads (default: all).
#include "deskhand/ops/linear.h"

#include <benchmark/benchmark.h>

#include <cstdlib>

#include "deskhand/ops/testing.h"

using namespace deskhand;

namespace {

int threads() {
  const char* text = std::getenv("DESKHAND_THREADS");
  return text ? std::atoi(text) : 0;
}

void bench_linear(benchmark::State& state, DType type, std::int64_t outputs, std::int64_t inputs, std::int64_t tokens, CpuFeatures cpu,
                  Compute compute) {
  testing::Machine machine(threads(), cpu);
  machine.on.compute = compute;
  const Tensor x = testing::random_tensor({tokens, inputs}, 1), weight = testing::random_weights(type, {outputs, inputs}, 2);
  Tensor out(DType::kF32, {tokens, outputs});
  for (auto _ : state) linear(machine.on, out, x, weight);
  const double rounds = static_cast<double>(state.iterations());
  state.counters["GOP/s"] = benchmark::Counter(2e-9 * static_cast<double>(outputs * inputs * tokens) * rounds, benchmark::Counter::kIsRate);
  state.counters["GB/s"] = benchmark::Counter(1e-9 * static_cast<double>(weight.view().bytes()) * rounds, benchmark::Counter::kIsRate);
}

enum class Backward : std::uint8_t { kInput, kWeight };

void bench_linear_backward(benchmark::State& state, Backward what, DType type, std::int64_t outputs, std::int64_t inputs,
                           std::int64_t tokens, CpuFeatures cpu) {
  testing::Machine machine(threads(), cpu);
  const Tensor x = testing::random_tensor({tokens, inputs}, 1), weight = testing::random_weights(type, {outputs, inputs}, 2),
               d_out = testing::random_tensor({tokens, outputs}, 3);
  Tensor d_x(DType::kF32, {tokens, inputs}), d_weight(DType::kF32, {outputs, inputs});
  for (auto _ : state)
    if (what == Backward::kInput)
      linear_backward_input(machine.on, d_x, d_out, weight);
    else
      linear_backward_weight(machine.on, d_weight, d_out, x);
  state.counters["GOP/s"] =
      benchmark::Counter(2e-9 * static_cast<double>(outputs * inputs * tokens * state.iterations()), benchmark::Counter::kIsRate);
}

}  // namespace

int main(int argc, char** argv) {
  const CpuFeatures all = CpuFeatures::detect();
  CpuFeatures plainer = all;
  plainer.avx512 = plainer.avx512_vnni = plainer.avx512_bf16 = plainer.avx_vnni = false;
  struct Size {
    std::int64_t outputs, inputs;
  };
  for (const DType type : {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K,
                           DType::kF32, DType::kF16, DType::kBF16})
    for (const Size size : {Size{896, 896}, Size{4864, 896}, Size{896, 4864}, Size{151936, 896}})
      for (const std::int64_t tokens : {1, 2, 4, 8, 16, 64, 512}) {
        if (size.inputs % block_elements(type) != 0 || (size.outputs > 10000 && tokens > 1)) continue;
        for (const bool lowered : {false, true}) {
          const std::string name =
              fmt::format("linear/{}/{}x{}/{}{}", dtype_name(type), size.outputs, size.inputs, tokens, lowered ? "/avx2" : "");
          benchmark::RegisterBenchmark(name.c_str(), bench_linear, type, size.outputs, size.inputs, tokens, lowered ? plainer : all,
                                       Compute::kAuto)
              ->MeasureProcessCPUTime()
              ->Unit(benchmark::kMicrosecond);
        }
        const std::string name = fmt::format("linear/{}/{}x{}/{}/bf16", dtype_name(type), size.outputs, size.inputs, tokens);
        benchmark::RegisterBenchmark(name.c_str(), bench_linear, type, size.outputs, size.inputs, tokens, all, Compute::kBF16)
            ->MeasureProcessCPUTime()
            ->Unit(benchmark::kMicrosecond);
      }
  for (const DType type : {DType::kF32, DType::kBF16, DType::kQ8_0, DType::kQ4_K})
    for (const Size size : {Size{896, 896}, Size{4864, 896}, Size{896, 4864}, Size{151936, 896}})
      for (const std::int64_t tokens : {64, 128, 512})
        for (const bool lowered : {false, true})
          for (const Backward what : {Backward::kInput, Backward::kWeight}) {
            const bool is_input = what == Backward::kInput;
            if (size.inputs % block_elements(type) != 0 || (size.outputs > 10000 && tokens != 128)) continue;
            if (!is_input && type != DType::kF32) continue;
            const std::string name = fmt::format("linear_backward_{}/{}/{}x{}/{}{}", is_input ? "input" : "weight", dtype_name(type),
                                                 size.outputs, size.inputs, tokens, lowered ? "/avx2" : "");
            benchmark::RegisterBenchmark(name.c_str(), bench_linear_backward, what, type, size.outputs, size.inputs, tokens,
                                         lowered ? plainer : all)
                ->MeasureProcessCPUTime()
                ->Unit(benchmark::kMicrosecond);
          }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
