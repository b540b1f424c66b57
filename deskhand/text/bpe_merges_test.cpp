#include "deskhand/text/bpe_merges.h"

#include <doctest/doctest.h>

#include <random>

using namespace deskhand;

namespace {

// As the definition reads: look through all pairs, join the leftmost of the lowest rank, begin again.
std::vector<int32_t> merged_by_definition(std::vector<int32_t> symbols, const std::vector<BpeMerges::Merge>& merges) {
  for (;;) {
    const BpeMerges::Merge* best = nullptr;
    std::size_t place = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      for (const auto& merge : merges) {
        if (merge.left == symbols[i] && merge.right == symbols[i + 1] && (best == nullptr || merge.rank < best->rank))
          best = &merge, place = i;
      }
    }
    if (best == nullptr) return symbols;
    symbols[place] = best->result;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(place) + 1);
  }
}

}  // namespace

TEST_CASE("short and long words merge as the definition says, the leftmost of equals first") {
  const std::vector<BpeMerges::Merge> merges = {{0, 0, 2, 0}, {0, 1, 3, 1}, {2, 2, 4, 2}, {2, 0, 5, 2},
                                                {1, 1, 6, 3}, {6, 3, 7, 4}, {4, 4, 8, 5}};
  const BpeMerges table(merges);
  std::mt19937 random(3);
  for (std::size_t size = 0; size < 120; ++size) {
    for (int round = 0; round < 5; ++round) {
      std::vector<int32_t> symbols(size);
      for (auto& symbol : symbols) symbol = round == 0 ? 0 : static_cast<int32_t>(random() % 2);
      const auto expected = merged_by_definition(symbols, merges);
      table.apply(symbols);
      CHECK(symbols == expected);
    }
  }
}
