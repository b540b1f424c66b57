// Speed of attention on Qwen2.5-0.5B's heads: a prompt of 512 and one token after 512 and 4096; packed sequences forward and backward.
// `GOP` counts q k^T and weights v, each visible pair, a multiplication and an addition as two.
#include <benchmark/benchmark.h>

#include <numeric>

#include "deskhand/ops/attention.h"
#include "deskhand/ops/paged_attention.h"
#include "deskhand/ops/testing.h"

using namespace deskhand;

namespace {

void bench_paged_attention(benchmark::State& state) {
  constexpr std::int64_t kHeads = 14, kGroups = 2, kWidth = 64, kPageTokens = 32;
  const std::int64_t tokens = state.range(0), length = state.range(1);
  testing::Machine machine(0);
  Tensor keys(DType::kF16, {length / kPageTokens, kPageTokens, kGroups, kWidth}), values = keys.copy();
  std::vector<std::int32_t> page_ids(static_cast<std::size_t>(length / kPageTokens));
  std::iota(page_ids.begin(), page_ids.end(), 0);
  const KvSequence sequence{page_ids, static_cast<std::int32_t>(length)};
  const std::int32_t bounds[] = {0, static_cast<std::int32_t>(tokens)};
  const Tensor q = testing::random_tensor({tokens, kHeads, kWidth}, 1);
  Tensor out(DType::kF32, q.shape());
  for (auto _ : state) paged_attention(machine.on, out, q, {keys, values}, {&sequence, 1}, bounds);
  const double pairs = static_cast<double>(tokens) * (static_cast<double>(length) - 0.5 * static_cast<double>(tokens - 1));
  state.counters["GOP/s"] =
      benchmark::Counter(4e-9 * pairs * kHeads * kWidth * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

// 512 packed tokens in sequences of `length`. Backward is five products where forward is two.
void bench_packed(benchmark::State& state, bool backward) {
  constexpr std::int64_t kHeads = 14, kGroups = 2, kWidth = 64, kTokens = 512;
  const std::int64_t length = state.range(0);
  testing::Machine machine(0);
  std::vector<std::int32_t> bounds;
  for (std::int64_t row = 0; row <= kTokens; row += length) bounds.push_back(static_cast<std::int32_t>(row));
  const Tensor q = testing::random_tensor({kTokens, kHeads, kWidth}, 1), k = testing::random_tensor({kTokens, kGroups, kWidth}, 2),
               v = testing::random_tensor({kTokens, kGroups, kWidth}, 3), d_out = testing::random_tensor(q.shape(), 4);
  Tensor out(DType::kF32, q.shape()), logsumexp(DType::kF32, {kTokens, kHeads}), d_q = q.copy(), d_k = k.copy(), d_v = v.copy();
  attention(machine.on, out, q, k, v, bounds, {}, logsumexp);
  for (auto _ : state)
    if (backward)
      attention_backward(machine.on, {d_q, d_k, d_v}, d_out, {q, k, v, out, logsumexp}, bounds);
    else
      attention(machine.on, out, q, k, v, bounds, {}, logsumexp);
  const double pairs = 0.5 * static_cast<double>(kTokens) * static_cast<double>(length + 1), products = backward ? 5 : 2;
  state.counters["GOP/s"] =
      benchmark::Counter(2e-9 * products * pairs * kHeads * kWidth * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

BENCHMARK(bench_paged_attention)->Args({512, 512})->Args({1, 512})->Args({1, 4096})->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);

BENCHMARK_CAPTURE(bench_packed, forward, false)->Arg(64)->Arg(128)->Arg(512)->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(bench_packed, backward, true)->Arg(64)->Arg(128)->Arg(512)->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);

}  // namespace
