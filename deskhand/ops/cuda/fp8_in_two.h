// FP8's product where cuBLASLt has no scales of rows: bare, then a pass that scales it and adds. Apart, so that tests reach it on every
// card.
#pragma once
#include "deskhand/ops/fp8.h"

namespace deskhand::cuda {

void fp8_linear_in_two(const Backend& on, View out, const ConstFp8Rows& x, const ConstFp8Rows& weight, ConstView add);

}  // namespace deskhand::cuda
