// out (N) i32 = the column of each row's largest of x (N, V) f32, the first of equals. `allowed`, a bit a column from the lowest on, names
// those that are looked at in all rows; none given: all. kNone where that leaves nothing, kNaN where it leaves one that is no number.
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

struct Argmax {
  static constexpr std::int32_t kNone = -1, kNaN = -2;
};

void argmax(const Backend& on, View out, ConstView x, std::span<const std::uint64_t> allowed = {});

namespace cuda {
void argmax(const Backend& on, View out, ConstView x, std::span<const std::uint64_t> allowed);
}

}  // namespace deskhand
