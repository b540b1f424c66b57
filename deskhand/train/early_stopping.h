// Which evaluation was the best, and whether the run should go on.
#pragma once
#include <cstdint>
#include <limits>

namespace deskhand {

struct EarlyStopping {
  double loss = std::numeric_limits<double>::infinity();  // the best
  std::int64_t step = 0;                                  // where; 0: none yet
  std::int32_t since = 0;                                 // evaluations that were no better

  // True if `evaluated` is the best so far, lower by more than least_gain. A loss that is no number is never better.
  bool take(double evaluated, std::int64_t at_step, double least_gain) {
    if (!(evaluated < loss - (step == 0 ? 0 : least_gain))) {
      ++since;
      return false;
    }
    *this = {.loss = evaluated, .step = at_step, .since = 0};
    return true;
  }
  bool should_stop(std::int32_t patience) const { return patience > 0 && since >= patience; }
};

}  // namespace deskhand
