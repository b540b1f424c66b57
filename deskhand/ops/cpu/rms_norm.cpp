#include "deskhand/ops/rms_norm.h"

#include "deskhand/ops/cpu/split.h"

namespace deskhand::cpu {

void rms_norm(const Backend& on, View out, ConstView x, ConstView weight, float epsilon, View rstd) {
  split(on, out.shape()[0], grain_of_rows(out.shape().elements() / std::max<std::int64_t>(1, out.shape()[0])),
        [&](std::int64_t begin, std::int64_t end, int) {
          reference::rms_norm(out.rows(begin, end - begin), x.rows(begin, end - begin), weight, epsilon,
                              rstd.empty() ? rstd : rstd.rows(begin, end - begin));
        });
}

}  // namespace deskhand::cpu
