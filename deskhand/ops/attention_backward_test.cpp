#include <doctest/doctest.h>

#include "deskhand/ops/attention.h"
#include "deskhand/ops/testing.h"

using namespace deskhand;
using namespace deskhand::testing;

namespace {

struct Heads {
  std::int64_t queries, keys, width;
};
constexpr Heads kHeads[] = {{1, 1, 1}, {6, 2, 20}, {14, 2, 64}, {4, 4, 33}, {3, 1, 128}};

struct Case {
  Tensor q, k, v, d_out, out, logsumexp;
};

Case make_case(const Heads& heads, std::int64_t tokens, std::span<const std::int32_t> bounds, AttentionOptions options) {
  const Shape queries{tokens, heads.queries, heads.width}, keys{tokens, heads.keys, heads.width};
  Case made{random_tensor(queries, 1, 2), random_tensor(keys, 2, 2),    random_tensor(keys, 3, 2),
            random_tensor(queries, 4),    Tensor(DType::kF32, queries), Tensor(DType::kF32, {tokens, heads.queries})};
  reference::attention(made.out, made.q, made.k, made.v, bounds, options, made.logsumexp);
  return made;
}

struct Found {
  explicit Found(const Case& at) : d_q(at.q.copy()), d_k(at.k.copy()), d_v(at.v.copy()) {}
  void run(const Backend& on, const Case& at, std::span<const std::int32_t> bounds, AttentionOptions options) {
    attention_backward(on, {d_q, d_k, d_v}, at.d_out, {at.q, at.k, at.v, at.out, at.logsumexp}, bounds, options);
  }
  Tensor d_q, d_k, d_v;
};

}  // namespace

// Tolerance: scores of up to 40 carry f32 rounding of some 4e-6 into the exponential, and weights times differences cancel.
TEST_CASE("attention backward agrees with the reference, causal or not, for uneven sequences and shared keys, whatever the threads") {
  const std::int32_t bounds[] = {2, 3, 10, 10, 74, 211};  // rows outside are not touched
  Backend plain;
  plain.kind = Backend::Kind::kReference;
  for (const Heads& heads : kHeads)
    for (const bool causal : {true, false}) {
      const AttentionOptions options{causal, 0.3f};
      const Case made = make_case(heads, 213, bounds, options);
      Found wanted(made);
      wanted.run(plain, made, bounds, options);
      for (const CpuFeatures& cpu : feature_levels()) {
        Machine machine(3, cpu), alone(1, cpu);
        Found found(made), found_alone(made);
        found.run(machine.on, made, bounds, options);
        found_alone.run(alone.on, made, bounds, options);
        INFO(cpu.text(), ", heads ", heads.queries, ", width ", heads.width, ", causal ", causal);
        CHECK(worst_difference(found.d_q.floats(), wanted.d_q.floats()) < 3e-5);
        CHECK(worst_difference(found.d_k.floats(), wanted.d_k.floats()) < 3e-5);
        CHECK(worst_difference(found.d_v.floats(), wanted.d_v.floats()) < 3e-5);
        CHECK(worst_difference(found.d_q.floats(), found_alone.d_q.floats()) == 0);
        CHECK(worst_difference(found.d_k.floats(), found_alone.d_k.floats()) == 0);
        CHECK(worst_difference(found.d_v.floats(), found_alone.d_v.floats()) == 0);
      }
    }
}

TEST_CASE("attention backward gives the shared beginning what every sequence owes it") {
  const std::int32_t bounds[] = {2, 60, 61, 61, 211};
  const AttentionOptions options{.scale = 0.3f, .shared = 37};
  Backend plain;
  plain.kind = Backend::Kind::kReference;
  for (const Heads& heads : kHeads) {
    const Case made = make_case(heads, 213, bounds, options);
    Found wanted(made), found(made), found_alone(made);
    wanted.run(plain, made, bounds, options);
    Machine machine(3), alone(1);
    found.run(machine.on, made, bounds, options);
    found_alone.run(alone.on, made, bounds, options);
    INFO("heads ", heads.queries, ", width ", heads.width);
    for (const auto part : {&Found::d_q, &Found::d_k, &Found::d_v}) {
      CHECK(worst_difference((found.*part).floats(), (wanted.*part).floats()) < 3e-5);
      CHECK(worst_difference((found.*part).floats(), (found_alone.*part).floats()) == 0);
    }
  }
}

TEST_CASE("a sequence's gradients are the same to the bit, alone or packed with others") {
  Machine machine(2);
  const std::int32_t packed[] = {0, 70, 100, 101}, alone[] = {70, 100};
  const Case made = make_case({6, 2, 64}, 101, packed, {});
  Found together(made), by_itself(made);
  together.run(machine.on, made, packed, {});
  by_itself.run(machine.on, made, alone, {});
  for (const auto& [a, b] : {std::pair(&together.d_q, &by_itself.d_q), {&together.d_k, &by_itself.d_k}, {&together.d_v, &by_itself.d_v}})
    CHECK(worst_difference(a->view().rows(70, 30).floats(), b->view().rows(70, 30).floats()) == 0);
}

TEST_CASE("attention backward is the slope of attention forward") {
  const std::int32_t bounds[] = {0, 4, 5};
  for (const AttentionOptions& options : {AttentionOptions{true, 0.2f}, AttentionOptions{false, 0.2f}, AttentionOptions{true, 0.2f, 2}}) {
    Case made = make_case({4, 2, 3}, 5, bounds, options);
    const auto loss = [&] {
      Tensor out(DType::kF32, made.q.shape());
      reference::attention(out, made.q, made.k, made.v, bounds, options, {});
      return inner_product(out.floats(), made.d_out.floats());
    };
    Machine machine(2);
    Found found(made);
    found.run(machine.on, made, bounds, options);
    CHECK(worst_difference(slopes(made.q, loss).floats(), found.d_q.floats()) < 1e-3);
    CHECK(worst_difference(slopes(made.k, loss).floats(), found.d_k.floats()) < 1e-3);
    CHECK(worst_difference(slopes(made.v, loss).floats(), found.d_v.floats()) < 1e-3);
  }
}

TEST_CASE("attention's backward turns back what q and k were turned by") {
  Machine machine(2);
  Backend plain;
  plain.kind = Backend::Kind::kReference;
  const std::int32_t bounds[] = {0, 3, 9}, positions[] = {0, 1, 2, 0, 1, 2, 3, 4, 5};
  const Tensor q = random_tensor({9, 4, 6}, 1), k = random_tensor({9, 2, 6}, 2), v = random_tensor({9, 2, 6}, 3),
               d_out = random_tensor({9, 4, 6}, 4);
  const Tensor cosine = random_tensor({6, 3}, 5), sine = random_tensor({6, 3}, 6);
  for (const Backend* on : {&machine.on, &plain}) {
    Tensor out(DType::kF32, q.shape()), sums(DType::kF32, {9, 4});
    attention(*on, out, q, k, v, bounds, {}, sums);
    Tensor d_q(DType::kF32, q.shape()), d_k(DType::kF32, k.shape()), d_v(DType::kF32, v.shape());
    Tensor turned_q = d_q.copy(), turned_k = d_k.copy(), turned_v = d_v.copy();
    attention_backward(*on, {d_q, d_k, d_v}, d_out, {q, k, v, out, sums}, bounds);
    rope(*on, d_q, positions, {cosine, sine}, true);
    rope(*on, d_k, positions, {cosine, sine}, true);
    attention_backward(*on, {turned_q, turned_k, turned_v}, d_out, {q, k, v, out, sums}, bounds, {.turned = {positions, {cosine, sine}}});
    CHECK(worst_difference(turned_q.floats(), d_q.floats()) == 0);
    CHECK(worst_difference(turned_k.floats(), d_k.floats()) == 0);
    CHECK(worst_difference(turned_v.floats(), d_v.floats()) == 0);
  }
}
