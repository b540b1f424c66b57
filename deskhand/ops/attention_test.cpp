#include "deskhand/ops/attention.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "deskhand/ops/paged_attention.h"
#include "deskhand/ops/testing.h"

using namespace deskhand;
using namespace deskhand::testing;

namespace {

struct Heads {
  std::int64_t queries, keys, width;
};
constexpr Heads kHeads[] = {{1, 1, 1}, {6, 2, 20}, {14, 2, 64}, {4, 4, 33}};

}  // namespace

// Tolerance: scores of up to 40 carry f32 rounding of some 4e-6 into the exponential.
TEST_CASE("attention agrees with the reference, causal or not, for uneven sequences and shared keys") {
  const std::int32_t bounds[] = {0, 1, 8, 8, 210};
  for (const Heads& heads : kHeads)
    for (const bool causal : {true, false}) {
      const Tensor q = random_tensor({210, heads.queries, heads.width}, 1, 2), k = random_tensor({210, heads.keys, heads.width}, 2, 2),
                   v = random_tensor({210, heads.keys, heads.width}, 3);
      Tensor wanted(DType::kF32, q.shape()), wanted_sums(DType::kF32, {210, heads.queries});
      reference::attention(wanted, q, k, v, bounds, {causal, 0.3f}, wanted_sums);
      for (const CpuFeatures& cpu : feature_levels())
        for (const int threads : {1, 3}) {
          Machine machine(threads, cpu);
          Tensor out(DType::kF32, q.shape()), sums(DType::kF32, wanted_sums.shape());
          attention(machine.on, out, q, k, v, bounds, {causal, 0.3f}, sums);
          INFO(cpu.text(), ", heads ", heads.queries, ", causal ", causal);
          CHECK(worst_difference(out.floats(), wanted.floats()) < 2e-5);
          CHECK(worst_difference(sums.floats(), wanted_sums.floats()) < 2e-5);
        }
    }
}

TEST_CASE("sequences that share their beginning attend as if each began with it, and as the reference says") {
  constexpr std::int32_t kShared = 37;
  const std::int32_t bounds[] = {2, 60, 61, 61, 200};
  for (const Heads& heads : kHeads) {
    const Tensor q = random_tensor({203, heads.queries, heads.width}, 1, 2), k = random_tensor({203, heads.keys, heads.width}, 2, 2),
                 v = random_tensor({203, heads.keys, heads.width}, 3);
    Machine machine(3);
    Tensor wanted = q.copy(), wanted_sums = random_tensor({203, heads.queries}, 5), out = q.copy(), sums = wanted_sums.copy();
    reference::attention(wanted, q, k, v, bounds, {.scale = 0.3f, .shared = kShared}, wanted_sums);
    attention(machine.on, out, q, k, v, bounds, {.scale = 0.3f, .shared = kShared}, sums);
    CHECK(worst_difference(out.floats(), wanted.floats()) < 2e-5);
    CHECK(worst_difference(sums.floats(), wanted_sums.floats()) < 2e-5);

    // The last sequence whole and alone.
    const auto whole = [&](const Tensor& from) {
      Tensor to(DType::kF32, {kShared + 139, from.shape()[1], heads.width});
      std::ranges::copy(from.view().rows(2, kShared).floats(), to.view().rows(0, kShared).floats().begin());
      std::ranges::copy(from.view().rows(61, 139).floats(), to.view().rows(kShared, 139).floats().begin());
      return to;
    };
    const Tensor whole_q = whole(q), whole_k = whole(k), whole_v = whole(v);
    Tensor alone(DType::kF32, whole_q.shape());
    attention(machine.on, alone, whole_q, whole_k, whole_v, std::array{0, kShared + 139}, {.scale = 0.3f});
    INFO("heads ", heads.queries);
    CHECK(worst_difference(out.view().rows(61, 139).floats(), alone.view().rows(kShared, 139).floats()) == 0);
  }
}

TEST_CASE("paged attention agrees with the reference when sequences go on from cached tokens and share pages") {
  for (const Heads& heads : kHeads)
    for (const DType type : {DType::kF32, DType::kF16})
      for (const CpuFeatures& cpu : feature_levels()) {
        Machine machine(3, cpu);
        const Shape shape{20, 16, heads.keys, heads.width};
        Tensor keys(type, shape), values(type, shape), keys_twin(type, shape), values_twin(type, shape);
        const KvPages pages{keys, values}, twin{keys_twin, values_twin};
        // The second sequence starts with the first one's first page; the third is one token long.
        const std::int32_t first[] = {5, 2, 9, 11, 0, 1, 3, 4}, second[] = {5, 7, 8}, third[] = {19};
        const auto pass = [&](std::span<const KvSequence> sequences, std::span<const std::int32_t> bounds, unsigned seed) {
          const std::int64_t tokens = bounds.back();
          const Tensor q = random_tensor({tokens, heads.queries, heads.width}, seed, 2);
          const Tensor k = random_tensor({tokens, heads.keys, heads.width}, seed + 1, 2),
                       v = random_tensor({tokens, heads.keys, heads.width}, seed + 2);
          Tensor out(DType::kF32, q.shape()), wanted(DType::kF32, q.shape());
          store_keys_values(machine.on, pages, k, v, sequences, bounds);
          reference::store_keys_values(twin, k, v, sequences, bounds);
          CHECK(std::equal(keys.view().raw().begin(), keys.view().raw().end(), keys_twin.view().raw().begin()));
          CHECK(std::equal(values.view().raw().begin(), values.view().raw().end(), values_twin.view().raw().begin()));
          paged_attention(machine.on, out, q, pages, sequences, bounds, 0.3f);
          reference::paged_attention(wanted, q, twin, sequences, bounds, 0.3f);
          INFO(cpu.text(), ", heads ", heads.queries, ", ", dtype_name(type), ", tokens ", tokens);
          CHECK(worst_difference(out.floats(), wanted.floats()) < 2e-5);
        };
        const KvSequence prompt[] = {{first, 100}};
        const std::int32_t prompt_bounds[] = {0, 100};
        pass(prompt, prompt_bounds, 1);
        const KvSequence mixed[] = {{first, 101}, {second, 40}, {third, 1}};  // one token on, a prompt after a shared page, a new one
        const std::int32_t mixed_bounds[] = {0, 1, 25, 26};
        pass(mixed, mixed_bounds, 5);
      }
}
