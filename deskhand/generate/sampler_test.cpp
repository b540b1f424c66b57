#include "deskhand/generate/sampler.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

TEST_CASE("the greedy pick is the largest allowed logit, the smaller id of equals") {
  const std::vector<float> logits{1, 5, 5, 2};
  const auto mask = TokenMask::list({0, 2, 3});
  const std::vector<std::int32_t> banned{2};
  CHECK(pick_token(logits, nullptr, {}, {}, 0) == 1);
  CHECK(pick_token(logits, &mask, {}, {}, 0) == 2);
  CHECK(pick_token(logits, &mask, banned, {}, 0) == 3);
  const TokenMask nothing;
  CHECK(pick_token(logits, &nothing, {}, {}, 0) == -1);
}

TEST_CASE("a logit that is not a number is an error, one of a forbidden token is not") {
  const std::vector<float> logits{1, std::nanf(""), 2};
  const auto mask = TokenMask::list({0, 2});
  CHECK_THROWS_AS(pick_token(logits, nullptr, {}, {}, 0), Error);
  CHECK(pick_token(logits, &mask, {}, {}, 0) == 2);
}

TEST_CASE("draws follow the softmax at the temperature, cut by top_k and top_p") {
  const std::vector<float> logits{0, std::log(2.f), std::log(4.f), std::log(1.f)};  // 1 : 2 : 4 : 1
  const auto shares = [&](SamplerSettings settings) {
    std::array<double, 4> counts{};
    for (std::uint64_t step = 0; step < 40000; ++step) ++counts[static_cast<std::size_t>(pick_token(logits, nullptr, {}, settings, step))];
    for (double& count : counts) count /= 40000;
    return counts;
  };
  const auto plain = shares({.temperature = 1, .seed = 5});
  CHECK(plain[0] == doctest::Approx(.125).epsilon(.05));
  CHECK(plain[2] == doctest::Approx(.5).epsilon(.03));
  const auto hot = shares({.temperature = 2, .seed = 5});
  CHECK(hot[2] / hot[0] == doctest::Approx(2).epsilon(.06));
  const auto two = shares({.temperature = 1, .top_k = 2, .seed = 5});
  CHECK(two[0] + two[3] == 0);
  CHECK(two[2] == doctest::Approx(4. / 6).epsilon(.03));
  const auto nucleus = shares({.temperature = 1, .top_p = .5f, .seed = 5});
  CHECK(nucleus[2] == 1);
}

TEST_CASE("a seed gives the same draws again and another seed others") {
  std::vector<float> logits(100);
  const auto draws = [&](std::uint64_t seed) {
    std::vector<std::int32_t> out;
    for (std::uint64_t step = 0; step < 50; ++step) out.push_back(pick_token(logits, nullptr, {}, {.temperature = 1, .seed = seed}, step));
    return out;
  };
  CHECK(draws(1) == draws(1));
  CHECK(draws(1) != draws(2));
}

TEST_CASE("settings out of range are refused") {
  CHECK_THROWS_AS(check(SamplerSettings{.temperature = -1}), Error);
  CHECK_THROWS_AS(check(SamplerSettings{.temperature = std::nanf("")}), Error);
  CHECK_THROWS_AS(check(SamplerSettings{.top_p = 0}), Error);
  CHECK_THROWS_AS(check(SamplerSettings{.top_k = -1}), Error);
  CHECK_NOTHROW(check(SamplerSettings{}));
}

}  // namespace
}  // namespace deskhand
