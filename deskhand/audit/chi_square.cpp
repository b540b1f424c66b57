#include "deskhand/audit/chi_square.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace deskhand {
namespace {

constexpr int kMostTerms = 10000;
constexpr double kSmall = 1e-16;

// Rows and columns that have a count.
CountTable without_empty(const CountTable& table) {
  std::vector<std::size_t> columns;
  for (std::size_t c = 0; !table.empty() && c < table.front().size(); ++c)
    if (std::any_of(table.begin(), table.end(), [&](const auto& row) { return row[c] > 0; })) columns.push_back(c);
  CountTable kept;
  for (const auto& row : table) {
    std::vector<std::int64_t> counts;
    for (const auto c : columns) counts.push_back(row[c]);
    if (std::any_of(counts.begin(), counts.end(), [](auto n) { return n > 0; })) kept.push_back(std::move(counts));
  }
  return kept;
}

struct Sums {
  std::vector<double> rows, columns;
  double all = 0;
  explicit Sums(const CountTable& table) : rows(table.size()), columns(table.empty() ? 0 : table.front().size()) {
    for (std::size_t r = 0; r < rows.size(); ++r)
      for (std::size_t c = 0; c < columns.size(); ++c) {
        const auto n = static_cast<double>(table[r][c]);
        rows[r] += n, columns[c] += n, all += n;
      }
  }
};

double statistic_of(const CountTable& table, const Sums& sums) {
  double statistic = 0;
  for (std::size_t r = 0; r < table.size(); ++r)
    for (std::size_t c = 0; c < table[r].size(); ++c) {
      const double expected = sums.rows[r] * sums.columns[c] / sums.all, off = static_cast<double>(table[r][c]) - expected;
      statistic += off * off / expected;
    }
  return statistic;
}

}  // namespace

double chi_square_tail(double x, std::int64_t degrees) {
  if (x <= 0 || degrees < 1) return 1;
  const double a = static_cast<double>(degrees) / 2, z = x / 2;
  const double front = std::exp(-z + a * std::log(z) - std::lgamma(a));
  if (z < a + 1) {  // 1 - P by its series
    double term = 1 / a, sum = term;
    for (int n = 1; n < kMostTerms && term > sum * kSmall; ++n) sum += term *= z / (a + n);
    return std::clamp(1 - front * sum, 0.0, 1.0);
  }
  constexpr double kTiny = 1e-300;  // Lentz's method
  double b = z + 1 - a, c = 1 / kTiny, d = 1 / b, h = d;
  for (int n = 1; n < kMostTerms; ++n) {
    const double an = -n * (n - a);
    b += 2;
    d = an * d + b;
    if (std::abs(d) < kTiny) d = kTiny;
    c = b + an / c;
    if (std::abs(c) < kTiny) c = kTiny;
    d = 1 / d;
    h *= d * c;
    if (std::abs(d * c - 1) < kSmall * 10) break;
  }
  return std::clamp(front * h, 0.0, 1.0);
}

std::optional<ChiSquare> chi_square_test(const CountTable& given) {
  const CountTable table = without_empty(given);
  if (table.size() < 2 || table.front().size() < 2) return std::nullopt;
  const Sums sums(table);
  ChiSquare test;
  test.statistic = statistic_of(table, sums);
  test.degrees = static_cast<std::int64_t>((sums.rows.size() - 1) * (sums.columns.size() - 1));
  test.p = chi_square_tail(test.statistic, test.degrees);
  const auto least = static_cast<double>(std::min(sums.rows.size(), sums.columns.size()) - 1);
  test.cramers_v = std::sqrt(test.statistic / (sums.all * least));
  test.least_expected = sums.all;
  std::size_t low = 0;
  for (const double row : sums.rows)
    for (const double column : sums.columns) {
      const double expected = row * column / sums.all;
      low += expected < 5;
      test.least_expected = std::min(test.least_expected, expected);
    }
  test.low_expected = static_cast<double>(low) / static_cast<double>(sums.rows.size() * sums.columns.size());
  return test;
}

double permutation_p(const CountTable& given, int rounds, std::uint32_t seed) {
  const CountTable table = without_empty(given);
  if (table.size() < 2 || table.front().size() < 2) return 1;
  const Sums sums(table);
  const double seen = statistic_of(table, sums);
  std::vector<std::size_t> columns, rows;  // of each ticket
  for (std::size_t r = 0; r < table.size(); ++r)
    for (std::size_t c = 0; c < table[r].size(); ++c) {
      columns.insert(columns.end(), static_cast<std::size_t>(table[r][c]), c);
      rows.insert(rows.end(), static_cast<std::size_t>(table[r][c]), r);
    }
  std::mt19937 random(seed);
  int extreme = 0;
  CountTable shuffled(table.size(), std::vector<std::int64_t>(table.front().size()));
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = columns.size(); i > 1; --i)  // Fisher-Yates; the same on every machine
      std::swap(columns[i - 1], columns[static_cast<std::size_t>(static_cast<std::uint64_t>(random()) * i >> 32)]);
    for (auto& row : shuffled) std::fill(row.begin(), row.end(), 0);
    for (std::size_t i = 0; i < columns.size(); ++i) ++shuffled[rows[i]][columns[i]];
    extreme += statistic_of(shuffled, sums) >= seen * (1 - 1e-12);
  }
  return (1.0 + extreme) / (1.0 + rounds);
}

}  // namespace deskhand
