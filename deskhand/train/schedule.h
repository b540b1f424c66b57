// How the learning rate goes over a run. Factors equal those of transformers' get_constant_schedule_with_warmup,
// get_linear_schedule_with_warmup and get_cosine_schedule_with_warmup.
#pragma once
#include <cstdint>
#include <string_view>

namespace deskhand {

enum class ScheduleKind : std::uint8_t { kConstant, kLinear, kCosine };
std::string_view name_of(ScheduleKind kind);  // "constant", "linear", "cosine"

struct Schedule {
  ScheduleKind kind = ScheduleKind::kLinear;
  std::int64_t warmup_steps = 0;  // the rate climbs evenly from 0
  std::int64_t total_steps = 0;   // where linear and cosine reach 0

  // 0..1 for the step with this number, from 0: warm-up's first step has the rate 0, as in transformers.
  double factor(std::int64_t step) const;
  bool operator==(const Schedule&) const = default;
};

}  // namespace deskhand
