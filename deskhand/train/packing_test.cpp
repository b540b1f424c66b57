#include "deskhand/train/packing.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "deskhand/base/error.h"
#include "deskhand/train/random.h"

namespace deskhand {
namespace {

std::vector<std::int32_t> random_lengths(std::size_t count, std::int32_t most, std::uint64_t seed = 1) {
  Random random(seed);
  std::vector<std::int32_t> lengths;
  for (std::size_t i = 0; i < count; ++i)
    lengths.push_back(2 + static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(most - 1))));
  return lengths;
}

// Token t of example e is 1000 e + t.
std::vector<Example> examples_of(std::span<const std::int32_t> lengths) {
  std::vector<Example> examples;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    Example example;
    for (std::int32_t t = 0; t < lengths[i]; ++t) example.ids.push_back(static_cast<std::int32_t>(i) * 1000 + t);
    example.answer_begin = lengths[i] / 2;
    examples.push_back(example);
  }
  return examples;
}

std::int64_t tokens_of(const PassPlan& pass, std::span<const std::int32_t> lengths) {
  return std::accumulate(pass.begin(), pass.end(), std::int64_t{0},
                         [&](std::int64_t sum, std::int32_t i) { return sum + lengths[static_cast<std::size_t>(i)]; });
}

}  // namespace

TEST_CASE("in each epoch every example stands in exactly one pass, and no pass is longer than allowed") {
  const auto lengths = random_lengths(311, 300);
  for (const PackingSettings settings :
       {PackingSettings{.pass_tokens = 512}, PackingSettings{.pass_tokens = 300, .pass_examples = 2, .step_examples = 8},
        PackingSettings{.pass_tokens = 700, .step_examples = 0, .step_passes = 3, .window = 100}}) {
    const Packing packing(lengths, settings);
    for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
      std::multiset<std::int32_t> seen;
      for (const StepPlan& step : packing.epoch(epoch)) {
        CHECK_FALSE(step.empty());
        for (const PassPlan& pass : step) {
          CHECK(tokens_of(pass, lengths) <= settings.pass_tokens);
          if (settings.pass_examples > 0) CHECK(pass.size() <= 2);
          seen.insert(pass.begin(), pass.end());
        }
      }
      CHECK(seen.size() == lengths.size());
      CHECK(std::set<std::int32_t>(seen.begin(), seen.end()).size() == lengths.size());
    }
  }
}

TEST_CASE(
    "a step has as many examples as asked for, only an epoch's last one fewer: the thesis project's 4 900 in eights are 1 226 steps in two "
    "epochs") {
  const Packing packing(random_lengths(4900, 256), {.pass_tokens = 512, .pass_examples = 2, .step_examples = 8});
  const auto steps = packing.epoch(0);
  CHECK(steps.size() == 613);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    std::size_t count = 0;
    for (const auto& pass : steps[i]) count += pass.size();
    CHECK(count == (i + 1 < steps.size() ? 8 : 4));
    CHECK(steps[i].size() == (i + 1 < steps.size() ? 4 : 2));
  }
  CHECK(count_steps(packing, 2) == 1226);
  CHECK(count_steps(packing, 1.5) == 613 + 307);
}

TEST_CASE("epochs and seeds shuffle differently, the same ones alike, and without shuffling the order is the examples' own") {
  const auto lengths = random_lengths(64, 100);
  CHECK(Packing(lengths, {.seed = 1}).epoch(0) == Packing(lengths, {.seed = 1}).epoch(0));
  CHECK(Packing(lengths, {.seed = 1}).epoch(0) != Packing(lengths, {.seed = 1}).epoch(1));
  CHECK(Packing(lengths, {.seed = 1}).epoch(0) != Packing(lengths, {.seed = 2}).epoch(0));
  const std::vector<std::int32_t> equal(10, 5);
  const auto steps = Packing(equal, {.pass_tokens = 10, .step_examples = 4, .shuffle = false}).epoch(3);
  CHECK(steps == std::vector<StepPlan>{{{0, 1}, {2, 3}}, {{4, 5}, {6, 7}}, {{8, 9}}});
}

TEST_CASE("full passes waste little: over nine tenths of the room is used where examples are short") {
  const auto lengths = random_lengths(2000, 300);
  const Packing packing(lengths, {.pass_tokens = 1024, .step_examples = 0, .step_passes = 4});
  std::int64_t passes = 0;
  for (const auto& step : packing.epoch(0)) passes += static_cast<std::int64_t>(step.size());
  const auto tokens = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
  CHECK(static_cast<double>(tokens) / static_cast<double>(passes * 1024) > 0.97);
}

TEST_CASE("reading on from any place gives what reading through gives") {
  const auto lengths = random_lengths(50, 60);
  const auto examples = examples_of(lengths);
  const Packing packing(lengths, {.pass_tokens = 128, .step_examples = 7});
  StepReader through(packing, examples);
  CHECK(through.steps_in_epoch() == 8);
  for (int step = 0; step < 20; ++step) {
    StepReader resumed(packing, examples, through.place());
    CHECK(resumed.epoch() == doctest::Approx(step / 8.0));
    const auto expected = through.next(), found = resumed.next();
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i].tokens == expected[i].tokens);
    CHECK(resumed.place() == through.place());
  }
  CHECK_THROWS_AS(StepReader(packing, examples, {.epoch = 0, .step = 8}), Error);
}

TEST_CASE("a packed pass predicts each answer's tokens from the rows before them, and nothing across a border") {
  std::vector<Example> examples = {{.ids = {10, 11, 12, 13}, .answer_begin = 2}, {.ids = {20, 21, 22}, .answer_begin = 1}};
  examples.push_back({.ids = {30, 31, 32}, .answer_begin = 2, .answer_only = false});
  const PackedPass pass = pack(examples, {1, 0, 2});
  CHECK(pass.tokens == std::vector<std::int32_t>{20, 21, 22, 10, 11, 12, 13, 30, 31, 32});
  CHECK(pass.bounds == std::vector<std::int32_t>{0, 3, 7, 10});
  CHECK(pass.rows == std::vector<std::int32_t>{0, 1, 4, 5, 7, 8});
  CHECK(pass.targets == std::vector<std::int32_t>{21, 22, 12, 13, 31, 32});
  const auto passes = pack_in_order(examples, 7);
  REQUIRE(passes.size() == 2);
  CHECK(passes[0].examples == PassPlan{0, 1});
  CHECK(passes[1].examples == PassPlan{2});
}

TEST_CASE("a pass carries the weights of answers, and none where all tokens count alike") {
  const Example plain{.ids = {1, 2, 3, 4, 5}, .answer_begin = 2};
  Example weighed = plain;
  weighed.weights = {3, 0, 1};
  const std::vector<Example> examples{plain, weighed};
  CHECK(pack(examples, {0}).weights.empty());
  CHECK(pack(examples, {0}).target_weight() == 3);
  const PackedPass both = pack(examples, {0, 1});
  CHECK(both.weights == std::vector<float>{1, 1, 1, 3, 0, 1});
  CHECK(both.target_weight() == 7);
  CHECK(hash_of(std::span(examples).first(1)) != hash_of(std::span(examples).last(1)));
  weighed.answer_only = false;  // the prompt's tokens count as they are
  CHECK(pack(std::span(&weighed, 1), {0}).weights == std::vector<float>{1, 3, 0, 1});

  Example longer{.ids = std::vector<std::int32_t>(60, 7), .answer_begin = 30};
  for (int i = 0; i < 30; ++i) longer.weights.push_back(static_cast<float>(i));
  std::vector<Example> cut{longer, longer};
  cut_examples(std::span(cut).first(1), 40);
  CHECK(cut[0].weight(cut[0].answer_begin) == 0);
  CHECK(cut[0].weights == longer.weights);
  cut_examples(std::span(cut).last(1), 20);  // the answer loses its end but not its last token
  CHECK(cut[1].weights.size() == static_cast<std::size_t>(20 - cut[1].answer_begin));
  CHECK(cut[1].weights.front() == 0);
  CHECK(cut[1].weights.back() == 29);
}

TEST_CASE("a beginning that all examples share is found up to where a loss is taken, and stands once in a pass") {
  std::vector<Example> examples;
  for (std::int32_t i = 0; i < 5; ++i) {
    Example example;
    for (std::int32_t t = 0; t < 40 + i; ++t) example.ids.push_back(t < 24 ? t : 1000 * i + t);
    example.answer_begin = 30 + i;
    examples.push_back(example);
  }
  CHECK(shared_beginning(examples) == 24);
  examples[3].ids[20] = 7;
  CHECK(shared_beginning(examples) == 20);
  examples[2].answer_begin = 19;
  CHECK(shared_beginning(examples) == 18);  // row 18 predicts token 19
  examples[2].answer_begin = 12;
  CHECK(shared_beginning(examples) == 0);  // too little
  examples[2].answer_begin = 32;
  examples[1].answer_only = false;
  CHECK(shared_beginning(examples) == 0);  // there a loss is taken of everything
  examples[1].answer_only = true;

  const PackedPass pass = pack(examples, {4, 0, 2}, 20);
  CHECK(pass.shared == 20);
  CHECK(pass.bounds == std::vector<std::int32_t>{0, 44, 64, 86});
  CHECK(pass.text_tokens() == 44 + 40 + 42);
  CHECK(pass.tokens[44] == examples[0].ids[20]);
  CHECK(pass.rows.front() == 33);
  const auto second = std::find(pass.targets.begin(), pass.targets.end(), examples[0].ids[30]) - pass.targets.begin();
  CHECK(pass.tokens[static_cast<std::size_t>(pass.rows[static_cast<std::size_t>(second)])] == examples[0].ids[29]);
  CHECK(pack(examples, {1}, 20).shared == 0);

  std::vector<std::int32_t> lengths;
  for (const Example& example : examples) lengths.push_back(example.size());
  CHECK(Packing(lengths, {.pass_tokens = 130}).epoch(0).front().size() == 2);
  CHECK(Packing(lengths, {.pass_tokens = 130, .shared = 20}).epoch(0).front().size() == 1);  // 20 + 5 times 20 and 0 to 4
  for (const PackedPass& packed : pack_in_order(examples, 66, 20)) CHECK(packed.tokens.size() <= 66);
  CHECK(pack_in_order(examples, 66, 20).size() == 3);
}

TEST_CASE("cutting takes the prompt's middle, keeps the whole answer where it can, and counts") {
  std::vector<Example> examples(4);
  for (auto& example : examples) {
    example.ids.resize(40);
    std::iota(example.ids.begin(), example.ids.end(), 0);
  }
  examples[0].answer_begin = 30;  // an answer of 10
  examples[1].answer_begin = 5;   // an answer of 35
  examples[2].answer_begin = 0;   // a plain text
  examples[3].ids.resize(20);     // short enough
  examples[3].answer_begin = 10;
  const CutCounts counts = cut_examples(examples, 20);
  CHECK(counts.examples == 3);
  CHECK(counts.answers == 1);
  CHECK(counts.tokens == 60);
  CHECK(counts.longest_tokens == 40);
  CHECK(examples[0].ids == std::vector<std::int32_t>{0, 1, 2, 3, 4, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39});
  CHECK(examples[0].answer_begin == 10);
  CHECK(examples[1].size() == 20);
  CHECK(examples[1].answer_begin == 5);
  CHECK(examples[1].ids.back() == 39);  // the end of turn
  CHECK(examples[1].ids[18] == 18);
  CHECK(examples[2].ids.back() == 19);
  CHECK(examples[3].size() == 20);
}

TEST_CASE("the hash of the data changes with a token, a border, the loss and the order, and with nothing else") {
  std::vector<Example> examples = {{.ids = {1, 2, 3}, .answer_begin = 2}, {.ids = {4, 5}, .answer_begin = 1}};
  const std::string before = hash_of(examples);
  CHECK(before.size() == 64);
  CHECK(hash_of(std::vector<Example>(examples)) == before);
  const auto changed = [&](auto change) {
    auto others = examples;
    change(others);
    return hash_of(others) != before;
  };
  CHECK(changed([](auto& e) { e[0].ids[1] = 7; }));
  CHECK(changed([](auto& e) { e[0].answer_begin = 1; }));
  CHECK(changed([](auto& e) { e[1].answer_only = false; }));
  CHECK(changed([](auto& e) { std::swap(e[0], e[1]); }));
  CHECK(changed([](auto& e) { e[0].ids = {1, 2}, e[1].ids = {3, 4, 5}; }));
}

TEST_CASE("settings out of range, no examples and an example longer than a pass are refused") {
  const std::vector<std::int32_t> lengths = {3, 9};
  CHECK_THROWS_WITH_AS(Packing(lengths, {.pass_tokens = 8}), doctest::Contains("example 2 has 9 tokens"), Error);
  CHECK_THROWS_AS(Packing({}, {}), Error);
  CHECK_THROWS_AS(Packing(lengths, {.step_examples = -1}), Error);
  CHECK_THROWS_AS(Packing(lengths, {.step_examples = 0, .step_passes = 0}), Error);
}

TEST_CASE("the generator gives the numbers of its authors' code, fair dice and a normal curve") {
  Random first(Random::State{1, 2, 3, 4});  // from the reference implementation of xoshiro256**
  CHECK(first.bits() == 11520);
  CHECK(first.bits() == 0);
  CHECK(first.bits() == 1509978240);
  CHECK(first.bits() == 1215971899390074240);
  Random random(7);
  std::array<int, 6> thrown{};
  for (int i = 0; i < 60000; ++i) ++thrown[random.below(6)];
  for (const int count : thrown) CHECK(std::abs(count - 10000) < 400);
  double sum = 0, squares = 0;
  for (int i = 0; i < 100000; ++i) {
    const double x = random.normal();
    sum += x;
    squares += x * x;
  }
  CHECK(std::abs(sum / 100000) < 0.02);
  CHECK(std::abs(squares / 100000 - 1) < 0.03);
  CHECK(Random(7, 0).bits() != Random(7, 1).bits());
}

}  // namespace deskhand
