// Attention on the GPU in bf16, forward and backward: TFLOP/s of the products that must be made (4 D a pair of query and key that sees it
// forward, 10 D backward), and the share of what a large matrix product reaches in the same run.
//   attention_cuda_bench [SECONDS A CASE]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "deskhand/base/stopwatch.h"
#include "deskhand/ops/attention.h"
#include "deskhand/ops/linear.h"
#include "deskhand/tensor/cuda/context.h"
#include "deskhand/tensor/tensor.h"

using namespace deskhand;

namespace {

struct Case {
  const char* name;
  std::int64_t heads, groups, width;
  bool causal;
  std::vector<std::int32_t> lengths;
};

std::vector<std::int32_t> equal(std::size_t count, std::int32_t length) {
  return std::vector<std::int32_t>(count, length);
}

// Lengths of tickets until there are `tokens`.
std::vector<std::int32_t> tickets(std::int32_t tokens, std::int32_t least, std::int32_t most) {
  std::mt19937 random(7);
  std::vector<std::int32_t> lengths;
  for (std::int32_t left = tokens; left > 0; left -= lengths.back())
    lengths.push_back(std::min<std::int32_t>(left, std::uniform_int_distribution<std::int32_t>(least, most)(random)));
  return lengths;
}

// Values between -2 and 2, made fast: a case has tens of millions.
Tensor random_bf16(CudaContext& context, Shape shape, unsigned seed) {
  Tensor rounded(DType::kBF16, shape);
  std::uint64_t state = seed * 0x9e3779b97f4a7c15ull + 1;
  for (std::uint16_t& bits : rounded.view().as<std::uint16_t>()) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    bits = to_bf16(static_cast<float>(static_cast<std::int32_t>(state >> 32)) * 0x1p-30f);
  }
  return context.to_gpu(rounded);
}

// Seconds of one call, the median of five runs of many.
double seconds_of(CudaContext& context, double budget, const std::function<void()>& call) {
  constexpr int kRuns = 5;
  call();
  context.synchronise();
  Stopwatch once;
  for (int i = 0; i < 3; ++i) call();
  context.synchronise();
  const int repeats = std::max(1, static_cast<int>(budget / kRuns / (once.seconds() / 3)));
  std::vector<double> times;
  for (int run = 0; run < kRuns; ++run) {
    const Stopwatch watch;
    for (int i = 0; i < repeats; ++i) call();
    context.synchronise();
    times.push_back(watch.seconds() / repeats);
  }
  std::nth_element(times.begin(), times.begin() + kRuns / 2, times.end());
  return times[kRuns / 2];
}

}  // namespace

int main(int count, char** arguments) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // what was measured is seen, whatever ends the run
  const double budget = count > 1 ? std::atof(arguments[1]) : 0.5;
  CudaContext context;
  Backend on;
  on.kind = Backend::Kind::kCuda;
  on.cuda = &context;
  double peak = 0;
  {
    constexpr std::int64_t kSize = 8192;
    const Tensor x = random_bf16(context, {kSize, kSize}, 1), weight = random_bf16(context, {kSize, kSize}, 2);
    Tensor out(DType::kBF16, {kSize, kSize}, Device::kCuda);
    peak = 2e-12 * kSize * kSize * kSize / seconds_of(context, budget, [&] { linear(on, out, x, weight, {}); });
    std::printf("a product of %lld cubed: %.0f TFLOP/s\n", static_cast<long long>(kSize), peak);
  }
  const Case cases[] = {{"8 x 1024", 32, 8, 128, true, equal(8, 1024)},
                        {"8 x 1024, not causal", 32, 8, 128, false, equal(8, 1024)},
                        {"1 x 8192", 32, 8, 128, true, equal(1, 8192)},
                        {"tickets of 100 to 400", 32, 8, 128, true, tickets(8192, 100, 400)},
                        {"8 tickets of 110 to 160", 32, 8, 128, true, tickets(1080, 110, 160)},
                        {"8 x 1024, heads of 64", 14, 2, 64, true, equal(8, 1024)}};
  std::printf("%-26s %9s %9s %6s %9s %9s %6s\n", "case", "fwd us", "TFLOP/s", "share", "bwd us", "TFLOP/s", "share");
  for (const Case& at : cases) {
    std::vector<std::int32_t> bounds{0};
    double pairs = 0;
    for (const std::int32_t length : at.lengths) {
      bounds.push_back(bounds.back() + length);
      pairs += at.causal ? 0.5 * length * (length + 1.0) : 1.0 * length * length;
    }
    const Shape queries{bounds.back(), at.heads, at.width}, keys{bounds.back(), at.groups, at.width};
    const Tensor q = random_bf16(context, queries, 1), k = random_bf16(context, keys, 2), v = random_bf16(context, keys, 3),
                 d_out = random_bf16(context, queries, 4);
    Tensor out(DType::kBF16, queries, Device::kCuda), d_q(DType::kBF16, queries, Device::kCuda), d_k(DType::kBF16, keys, Device::kCuda),
        d_v(DType::kBF16, keys, Device::kCuda), logsumexp(DType::kF32, {bounds.back(), at.heads}, Device::kCuda);
    const AttentionOptions options{.causal = at.causal};
    const double forward = seconds_of(context, budget, [&] { attention(on, out, q, k, v, bounds, options, logsumexp); });
    const double backward = seconds_of(context, budget, [&] {
      attention_backward(on, {d_q, d_k, d_v}, d_out, {q, k, v, out, logsumexp}, bounds, options);
    });
    const double flops = 4e-12 * static_cast<double>(at.heads * at.width) * pairs;
    std::printf("%-26s %9.1f %9.1f %5.0f%% %9.1f %9.1f %5.0f%%\n", at.name, forward * 1e6, flops / forward, 100 * flops / forward / peak,
                backward * 1e6, 2.5 * flops / backward, 250 * flops / backward / peak);
  }
}
