#include "deskhand/evaluate/bootstrap.h"

#include <algorithm>
#include <cmath>

#include "deskhand/base/error.h"
#include "deskhand/base/interrupt.h"
#include "deskhand/evaluate/distributions.h"

namespace deskhand {
namespace {

constexpr double kZ975 = 1.959963984540054, kZ80 = 0.8416212335729143;  // normal quantiles
constexpr std::uint64_t kStep = 0x9E3779B97F4A7C15ull;
constexpr std::int64_t kLeastTickets = 6;  // 2 / 2^6 is the first below .05

// splitmix64's output function, https://prng.di.unimi.it/splitmix64.c (public domain, Vigna)
constexpr std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

std::optional<double> finite(std::optional<double> value) {
  return value && std::isfinite(*value) ? value : std::nullopt;
}

// numpy.percentile's: linear between neighbours. Sorted, not empty.
double percentile(std::span<const double> sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const auto above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

std::string no_value(const EstimateOptions& options) {
  return options.undefined.empty() ? "not defined for these tickets" : options.undefined;
}

// Values of the defined resamples, sorted; empty, with the reason in `estimate`, if over half are undefined.
std::vector<double> defined(std::span<const std::optional<double>> resamples, Estimate& estimate) {
  std::vector<double> values;
  values.reserve(resamples.size());
  for (const auto& value : resamples)
    if (value) values.push_back(*value);
  if (values.size() * 2 < resamples.size() || values.empty()) {
    estimate.undefined = fmt::format("undefined in {} of {} resamples", resamples.size() - values.size(), resamples.size());
    return {};
  }
  std::sort(values.begin(), values.end());
  return values;
}

}  // namespace

void draw(std::uint64_t seed, std::int64_t resample, std::span<std::int32_t> rows) {
  std::uint64_t state = mix(mix(seed + kStep) ^ (static_cast<std::uint64_t>(resample) * kStep + 1));
  const std::uint64_t count = rows.size();
  DESKHAND_ASSERT(count <= std::uint64_t{1} << 31, "rows are numbered in 32 bits");
  std::size_t i = 0;
  for (; i + 1 < rows.size(); i += 2) {
    const std::uint64_t bits = mix(state += kStep);
    rows[i] = static_cast<std::int32_t>((bits >> 32) * count >> 32);
    rows[i + 1] = static_cast<std::int32_t>((bits & 0xFFFFFFFFu) * count >> 32);
  }
  if (i < rows.size()) rows[i] = static_cast<std::int32_t>((mix(state += kStep) >> 32) * count >> 32);
}

std::vector<Resampled> bootstrap(std::int64_t rows, std::span<const Statistic> statistics, const BootstrapSettings& settings,
                                 ThreadPool& pool) {
  if (settings.resamples < 1) throw Error(ExitCode::kUsage, "bootstrap of {} resamples: wanted 1 or more", settings.resamples);
  DESKHAND_ASSERT(rows >= 0 && rows <= INT32_MAX, "rows are numbered in 32 bits");
  std::vector<Resampled> results(statistics.size());
  for (auto& result : results) result.resamples.resize(static_cast<std::size_t>(settings.resamples));
  if (rows == 0) return results;

  const auto workers = static_cast<std::size_t>(pool.size());
  std::vector<Scratch> scratch(workers);
  std::vector<std::vector<std::int32_t>> drawn(workers, all_rows(rows));
  for (std::size_t s = 0; s < statistics.size(); ++s) results[s].value = finite(statistics[s](drawn[0], scratch[0]));
  pool.parallel_for(settings.resamples, 4, [&](std::int64_t begin, std::int64_t end, int worker) {
    const auto w = static_cast<std::size_t>(worker);
    for (std::int64_t resample = begin; resample < end; ++resample) {
      check_interrupt();
      draw(settings.seed, resample, drawn[w]);
      for (std::size_t s = 0; s < statistics.size(); ++s)
        results[s].resamples[static_cast<std::size_t>(resample)] = finite(statistics[s](drawn[w], scratch[w]));
    }
  });
  return results;
}

Estimate estimate(const Resampled& resampled, const EstimateOptions& options) {
  Estimate estimate;
  if (!resampled.value) {
    estimate.undefined = no_value(options);
    return estimate;
  }
  const auto values = defined(resampled.resamples, estimate);
  if (values.empty()) return estimate;
  estimate.value = resampled.value;
  estimate.low = percentile(values, 0.025);
  estimate.high = percentile(values, 0.975);
  const bool is_one_share = values.front() == values.back() && (values.front() == 0 || values.front() == 1);
  if (options.share_of > 0 && is_one_share && *estimate.value == values.front()) {
    const auto wilson = wilson_interval(values.front() == 1 ? options.share_of : 0, options.share_of);
    estimate.low = wilson.low;
    estimate.high = wilson.high;
  }
  return estimate;
}

PairedEstimate paired_difference(const Resampled& a, const Resampled& b, const EstimateOptions& options) {
  DESKHAND_ASSERT(a.resamples.size() == b.resamples.size(), "both from the same bootstrap");
  PairedEstimate paired;
  if (!a.value || !b.value) {
    paired.difference.undefined = no_value(options);
    return paired;
  }
  std::vector<std::optional<double>> differences(a.resamples.size());
  for (std::size_t i = 0; i < differences.size(); ++i)
    if (a.resamples[i] && b.resamples[i]) differences[i] = finite(*b.resamples[i] - *a.resamples[i]);
  const auto values = defined(differences, paired.difference);
  if (values.empty()) return paired;
  paired.difference.value = *b.value - *a.value;
  paired.difference.low = percentile(values, 0.025);
  paired.difference.high = percentile(values, 0.975);
  if (options.share_of > 0 && *paired.difference.value == 0 && values.front() == 0 && values.back() == 0) {
    paired.difference.high = wilson_interval(0, options.share_of).high;
    paired.difference.low = -paired.difference.high;
  }
  const auto up_to_zero = std::upper_bound(values.begin(), values.end(), 0.0) - values.begin();
  const auto from_zero = values.end() - std::lower_bound(values.begin(), values.end(), 0.0);
  const auto lesser = static_cast<double>(std::min(up_to_zero, from_zero));
  paired.p = std::min(1.0, 2 * (1 + lesser) / (static_cast<double>(values.size()) + 1));
  return paired;
}

Estimate bootstrap_estimate(std::int64_t rows, const Statistic& statistic, const BootstrapSettings& settings, ThreadPool& pool,
                            const EstimateOptions& options) {
  return estimate(bootstrap(rows, {&statistic, 1}, settings, pool)[0], options);
}

PairedEstimate bootstrap_difference(std::int64_t rows, const Statistic& a, const Statistic& b, const BootstrapSettings& settings,
                                    ThreadPool& pool, const EstimateOptions& options) {
  const std::vector<Statistic> both = {a, b};
  const auto results = bootstrap(rows, both, settings, pool);
  return paired_difference(results[0], results[1], options);
}

Interval wilson_interval(std::int64_t successes, std::int64_t count) {
  DESKHAND_ASSERT(count >= 1 && successes >= 0 && successes <= count, "a share of one ticket or more");
  const auto n = static_cast<double>(count);
  const double p = static_cast<double>(successes) / n, z2 = kZ975 * kZ975;
  const double centre = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half = kZ975 * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n);
  return {.low = successes == 0 ? 0 : std::max(0.0, centre - half), .high = successes == count ? 1 : std::min(1.0, centre + half)};
}

double mcnemar_exact(std::int64_t only_a, std::int64_t only_b) {
  DESKHAND_ASSERT(only_a >= 0 && only_b >= 0, "counts");
  if (only_a == only_b) return 1;
  // P(X <= k) of Binomial(n, 1/2) = I_(1/2)(n - k, k + 1)
  const auto lesser = static_cast<double>(std::min(only_a, only_b)), greater = static_cast<double>(std::max(only_a, only_b));
  return std::min(1.0, 2 * incomplete_beta(greater, lesser + 1, 0.5, 0.5));
}

std::optional<double> least_detectable_difference(std::int64_t tickets, double discordant) {
  if (tickets < kLeastTickets || !(discordant >= 0 && discordant <= 1)) return std::nullopt;
  const double root_n = std::sqrt(static_cast<double>(tickets));
  // How far sqrt(n) d exceeds what is asked; it grows with d, also along q = d.
  const auto surplus = [&](double d, double q) { return root_n * d - kZ975 * std::sqrt(q) - kZ80 * std::sqrt(std::max(0.0, q - d * d)); };
  const bool is_enough = discordant > 0 && surplus(discordant, discordant) >= 0;
  double low = is_enough ? 0 : discordant, high = is_enough ? discordant : 1;
  for (int round = 0; round < 100; ++round) {
    const double middle = (low + high) / 2;
    (surplus(middle, is_enough ? discordant : middle) >= 0 ? high : low) = middle;
  }
  return high;
}

}  // namespace deskhand
