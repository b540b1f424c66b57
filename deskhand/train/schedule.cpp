#include "deskhand/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace deskhand {

std::string_view name_of(ScheduleKind kind) {
  switch (kind) {
    case ScheduleKind::kConstant:
      return "constant";
    case ScheduleKind::kLinear:
      return "linear";
    case ScheduleKind::kCosine:
      return "cosine";
  }
  return "";
}

double Schedule::factor(std::int64_t step) const {
  if (step < warmup_steps) return static_cast<double>(step) / static_cast<double>(warmup_steps);
  const auto after = static_cast<double>(std::max<std::int64_t>(1, total_steps - warmup_steps));
  switch (kind) {
    case ScheduleKind::kConstant:
      return 1;
    case ScheduleKind::kLinear:
      return std::max(0.0, static_cast<double>(total_steps - step) / after);
    case ScheduleKind::kCosine: {
      const double progress = static_cast<double>(step - warmup_steps) / after;
      return std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * std::min(progress, 1.0))));  // beyond the end it stays at 0
    }
  }
  return 1;
}

}  // namespace deskhand
