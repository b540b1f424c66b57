// The one special function that p values are made of.
#pragma once

namespace deskhand {

// Regularised incomplete beta function I_x(a, b), by its continued fraction (Lentz); a, b > 0, 0 <= x <= 1. `rest` is 1 - x, given apart so
// that it is exact where x is close to 1. Relative error about 1e-12.
double incomplete_beta(double a, double b, double x, double rest);

// Two-sided p of a correlation r of `pairs` >= 3 pairs, Student's t with pairs - 2 degrees of freedom: I_(1 - r^2)(pairs / 2 - 1, 1/2).
double correlation_p(double r, double pairs);

}  // namespace deskhand
