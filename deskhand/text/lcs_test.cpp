#include "deskhand/text/lcs.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <random>

using namespace deskhand;

namespace {

using Row = std::vector<std::uint32_t>;

// The table of the textbook.
std::size_t lcs_by_table(Symbols a, Symbols b) {
  std::vector<std::size_t> above(b.size() + 1), here(b.size() + 1);
  for (const std::uint32_t symbol : a) {
    for (std::size_t j = 0; j < b.size(); ++j) here[j + 1] = symbol == b[j] ? above[j] + 1 : std::max(above[j + 1], here[j]);
    above = here;
  }
  return above.back();
}

Row random_row(std::mt19937& chance, std::size_t length, std::uint32_t kinds, std::uint32_t step) {
  Row row(length);
  for (auto& symbol : row) symbol = chance() % kinds * step;
  return row;
}

}  // namespace

TEST_CASE("the bit-parallel LCS is the table's, for every length about the words' bounds and for few and many, small and large symbols") {
  std::mt19937 chance(3);
  for (const std::size_t length : {0, 1, 2, 31, 63, 64, 65, 127, 128, 129, 191, 193, 255, 256, 257, 300, 511, 512, 513, 700}) {
    for (const std::uint32_t kinds : {1u, 2u, 5u, 40u, 3000u}) {
      for (const std::uint32_t step : {1u, 97u, 0x3FFFFFu}) {
        const Row a = random_row(chance, length, kinds, step), b = random_row(chance, chance() % 300, kinds, step);
        CAPTURE(length);
        CAPTURE(kinds);
        CAPTURE(step);
        CHECK(lcs_length(a, b) == lcs_by_table(a, b));
        CHECK(lcs_length(b, a) == lcs_by_table(a, b));
      }
    }
  }
}

TEST_CASE("the LCS of texts that begin and end alike counts beginning and end once") {
  CHECK(lcs_length(Row{1, 2, 3, 2, 1}, Row{1, 2, 1}) == 3);
  CHECK(lcs_length(Row{7, 7, 7}, Row{7, 7, 7, 7, 7}) == 3);
  const Row row(1000, 5);
  CHECK(lcs_length(row, row) == 1000);
}

TEST_CASE("growth adds up to the LCS with every beginning of b") {
  std::mt19937 chance(4);
  for (int round = 0; round < 40; ++round) {
    const Row a = random_row(chance, chance() % 400, 6, 300), b = random_row(chance, chance() % 90, 6, 300);
    const auto growth = lcs_growth(a, b);
    REQUIRE(growth.size() == b.size());
    for (std::size_t j = 0, sum = 0; j < b.size(); ++j) {
      sum += growth[j];
      CHECK(sum == lcs_by_table(a, Symbols(b).first(j + 1)));
    }
  }
}

TEST_CASE("the strands give the LCS with every part of b") {
  std::mt19937 chance(5);
  for (int round = 0; round < 60; ++round) {
    const Row a = random_row(chance, chance() % 80, 1 + chance() % 7, 90), b = random_row(chance, chance() % 40, 1 + chance() % 7, 90);
    const auto strands = lcs_strands(a, b);
    REQUIRE(strands.size() == b.size());
    for (std::size_t i = 0; i < b.size(); ++i) {
      for (std::size_t j = i + 1; j <= b.size(); ++j) {
        const auto inside =
            std::count_if(strands.begin() + static_cast<std::ptrdiff_t>(i), strands.begin() + static_cast<std::ptrdiff_t>(j),
                          [&](std::int32_t from) { return from >= static_cast<std::int32_t>(i); });
        CHECK(j - i - static_cast<std::size_t>(inside) == lcs_by_table(a, Symbols(b).subspan(i, j - i)));
      }
    }
  }
}

TEST_CASE("strands of texts too long for 16 bits give the LCS with the whole, the halves and the middle") {
  std::mt19937 chance(6);
  const Row a = random_row(chance, 150, 9, 1), b = random_row(chance, 33000, 9, 1);
  const auto strands = lcs_strands(a, b);
  for (const auto& [i, j] : {std::pair<std::size_t, std::size_t>{0, 33000}, {0, 16500}, {16500, 33000}, {32800, 33000}, {12000, 12150}}) {
    std::size_t inside = 0;
    for (std::size_t e = i; e < j; ++e) inside += strands[e] >= static_cast<std::int32_t>(i);
    CHECK(j - i - inside == lcs_by_table(a, Symbols(b).subspan(i, j - i)));
  }
}
