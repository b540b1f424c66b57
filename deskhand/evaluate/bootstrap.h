// How far a measure can be believed: bootstrap intervals (Efron's percentiles), paired comparisons, exact and planning formulas.
//
// A resample is n rows drawn with replacement. It is a function of (seed, number) alone, so results do not depend on the number of threads,
// and is drawn anew where it is needed: 2000 resamples of 10 000 rows would fill 80 MB. All statistics are computed on each resample as it
// is drawn, and a difference of two is read off their values: they saw the same rows.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "deskhand/base/parallel.h"
#include "deskhand/evaluate/evaluation.h"
#include "deskhand/evaluate/sample.h"

namespace deskhand {

struct BootstrapSettings {
  std::int64_t resamples = 2000;  // 1 or more
  std::uint64_t seed = 42;
};

// Fills `rows` with row numbers below rows.size(): splitmix64 from a hash of (seed, resample), reduced by multiplication (the bias is under
// rows.size() / 2^32).
void draw(std::uint64_t seed, std::int64_t resample, std::span<std::int32_t> rows);

// Of a sample; empty where it is not defined. Called from several threads at once, each with its own scratch.
using Statistic = std::function<std::optional<double>(Rows rows, Scratch& scratch)>;

// A statistic of the rows themselves and of every resample.
struct Resampled {
  std::optional<double> value;
  std::vector<std::optional<double>> resamples;  // in the order of their numbers
};

// One entry a statistic. No rows: nothing is defined. Ctrl-C throws Error(kInterrupted).
std::vector<Resampled> bootstrap(std::int64_t rows, std::span<const Statistic> statistics, const BootstrapSettings& settings,
                                 ThreadPool& pool);

struct EstimateOptions {
  std::string undefined;      // why, if the statistic has no value
  std::int64_t share_of = 0;  // the value is a share of so many tickets: where all resamples are 0, or all 1, Wilson's interval stands in
};

// Value and 95 % interval: the 2.5 and 97.5 percentiles (linear between neighbours, as numpy's) of the defined resamples. If over half of
// them are undefined, the estimate is, and says so: "undefined in 1200 of 2000 resamples".
Estimate estimate(const Resampled& resampled, const EstimateOptions& options = {});

struct PairedEstimate {
  Estimate difference;      // b - a
  std::optional<double> p;  // two-sided, of no difference; there where difference has a value
};

// Both from the same call of bootstrap. p = 2 (1 + the lesser of the counts of resamples with difference <= 0 and >= 0) / (resamples + 1),
// at most 1. Davison and Hinkley 1997, Bootstrap Methods and their Application, chapters 4 and 5. With share_of, and a difference of 0 in
// all resamples (no ticket tells the two apart), the interval is that share's Wilson bound to either side of 0.
PairedEstimate paired_difference(const Resampled& a, const Resampled& b, const EstimateOptions& options = {});

// The order of shared work, for one statistic or two.
Estimate bootstrap_estimate(std::int64_t rows, const Statistic& statistic, const BootstrapSettings& settings, ThreadPool& pool,
                            const EstimateOptions& options = {});
PairedEstimate bootstrap_difference(std::int64_t rows, const Statistic& a, const Statistic& b, const BootstrapSettings& settings,
                                    ThreadPool& pool, const EstimateOptions& options = {});

struct Interval {
  double low = 0, high = 0;
};

// Wilson's 95 % interval of a share (Wilson 1927; statsmodels' proportion_confint(method="wilson")). 0 <= successes <= count, count >= 1.
Interval wilson_interval(std::int64_t successes, std::int64_t count);

// Exact McNemar test, two-sided: the p of scipy.stats.binomtest(only_a, only_a + only_b, .5). 1 where no ticket tells the two apart.
double mcnemar_exact(std::int64_t only_a, std::int64_t only_b);

// How large a difference of two paired shares must be for significance at .05 (two-sided) with a power of .8 on `tickets` tickets, if the
// systems differ in being right on `discordant` (0..1) of them: the d with n = (1.96 sqrt(q) + .84 sqrt(q - d^2))^2 / d^2, q = discordant;
// Connor 1987, Sample size for testing differences in proportions for the paired-sample design, Biometrics 43, 207-211. A difference cannot
// exceed q; where the formula asks for that, q = d is put in. Empty below 6 tickets, where the exact test never falls under .05.
std::optional<double> least_detectable_difference(std::int64_t tickets, double discordant);

}  // namespace deskhand
