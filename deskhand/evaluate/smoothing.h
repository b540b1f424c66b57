// Savitzky-Golay smoothing (1964): each value becomes the middle of the polynomial that fits its window best; equal to
// scipy.signal.savgol_filter with mode "interp".
#pragma once
#include <span>
#include <vector>

namespace deskhand {

// window odd and above order, order 0..8; asserted. Where there are fewer values than the window it is the largest odd number of them;
// too few for the order too: the values come back as they are.
std::vector<double> savitzky_golay(std::span<const double> values, int window = 9, int order = 2);

}  // namespace deskhand
