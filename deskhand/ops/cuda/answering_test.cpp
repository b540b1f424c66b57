// The ops that only answering needs, on the GPU, against the reference on the same inputs.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "deskhand/ops/argmax.h"
#include "deskhand/ops/copy.h"
#include "deskhand/ops/cuda/few_rows.h"
#include "deskhand/ops/cuda/testing.h"
#include "deskhand/ops/dequantize.h"
#include "deskhand/ops/embed.h"
#include "deskhand/ops/fused.h"
#include "deskhand/ops/layer_norm.h"
#include "deskhand/ops/linear.h"
#include "deskhand/ops/log_probability.h"
#include "deskhand/ops/mean_pool.h"
#include "deskhand/ops/paged_attention.h"
#include "deskhand/ops/repeat.h"
#include "deskhand/ops/rms_norm.h"
#include "deskhand/ops/swiglu.h"
#include "deskhand/ops/tiled.h"

using namespace deskhand;
using namespace deskhand::testing;

namespace {

constexpr DType kWeightTypes[] = {DType::kF32,  DType::kF16,  DType::kBF16, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,
                                  DType::kQ5_1, DType::kQ8_0, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};

constexpr DType kTileableTypes[] = {DType::kQ4_0, DType::kQ8_0, DType::kQ4_K};

// As weights lie in a model's file, and those that can in tiles.
struct Lying {
  DType type;
  bool tiles;

  Tensor up(Gpu& gpu, const Tensor& weight) const { return tiles && can_be_tiled(weight) ? tiled(weight) : gpu.up(weight); }
};
std::vector<Lying> ways_to_lie() {
  std::vector<Lying> all;
  for (const DType type : kWeightTypes) all.push_back({type, false});
  for (const DType type : kTileableTypes) all.push_back({type, true});
  return all;
}

struct Heads {
  std::int64_t queries, keys, width;
};
constexpr Heads kHeads[] = {{4, 2, 16}, {3, 3, 20}, {14, 2, 64}, {8, 2, 128}, {4, 4, 128}, {12, 2, 128}};

Tensor as(DType type, Tensor values) {
  if (type == DType::kF32) return values;
  Tensor narrow(type, values.shape());
  std::transform(values.floats().begin(), values.floats().end(), narrow.view().as<std::uint16_t>().begin(), to_f16);
  return narrow;
}

double difference(Gpu& gpu, const Tensor& found_there, const Tensor& wanted) {
  const Tensor host = gpu.context.to_host(found_there);
  const Tensor found = host.type() == DType::kBF16 ? as_f32(host) : host.copy();
  return worst_difference(found.floats(), wanted.floats());
}

}  // namespace

TEST_CASE("paged attention on the GPU agrees with the reference: prompts, single tokens, shared pages, long contexts") {
  const auto at = gpu();
  if (!at) return;
  for (const Heads& heads : kHeads)
    for (const DType type : {DType::kF32, DType::kF16})
      for (const bool bf16 : {false, true}) {
        const Shape shape{80, 16, heads.keys, heads.width};
        Tensor keys = as(type, random_tensor(shape, 21)), values = as(type, random_tensor(shape, 22));
        Tensor keys_there = at->up(keys), values_there = at->up(values);
        const KvPages pages{keys, values}, there{keys_there, values_there};
        std::vector<std::int32_t> first(70);
        for (std::size_t i = 0; i < first.size(); ++i) first[i] = static_cast<std::int32_t>(i * 37 % 71);
        const std::int32_t second[] = {first[0], 74, 75}, third[] = {79};
        const auto pass = [&](std::span<const KvSequence> sequences, std::span<const std::int32_t> bounds, unsigned seed) {
          const std::int64_t tokens = bounds.back();
          Tensor q = random_tensor({tokens, heads.queries, heads.width}, seed, 2),
                 k = random_tensor({tokens, heads.keys, heads.width}, seed + 1, 2),
                 v = random_tensor({tokens, heads.keys, heads.width}, seed + 2);
          for (Tensor* one : {&q, &k, &v})
            if (bf16) *one = as_f32(as_bf16(*one));
          const auto up = [&](const Tensor& tensor) { return at->up(bf16 ? as_bf16(tensor) : tensor.copy()); };
          const Tensor q_there = up(q), k_there = up(k), v_there = up(v);
          Tensor out = up(random_tensor(q.shape(), 99, 1e6f)), wanted(DType::kF32, q.shape());
          store_keys_values(plain(), pages, k, v, sequences, bounds);
          store_keys_values(at->on, there, k_there, v_there, sequences, bounds);
          const Tensor keys_back = at->context.to_host(keys_there), values_back = at->context.to_host(values_there);
          CHECK(std::equal(keys.view().raw().begin(), keys.view().raw().end(), keys_back.view().raw().begin()));
          CHECK(std::equal(values.view().raw().begin(), values.view().raw().end(), values_back.view().raw().begin()));
          paged_attention(plain(), wanted, q, pages, sequences, bounds, 0.3f);
          paged_attention(at->on, out, q_there, there, sequences, bounds, 0.3f);
          INFO("heads ", heads.queries, " of ", heads.keys, ", width ", heads.width, ", pages ", dtype_name(type), ", bf16 ", bf16,
               ", tokens ", tokens);
          // Over pages of f16 a prompt's queries and weights are rounded to it: scores of up to 20 carry some 5e-3 into a weight.
          CHECK(difference(*at, out, wanted) < (bf16 || type == DType::kF16 ? 6e-3 : 2e-5));
        };
        const KvSequence prompt[] = {{first, 70}};
        const std::int32_t prompt_bounds[] = {0, 70};
        pass(prompt, prompt_bounds, 1);
        const KvSequence mixed[] = {{first, 71}, {second, 40}, {third, 1}};  // one token on, a prompt after a shared page, a new one
        const std::int32_t mixed_bounds[] = {0, 1, 25, 26};
        pass(mixed, mixed_bounds, 5);
        const KvSequence on_from[] = {{first, 1050}};  // a prompt behind a cached one, over many tiles
        const std::int32_t on_bounds[] = {0, 20};
        pass(on_from, on_bounds, 9);
        const KvSequence one[] = {{first, 1051}};
        const std::int32_t one_bounds[] = {0, 1};
        pass(one, one_bounds, 13);
        const KvSequence drafts[] = {{first, 1055}, {third, 3}};
        const std::int32_t draft_bounds[] = {0, 4, 6};
        pass(drafts, draft_bounds, 17);
        std::vector<KvSequence> many;  // so many that none is cut in parts, or in few
        std::vector<std::int32_t> many_bounds{0};
        for (std::int32_t i = 0; i < 70; ++i) {
          many.push_back({first, 330 + i % 35 - i % 2 * 200});
          many_bounds.push_back(i + 1);
        }
        pass(many, many_bounds, 21);
      }
}

TEST_CASE("weights in tiles lie as ops/tiled.h says, from the host and from the GPU") {
  const auto at = gpu();
  if (!at) return;
  for (const DType type : kTileableTypes)
    for (const Shape shape : {Shape{16, 256}, Shape{48, 768}, Shape{1040, 2048}}) {
      const Tensor weight = random_weights(type, shape, 1);
      const auto from = weight.view().raw();
      const std::int64_t spans = shape[1] / 256, step = row_bytes(type, shape[1]), runs = 256 / block_elements(type),
                         size = block_bytes(type);
      std::vector<std::byte> wanted;
      const auto take = [&](std::int64_t row, std::int64_t block, std::int64_t first, std::int64_t count) {
        const auto begin = from.begin() + row * step + block * size + first;
        wanted.insert(wanted.end(), begin, begin + count);
      };
      for (std::int64_t row = 0; row < shape[0]; row += 16)
        for (std::int64_t block = 0; block < spans * runs; block += runs) {
          for (std::int64_t i = row; i < row + 16; ++i) {
            if (type == DType::kQ4_K) take(i, block, 0, 16);
            for (std::int64_t run = 0; type != DType::kQ4_K && run < runs; ++run) take(i, block + run, 0, 2);
          }
          for (std::int64_t j = 0; j < (type == DType::kQ8_0 ? 8 : 4); ++j)
            for (std::int64_t g = row; g < row + 8; ++g)
              for (std::int64_t t = 0; t < 4; ++t)
                for (std::int64_t second = 0; second < 2; ++second)
                  for (const std::int64_t i : {g, g + 8}) {
                    if (type == DType::kQ4_0) {
                      take(i, block + 2 * j + second, 2 + 4 * t, 4);
                      for (auto byte = wanted.end() - 4; byte != wanted.end(); ++byte) *byte ^= std::byte{0x88};  // less 8
                    }
                    if (type == DType::kQ8_0) take(i, block + j, 2 + 4 * t + 16 * second, 4);
                    if (type == DType::kQ4_K) take(i, block, 16 + 32 * j + 4 * t + 16 * second, 4);
                  }
        }
      REQUIRE(wanted.size() == from.size());
      for (const bool from_gpu : {false, true}) {
        const Tensor made = from_gpu ? tiled(at->up(weight)) : tiled(weight);
        CHECK(is_tiled(made.type()));
        Tensor back(DType::kI8, {made.view().bytes()});
        at->context.copy(back, ConstView(made.view().data(), DType::kI8, back.shape(), Device::kCuda));
        INFO(dtype_name(type), " ", shape.text(), ", from the GPU ", from_gpu);
        CHECK(std::ranges::equal(wanted, back.view().raw()));
      }
    }
  CHECK(!can_be_tiled(random_weights(DType::kQ4_0, {24, 256}, 1)));
  CHECK(!can_be_tiled(random_weights(DType::kQ8_0, {32, 96}, 1)));
  CHECK(!can_be_tiled(random_weights(DType::kQ6_K, {32, 256}, 1)));
  CHECK_THROWS_AS(Tensor(DType::kTiledQ8_0, {16, 256}), AssertionError);  // of the host
}

TEST_CASE("weights in tiles are widened as the reference widens what they were made of, all of them or some rows") {
  const auto at = gpu();
  if (!at) return;
  for (const DType type : kTileableTypes)
    for (const Shape shape : {Shape{16, 256}, Shape{48, 768}, Shape{208, 2048}}) {
      const Tensor weight = random_weights(type, shape, 1), there = tiled(weight);
      Tensor wanted(DType::kF32, shape), found = at->empty(shape), narrow = at->up(as_bf16(random_tensor(shape, 99, 1e6f)));
      reference::dequantize(wanted, weight);
      dequantize(at->on, found, there);
      dequantize(at->on, narrow, there);
      INFO(dtype_name(type), " ", shape.text());
      CHECK(at->difference(found, wanted) < 1e-7);
      CHECK(difference(*at, narrow, wanted) < 4e-3);
      dequantize(at->on, found.view().rows(0, 16), there.view().rows(shape[0] - 16, 16));
      const Tensor last = at->context.to_host(found);
      CHECK(worst_difference(last.floats().first(static_cast<std::size_t>(16 * shape[1])),
                             wanted.floats().last(static_cast<std::size_t>(16 * shape[1]))) < 1e-7);
      const std::int32_t rows[] = {9, 0, static_cast<std::int32_t>(shape[0]) - 1, 5, 9};
      Tensor some(DType::kF32, {5, shape[1]}), some_there = at->empty(some.shape());
      embed(plain(), some, rows, wanted);
      embed(at->on, some_there, rows, there);
      CHECK(at->difference(some_there, some) < 1e-7);
    }
}

TEST_CASE("products of a few rows agree with the reference for every type of weights, odd sizes and several parts") {
  const auto at = gpu();
  if (!at) return;
  for (const Lying& lying : ways_to_lie()) {
    const auto [type, tiles] = lying;
    const std::int64_t step = tiles ? kTiledWidth : is_quantised(type) ? block_elements(type) : 16 / block_bytes(type);
    for (const std::int64_t width : {step, 3 * step, 6 * step, std::int64_t{1024}, std::int64_t{2048} + (step > 32 ? 256 : 192),
                                     std::int64_t{step > 32 ? 2048 : 2304}, std::int64_t{14336}})
      for (const std::int64_t rows : {1, 2, 3, 4, 7}) {
        const Tensor x = random_tensor({rows, width}, 1), x_there = at->up(x), norm = random_tensor({width}, 7), norm_there = at->up(norm);
        const std::int64_t outputs[] = {tiles ? 48 : 37, 2, tiles ? 16 : 1};
        std::vector<Tensor> weights, biases, weights_there, biases_there, wanted, found;
        for (unsigned i = 0; i < 3; ++i) {
          weights.push_back(random_weights(i == 1 ? DType::kF32 : type, {outputs[i], width}, 10 + i));
          biases.push_back(random_tensor({outputs[i]}, 20 + i));
          weights_there.push_back(lying.up(*at, weights[i]));
          biases_there.push_back(at->up(biases[i]));
          wanted.emplace_back(DType::kF32, Shape{rows, outputs[i]});
          found.push_back(at->empty({rows, outputs[i]}));
        }
        std::vector<LinearPart> here, there;
        for (unsigned i = 0; i < 3; ++i) {
          here.push_back({wanted[i], weights[i], i == 2 ? ConstView() : biases[i].view()});
          there.push_back({found[i], weights_there[i], i == 2 ? ConstView() : biases_there[i].view()});
        }
        INFO(dtype_name(weights_there[0].type()), ", width ", width, ", rows ", rows);
        reference::linear(here, x);
        cuda::few_rows(at->on, there, x_there);
        const double close =
            type == DType::kQ4_K ? 1e-4 : 2e-5;  // a single output may be small beside its minima and what they are taken from
        for (unsigned i = 0; i < 3; ++i) CHECK(difference(*at, found[i], wanted[i]) < close);

        // Behind a norm, from bf16, added to bf16.
        const Tensor rounded = as_f32(as_bf16(x)), rounded_there = at->up(as_bf16(x)), before = as_f32(as_bf16(wanted[0]));
        Tensor normed(DType::kF32, x.shape()), sum_there = at->up(as_bf16(wanted[0]));
        rms_norm(plain(), normed, rounded, norm, 1e-5f);
        reference::linear(std::span(here).first(1), normed);
        for (std::size_t i = 0; i < before.floats().size(); ++i) wanted[0].floats()[i] += before.floats()[i];
        const LinearPart added{sum_there, weights_there[0], biases_there[0]};
        cuda::few_rows(at->on, {&added, 1}, rounded_there, {.norm = norm_there, .epsilon = 1e-5f, .then = cuda::FewRows::Then::kAdd});
        CHECK(difference(*at, sum_there, wanted[0]) < 4e-3);

        // Gate and up.
        const Shape shape{rows, outputs[0]};
        const Tensor up = random_weights(type, {outputs[0], width}, 30), up_there = lying.up(*at, up);
        Tensor gate_out(DType::kF32, shape), up_out(DType::kF32, shape), gated = at->empty(shape);
        linear(plain(), gate_out, x, weights[0]);
        linear(plain(), up_out, x, up);
        swiglu(plain(), gate_out, gate_out, up_out);
        const LinearPart pair[] = {{gated, weights_there[0], {}}, {{}, up_there, {}}};
        cuda::few_rows(at->on, pair, x_there, {.then = cuda::FewRows::Then::kSwiglu});
        CHECK(difference(*at, gated, gate_out) < close);
      }
  }
}

TEST_CASE("products of a few rows are the same from run to run, keep what is small beside the large, and pass on what is no number") {
  const auto at = gpu();
  if (!at) return;
  for (const Lying& lying : ways_to_lie()) {
    constexpr std::int64_t kWidth = 2048;
    const DType type = lying.type;
    const auto outputs = lying.tiles ? 144u : 130u;
    const Tensor weight = random_weights(type, {outputs, kWidth}, 1), weight_there = lying.up(*at, weight);
    Tensor x = random_tensor({2, kWidth}, 2);
    for (std::size_t i = 0; i < 256; ++i) x.floats()[i] *= i == 100 ? 1e6f : 1e-20f;  // of a row's beginning one alone counts
    for (std::size_t i = 256; i < 1024; ++i) x.floats()[i] *= 1e-30f;
    Tensor wanted(DType::kF32, {2, outputs}), found = at->empty({2, outputs});
    const auto multiply = [&](const Tensor& input) {
      const LinearPart here{wanted, weight, {}}, there{found, weight_there, {}};
      reference::linear({&here, 1}, input);
      cuda::few_rows(at->on, {&there, 1}, at->up(input));
    };
    INFO(dtype_name(weight_there.type()));
    multiply(x);
    CHECK(difference(*at, found, wanted) < 2e-5);
    const Tensor first = at->context.to_host(found);
    multiply(x);
    const Tensor second = at->context.to_host(found);
    CHECK(std::ranges::equal(first.floats(), second.floats()));
    for (std::size_t i = 0; i < 1024; ++i) x.floats()[i] = i < 512 ? 0 : x.floats()[1024 + i] * 1e-12f;
    for (std::size_t i = 1024; i < 2048; ++i) x.floats()[i] = 0;
    multiply(x);
    const Tensor small = at->context.to_host(found);
    CHECK(worst_difference(small.floats().first(outputs), wanted.floats().first(outputs)) < 2e-5);
    for (const float none : {std::nanf(""), INFINITY}) {
      x.floats()[1500] = none;
      multiply(x);
      const Tensor broken = at->context.to_host(found);
      CHECK(std::ranges::none_of(broken.floats().first(outputs), [](float value) { return std::isfinite(value); }));
      CHECK(std::ranges::all_of(broken.floats().subspan(outputs), [](float value) { return std::isfinite(value); }));
    }
  }
}

TEST_CASE("rope_and_store on the GPU is rope and store_keys_values") {
  const auto at = gpu();
  if (!at) return;
  for (const Heads& heads : kHeads)
    for (const RopePairs pairs : {RopePairs::kHalves, RopePairs::kNeighbours})
      for (const bool bf16 : {false, true}) {
        const Shape shape{9, 8, heads.keys, heads.width};
        const DType type = bf16 ? DType::kF16 : DType::kF32;
        Tensor keys(type, shape), values(type, shape);
        Tensor keys_there(type, shape, Device::kCuda), values_there(type, shape, Device::kCuda);
        const std::int32_t first[] = {3, 1}, second[] = {8, 0, 5};
        const KvSequence sequences[] = {{first, 11}, {second, 20}};
        const std::int32_t bounds[] = {0, 2, 7}, positions[] = {9, 10, 15, 16, 17, 18, 19};
        Tensor q = random_tensor({7, heads.queries, heads.width}, 1), k = random_tensor({7, heads.keys, heads.width}, 2),
               v = random_tensor({7, heads.keys, heads.width}, 3);
        for (Tensor* one : {&q, &k, &v})
          if (bf16) *one = as_f32(as_bf16(*one));
        const auto up = [&](const Tensor& tensor) { return at->up(bf16 ? as_bf16(tensor) : tensor.copy()); };
        Tensor q_there = up(q), k_there = up(k);
        const Tensor v_there = up(v), cosine = random_tensor({20, heads.width / 2}, 4), sine = random_tensor({20, heads.width / 2}, 5);
        const Tensor cosine_there = at->up(cosine), sine_there = at->up(sine);
        rope_and_store(plain(), q, k, v, positions, {cosine, sine, pairs}, {keys, values}, sequences, bounds);
        rope_and_store(at->on, q_there, k_there, v_there, positions, {cosine_there, sine_there, pairs}, {keys_there, values_there},
                       sequences, bounds);
        const auto pages = [&](const Tensor& there, const Tensor& here) {
          const Tensor back = at->context.to_host(there);
          double most = 0;
          for (std::int64_t i = 0; i < shape.elements(); ++i) {
            const auto value = [&](const Tensor& of) {
              return type == DType::kF32 ? of.floats()[static_cast<std::size_t>(i)]
                                         : from_f16(of.view().as<std::uint16_t>()[static_cast<std::size_t>(i)]);
            };
            most = std::max<double>(most, std::abs(value(back) - value(here)));
          }
          return most;
        };
        INFO("width ", heads.width, ", bf16 ", bf16);
        CHECK(difference(*at, q_there, q) < (bf16 ? 4e-3 : 1e-6));
        CHECK(pages(keys_there, keys) < (bf16 ? 4e-2 : 1e-5));
        CHECK(pages(values_there, values) == 0);
      }
}

TEST_CASE("rope_and_attend on the GPU is rope_and_store and paged_attention, for single tokens, drafts and prompts") {
  const auto at = gpu();
  if (!at) return;
  for (const Heads& heads : kHeads)
    for (const RopePairs pairs : {RopePairs::kHalves, RopePairs::kNeighbours})
      for (const bool bf16 : {false, true}) {
        const Shape shape{80, 16, heads.keys, heads.width};
        Tensor keys = as(DType::kF16, random_tensor(shape, 21)), values = as(DType::kF16, random_tensor(shape, 22));
        Tensor keys_there = at->up(keys), values_there = at->up(values);
        const KvPages pages{keys, values}, there{keys_there, values_there};
        std::vector<std::int32_t> first(70);
        for (std::size_t i = 0; i < first.size(); ++i) first[i] = static_cast<std::int32_t>(i * 37 % 71);
        const std::int32_t second[] = {first[0], 74, 75}, third[] = {79};
        const Tensor cosine = random_tensor({1110, heads.width / 2}, 4), sine = random_tensor({1110, heads.width / 2}, 5);
        const Tensor cosine_there = at->up(cosine), sine_there = at->up(sine);
        const auto pass = [&](std::span<const KvSequence> sequences, std::span<const std::int32_t> bounds, unsigned seed) {
          const std::int64_t tokens = bounds.back();
          std::vector<std::int32_t> positions;
          for (std::size_t i = 0; i < sequences.size(); ++i)
            for (std::int32_t row = bounds[i]; row < bounds[i + 1]; ++row)
              positions.push_back(sequences[i].length - (bounds[i + 1] - row) + 7);  // not the place in the sequence alone
          Tensor q = random_tensor({tokens, heads.queries, heads.width}, seed),
                 k = random_tensor({tokens, heads.keys, heads.width}, seed + 1),
                 v = random_tensor({tokens, heads.keys, heads.width}, seed + 2);
          for (Tensor* one : {&q, &k, &v})
            if (bf16) *one = as_f32(as_bf16(*one));
          const auto up = [&](const Tensor& tensor) { return at->up(bf16 ? as_bf16(tensor) : tensor.copy()); };
          Tensor q_there = up(q), k_there = up(k), out = up(random_tensor(q.shape(), 99, 1e6f)), wanted(DType::kF32, q.shape());
          const Tensor v_there = up(v);
          rope_and_attend(at->on, out, q_there, k_there, v_there, positions, {cosine_there, sine_there, pairs}, there, sequences, bounds,
                          0.1f);
          rope_and_attend(plain(), wanted, q, k, v, positions, {cosine, sine, pairs}, pages, sequences, bounds, 0.1f);
          INFO("heads ", heads.queries, " of ", heads.keys, ", width ", heads.width, ", bf16 ", bf16, ", tokens ", tokens);
          CHECK(difference(*at, out, wanted) < (bf16 ? 2e-2 : 4e-3));
          for (const auto& [found, here] : {std::pair{&keys_there, &keys}, std::pair{&values_there, &values}}) {
            const Tensor back = at->context.to_host(*found);
            double most = 0;
            for (std::size_t i = 0; i < static_cast<std::size_t>(shape.elements()); ++i)
              most = std::max<double>(
                  most, std::abs(from_f16(back.view().as<std::uint16_t>()[i]) - from_f16(here->view().as<std::uint16_t>()[i])));
            CHECK(most < (bf16 ? 4e-2 : 4e-3));
          }
        };
        const KvSequence one[] = {{first, 1051}};
        const std::int32_t one_bounds[] = {0, 1};
        pass(one, one_bounds, 1);
        const KvSequence drafts[] = {{first, 1055}, {third, 3}};
        const std::int32_t draft_bounds[] = {0, 4, 6};
        pass(drafts, draft_bounds, 9);
        const KvSequence mixed[] = {{first, 1056}, {second, 40}, {third, 4}};
        const std::int32_t mixed_bounds[] = {0, 1, 25, 26};
        pass(mixed, mixed_bounds, 13);
        const KvSequence straddling[] = {{first, 1090}, {third, 1}};  // drafts over the end of a tile, and a first token
        const std::int32_t straddling_bounds[] = {0, 4, 5};
        pass(straddling, straddling_bounds, 17);
        const KvSequence most[] = {{first, 1098}};  // parts of two tiles where there are many groups
        const std::int32_t most_bounds[] = {0, 8};
        pass(most, most_bounds, 21);
      }
}

TEST_CASE("recorded steps of a few tokens are what their ops are one by one, to the bit") {
  const auto at = gpu();
  if (!at) return;
  struct Sizes {
    std::int64_t width, wide;
    Heads heads;
  };
  struct Layer {
    Tensor norm, second_norm, q, k, v, bias, out, gate, up, down, keys, values;
  };
  constexpr int kLayers = 3;
  for (const auto& [width, wide, heads] :
       {Sizes{512, 1280, {14, 2, 64}}, Sizes{1024, 5376, {8, 2, 128}}, Sizes{256, 256, {3, 1, 64}}, Sizes{192, 448, {6, 2, 64}}})
    for (const DType type : {DType::kBF16, DType::kQ4_0, DType::kQ8_0, DType::kQ4_K, DType::kQ6_K, DType::kF16}) {
      const std::int64_t of_queries = heads.queries * heads.width, of_keys = heads.keys * heads.width;
      if (width % block_elements(type) != 0 || wide % block_elements(type) != 0 || of_queries % block_elements(type) != 0) continue;
      const Lying lying{type, true};
      const auto weights = [&](Shape shape, unsigned seed) { return lying.up(*at, random_weights(type, shape, seed)); };
      std::vector<Layer> layers;
      for (unsigned seed = 0; seed < 100 * kLayers; seed += 100)
        layers.push_back({at->up(random_tensor({width}, seed + 1)), at->up(random_tensor({width}, seed + 2)),
                          weights({of_queries, width}, seed + 3), weights({of_keys, width}, seed + 4), weights({of_keys, width}, seed + 5),
                          at->up(random_tensor({of_keys}, seed + 6)), weights({width, of_queries}, seed + 7),
                          weights({wide, width}, seed + 8), weights({wide, width}, seed + 9), weights({width, wide}, seed + 10),
                          at->up(as(DType::kF16, random_tensor({80, 16, heads.keys, heads.width}, seed + 11))),
                          at->up(as(DType::kF16, random_tensor({80, 16, heads.keys, heads.width}, seed + 12)))});
      const Tensor cosine = at->up(random_tensor({1100, heads.width / 2}, 4)), sine = at->up(random_tensor({1100, heads.width / 2}, 5));
      std::vector<std::int32_t> pages(70);
      for (std::size_t i = 0; i < pages.size(); ++i) pages[i] = static_cast<std::int32_t>(i * 37 % 71);
      const std::int32_t others[] = {74, 75, 79};
      const auto room = [&](Shape shape) { return at->up(as_bf16(random_tensor(shape, 99, 1e6f))); };
      const auto check = [&](std::span<const KvSequence> sequences, std::span<const std::int32_t> bounds) {
        const std::int64_t rows = bounds.back();
        const std::vector<std::int32_t> tokens(static_cast<std::size_t>(rows), 0);
        std::vector<std::int32_t> positions;
        for (std::size_t i = 0; i < sequences.size(); ++i)
          for (std::int32_t row = bounds[i]; row < bounds[i + 1]; ++row) positions.push_back(sequences[i].length - (bounds[i + 1] - row));
        const Tensor begin = as_bf16(random_tensor({rows, width}, 3));
        Tensor x = at->up(begin), normed = room({rows, width}), q = room({rows, heads.queries, heads.width}),
               k = room({rows, heads.keys, heads.width}), v = room(k.shape()), attended = room(q.shape()), gate = room({rows, wide}),
               up = room({rows, wide});
        const auto flat = [&](Tensor& tensor, std::int64_t columns) { return tensor.view().reshaped({rows, columns}); };
        const auto pass = [&] {
          for (Layer& layer : layers) {
            const LinearPart qkv[] = {
                {flat(q, of_queries), layer.q, {}}, {flat(k, of_keys), layer.k, layer.bias}, {flat(v, of_keys), layer.v, {}}};
            norm_linear(at->on, qkv, {x, layer.norm, 1e-5f, normed});
            rope_and_attend(at->on, attended, q, k, v, positions, {cosine, sine, RopePairs::kHalves}, {layer.keys, layer.values}, sequences,
                            bounds, 0.1f);
            linear_add(at->on, x, flat(attended, of_queries), layer.out, normed);
            norm_gate_up(at->on, gate, layer.gate, layer.up, {x, layer.second_norm, 1e-5f, normed}, up);
            linear_add(at->on, x, gate, layer.down, normed);
          }
        };
        const auto found_by = [&](const std::function<void()>& work) {
          at->context.copy(x, begin);
          work();
          return at->context.to_host(x);
        };
        RepeatedPasses passes;
        const auto repeated = [&] { passes.run(at->on, {tokens, positions, sequences, bounds}, {1}, pass); };
        const Tensor wanted = found_by(pass), first = found_by(repeated), recorded = found_by(repeated), again = found_by(repeated);
        INFO(dtype_name(type), ", width ", width, ", heads ", heads.queries, " of ", heads.width, ", rows ", rows);
        const auto bits = [](const Tensor& tensor) { return tensor.view().as<std::uint16_t>(); };
        CHECK(std::ranges::equal(bits(wanted), bits(first)));
        CHECK(std::ranges::equal(bits(wanted), bits(recorded)));
        CHECK(std::ranges::equal(bits(wanted), bits(again)));
      };
      const KvSequence one[] = {{pages, 1051}}, two[] = {{pages, 1060}, {others, 3}}, drafts[] = {{others, 37}};
      const std::int32_t one_bounds[] = {0, 1}, two_bounds[] = {0, 1, 2}, draft_bounds[] = {0, 4};
      check(one, one_bounds);
      check(two, two_bounds);
      check(drafts, draft_bounds);
    }
}

TEST_CASE("recorded steps follow what they are given, whether or not somebody waits or does something else between them") {
  const auto at = gpu();
  if (!at) return;
  constexpr std::int64_t kWidth = 256, kVocabulary = 40, kHeads = 4, kGroups = 2, kHeadWidth = 64, kPages = 128;
  constexpr std::int32_t kSteps = 12, kPageTokens = 16;
  const auto up = [&](Shape shape, unsigned seed, float scale = 1) { return at->up(as_bf16(random_tensor(shape, seed, scale))); };
  const auto weights = [&](std::int64_t heads, unsigned seed) { return up({heads * kHeadWidth, kWidth}, seed, 0.05f); };
  const Tensor table = up({kVocabulary, kWidth}, 1), weight_q = weights(kHeads, 2), weight_k = weights(kGroups, 3),
               weight_v = weights(kGroups, 4), norm = at->up(random_tensor({kWidth}, 5)),
               cosine = at->up(random_tensor({400, kHeadWidth / 2}, 6)), sine = at->up(random_tensor({400, kHeadWidth / 2}, 7)),
               pages_before = at->up(as(DType::kF16, random_tensor({kPages, kPageTokens, kGroups, kHeadWidth}, 8)));
  const std::vector<std::int32_t> others{5, 6, 7, 8};
  for (const std::int32_t count : {1, 3, 100}) {  // sequences; what 100 are given is more than a thread block fetches at once
    const auto rows = static_cast<std::int64_t>(count);
    std::vector<std::int32_t> bounds(static_cast<std::size_t>(count) + 1);
    std::iota(bounds.begin(), bounds.end(), 0);
    Tensor x = up({rows, kWidth}, 8), normed = up({rows, kWidth}, 9), q = up({rows, kHeads, kHeadWidth}, 10),
           k = up({rows, kGroups, kHeadWidth}, 11), v = up({rows, kGroups, kHeadWidth}, 12), out = up({rows, kHeads, kHeadWidth}, 13),
           aside = up({4, kWidth}, 14);
    const auto results = [&](const std::function<void(const PassInputs&, const std::function<void()>&)>& run, bool waits) {
      Tensor keys = pages_before.copy(), values = pages_before.copy(),
             left(DType::kBF16, {kSteps, rows * kHeads * kHeadWidth + 4 * kWidth}, Device::kCuda);
      for (std::int32_t step = 0; step < kSteps; ++step) {
        std::vector<std::int32_t> tokens, positions;
        std::vector<std::vector<std::int32_t>> pages;
        std::vector<KvSequence> sequences;
        for (std::int32_t i = 0; i < count; ++i) {
          const bool is_long = count <= 3;
          const std::int32_t length = is_long ? 30 + step * (5 + 13 * i) : 1 + step % 3;
          tokens.push_back((step * 7 + i * 3) % static_cast<std::int32_t>(kVocabulary));
          positions.push_back(length - 1);
          auto& of_one = pages.emplace_back();
          for (std::int32_t page = 0; page * kPageTokens < length; ++page)
            of_one.push_back(is_long ? page * 3 + i + step / 5 : (i + step) % static_cast<std::int32_t>(kPages));
        }
        for (std::size_t i = 0; i < pages.size(); ++i) sequences.push_back({pages[i], positions[i] + 1});
        run({tokens, positions, sequences, bounds}, [&] {
          embed(at->on, x, tokens, table);
          const LinearPart qkv[] = {{q.view().reshaped({rows, kHeads * kHeadWidth}), weight_q, {}},
                                    {k.view().reshaped({rows, kGroups * kHeadWidth}), weight_k, {}},
                                    {v.view().reshaped({rows, kGroups * kHeadWidth}), weight_v, {}}};
          norm_linear(at->on, qkv, {x, norm, 1e-5f, normed});
          rope_and_attend(at->on, out, q, k, v, positions, {cosine, sine, RopePairs::kHalves}, {keys, values}, sequences, bounds, 0.1f);
        });
        if (step % 3 == 0) embed(at->on, aside, others, table);  // other tokens in their slot, the same each time
        if (waits) at->context.synchronise();
        const View line = left.view().rows(step, 1).reshaped({rows * kHeads + 4 * kWidth / kHeadWidth, kHeadWidth});
        at->context.copy(line.rows(0, rows * kHeads), out);
        at->context.copy(line.rows(rows * kHeads, 4 * kWidth / kHeadWidth), aside);
      }
      return at->context.to_host(left);
    };
    const auto bits = [](const Tensor& tensor) { return tensor.view().as<std::uint16_t>(); };
    const Tensor wanted = results([](const PassInputs&, const std::function<void()>& pass) { pass(); }, false);
    INFO("sequences ", count);
    for (const bool waits : {false, true}) {
      RepeatedPasses passes;
      const Tensor found =
          results([&](const PassInputs& inputs, const std::function<void()>& pass) { passes.run(at->on, inputs, {1}, pass); }, waits);
      CHECK(std::ranges::equal(bits(wanted), bits(found)));
    }
    const auto step_of = [&](std::size_t step) { return bits(wanted).subspan(step * bits(wanted).size() / kSteps, 64); };
    for (std::size_t step = 1; step < kSteps; ++step) CHECK(!std::ranges::equal(step_of(step), step_of(step - 1)));
  }
}

TEST_CASE("layer_norm and mean_pool_unit of bf16, and argmax, agree with the reference on the GPU") {
  const auto at = gpu();
  if (!at) return;
  for (const Shape shape : {Shape{1, 1}, Shape{3, 17}, Shape{20, 384}, Shape{65, 1000}}) {
    const Tensor x = as_f32(as_bf16(random_tensor(shape, 1))), residual = as_f32(as_bf16(random_tensor(shape, 4)));
    const Tensor weight = random_tensor({shape[1]}, 2), bias = random_tensor({shape[1]}, 3);
    const Tensor x_there = at->up(as_bf16(x)), residual_there = at->up(as_bf16(residual)), weight_there = at->up(weight),
                 bias_there = at->up(bias);
    const Tensor shift = random_tensor({shape[1]}, 5), shift_there = at->up(shift);
    Tensor wanted(DType::kF32, shape), found = at->up(as_bf16(x));
    layer_norm(plain(), wanted, x, {residual, shift}, {weight, bias, 1e-5f});
    layer_norm(at->on, found, found, {residual_there, shift_there}, {weight_there, bias_there, 1e-5f});
    INFO("shape ", shape.text());
    CHECK(difference(*at, found, wanted) < 4e-3);
    const std::int32_t bounds[] = {0, static_cast<std::int32_t>(shape[0])};
    Tensor pooled(DType::kF32, {1, shape[1]}), pooled_there = at->empty({1, shape[1]});
    mean_pool_unit(plain(), pooled, x, bounds);
    mean_pool_unit(at->on, pooled_there, x_there, bounds);
    CHECK(difference(*at, pooled_there, pooled) < 1e-5);
  }
  Tensor rows = random_tensor({5, 4099}, 6);
  rows.floats()[4099 + 7] = rows.floats()[4099 + 4000] = 100;  // the first of equals
  rows.floats()[2 * 4099 + 4098] = 100;
  rows.floats()[3 * 4099] = 100;
  std::vector<std::int32_t> best(5), found(5);
  argmax(plain(), best, rows);
  argmax(at->on, found, at->up(rows));
  CHECK(found == best);
  CHECK(best[1] == 7);

  std::vector<std::uint64_t> allowed(65);
  allowed[62] = ~std::uint64_t{0};  // columns 3968 to 4031
  rows.floats()[4 * 4099 + 3970] = std::nanf("");
  const Tensor rows_there = at->up(rows);
  for (const bool none : {false, true}) {
    if (none) allowed[62] = 0;
    std::vector<Argmax> under;
    for (std::int32_t row = 0; row < 5; ++row) under.push_back({row, 0});
    argmax(plain(), best, rows, under, allowed);
    argmax(at->on, found, rows_there, under, allowed);
    CHECK(found == best);
    CHECK(best[1] == (none ? Argmax::kNone : 4000));
    CHECK(best[4] == (none ? Argmax::kNone : Argmax::kNaN));
  }
}

TEST_CASE("what rows of logits are asked for on the GPU agrees with the reference, rows that begin anywhere and a NaN too") {
  const auto at = gpu();
  if (!at) return;
  for (const std::int64_t width : {1, 37, 4099, 128256, 151936}) {
    Tensor x = random_tensor({7, width}, 5, 9);
    const Tensor there = at->up(x);
    std::vector<TokenAt> wanted;
    std::vector<Argmax> rows;
    const auto words = static_cast<std::size_t>((width + 63) / 64);
    std::vector<std::uint64_t> masks(3 * words);  // all; every third column; the last one
    std::fill_n(masks.begin(), words, ~std::uint64_t{0});
    for (std::int64_t i = 0; i < width; i += 3) masks[words + static_cast<std::size_t>(i / 64)] |= std::uint64_t{1} << (i % 64);
    masks[2 * words + static_cast<std::size_t>((width - 1) / 64)] |= std::uint64_t{1} << ((width - 1) % 64);
    for (std::int32_t k = 0; k < 40; ++k) {
      wanted.push_back({k * 5 % 7, static_cast<std::int32_t>(k * 7919 % width)});
      rows.push_back({k * 3 % 7, k % 4 - 1});
    }
    std::vector<double> truth(wanted.size()), found(wanted.size());
    log_probabilities(plain(), truth, x, wanted);
    log_probabilities(at->on, found, there, wanted);
    INFO("width ", width);
    for (std::size_t k = 0; k < found.size(); ++k) CHECK(std::abs(found[k] - truth[k]) < 2e-6);
    std::vector<double> again(wanted.size());
    log_probabilities(at->on, again, there, wanted);
    CHECK(again == found);
    for (std::size_t mask = 0; mask < 3; ++mask) {
      const auto allowed = std::span(masks).subspan(mask * words, words);
      CHECK(std::abs(log_sum_exp(at->on, there.view().rows(6, 1), allowed) - log_sum_exp(plain(), x.view().rows(6, 1), allowed)) < 2e-6);
    }
    CHECK(std::isinf(log_sum_exp(at->on, there.view().rows(6, 1), std::vector<std::uint64_t>(words))));
    std::vector<std::int32_t> best(40), best_there(40);
    argmax(plain(), best, x, rows, masks);
    argmax(at->on, best_there, there, rows, masks);
    CHECK(best_there == best);
    std::vector<Argmax> many;  // more rows than a row has parts, then a part each
    for (std::int32_t k = 0; k < 700; ++k) many.push_back({k % 7, k % 4 - 1});
    std::vector<std::int32_t> best_of_many(700), of_many_there(700);
    argmax(plain(), best_of_many, x, many, masks);
    argmax(at->on, of_many_there, there, many, masks);
    CHECK(of_many_there == best_of_many);

    x.floats()[static_cast<std::size_t>(2 * width + width / 2)] = std::nanf("");
    log_probabilities(at->on, found, at->up(x), wanted);
    for (std::size_t k = 0; k < found.size(); ++k) CHECK(std::isnan(found[k]) == (wanted[k].row == 2));
  }
}

TEST_CASE("a page of all layers is copied on the GPU as on the host, odd sizes too") {
  const auto at = gpu();
  if (!at) return;
  for (const Shape shape : {Shape{4, 5, 3, 7}, Shape{6, 9, 32, 128}}) {
    Tensor x = random_tensor(shape, 6), there = at->up(x);
    copy_block(plain(), x, 3, 1);
    copy_block(at->on, there, 3, 1);
    const Tensor back = at->context.to_host(there);
    CHECK(std::equal(x.floats().begin(), x.floats().end(), back.floats().begin()));
  }
}
