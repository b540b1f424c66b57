#include "deskhand/train/schedule.h"

#include <doctest/doctest.h>

#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"

namespace deskhand {

TEST_CASE("learning rates are those of transformers' schedules") {
  const auto cases = parse_json(read_text_file(DESKHAND_SOURCE_DIR "/tests/golden/train/schedules.json"), "schedules.json");
  REQUIRE(cases.size() == 15);
  for (const Json& one : cases) {
    Schedule schedule{.warmup_steps = one["warmup"], .total_steps = one["total"]};
    for (const auto kind : {ScheduleKind::kConstant, ScheduleKind::kLinear, ScheduleKind::kCosine})
      if (one["kind"] == name_of(kind)) schedule.kind = kind;
    CAPTURE(one["kind"].get<std::string>());
    CAPTURE(schedule.warmup_steps);
    std::int64_t step = 0;
    for (const double expected : one["factors"]) {
      if (schedule.kind == ScheduleKind::kCosine && step > std::max(schedule.total_steps, schedule.warmup_steps))
        break;  // theirs rises again
      CHECK(schedule.factor(step++) == doctest::Approx(expected).epsilon(1e-12));
    }
  }
}

TEST_CASE("a cosine that is over stays at zero") {
  const Schedule schedule{.kind = ScheduleKind::kCosine, .warmup_steps = 2, .total_steps = 10};
  CHECK(schedule.factor(10) == doctest::Approx(0));
  CHECK(schedule.factor(15) == doctest::Approx(0));
}

}  // namespace deskhand
