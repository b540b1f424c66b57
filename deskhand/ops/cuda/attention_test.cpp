// bf16 attention (Hopper's own, on the tensor cores of all cards, and where no tiles fit) against the reference in double on the same
// rounded inputs. The reference takes most of the time: many cases at once, of which one at a time has the GPU.
#include "deskhand/ops/attention.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "deskhand/ops/cuda/testing.h"

using namespace deskhand;
using namespace deskhand::testing;

namespace {

struct Heads {
  std::int64_t queries, keys, width;
};
constexpr Heads kHeads[] = {{1, 1, 128}, {8, 1, 64}, {6, 2, 128}, {14, 2, 64}, {4, 4, 32}, {2, 1, 80}};

// bf16 values on both sides, or room that holds poison: what is not written is seen.
struct Both {
  Both(Gpu& gpu, Shape shape, unsigned seed, float scale = 1)
      : there(gpu.up(as_bf16(random_tensor(shape, seed, scale)))), here(as_f32(gpu.context.to_host(there))) {}
  Tensor there, here;
};

// ||found - wanted|| / ||wanted||, of the rows of the sequences; those outside must be as they were.
double distance(Gpu& gpu, const Tensor& found_there, const Tensor& wanted) {
  const Tensor host = gpu.context.to_host(found_there), found = host.type() == DType::kBF16 ? as_f32(host) : host.copy();
  double sum = 0, whole = 1e-30;
  for (std::size_t i = 0; i < found.floats().size(); ++i) {
    const double wants = wanted.floats()[i], difference = found.floats()[i] - wants;
    sum += difference * difference;
    whole += wants * wants;
  }
  return std::sqrt(sum / whole);
}

struct Case {
  Heads heads;
  std::vector<std::int32_t> bounds;
  AttentionOptions options;
};

void check(Gpu& gpu, std::mutex& gpu_taken, const Case& at) {
  constexpr double kTolerance = 8e-3;  // weights and slopes are rounded to bf16 before they are multiplied
  const std::int64_t rows = at.bounds.back() + 2;
  const Shape queries{rows, at.heads.queries, at.heads.width}, keys{rows, at.heads.keys, at.heads.width};
  std::unique_lock has_gpu(gpu_taken);
  const Both q(gpu, queries, 1, 1.5f), k(gpu, keys, 2, 1.5f), v(gpu, keys, 3), d_out(gpu, queries, 4);
  Both out(gpu, queries, 5), d_q(gpu, queries, 6), d_k(gpu, keys, 7), d_v(gpu, keys, 8);
  Tensor logsumexp = random_tensor({rows, at.heads.queries}, 9), logsumexp_there = gpu.up(logsumexp);
  INFO("heads ", at.heads.queries, "/", at.heads.keys, " of ", at.heads.width, ", rows to ", at.bounds.back(), ", causal ",
       at.options.causal, ", shared ", at.options.shared);
  has_gpu.unlock();
  reference::attention(out.here, q.here, k.here, v.here, at.bounds, at.options, logsumexp);
  has_gpu.lock();
  attention(gpu.on, out.there, q.there, k.there, v.there, at.bounds, at.options, logsumexp_there);
  CHECK(distance(gpu, out.there, out.here) < kTolerance);
  CHECK(distance(gpu, logsumexp_there, logsumexp) < 1e-4);
  // From here on both sides have the GPU's output.
  out.here = as_f32(gpu.context.to_host(out.there));
  logsumexp = gpu.context.to_host(logsumexp_there);
  has_gpu.unlock();
  reference::attention_backward({d_q.here, d_k.here, d_v.here}, d_out.here, {q.here, k.here, v.here, out.here, logsumexp}, at.bounds,
                                at.options);
  has_gpu.lock();
  const AttentionForward forward{q.there, k.there, v.there, out.there, logsumexp_there};
  attention_backward(gpu.on, {d_q.there, d_k.there, d_v.there}, d_out.there, forward, at.bounds, at.options);
  CHECK(distance(gpu, d_q.there, d_q.here) < kTolerance);
  CHECK(distance(gpu, d_k.there, d_k.here) < kTolerance);
  CHECK(distance(gpu, d_v.there, d_v.here) < kTolerance);

  Tensor again_q = d_q.there.copy(), again_k = d_k.there.copy(), again_v = d_v.there.copy();
  attention_backward(gpu.on, {again_q, again_k, again_v}, d_out.there, forward, at.bounds, at.options);
  for (const auto& [one, other] : {std::pair(&d_q.there, &again_q), {&d_k.there, &again_k}, {&d_v.there, &again_v}}) {
    const Tensor a = gpu.context.to_host(*one), b = gpu.context.to_host(*other);
    CHECK(std::equal(a.view().raw().begin(), a.view().raw().end(), b.view().raw().begin()));
  }
}

void check_all(Gpu& gpu, const std::vector<Case>& cases) {
  std::mutex gpu_taken;
  std::atomic<std::size_t> next = 0;
  std::vector<std::jthread> workers;
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i)
    workers.emplace_back([&] {
      for (std::size_t number = next++; number < cases.size(); number = next++) check(gpu, gpu_taken, cases[number]);
    });
}

}  // namespace

TEST_CASE("bf16 attention agrees with the reference where blocks end, and gives the same bits again") {
  const auto at = gpu();
  if (!at) return;
  std::vector<Case> cases{{{32, 8, 128}, {0, 300, 460, 620, 1033}, {.causal = true, .scale = 0.09f}}};  // more blocks than processors
  for (const Heads heads : kHeads)
    for (const bool causal : {true, false})
      for (const std::vector<std::int32_t>& bounds :
           {std::vector<std::int32_t>{0, 1}, {0, 63, 127, 192}, {0, 128, 256}, {3, 4, 40, 40, 169, 300, 441}, {1, 515}})
        cases.push_back({heads, bounds, {.causal = causal, .scale = 0.09f}});
  check_all(*at, cases);
}

TEST_CASE("bf16 attention gives a shared beginning what every sequence owes it") {
  const auto at = gpu();
  if (!at) return;
  std::vector<Case> cases{{{4, 1, 128}, {2, 142, 700, 1300}, {.scale = 0.09f, .shared = 140}}};  // longer than a block, in several runs
  for (const Heads heads : kHeads)
    for (const std::int32_t shared : {1, 64, 129, 200}) {
      cases.push_back({heads, {0, 200, 201, 330, 460}, {.scale = 0.09f, .shared = shared}});
      cases.push_back({heads, {5, 206, 206, 300, 650, 700}, {.scale = 0.09f, .shared = shared}});
    }
  check_all(*at, cases);
}

// Turned in registers on Hopper, by a pass of its own elsewhere, which rounds once more.
TEST_CASE("bf16 attention's backward turns back what q and k were turned by, whatever the pairs, shared beginning and all") {
  const auto at = gpu();
  if (!at) return;
  const std::vector<std::int32_t> bounds{0, 200, 201, 330, 460};
  const std::int64_t rows = bounds.back();
  std::vector<std::int32_t> positions;
  for (std::int64_t i = 0; i < rows; ++i) positions.push_back(static_cast<std::int32_t>(i * 31 % 97));
  for (const Heads heads : kHeads)
    for (const RopePairs pairs : {RopePairs::kHalves, RopePairs::kNeighbours})
      for (const std::int32_t shared : {0, 129}) {
        INFO("heads ", heads.queries, "/", heads.keys, " of ", heads.width, ", halves ", pairs == RopePairs::kHalves, ", shared ", shared);
        Tensor cosine(DType::kF32, {97, heads.width / 2}), sine(DType::kF32, cosine.shape());
        for (std::size_t i = 0; i < cosine.floats().size(); ++i) {
          cosine.floats()[i] = std::cos(0.37f * static_cast<float>(i));
          sine.floats()[i] = std::sin(0.37f * static_cast<float>(i));
        }
        cosine = at->up(cosine);
        sine = at->up(sine);
        const Turn turned{positions, {cosine, sine, pairs}};
        const Shape queries{rows, heads.queries, heads.width}, keys{rows, heads.keys, heads.width};
        const Both q(*at, queries, 1), k(*at, keys, 2), v(*at, keys, 3), d_out(*at, queries, 4);
        Both out(*at, queries, 5), d_q(*at, queries, 6), d_k(*at, keys, 7), d_v(*at, keys, 8);
        Both wanted_q(*at, queries, 9), wanted_k(*at, keys, 10), wanted_v(*at, keys, 11);
        Tensor logsumexp = at->up(random_tensor({rows, heads.queries}, 9));
        attention(at->on, out.there, q.there, k.there, v.there, bounds, {.shared = shared}, logsumexp);
        const AttentionForward forward{q.there, k.there, v.there, out.there, logsumexp};
        attention_backward(at->on, {wanted_q.there, wanted_k.there, wanted_v.there}, d_out.there, forward, bounds, {.shared = shared});
        rope(at->on, wanted_q.there, positions, turned.table, true);
        rope(at->on, wanted_k.there, positions, turned.table, true);
        attention_backward(at->on, {d_q.there, d_k.there, d_v.there}, d_out.there, forward, bounds, {.shared = shared, .turned = turned});
        for (const auto& [found, wanted] : {std::pair(&d_q, &wanted_q), {&d_k, &wanted_k}, {&d_v, &wanted_v}})
          CHECK(distance(*at, found->there, as_f32(at->context.to_host(wanted->there))) < 4e-3);
      }
}
