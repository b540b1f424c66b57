#include "deskhand/tickets/split.h"

#include <doctest/doctest.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/base/sha256.h"

using namespace deskhand;

TEST_CASE("the random split is scikit-learn's train_test_split to the index") {
  const auto golden = parse_json(read_text_file(DESKHAND_SOURCE_DIR "/tests/golden/tickets/splits.json"), "splits.json");
  for (const auto& one : golden["splits"]) {
    const auto count = one["count"].get<std::int64_t>();
    CAPTURE(count);
    const auto split = random_split(count);
    CHECK(split.test.size() == one["test_rows"].get<std::size_t>());
    const auto head = [](const std::vector<std::int64_t>& rows) {
      return std::vector<std::int64_t>(rows.begin(), rows.begin() + std::min<std::ptrdiff_t>(20, std::ssize(rows)));
    };
    CHECK(head(split.test) == one["test"].get<std::vector<std::int64_t>>());
    CHECK(head(split.train) == one["train"].get<std::vector<std::int64_t>>());
    CHECK(sha256(fmt::format("{};{}", fmt::join(split.test, ","), fmt::join(split.train, ","))) == one["sha256"].get<std::string>());
  }
  for (const auto& one : golden["permutations"])
    CHECK(numpy_permutation(one["count"].get<std::int64_t>(), one["seed"].get<std::uint32_t>()) ==
          one["order"].get<std::vector<std::int64_t>>());
}

TEST_CASE("a split that leaves a side empty is refused") {
  CHECK_THROWS_AS(random_split(1), Error);
  CHECK_THROWS_AS(random_split(0), Error);
  CHECK_THROWS_AS(random_split(10, 1.0), Error);
  CHECK_THROWS_AS(random_split(10, 0.99), Error);
  CHECK_THROWS_AS(random_split(10, -0.1), Error);
}

TEST_CASE("a grouped split keeps every group on one side, fills the test and does not ask what groups are called") {
  std::vector<std::int64_t> groups, renamed;
  for (std::int64_t i = 0; i < 1000; ++i) {
    groups.push_back(i % 7 == 0 ? 3 : i / 2);
    renamed.push_back(groups.back() * 17 - 5000);
  }
  const auto split = grouped_split(groups, 0.1);
  CHECK(split.test.size() <= 100);
  CHECK(split.test.size() >= 99);
  CHECK(split.test.size() + split.train.size() == 1000);
  std::set<std::int64_t> test;
  for (const auto i : split.test) test.insert(groups[static_cast<std::size_t>(i)]);
  for (const auto i : split.train) CHECK(test.count(groups[static_cast<std::size_t>(i)]) == 0);
  CHECK(grouped_split(renamed, 0.1).test == split.test);
  CHECK_THROWS_AS(grouped_split(std::vector<std::int64_t>(10, 4), 0.1), Error);
  CHECK(grouped_split(std::vector<std::int64_t>{1, 1, 1, 1, 2, 2, 2}, 0.1).test == std::vector<std::int64_t>{4, 5, 6});
}

TEST_CASE("random folds are scikit-learn's KFold to the index") {
  const auto golden = parse_json(read_text_file(DESKHAND_SOURCE_DIR "/tests/golden/tickets/splits.json"), "splits.json");
  for (const auto& one : golden["folds"]) {
    const auto splits = random_folds(one["count"].get<std::int64_t>(), one["k"].get<int>(), one["seed"].get<std::uint32_t>());
    REQUIRE(splits.size() == one["test"].size());
    for (std::size_t fold = 0; fold < splits.size(); ++fold) {
      CHECK(splits[fold].test == one["test"][fold].get<std::vector<std::int64_t>>());
      CHECK(std::ssize(splits[fold].train) == one["count"].get<std::int64_t>() - std::ssize(splits[fold].test));
    }
  }
  CHECK_THROWS_AS(random_folds(10, 1), Error);
  CHECK_THROWS_AS(random_folds(3, 4), Error);
}

TEST_CASE("folds by time are scikit-learn's TimeSeriesSplit: nothing of the future is learnt from") {
  const auto golden = parse_json(read_text_file(DESKHAND_SOURCE_DIR "/tests/golden/tickets/splits.json"), "splits.json");
  for (const auto& one : golden["time_folds"]) {
    std::vector<std::string> dates;
    for (int i = 0; i < one["count"].get<int>(); ++i) dates.push_back(fmt::format("2024-01-{:02}", i + 1));
    const auto splits = time_folds(dates, one["k"].get<int>());
    REQUIRE(splits.size() == one["test"].size());
    for (std::size_t fold = 0; fold < splits.size(); ++fold) {
      CHECK(splits[fold].test == one["test"][fold].get<std::vector<std::int64_t>>());
      CHECK(splits[fold].train == one["train"][fold].get<std::vector<std::int64_t>>());
    }
  }
  const std::vector<std::string> dates = {"2024-03-01", "", "2024-01-01", "2024-02-01"};
  const auto splits = time_folds(dates, 2);
  CHECK(splits[0].train == std::vector<std::int64_t>{1, 2});
  CHECK(splits[0].test == std::vector<std::int64_t>{3});
  CHECK(splits[1].train == std::vector<std::int64_t>{1, 2, 3});
  CHECK(splits[1].test == std::vector<std::int64_t>{0});
  CHECK_THROWS_AS(time_folds(dates, 3), Error);
}

TEST_CASE("grouped folds test every row once, keep groups together and are as even as the groups allow") {
  std::vector<std::int64_t> groups;
  for (std::int64_t i = 0; i < 1000; ++i) groups.push_back(i % 7 == 0 ? 3 : i / 2);
  const auto splits = grouped_folds(groups, 5);
  std::vector<int> tested(groups.size());
  std::set<std::int64_t> seen;
  for (const auto& split : splits) {
    CHECK(split.test.size() == 200);
    CHECK(split.train.size() == 800);
    std::set<std::int64_t> own;
    for (const auto i : split.test) ++tested[static_cast<std::size_t>(i)], own.insert(groups[static_cast<std::size_t>(i)]);
    for (const auto group : own) CHECK(seen.insert(group).second);
  }
  CHECK(std::count(tested.begin(), tested.end(), 1) == 1000);
  CHECK(grouped_folds(groups, 5, 43)[0].test != splits[0].test);
  CHECK_THROWS_AS(grouped_folds(std::vector<std::int64_t>{1, 1, 2, 2}, 3), Error);
}

TEST_CASE("a split by time tests on the latest tickets and learns from those without a date") {
  const std::vector<std::string> dates = {"2024-03-01", "", "2024-05-01T09:00:00", "2023-01-01", "2024-05-01T10:00:00", "2024-02-01"};
  const auto split = time_split(dates, 0.3);
  CHECK(split.test == std::vector<std::int64_t>{2, 4});
  CHECK(split.train == std::vector<std::int64_t>{0, 1, 3, 5});
  CHECK_THROWS_AS(time_split(std::vector<std::string>(5), 0.3), Error);
}
