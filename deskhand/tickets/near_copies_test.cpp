#include "deskhand/tickets/near_copies.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

std::vector<std::string_view> views(const std::vector<std::string>& texts) {
  return {texts.begin(), texts.end()};
}

// Words drawn from `vocabulary` ones, each text of 12 to 40; every third is an earlier one with up to six words changed.
std::vector<std::string> invented(int count, int vocabulary, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::vector<int>> texts;
  for (int i = 0; i < count; ++i) {
    std::vector<int> words;
    if (i % 3 == 2) {
      words = texts[random() % texts.size()];
      for (auto changes = random() % 7; changes-- > 0;) words[random() % words.size()] = static_cast<int>(random() % 1000);
    } else {
      for (auto length = 12 + random() % 29; length-- > 0;) words.push_back(static_cast<int>(random() % static_cast<unsigned>(vocabulary)));
    }
    texts.push_back(words);
  }
  std::vector<std::string> out;
  for (const auto& words : texts) {
    out.emplace_back();
    for (const int word : words) out.back() += "w" + std::to_string(word) + " ";
  }
  return out;
}

// The measure by its definition, on sets of strings.
using Set = std::set<std::string>;
Set slow_shingles(const std::string& text) {
  std::vector<std::string> words{""};
  for (const char c : text) {
    if (c == ' ')
      words.emplace_back();
    else
      words.back().push_back(c);
  }
  std::erase(words, "");
  Set set;
  for (std::size_t i = 0; i + 3 <= words.size(); ++i) set.insert(words[i] + " " + words[i + 1] + " " + words[i + 2]);
  return set;
}
std::vector<Set> slow_shingles(const std::vector<std::string>& texts) {
  std::vector<Set> sets;
  for (const auto& text : texts) sets.push_back(slow_shingles(text));
  return sets;
}
double slow_similarity(const Set& a, const Set& b) {
  double shared = 0;
  for (const auto& shingle : a) shared += static_cast<double>(b.count(shingle));
  return shared / (static_cast<double>(a.size() + b.size()) - shared);
}

}  // namespace

TEST_CASE("the share in common is that of sets of three words, without case and punctuation") {
  CHECK(shingle_similarity("The printer does not print", "the PRINTER, does not: print!") == 1);
  CHECK(shingle_similarity("a b c d", "a b c e") == doctest::Approx(1.0 / 3));
  CHECK(shingle_similarity("a b c a b c a b c", "b c a b c a b c a") == 1);  // sets: how often counts nothing
  CHECK(shingle_similarity("one two three", "four five six") == 0);
  CHECK(shingle_similarity("STRASSE frei hier", "Straße frei hier") == 1);
  CHECK(shingle_similarity("プリンタ が 動かない", "プリンタ、が、動かない。") == 1);
  const auto texts = invented(40, 30, 1);
  for (const auto& a : texts)
    for (const auto& b : texts)
      CHECK(shingle_similarity(a, b) == doctest::Approx(slow_similarity(slow_shingles(a), slow_shingles(b))).epsilon(1e-12));
}

TEST_CASE("a text shorter than a shingle is the set of its words, one without words is a copy of nothing") {
  CHECK(shingle_similarity("login broken", "Broken login!") == 1);
  CHECK(shingle_similarity("login broken", "login") == .5);
  CHECK(shingle_similarity("login broken", "login broken again") == 0);
  CHECK(shingle_similarity("", "") == 0);
  CHECK(shingle_similarity("...", "...") == 0);
  CHECK(shingle_similarity("\xff\xfe", "\xff") == 0);
  ThreadPool pool(1);
  const std::vector<std::string> texts = {"", "...", "help", "", "HELP"};
  CHECK(near_copy_groups(views(texts), pool) == std::vector<std::int64_t>{0, 1, 2, 3, 2});
  CHECK(near_copy_groups({}, pool).empty());
  CHECK(leaks({}, views(texts), pool).empty());
  CHECK(leaks(views(texts), {}, pool).empty());
  CHECK(leaks(views(texts), views(texts), pool).size() == 2);
}

TEST_CASE("groups are the connected parts of all pairs at or above the threshold") {
  ThreadPool pool(2);
  const auto texts = invented(600, 400, 7);
  const auto groups = near_copy_groups(views(texts), pool);
  std::vector<std::int64_t> expected(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) expected[i] = static_cast<std::int64_t>(i);
  std::size_t pairs = 0;
  const auto sets = slow_shingles(texts);
  for (std::size_t i = 0; i < texts.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (slow_similarity(sets[i], sets[j]) >= .6) {
        ++pairs;
        const auto old = std::max(expected[i], expected[j]), now = std::min(expected[i], expected[j]);
        std::replace(expected.begin(), expected.end(), old, now);
      }
  std::map<std::int64_t, std::int64_t> numbers;
  for (auto& group : expected) group = numbers.try_emplace(group, static_cast<std::int64_t>(numbers.size())).first->second;
  CHECK(pairs > 50);
  CHECK(groups == expected);
}

TEST_CASE("the same texts give the same groups and leaks, whatever the number of threads") {
  const auto texts = invented(3000, 40, 3);
  const auto all = views(texts);
  const auto train = std::span(all).subspan(500), test = std::span(all).first(500);
  ThreadPool one(1), three(3);
  CHECK(near_copy_groups(all, one) == near_copy_groups(all, three));
  const auto a = leaks(train, test, one), b = leaks(train, test, three);
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i)
    CHECK((a[i].test == b[i].test && a[i].train == b[i].train && a[i].similarity == b[i].similarity));
}

TEST_CASE("a leak is the closest of all train texts, equal ones by the lower index") {
  ThreadPool pool(2);
  for (const int vocabulary : {4, 400}) {  // four words alone: every shingle is in many texts
    auto texts = invented(400, vocabulary, 11);
    texts.push_back(texts[350]);
    const auto all = views(texts);
    const auto sets = slow_shingles(texts);
    const auto train = std::span(all).subspan(100), test = std::span(all).first(100);
    for (const double threshold : {.1, .6, 1.0}) {
      const auto found = leaks(train, test, pool, {.threshold = threshold});
      std::size_t next = 0;
      for (std::size_t t = 0; t < test.size(); ++t) {
        double best = 0;
        std::size_t who = 0;
        for (std::size_t i = 0; i < train.size(); ++i)
          if (const double s = slow_similarity(sets[t], sets[100 + i]); s > best) best = s, who = i;
        if (best < threshold) continue;
        REQUIRE(next < found.size());
        CHECK(found[next].test == static_cast<std::int64_t>(t));
        CHECK(found[next].train == static_cast<std::int64_t>(who));
        CHECK(found[next].similarity == doctest::Approx(best).epsilon(1e-12));
        ++next;
      }
      CHECK(next == found.size());
    }
  }
}

TEST_CASE("thousands of texts from one form are one group, in little time") {
  std::vector<std::string> texts;
  for (int i = 0; i < 5000; ++i)
    texts.push_back("The nightly backup of server " + std::to_string(i * 7919 % 5000) +
                    " has ended with warnings, please look into the log and confirm that all files were written to the second volume");
  ThreadPool pool(1);
  const auto groups = near_copy_groups(views(texts), pool);
  CHECK(*std::max_element(groups.begin(), groups.end()) == 0);
}

TEST_CASE("settings without sense are refused") {
  ThreadPool pool(1);
  CHECK_THROWS_AS(near_copy_groups({}, pool, {.threshold = 0}), Error);
  CHECK_THROWS_AS(near_copy_groups({}, pool, {.threshold = 1.5}), Error);
  CHECK_THROWS_AS(leaks({}, {}, pool, {.shingle_words = 0}), Error);
}

}  // namespace deskhand
