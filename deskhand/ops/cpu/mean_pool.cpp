#include "deskhand/ops/mean_pool.h"

#include "deskhand/ops/cpu/split.h"

namespace deskhand::cpu {

void mean_pool_unit(const Backend& on, View out, ConstView x, std::span<const std::int32_t> bounds) {
  split(on, out.shape()[0], grain_of_rows(x.shape().elements() / std::max<std::int64_t>(1, out.shape()[0])),
        [&](std::int64_t begin, std::int64_t end, int) {
          reference::mean_pool_unit(out.rows(begin, end - begin), x, bounds.subspan(begin, end - begin + 1));
        });
}

}  // namespace deskhand::cpu
