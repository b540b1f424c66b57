#include "deskhand/tickets/split.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <random>
#include <unordered_map>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

std::int64_t test_rows(std::int64_t count, double share) {
  if (!(share > 0 && share < 1))
    throw Error(ExitCode::kUsage, "the test share must lie between 0 and 1, for example 0.05; found {}", share);
  const auto rows = static_cast<std::int64_t>(std::ceil(share * static_cast<double>(count)));
  if (rows < 1 || rows >= count)
    throw Error(ExitCode::kUsage, "{} tickets cannot be split with a test share of {}: both sides need one at least", count, share);
  return rows;
}

Split from_marks(const std::vector<bool>& is_test) {
  Split split;
  for (std::size_t i = 0; i < is_test.size(); ++i) (is_test[i] ? split.test : split.train).push_back(static_cast<std::int64_t>(i));
  return split;
}

void check_folds(int folds, std::int64_t rows, const char* of) {
  if (folds < 2) throw Error(ExitCode::kUsage, "there must be 2 folds at least; found {}", folds);
  if (rows < folds) throw Error(ExitCode::kUsage, "{} {} cannot be dealt out to {} folds: each needs one at least", rows, of, folds);
}

// The split of each fold, where every row knows the fold that tests it.
std::vector<Split> from_numbers(const std::vector<int>& fold_of, int folds) {
  std::vector<Split> splits;
  std::vector<bool> is_test(fold_of.size());
  for (int fold = 0; fold < folds; ++fold) {
    for (std::size_t i = 0; i < fold_of.size(); ++i) is_test[i] = fold_of[i] == fold;
    splits.push_back(from_marks(is_test));
  }
  return splits;
}

// Members of each group; groups are numbered as they first appear, so that their ids don't matter.
std::vector<std::vector<std::size_t>> members_of(std::span<const std::int64_t> groups) {
  std::unordered_map<std::int64_t, std::size_t> number_of;
  std::vector<std::vector<std::size_t>> members;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const auto [at, is_new] = number_of.try_emplace(groups[i], members.size());
    if (is_new) members.emplace_back();
    members[at->second].push_back(i);
  }
  return members;
}

// Rows with a date, the earliest first; equal dates keep their order.
std::vector<std::size_t> by_date(std::span<const std::string> dates) {
  std::vector<std::size_t> dated;
  for (std::size_t i = 0; i < dates.size(); ++i)
    if (!dates[i].empty()) dated.push_back(i);
  std::stable_sort(dated.begin(), dated.end(), [&](auto a, auto b) { return dates[a] < dates[b]; });
  return dated;
}

}  // namespace

std::vector<std::int64_t> numpy_permutation(std::int64_t count, std::uint32_t seed) {
  std::mt19937 twister(seed);  // seeded as numpy's RandomState(int) is
  std::mt19937_64::result_type draw = 0;
  std::vector<std::int64_t> order(static_cast<std::size_t>(std::max<std::int64_t>(count, 0)));
  std::iota(order.begin(), order.end(), 0);
  for (auto i = static_cast<std::uint64_t>(order.size()); i-- > 1;) {
    const std::uint64_t mask = ~std::uint64_t{0} >> std::countl_zero(i);
    do {  // random_interval: one 32-bit word, or two with the high one first
      draw = twister();
      if (i > 0xffffffffu) draw = draw << 32 | twister();
      draw &= mask;
    } while (draw > i);
    std::swap(order[i], order[draw]);
  }
  return order;
}

Split random_split(std::int64_t count, double test_share, std::uint32_t seed) {
  const auto rows = test_rows(count, test_share);
  const auto order = numpy_permutation(count, seed);
  return {.train = {order.begin() + rows, order.end()}, .test = {order.begin(), order.begin() + rows}};
}

Split grouped_split(std::span<const std::int64_t> groups, double test_share, std::uint32_t seed) {
  const auto rows = test_rows(static_cast<std::int64_t>(groups.size()), test_share);
  const auto members = members_of(groups);
  if (members.size() < 2) throw Error(ExitCode::kUsage, "all {} tickets are one group: there is nothing to split by groups", groups.size());

  std::vector<bool> is_test(groups.size());
  std::int64_t chosen = 0;
  const auto choose = [&](const std::vector<std::size_t>& group) {
    for (const auto i : group) is_test[i] = true;
    chosen += static_cast<std::int64_t>(group.size());
  };
  for (const auto g : numpy_permutation(static_cast<std::int64_t>(members.size()), seed)) {
    const auto& group = members[static_cast<std::size_t>(g)];
    if (chosen + static_cast<std::int64_t>(group.size()) <= rows) choose(group);
    if (chosen == rows) break;
  }
  if (chosen == 0)
    choose(*std::min_element(members.begin(), members.end(), [](const auto& a, const auto& b) { return a.size() < b.size(); }));
  return from_marks(is_test);
}

Split time_split(std::span<const std::string> dates, double test_share) {
  const auto rows = test_rows(static_cast<std::int64_t>(dates.size()), test_share);
  const auto dated = by_date(dates);
  if (static_cast<std::int64_t>(dated.size()) < rows) {
    throw Error(ExitCode::kUsage, "a split by time needs dates: {} of {} tickets have one, {} are wanted for the test", dated.size(),
                dates.size(), rows);
  }
  std::vector<bool> is_test(dates.size());
  for (auto at = dated.end() - rows; at != dated.end(); ++at) is_test[*at] = true;
  return from_marks(is_test);
}

std::vector<Split> random_folds(std::int64_t count, int folds, std::uint32_t seed) {
  check_folds(folds, count, "tickets");
  const auto order = numpy_permutation(count, seed);
  std::vector<int> fold_of(order.size());
  std::size_t at = 0;
  for (int fold = 0; fold < folds; ++fold) {  // the first count % folds have one more
    const std::int64_t rows = count / folds + (fold < count % folds);
    for (std::int64_t i = 0; i < rows; ++i) fold_of[static_cast<std::size_t>(order[at++])] = fold;
  }
  return from_numbers(fold_of, folds);
}

std::vector<Split> grouped_folds(std::span<const std::int64_t> groups, int folds, std::uint32_t seed) {
  const auto members = members_of(groups);
  check_folds(folds, static_cast<std::int64_t>(members.size()), "groups of near copies");
  auto order = numpy_permutation(static_cast<std::int64_t>(members.size()), seed);
  const auto size_of = [&](std::int64_t group) { return members[static_cast<std::size_t>(group)].size(); };
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return size_of(a) > size_of(b); });
  std::vector<std::size_t> rows(static_cast<std::size_t>(folds));
  std::vector<int> fold_of(groups.size());
  for (const auto group : order) {
    const auto smallest = std::min_element(rows.begin(), rows.end()) - rows.begin();
    rows[static_cast<std::size_t>(smallest)] += size_of(group);
    for (const auto i : members[static_cast<std::size_t>(group)]) fold_of[i] = static_cast<int>(smallest);
  }
  return from_numbers(fold_of, folds);
}

std::vector<Split> time_folds(std::span<const std::string> dates, int folds) {
  const auto dated = by_date(dates);
  check_folds(folds, static_cast<std::int64_t>(dated.size()) - 1, "tickets with a date, the first left out,");
  const std::size_t tested = dated.size() / static_cast<std::size_t>(folds + 1);
  std::vector<Split> splits;
  for (int fold = 0; fold < folds; ++fold) {
    const std::size_t begin = dated.size() - static_cast<std::size_t>(folds - fold) * tested;
    Split split;
    std::vector<char> part(dates.size(), 'n');  // learnt from, tested, of the future
    for (std::size_t i = begin; i < dated.size(); ++i) part[dated[i]] = i < begin + tested ? 't' : 'f';
    for (std::size_t i = 0; i < dates.size(); ++i)
      if (part[i] != 'f') (part[i] == 't' ? split.test : split.train).push_back(static_cast<std::int64_t>(i));
    splits.push_back(std::move(split));
  }
  return splits;
}

}  // namespace deskhand
