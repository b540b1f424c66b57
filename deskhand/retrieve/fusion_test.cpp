#include "deskhand/retrieve/fusion.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "deskhand/retrieve/keywords.h"

using namespace deskhand;

TEST_CASE("reciprocal ranks add up over channels by their weights") {
  const std::vector<Channel> channels = {{1, {{7, .9}, {3, .8}, {5, .1}}}, {2, {{3, 12.}, {9, 4.}}}};
  const auto fused = fuse_by_rank(channels, 60, 100);
  CHECK(fused.size() == 4);
  CHECK(fused[0].item == 3);
  CHECK(fused[0].fused == doctest::Approx(1. / 62 + 2. / 61));
  CHECK(fused[0].ranks == std::vector<int>{2, 1});
  CHECK(fused[0].scores == std::vector<double>{.8, 12.});
  CHECK(fused[1].item == 9);
  CHECK(fused[1].ranks == std::vector<int>{0, 2});
}

TEST_CASE("items that tie share the last rank of the tie, and equal sums stand by item") {
  const std::vector<Channel> channels = {{1, {{8, 2.}, {4, 1.}, {6, 1.}}}};
  const auto fused = fuse_by_rank(channels);
  CHECK(fused[1].item == 4);
  CHECK(fused[1].ranks[0] == 3);
  CHECK(fused[2].ranks[0] == 3);
}

TEST_CASE("a tie that reaches beyond the depth is dropped whole") {
  std::vector<Scored> list = {{500, 3.}};
  for (std::uint32_t i = 0; i < 200; ++i) list.push_back({i, 1.});
  const std::vector<Channel> channels = {{1, list}};
  CHECK(fuse_by_rank(channels, 60, 100).size() == 1);
}

TEST_CASE("the seed's score is .95 cosine and .05 keyword, and what may not be found is not") {
  const std::vector<float> cosine = {.5f, .52f, std::numeric_limits<float>::quiet_NaN()}, keyword = {1, 0, 1};
  const auto best = fuse_seed(cosine, keyword, 3);
  CHECK(best.size() == 2);
  CHECK(best[0].item == 0);
  CHECK(best[0].score == doctest::Approx(.95 * .5 + .05));
}

TEST_CASE("keywords are whole words or runs of words, whatever the case, read from a file of lines") {
  const auto list =
      KeywordList::from_text("\xEF\xBB\xBFSOP120\r\n# a remark\n\ncredit note\nCredit Note\nCVN-\nthree-way match\n   \nlast");
  CHECK(list.size() == 5);
  CHECK(list.at(1) == "CREDIT NOTE");
  CHECK(list.find("the CREDIT  note on sop120, cvn-1042") == std::vector<std::uint32_t>{0, 1, 2});
  CHECK(list.find("three way MATCH last") == std::vector<std::uint32_t>{3, 4});
  CHECK(list.find("credits noted, SOP1200, three-way").empty());
  CHECK(list.find("credit").empty());
  CHECK(KeywordList().find("anything").empty());
  CHECK(KeywordList::from_text("ab c\nabc").find("ab cd abc") == std::vector<std::uint32_t>{1});
}

TEST_CASE("a keyword that only the stored case has adds nothing to the mended score and all to the unmended") {
  const auto list = KeywordList::from_text("alpha\nbeta\ngamma");
  KeywordIndex index;
  for (const char* text : {"alpha beta gamma", "alpha", "none"}) index.add(list.find(text));
  auto mended = index.shared_counts(list.find("about alpha"));
  CHECK(mended == std::vector<float>{1, 1, 0});
  std::vector<float> unmended(index.stored_counts().begin(), index.stored_counts().end());
  scale_min_max(unmended);
  CHECK(unmended[0] == 1);
  CHECK(unmended[1] == doctest::Approx(1. / 3));
  mended = index.shared_counts(list.find("nothing known"));
  scale_min_max(mended);
  CHECK(mended == std::vector<float>{0, 0, 0});
}

TEST_CASE("scaling passes over what may not be found") {
  std::vector<float> values = {2, std::numeric_limits<float>::quiet_NaN(), 4, 3};
  scale_min_max(values);
  CHECK(values[0] == 0);
  CHECK(std::isnan(values[1]));
  CHECK(values[2] == 1);
  CHECK(values[3] == doctest::Approx(.5));
}
