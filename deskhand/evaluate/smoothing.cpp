#include "deskhand/evaluate/smoothing.h"

#include <algorithm>
#include <cmath>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

// Coefficients of the polynomial of `order` that fits ys at x = -half .. half best, by orthogonal polynomials (Gram's): no ill-conditioned
// system is solved. Returns the fit's value at each of these x.
std::vector<double> fitted(std::span<const double> ys, int order) {
  const std::size_t count = ys.size();
  const double half = static_cast<double>(count - 1) / 2;
  std::vector<double> before(count, 0), current(count, 1), fit(count, 0);
  double before_norm = 1;
  for (int degree = 0; degree <= order; ++degree) {
    double dot = 0, norm = 0;
    for (std::size_t i = 0; i < count; ++i) {
      dot += ys[i] * current[i];
      norm += current[i] * current[i];
    }
    for (std::size_t i = 0; i < count; ++i) fit[i] += dot / norm * current[i];
    const double back = degree == 0 ? 0 : norm / before_norm;  // p[k+1] = x p[k] - norm[k] / norm[k-1] p[k-1], on symmetric points
    for (std::size_t i = 0; i < count; ++i) {
      const double next = (static_cast<double>(i) - half) * current[i] - back * before[i];
      before[i] = current[i];
      current[i] = next;
    }
    before_norm = norm;
  }
  return fit;
}

}  // namespace

std::vector<double> savitzky_golay(std::span<const double> values, int window, int order) {
  DESKHAND_ASSERT(window % 2 == 1 && order >= 0 && order <= 8 && window > order, "an odd window wider than the polynomial's order");
  const auto count = static_cast<int>(std::min<std::size_t>(values.size(), static_cast<std::size_t>(window)));
  const auto width = static_cast<std::size_t>(count % 2 == 1 ? count : std::max(0, count - 1));
  if (width <= static_cast<std::size_t>(order)) return {values.begin(), values.end()};
  const std::size_t half = width / 2, last = values.size() - width;
  std::vector<double> smooth(values.size());
  for (std::size_t begin = 0; begin <= last; ++begin) {
    const auto fit = fitted(values.subspan(begin, width), order);
    if (begin == 0) std::copy(fit.begin(), fit.begin() + static_cast<std::ptrdiff_t>(half), smooth.begin());
    smooth[begin + half] = fit[half];
    if (begin == last)
      std::copy(fit.begin() + static_cast<std::ptrdiff_t>(half), fit.end(), smooth.begin() + static_cast<std::ptrdiff_t>(last + half));
  }
  return smooth;
}

}  // namespace deskhand
